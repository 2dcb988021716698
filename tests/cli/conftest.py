"""The fixture that the tests of commands share: a small ladder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def bed(tmp_path: Path) -> str:
    """A YAML testbed of several forms."""
    from helpers.ladder_bed import LADDER

    path = tmp_path / "rungs.yaml"
    path.write_text(LADDER)
    return str(path)
