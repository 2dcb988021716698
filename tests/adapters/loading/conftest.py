"""A hub on the loopback address for the tests of opening, and a tiny model to put on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.loading_models import write_model
from helpers.loopback_hub import LoopbackHub, asked_by


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub that this process asks, with an empty cache and the network allowed."""
    with asked_by(monkeypatch, tmp_path / "cache") as served:
        yield served
