"""Checkpoints of a partly frozen model: the frozen weights are on disk once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from groundbench.util.atomic_files import write_text

TRAINED, FROZEN = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def save_in_two(folder: Path, trained: Mapping[str, Tensor], frozen: Mapping[str, Tensor]) -> None:
    """Write weights into a new folder as an ordinary sharded checkpoint, the frozen ones in a file of their own.

    That file is a hard link to the one in a checkpoint beside it, if there is one.
    """
    folder.mkdir(parents=True)
    save_file({k: v.contiguous().cpu() for k, v in trained.items()}, folder / TRAINED, {"format": "pt"})
    shared = next(folder.parent.glob(f"step-*/{FROZEN}"), None)
    try:
        if shared is None:
            raise FileNotFoundError
        os.link(shared, folder / FROZEN)
    except OSError:  # the first checkpoint, or a file system without links
        save_file({k: v.contiguous().cpu() for k, v in frozen.items()}, folder / FROZEN, {"format": "pt"})
    names = {**dict.fromkeys(trained, TRAINED), **dict.fromkeys(frozen, FROZEN)}
    size = sum(v.numel() * v.element_size() for v in (*trained.values(), *frozen.values()))
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(names.items()))}
    write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=1) + "\n")
