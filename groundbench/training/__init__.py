"""Training models from scratch: corpus, batches, checkpoints (protocol §6)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groundbench.training.corpus import load_corpus as load_corpus
    from groundbench.training.launch import train as train
    from groundbench.training.presets import Preset as Preset
    from groundbench.training.presets import load_preset as load_preset

__all__ = ["Preset", "load_corpus", "load_preset", "train"]

_HOME = {
    "Preset": "groundbench.training.presets",
    "load_corpus": "groundbench.training.corpus",
    "load_preset": "groundbench.training.presets",
    "train": "groundbench.training.launch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
