"""The tiny models and the oracles are those of tests/mechanism and tests/vlm."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "mechanism"), str(TESTS / "vlm")]
