"""Do the items give the numbers? Everything that can be computed from the surprisals is computed again."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.bounds import near
from groundbench.measures.gain.measure import measure_gain
from groundbench.results.run import GainRecord

RESAMPLES = 2_000
SPREAD = 0.2
"""The share of its width by which an interval from other draws may differ."""
EXACT = ("mean", "matched", "mismatched", "same_category", "per_frame_sd", "detectable", "p_cluster")


def item_faults(stated: GainRecord, table: SurprisalTable, seed: int) -> Iterator[str]:
    """What of a gain its items contradict, as clauses."""
    found = measure_gain(table, seed=seed, n_resamples=RESAMPLES)
    if found.mean is None and stated.mean is not None:
        yield f"its items give no gain, but gain.mean is {stated.mean:.4f}"
        return
    if stated.n_failed != table.n_failed:
        yield f"{table.n_failed} of its items have no surprisal, but gain.n_failed is {stated.n_failed}"
    for name in EXACT:
        said, is_ = getattr(stated, name), getattr(found, name)
        if said is not None and (is_ is None or not near(said, is_)):
            yield f"its items give gain.{name} {'null' if is_ is None else f'{is_:.4f}'}, but {said:.4f} is reported"
    again = {n.noun: n for n in found.by_noun}
    for noun in stated.by_noun:
        for name in ("gain", "matched", "mismatched"):
            said, is_ = getattr(noun, name), getattr(again[noun.noun], name)
            if (said is None) != (is_ is None) or (said is not None and is_ is not None and not near(said, is_)):
                yield f"its items give {noun.noun!r} another {name} than gain.by_noun reports"
    for low, high in (("ci_low", "ci_high"), ("same_category_ci_low", "same_category_ci_high")):
        said_low, said_high, low_, high_ = (getattr(r, k) for r in (stated, found) for k in (low, high))
        if None not in (said_low, said_high, low_, high_):
            width = max(high_ - low_, 1e-6)
            if not (1 - SPREAD) * width <= said_high - said_low <= (1 + SPREAD) * width + 1e-6:
                yield (
                    f"its items give an interval from {low_:.4f} to {high_:.4f}, but gain.{low} and {high} are "
                    f"{said_low:.4f} and {said_high:.4f}"
                )
