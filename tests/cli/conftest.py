"""What the tests of commands share: a small ladder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scoring"))


@pytest.fixture
def bed(tmp_path: Path) -> str:
    """A YAML testbed of several forms."""
    from ladder_bed import LADDER

    path = tmp_path / "rungs.yaml"
    path.write_text(LADDER)
    return str(path)
