"""The paper's claims, each decided by a stated criterion (protocol §14 A): reproduced, not, or not testable here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundbench.measures.ablation.crossfit import STRONGEST
from groundbench.results.run import AblationRecord
from groundbench.results.trajectory import TrajectoryPoint
from groundbench.stats.significance import Estimate
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper.lstm_claim import NO_GAIN, lstm_claim, why_untrained
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim, Verdict, all_of, verdict_at

ALPHA = 0.05
NEGLIGIBLE = 0.1
"""A part of the gain below which a loss counts as none."""
ELSEWHERE = ("an equally long span of other words", "an equal box elsewhere in the image")
"""Places for which heads are counted besides what was shown, in text and in images (protocol §10)."""
NULL = "Trained on ENV shuffled across transcripts, the model does not ground"
NULL_CRITERION = (
    "the interval of G at the last checkpoint holds 0, and neither end lies farther off than a tenth of the gain of "
    "the same recipe trained on its own scenes"
)
Test = Callable[[Measured], tuple[Verdict, str]]


@dataclass(frozen=True)
class Criterion:
    """A claim about one model with heads, its criterion, and the test that decides it.

    Attributes:
        of_gain: whether it is about what carries or explains the gain, so that it needs one.
    """

    id: str
    claim: str
    criterion: str
    test: Test
    of_gain: bool = False


def claims_of(runs: Sequence[Measured]) -> list[Claim]:
    """Judge every claim for every architecture that it is about; models that see images have claims of their own."""
    runs = [m for m in runs if m.run.kind != "vlm"]
    main = [m for m in runs if m.run.kind != "lstm" and not m.run.shuffled]
    found = [decide(c, m, why_untrained(m, runs)) for m in main for c in CRITERIA]
    found += [null_claim(m, main) for m in runs if m.run.shuffled]
    return [*found, lstm_claim(runs)]


def decide(criterion: Criterion, measured: Measured, lacking: str | None = None) -> Claim:
    """Return the verdict on one claim; a claim about a gain that is not there is not testable.

    Args:
        lacking: why nothing at all can be said of this model.
    """
    lacking = lacking or (ev.no_gain(measured) if criterion.of_gain else None)
    verdict, because = criterion.test(measured) if lacking is None else ("not testable", lacking)
    return Claim(criterion.id, criterion.claim, measured.run.name, criterion.criterion, verdict, because)


def _emerges(measured: Measured) -> tuple[Verdict, str]:
    steps = ev.steps_with(measured, ev.gain)
    if len(steps) < 2:
        return "not testable", "the gain was measured at fewer than two steps"
    first, last = (ev.gain_interval(measured, s) for s in (steps[0], steps[-1]))
    why = f"G {ev.text(first)} at step {steps[0]}, {ev.text(last)} at step {steps[-1]}"
    if last.ci_low is None:
        return "not testable", why
    if last.ci_low <= 0:
        return ("not reproduced" if last.ci_high is not None and last.ci_high < NO_GAIN else "not testable"), why
    none_before = abs(first.value or 0.0) <= NEGLIGIBLE * (last.value or 0.0)
    return ("reproduced" if none_before else "not reproduced"), why


def _grows(measured: Measured) -> tuple[Verdict, str]:
    steps = ev.steps_with(measured, ev.gain)
    middle = [s for s in steps if 0 < s <= steps[-1] / 2]
    if not middle:
        return "not testable", "no checkpoint in the first half of the training was measured"
    grown = ev.gain_growth(measured, middle[-1], steps[-1])
    why = f"G grew by {ev.text(grown)} from step {middle[-1]} to {steps[-1]}{ev.over_nouns(measured)}"
    return verdict_at(grown), why


def _r2_falls(measured: Measured) -> tuple[Verdict, str]:
    steps = ev.steps_with(measured, ev.r2)
    if len(steps) < 3 or len(measured.trajectories) < ev.MIN_SEEDS:
        return "not testable", f"needs three seeds and three steps with R², has {len(steps)} steps{ev.few(measured)}"
    rises, falls, gains, peaks = [], [], [], []
    for s in range(len(measured.trajectories)):
        others = {step: _mean_without(ev.at(measured, step, ev.r2), s) for step in steps[1:-1]}
        peak = max(others, key=lambda step: others[step])
        rises.append(_value_of_seed(measured, peak, ev.r2, s) - _value_of_seed(measured, steps[0], ev.r2, s))
        falls.append(_value_of_seed(measured, peak, ev.r2, s) - _value_of_seed(measured, steps[-1], ev.r2, s))
        gains.append(_value_of_seed(measured, steps[-1], ev.gain, s) - _value_of_seed(measured, peak, ev.gain, s))
        peaks.append(peak)
    rise, fall, more = (ev.over_seeds(v) for v in (rises, falls, gains))
    why = (
        f"R² rises by {ev.text(rise)} to its peak (steps {', '.join(map(str, sorted(set(peaks))))}), then falls by "
        f"{ev.text(fall)} while G grows by {ev.text(more)}"
    )
    return all_of(verdict_at(rise), verdict_at(fall), verdict_at(more)), why


def _mean_without(values: Sequence[float | None], seed: int) -> float:
    kept = [v for i, v in enumerate(values) if i != seed and v is not None]
    return sum(kept) / len(kept)


def _value_of_seed(measured: Measured, step: int, read: ev.Read, seed: int) -> float:
    found = ev.at(measured, step, read)[seed]
    if found is None:
        raise ValueError(f"{measured.run.name}: no number of step {step}, expected a step that every seed has")
    return found


def _count(point: TrajectoryPoint) -> float | None:
    record = ev.heads(point)
    return None if record is None else record.mean_count


def _heads_rise(measured: Measured) -> tuple[Verdict, str]:
    steps = [s for s in ev.steps_with(measured, _count) if s > 0]
    if len(steps) < 2:
        return "not testable", "heads were measured at fewer than two trained checkpoints"
    rise = ev.count_growth(measured, steps[0], steps[-1])
    beyond = ev.count_excess(measured, steps[-1])
    why = (
        f"{ev.text(rise)} more heads from step {steps[0]} to {steps[-1]}; at the end {ev.text(beyond)} more than for "
        f"{ELSEWHERE[measured.run.kind == 'vlm']}{ev.over_nouns(measured)}"
    )
    return all_of(verdict_at(rise), verdict_at(beyond)), why


def _middle(measured: Measured) -> tuple[Verdict, str]:
    layers = measured.run.layers
    if layers < 4:
        return "not testable", f"{layers} layers have no middle"
    inside = ev.middle(layers)
    share = ev.at_the_end(measured, lambda point: ev.middle_share(point, layers), ev.heads)
    if share is None:
        return "not testable", "at the last checkpoint some seed has no head detected"
    mean = measured.mean.last.mean_layer
    by_chance = len(inside) / layers
    why = (
        f"{ev.text(share)} of the detections in layers {inside[0]}-{inside[-1]} of {layers}, chance {by_chance:.2f}; "
        f"mean layer {ev.plain(None if mean is None else mean.mean)}{ev.few(measured)}"
    )
    return verdict_at(share, by_chance), why


def _ablation_harms(measured: Measured) -> tuple[Verdict, str]:
    read = ev.harm("crossfit")
    last = ev.last_with(measured, ev.has_ablation("crossfit"))
    if last is None or None in ev.at(measured, last, read):
        none = f"at step {last}, the last that was cut, not every seed has a head that is detected in half of the items"
        return "not testable", "heads were not cut" if last is None else none
    more = ev.over_seeds(ev.at(measured, last, read))
    part = ev.over_seeds(ev.at(measured, last, ev.lost_share("crossfit")))
    records = [a for p in ev.points_at(measured, last) if (a := ev.ablation_of(p, "crossfit")) is not None]
    tests = "; ".join(
        f"p cluster {ev.probability(a.p_cluster)}, draws {ev.probability(a.p_draws)}, rank {ev.probability(a.p_rank)}"
        for a in records
    )
    why = (
        f"at step {last} cutting them adds {ev.text(more)} nats more than cutting others, and takes {ev.text(part)} of "
        f"the gain; by seed: {tests}{ev.few(measured)}"
    )
    if len(measured.trajectories) < ev.MIN_SEEDS:
        return all_of(_by_tests(more, records), _by_tests(part, records)), why
    return all_of(verdict_at(more), verdict_at(part)), why


def _by_tests(found: Estimate, records: Sequence[AblationRecord], *, with_draws: bool = True) -> Verdict:
    """Judge fewer than three seeds: reproduced where every seed's tests say so at 5 %, not where the sign differs."""
    if found.value is None:
        return "not testable"
    if found.value <= 0:
        return "not reproduced"
    tests = [p for a in records for p in ((a.p_cluster, a.p_draws) if with_draws else (a.p_cluster,))]
    return "reproduced" if tests and all(p is not None and p <= ALPHA for p in tests) else "not testable"


