"""The small world in which examples of docstrings and documents run: a tiny model, results, a corpus' run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.fake_results import fake_result, fake_trajectory, write_run
from helpers.small_models import tiny_llama


def save_model(folder: Path, known: Sequence[str] = ()) -> Path:
    """A model of two layers that reads any text, as a `from_pretrained` folder; words of `known` are one token."""
    model = tiny_llama(known=known)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def names(folder: Path) -> dict[str, Any]:
    """The names that examples may use without defining them; `runs/a` and `runs/b` are made in `folder`."""
    model = tiny_llama()
    write_run(folder / "runs/a", seed=1, gain=4.0)
    write_run(folder / "runs/b", seed=2, gain=3.0)
    return {
        "MODEL": str(save_model(folder / "model")),
        "TOKENIZER": model.tokenizer,
        "TRANSFORMER": model.model,
        "RESULT": fake_result(0),
        "TRAJECTORY": fake_trajectory(0),
    }
