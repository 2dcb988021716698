"""What these tests take from their neighbours: a small corpus to import, and small models."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("importing", "scoring")]