def _item_ablation_harms(measured: Measured) -> tuple[Verdict, str]:
    last = ev.last_with(measured, ev.has_ablation("instance"))
    found = [] if last is None else ev.at(measured, last, ev.harm("instance"))
    if last is None or None in found:
        return "not testable", "the heads of each item were not cut in every seed"
    more, part = ev.over_seeds(found), ev.over_seeds(ev.at(measured, last, ev.lost_share("instance")))
    records = [a for p in ev.points_at(measured, last) if (a := ev.ablation_of(p, "instance")) is not None]
    why = (
        f"at step {last} cutting them adds {ev.text(more)} nats more than cutting others, and takes {ev.text(part)} of "
        f"the gain; p cluster by seed: {', '.join(ev.probability(a.p_cluster) for a in records)}{ev.few(measured)}"
    )
    few = len(measured.trajectories) < ev.MIN_SEEDS
    return (_by_tests(more, records, with_draws=False) if few else verdict_at(more)), why


def _few_heads(measured: Measured) -> tuple[Verdict, str]:
    last = ev.last_with(measured, ev.causes_of)
    found = ev.interval_at(measured, ev.recovered_beyond_random, last)
    if last is None or found is None:
        none = f"at step {last} not every seed has a gain that heads could recover"
        return "not testable", "no heads were interchanged" if last is None else none
    records = [r for p in ev.points_at(measured, last) if (r := ev.causes_of(p)) and r.headline]
    sizes = " or ".join(map(str, sorted({r.headline.k for r in records if r.headline})))
    why = (
        f"at step {last} {sizes} of {records[0].n_heads} heads recover {ev.text(found)} of the gain more than random "
        f"ones{ev.over_nouns(measured)}"
    )
    return verdict_at(found), why


