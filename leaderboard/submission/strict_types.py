"""JSON types as they were written: a number in quotes, or true for 1, is refused where pydantic would take it."""

from __future__ import annotations

from typing import Any

from groundbench.leaderboard.submission.items_parquet import MOST_NATS
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten

NATS = {
    "mean",
    "ci_low",
    "ci_high",
    "ci_nouns_low",
    "ci_nouns_high",
    "matched",
    "mismatched",
    "gain",
    "same_category",
    "same_category_ci_low",
    "same_category_ci_high",
    "per_frame_sd",
    "probe_gap",
    "ideal",
    "detectable",
    "original",
    "ablated",
    "control_mean",
    "control_draws",
    "gain_original",
    "gain_ablated",
    "gain_control",
    "gain_control_draws",
    "gain_swapped",
    "train_loss",
    "heldout_loss",
}
NOT_NATS = {"heads_for_half", "recovered", "lost", "transfer", "same_answer", "same_category"}
"""Intervals of the measure `causal` that count heads or are shares of the gain."""
LARGEST = 1 << 53
"""Whole numbers that JSON readers keep exactly."""

LEAVES = frozenset({str, float, bool, type(None)})


def check_types(written: Any, parsed: Any, where: str) -> None:
    """Hold a document against what was made of it.

    Args:
        written: the plain values of the file; `parsed`: the record, dumped to plain values again.

    Raises:
        RefusedError: a place holds another JSON type than the schema's, a whole number too large to be kept exactly, or
            a surprisal or gain beyond every vocabulary.
    """
    todo: list[tuple[Any, Any, str]] = [(written, parsed, "")]
    while todo:
        a, b, at = todo.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            for key, value in a.items():
                if key in b and not _same_leaf(value, b[key]):
                    todo.append((value, b[key], f"{at}.{key}" if at else str(key)))
                if key in NATS and at.rpartition(".")[2] not in NOT_NATS:
                    _check_nats(value, f"{at}.{key}" if at else str(key), where)
        elif isinstance(a, list) and isinstance(b, list):
            pairs = enumerate(zip(a, b, strict=False))
            todo += [(x, y, f"{at}.{i}") for i, (x, y) in pairs if not _same_leaf(x, y)]
        elif _kind(a) != _kind(b) and not (a is None or isinstance(a, dict | list)):
            raise RefusedError(
                f"{where}: field {shorten(at)}: found {shorten(str(a))} as {_kind(a)}, expected {_kind(b)}"
            )
        elif isinstance(a, int) and abs(a) > LARGEST:
            raise RefusedError(f"{where}: field {shorten(at)}: {a} is too large a whole number")


def _same_leaf(a: Any, b: Any) -> bool:
    """Return True for two leaves of one type, which need no further check: most values of a document are such."""
    return type(a) is type(b) and type(a) in LEAVES


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "null" if value is None else "text" if isinstance(value, str) else "a list or mapping"


def _check_nats(value: Any, at: str, where: str) -> None:
    for v in value if isinstance(value, list) else (value,):
        if isinstance(v, int | float) and abs(v) > MOST_NATS:
            raise RefusedError(f"{where}: field {shorten(at)}: {v:g} nats; no vocabulary gives more than {MOST_NATS:g}")
