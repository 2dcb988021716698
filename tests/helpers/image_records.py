"""Records of what was seen of images, with made-up numbers."""

from __future__ import annotations

from typing import Any

SEEN = "0123456789abcdef"


def reading(heads: str) -> dict[str, Any]:
    return {
        "heads": heads,
        "n_heads": 2.0,
        "n_items": 8,
        "share": 0.5,
        "share_ci_low": 0.4,
        "share_ci_high": 0.6,
        "expected": 0.25,
        "inside": 2.0,
        "outside": 0.5,
        "ratio": 4.0,
    }


def record(form: str) -> dict[str, Any]:
    swap = {"n_items": 4, "mismatches": 2, "gain": 2.0, "gain_swapped": -1.0, "ratio": -0.5}
    grid = {"n_patches": 256.0, "n_box": 64.0, "rows": 16, "columns": 16}
    wider = [{**swap, "rings": 1, "share": 0.5}, {**swap, "whole": True, "gain_swapped": -2.0, "ratio": -1.0}]
    return {
        "wider": wider,
        "env_form": form,
        "hash": SEEN,
        **grid,
        "reading": [reading("all"), reading("crossfit")],
        "swap": swap,
    }