def _gap_grows(measured: Measured) -> tuple[Verdict, str]:
    read = ev.harm("instance")
    last = ev.last_with(measured, ev.has_ablation("instance"))
    steps = ev.steps_with(measured, read)
    if len(steps) < 2 or steps[-1] != last:
        return "not testable", "heads were not cut in every seed at two checkpoints, the last that was cut among them"
    grown = ev.change(measured, read, steps[0], last)
    before, after = (ev.over_seeds(ev.at(measured, s, read)) for s in (steps[0], last))
    why = (
        f"ablated minus control {ev.text(before)} nats at step {steps[0]}, {ev.text(after)} at step {last}: "
        f"{ev.text(grown)} more{ev.few(measured)}"
    )
    return verdict_at(grown), why


def _gather(measured: Measured) -> tuple[Verdict, str]:
    read = ev.lost_share("crossfit", "gather")
    last = ev.last_with(measured, ev.has_ablation("crossfit", "gather"))
    if last is None or None in ev.at(measured, last, read):
        return "not testable", "gather heads were not cut in every seed at the last checkpoint that was cut"
    part = ev.over_seeds(ev.at(measured, last, read))
    count = measured.mean.last.gather_heads
    why = (
        f"at step {last} cutting them takes {ev.text(part)} of the gain more than cutting others; "
        f"{ev.plain(None if count is None else count.mean)} gather heads an item{ev.few(measured)}"
    )
    removed = [a for p in ev.points_at(measured, last) if (a := ev.ablation_of(p, "crossfit", "gather")) is not None]
    if any(STRONGEST in (a.note or "") for a in removed):
        return "not testable", f"{why}; {STRONGEST}"
    if part.ci_low is None or part.ci_high is None:
        part = ev.widest([Estimate(a.gain_removed, a.gain_removed_ci_low, a.gain_removed_ci_high, 0) for a in removed])
        why = f"{why}; of the untouched gain it takes {ev.text(part)}, over nouns"
    if part.ci_low is None or part.ci_high is None:
        return "not testable", why
    if part.ci_high < NEGLIGIBLE:
        return "reproduced", why
    return ("not reproduced" if part.ci_low > 0 else "not testable"), why


def _lens(measured: Measured) -> tuple[Verdict, str]:
    layers = measured.run.layers
    share = ev.at_the_end(measured, lambda point: ev.lens_middle(point, layers), lambda point: point.result.lens)
    if share is None or layers < 4:
        return "not testable", "the lens was not read, or reads no gain"
    inside = ev.middle(layers)
    by_chance = len(inside) / layers
    why = (
        f"{ev.text(share)} of the gain's rise over the layers lies in layers {inside[0]}-{inside[-1]} of {layers}, "
        f"evenly spread {by_chance:.2f}{ev.few(measured)}"
    )
    return verdict_at(share, by_chance), why


def null_claim(null: Measured, others: Sequence[Measured], claim: str = NULL) -> Claim:
    """Judge a model trained on shuffled scenes: no gain, beside the same preset on its own scenes (§14 B)."""
    verdict, because = _null(null, next((m for m in others if _same_but_shuffled(m, null)), None))
    return Claim("null", claim, null.run.name, NULL_CRITERION, verdict, because)


