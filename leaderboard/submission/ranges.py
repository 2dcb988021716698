"""The range of every number in a submission, by its field's name: what no measurement can give is refused.

Most fields have a range of their own kind (nats, shares, counts); the others are only kept from being so large that
sums of them overflow.
"""

from __future__ import annotations

import sys

from groundbench.leaderboard.submission.bounds import ROUNDING
from groundbench.leaderboard.submission.items_parquet import MOST_NATS

NATS = frozenset(
    [
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
        "gain_gloss",
        "gain_word",
        "train_loss",
        "heldout_loss",
        "clean",
        "corrupt",
        "contrast",
        "contrast_ig",
        "exact",
        "zeroed",
        "signed",
        "effect",
        "gain_effect",
        "carried",
    ]
)
NOT_NATS = frozenset({"heads_for_half", "recovered", "lost", "transfer", "same_answer", "same_category", "empty"})
"""Intervals of the measure `causal` that count heads or are shares of the gain."""
SHARES = frozenset(
    [
        "rate",
        "share",
        "min_rate",
        "expected",
        "probability",
        "coverage",
        "predicted",
        "observed",
        "brier",
        "flagged",
        "caught",
        "wrong_kept",
        "error",
        "chance",
        "constant",
        "yes_true",
        "auroc_fit",
        "min_coverage",
        "fit_coverage",
        "fit_error",
        "p_rank",
        "random",
        "ece_raw",
        "ece_high",
        "induction",
        "previous",
        "duplicate",
        "sink",
        "ov_copy",
    ]
)
AT_MOST_ONE = frozenset({"rank_correlation", "ece", "r2_adjusted"})
NEVER_NEGATIVE = frozenset(
    {"original", "ablated", "clean", "corrupt", "per_frame_sd", "detectable", "lift", "magnitude", "kl"}
    | {"train_loss", "heldout_loss", "seconds", "gain_variance", "perplexity", "perplexity_before", "perplexity_after"}
)
UNBOUNDED_SCALE = frozenset(
    {"risk", "shades", "threshold", "perplexity", "perplexity_before", "perplexity_after", "perplexity_random"}
)
"""Risks have no unit; a perplexity is exp of a surprisal."""
LARGEST = 1e15
LARGEST_RISK = 1e100
FREE = frozenset({"protocol", "opened", "verdict"})
"""Parts of a document that hold a command's options: anything may stand there."""
SIGNED_WHOLE = frozenset({"seed", "seeds"})


def number_fault(key: str, parent: str, value: float) -> str | None:
    """Return what is wrong with a number, as a clause; None if it can be so.

    Args:
        key: the field's name; `parent`: the name of the mapping that it stands in.
    """
    if value < 0 and key in NEVER_NEGATIVE:
        return f"{value:g}; it cannot be negative"
    if key in NATS and parent not in NOT_NATS:
        return f"{value:g} nats; no vocabulary gives more than {MOST_NATS:g}" if abs(value) > MOST_NATS else None
    if key in SHARES:
        return None if -ROUNDING <= value <= 1 + ROUNDING else f"{value:g}; a share lies between 0 and 1"
    if key in AT_MOST_ONE:
        return None if value <= 1 + ROUNDING and abs(value) <= LARGEST else f"{value:g}; expected 1 at most"
    if key in UNBOUNDED_SCALE:
        fits = abs(value) <= LARGEST_RISK or value == sys.float_info.max  # the threshold that withholds nothing
        return None if fits else f"{value:g} is out of range"
    if isinstance(value, int):
        return None  # whole numbers have a limit of their own
    return None if abs(value) <= LARGEST else f"{value:g} is out of range"
