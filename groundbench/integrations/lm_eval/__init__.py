"""lm-evaluation-harness: our testbeds as its tasks, our engine as one of its models, its results as ours.

Importing this package imports neither lm-eval nor torch; its modules do. See docs/how-to/lm_eval.md.
"""

from __future__ import annotations

from pathlib import Path


def include_path() -> Path:
    """Return the folder of our task files: what lm-eval's `--include_path` takes."""
    return Path(__file__).resolve().parent / "tasks"