def _same_but_shuffled(one: Measured, null: Measured) -> bool:
    """Return True if recipe and corpus are the same but for what the null shuffles."""
    corpora = [{k: v for k, v in m.run.corpus.items() if k != "shuffle_env"} for m in (one, null)]
    return one.run.preset == null.run.preset and corpora[0] == corpora[1]


def _null(null: Measured, grounded: Measured | None) -> tuple[Verdict, str]:
    steps = ev.steps_with(null, ev.gain)
    last = ev.gain_interval(null, steps[-1])
    why = f"G {ev.text(last, 3)} at step {steps[-1]}{ev.over_nouns(null)}"
    if last.ci_low is None or last.ci_high is None:
        return "not testable", why
    if not last.ci_low <= 0 <= last.ci_high:
        return "not reproduced", why
    if grounded is None:
        return "not testable", f"{why}; there is no run of the same recipe on its own scenes to compare with"
    beside = ev.gain_interval(grounded, grounded.mean.last.step).value or 0.0
    why = f"{why}; on its own scenes {ev.plain(beside)}"
    return ("reproduced" if max(-last.ci_low, last.ci_high) <= NEGLIGIBLE * beside else "not testable"), why


CRITERIA = (
    Criterion(
        "emerges",
        "A gap between matched and mismatched surprisal emerges",
        "the interval of G at the last checkpoint lies above 0, and G at the first is at most a tenth of it (not "
        "reproduced: it was there before, or all of the interval lies below 0.1 nats)",
        _emerges,
    ),
    Criterion(
        "grows",
        "The gap grows with training",
        "the interval over seeds of G's growth in the second half of the training lies above 0",
        _grows,
    ),
    Criterion(
        "cooccurrence",
        "R² of the gain on co-occurrence rises, then falls while the gain rises",
        "rise to the peak, fall after it and growth of G after it each have their interval over seeds above 0; each "
        "seed's peak is chosen by the other seeds",
        _r2_falls,
        of_gain=True,
    ),
    Criterion(
        "heads-rise",
        "The number of aggregate heads rises",
        "the rise from the first trained checkpoint to the last has its interval over seeds above 0, and so has the "
        "excess over an equally long span of other words, or an equal box elsewhere, at the last",
        _heads_rise,
        of_gain=True,
    ),
    Criterion(
        "middle",
        "Aggregate heads sit in the middle layers",
        "the part of detections in the middle half of the layers lies above its part of the layers",
        _middle,
        of_gain=True,
    ),
    Criterion(
        "ablation-item",
        "Cutting the aggregate heads of an item raises its surprisal more than cutting random ones",
        "as published, heads detected in the item itself, with its label (selection-biased): the surprisal beyond the "
        "controls has its interval over seeds above 0 (of fewer than three seeds: it is more, with a clustered p of at "
        "most 0.05 in each; not reproduced: less)",
        _item_ablation_harms,
        of_gain=True,
    ),
    Criterion(
        "ablation",
        "Cutting aggregate heads found in other items does so too",
        "cross-fitted, against layer-matched controls: more surprisal and more of the gain lost, both intervals over "
        "seeds above 0 (of fewer than three seeds: more of both, with the gain's clustered p and its p against the "
        "draws at most 0.05 in each; not reproduced: less of one)",
        _ablation_harms,
        of_gain=True,
    ),
    Criterion(
        "few-heads",
        "A few heads, ranked by contrast, carry the gain, and as many random ones do not",
        "ours, beside the paper's (protocol §15): the share of the gain that heads ranked on other nouns and frames "
        "recover when they are interchanged, beyond the mean of layer-matched random sets, has its interval over "
        "seeds above 0 (of fewer than three seeds: over nouns)",
        _few_heads,
        of_gain=True,
    ),
    Criterion(
        "ablation-grows",
        "The gap between ablated and control grows with training",
        "heads of the item itself, as published: the growth from the first cut checkpoint to the last has its interval "
        "over seeds above 0",
        _gap_grows,
        of_gain=True,
    ),
    Criterion(
        "gather",
        "Cutting gather heads has no effect",
        "cross-fitted: the gain lost beyond the controls has the upper end of its interval below a tenth of the gain "
        "(of fewer than three seeds: the part of the untouched gain that is lost, over nouns; not reproduced: above "
        "0); not testable where no head gathers in half of the items",
        _gather,
        of_gain=True,
    ),
    Criterion(
        "lens",
        "The lens shows the gain to appear in the middle layers",
        "the part of its rise over the layers that falls into the middle half lies above its part of the layers",
        _lens,
        of_gain=True,
    ),
)
