"""The table of families that nobody lists, as the sweep over the installed transformers finds them."""

from __future__ import annotations

import transformers

from groundbench.adapters.capability_checks import require_causal
from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Capability
from groundbench.api.errors import GroundbenchError
from helpers.family_checks import COLUMNS, NOT_COMPARED, TOLERANCE, checked_on, heads_rounding, logits_rounding
from helpers.shrunk_models import tiny_of, unlisted
from helpers.tiny_models import word_tokenizer

HEADER = ("type", *COLUMNS, "why not")
NEEDS: dict[str, tuple[Capability, ...]] = {
    "cache": ("prefix",),
    "heads": ("hooks",),
    "ablation": ("hooks", "edit"),
    "lens": ("hidden",),
    "sweep": ("hooks", "edit", "hidden", "start_at_layer"),
}
UNSETTLED = {
    ("inkling2_text", "lens"): "what a layer gives differs from what is read; which is right is not known",
}
"""Numbers off by more than their bound, shown as such until somebody finds out; none of them may be right."""
LONGEST_WHY = 150
ALLOWED = TOLERANCE | {"heads": 1e-4}
"""Saliency rounds most: random weights that nobody chose make some families' activations large."""
LOST = {"heads": heads_rounding, "ablation": logits_rounding, "sweep": logits_rounding}
ROUNDINGS = {"heads": 10, "ablation": 2, "sweep": 2}
"""Where activations are larger still: times what the oracle, or the model itself, loses between doubles and fp32."""
SECTION = """
## Every other family of transformers

Text families of transformers {version} that the first table does not list: the default config of each, made tiny by
`tests/helpers/shrunk_models.py`, with random weights, windows of 8 tokens and the same checks and bounds. Nothing here
was set by hand. A `no` was found on opening, with the reason that users read; `-` says that the model gives nothing to
compare with, `?` that the two differ, `refused` that the model is not opened, and `not built` that no tiny model was
made. A row of saliency may differ by {heads} of its largest entry, or where activations are large by {roundings} times
what the oracle itself loses by rounding to fp32; logits with heads cut, by twice what the model's own lose. Other
numbers off by more than their bounds fail the test (`tests/adapters/families/test_sweep.py`).

"""


def swept_page(model_types: list[str] | None = None) -> str:
    """The section, after all its checks. Raises AssertionError where a number is off."""
    names = unlisted() if model_types is None else model_types
    lines = [_line(HEADER), _line(["---"] * len(HEADER)), *(swept_row(name) for name in names)]
    return (
        SECTION.format(version=transformers.__version__, heads=f"{ALLOWED['heads']:.0e}", roundings=ROUNDINGS["heads"])
        + "\n".join(lines)
        + "\n"
    )


def swept_row(model_type: str) -> str:
    """A family's row, after its checks. Raises AssertionError where a number is off."""
    try:
        config, model = tiny_of(model_type)
    except Exception as error:  # the family's own
        return _whole(model_type, "not built", f"{type(error).__name__}: {error}")
    try:
        require_causal(model, model_type)
        adapter = HFCausal(model, word_tokenizer(), name=model_type)
    except GroundbenchError as error:
        return _whole(model_type, "refused", str(error))
    found = checked_on(adapter, model_type, config)
    reasons: dict[str, str] = {}
    cells = []
    for column, (said, error) in found.items():
        right = error is None or error < ALLOWED[column]
        if column in LOST and not right:
            right = error < ROUNDINGS[column] * LOST[column](model_type, config)
        assert right != ((model_type, column) in UNSETTLED), f"{model_type}, {column}: {error or 0:.1e} from its oracle"
        if not right:
            reasons[UNSETTLED[model_type, column]] = column
            said = "?"
        elif said == "no":
            why = next(w for c in NEEDS[column] if (w := dict(adapter.info.lacks).get(c)) is not None)
            reasons.setdefault(why, column)
        elif said.startswith(NOT_COMPARED):
            reasons.setdefault(said.removeprefix(f"{NOT_COMPARED}: "), column)
            said = "-"
        cells.append(said)
    return _line([f"`{model_type}`", *cells, "; ".join(f"{c}: {_short(w)}" for w, c in reasons.items())])


def _whole(model_type: str, what: str, why: str) -> str:
    return _line([f"`{model_type}`", what, *[""] * (len(COLUMNS) - 1), _short(why)])


def _short(why: str) -> str:
    first = " ".join(why.split("\n")[0].replace("|", "/").split())
    return first if len(first) <= LONGEST_WHY else f"{first[:LONGEST_WHY].rstrip()} ..."


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
