"""Mistakes that are told before any weight is read or converted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from groundbench.adapters.loading import load
from groundbench.api.errors import BadInputError
from groundbench.registry import open_model


def test_a_device_that_is_not_there_is_refused_before_weights_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file holds nothing but the letters of its kind: whoever reads on says something else."""
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(load.torch, "empty", _no_device)
    with pytest.raises(BadInputError, match=r"tiny: cannot be put on the device 'cuda': .*no such device"):
        open_model(str(tmp_path / "tiny.gguf"), device="cuda")


def _no_device(*size: int, device: str) -> torch.Tensor:
    raise AssertionError(f"{device}: no such device")


@pytest.mark.parametrize("name", ["mine", "mine.py"])
def test_a_file_of_code_without_its_object_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("raise SystemExit('carried out')")
    with pytest.raises(
        BadInputError, match=r"expected MODULE:OBJECT of an adapter in mine\.py, such as mine:make_adapter"
    ):
        open_model(name)
