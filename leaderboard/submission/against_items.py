"""Check that a submission's numbers follow from its items: all that the surprisals give is computed again."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.bounds import is_near
from groundbench.measures.gain.measure import measure_gain
from groundbench.results.run import GainRecord

RESAMPLES = 2_000
SPREAD = 0.2
"""The share of its width by which an interval from other draws may differ."""
P_SLACK = 1e-4
"""The share of a p-value by which rounding may move it: small ones are steep in their statistic."""
EXACT = ("mean", "matched", "mismatched", "same_category", "per_frame_sd", "detectable", "p_cluster")


def item_faults(stated: GainRecord, table: SurprisalTable, seed: int) -> Iterator[str]:
    """Yield the parts of a gain that its items contradict, as clauses."""
    found = measure_gain(table, seed=seed, n_resamples=RESAMPLES)
    if found.mean is None and stated.mean is not None:
        yield f"its items give no gain, but gain.mean is {stated.mean:.4f}"
        return
    if stated.n_failed != table.n_failed:
        yield f"{table.n_failed} of its items have no surprisal, but gain.n_failed is {stated.n_failed}"
    for name in EXACT:
        said, is_ = getattr(stated, name), getattr(found, name)
        if said is not None and not _agrees(name, said, is_):
            yield f"its items give gain.{name} {'null' if is_ is None else f'{is_:.4f}'}, but {said:.4f} is reported"
    again = {n.noun: n for n in found.by_noun}
    for noun in stated.by_noun:
        for name in ("gain", "matched", "mismatched"):
            said, is_ = getattr(noun, name), getattr(again[noun.noun], name)
            if (said is None) != (is_ is None) or (said is not None and is_ is not None and not is_near(said, is_)):
                yield f"its items give {noun.noun!r} another {name} than gain.by_noun reports"
    yield from _intervals(stated, found)


def _agrees(name: str, said: float, is_: float | None) -> bool:
    if is_ is None:
        return False
    return abs(said - is_) <= P_SLACK * is_ if name == "p_cluster" else is_near(said, is_)


def _intervals(stated: GainRecord, found: GainRecord) -> Iterator[str]:
    """Each interval is as wide as the items give it; older results print the bootstrap over nouns as the gain's own."""
    clustered, bootstrap = (found.ci_low, found.ci_high), (found.ci_nouns_low, found.ci_nouns_high)
    for name, known in (("ci", (clustered, bootstrap)), ("ci_nouns", (bootstrap,))):
        said = (getattr(stated, f"{name}_low"), getattr(stated, f"{name}_high"))
        widths = [high - low for low, high in known if low is not None and high is not None]
        if None in said or not widths:
            continue
        width = said[1] - said[0]
        if not any((1 - SPREAD) * w - 1e-6 <= width <= (1 + SPREAD) * w + 1e-6 for w in widths):
            yield (
                f"its items give an interval {widths[0]:.4f} nats wide, but gain.{name}_low and {name}_high are "
                f"{said[0]:.4f} and {said[1]:.4f}"
            )
