"""Can these numbers have been measured? Checks that hold for every result of the protocol, whatever the model.

They find slips and clumsy forgeries. A consistent forgery passes: only scoring items again (`recheck`) finds it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from groundbench.leaderboard.submission.bounds import around, near
from groundbench.leaderboard.submission.plausibility_images import image_faults
from groundbench.results.run import (
    AblationRecord,
    FormRecord,
    GainRecord,
    HeadsRecord,
    ModelRecord,
    Result,
    TestbedRecord,
)

TOLERANCE = 2e-3
"""Nats by which rounding may part a number from what it is made of."""
FAILED_TOLERANCE = 0.1
THRESHOLD = 0.30
"""The share of saliency that the headline count asks of a head (protocol §10)."""

FORM = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""A form's name is part of an address on the site."""

Faults = Iterator[str]


def implausible(result: Result) -> str | None:
    """The first thing in a result that cannot be so, as a clause; None if nothing is found."""
    return next(_faults(result), None)


def _faults(result: Result) -> Faults:
    yield from _testbed(result.testbed)
    yield from _part("", result.model, result.testbed, result.gain, result.heads, result.ablations)
    if not result.model.fingerprint:
        yield "the weights have no fingerprint"
    for form in result.forms:
        yield from _form(form, result)
    sizes = {m.layer: m.n_heads for m in result.model.mixers}
    yield from _images(result)
    stray = next((h for h in result.head_forms if h.head >= sizes.get(h.layer, 0)), None)
    if stray is not None:
        yield f"head_forms names head {stray.head} of layer {stray.layer}, which the model does not have"
    names = [f.env_form for f in result.forms]
    if len(set(names)) != len(names):
        yield "forms names a form twice"
    copy = result.copy_corrected
    if copy and None not in (copy.ratio, copy.gain_gloss, copy.gain_word) and copy.gain_word:
        expected = (copy.gain_gloss or 0.0) / copy.gain_word
        if not near(copy.ratio or 0.0, expected, 0.01):
            yield f"copy_corrected.ratio is {copy.ratio:g}, but gain_gloss / gain_word is {expected:g}"


def _images(result: Result) -> Faults:
    """The records of pictures: of forms that were measured, and once more at the top of the result."""
    bed = result.testbed
    for form in result.forms:
        if form.image is not None:
            if form.image.env_form != form.env_form:
                yield f"forms[{form.env_form}].image is of the form {form.image.env_form[:40]!a}"
            items = round(form.n_nouns * bed.n_items / bed.n_nouns) if bed.frames == "shared" else None
            yield from (f"forms[{form.env_form}].image.{f}" for f in image_faults(form.image, result.model, items))
    if result.image is None:
        return
    if result.image.env_form == bed.env_form:
        yield from (f"image.{f}" for f in image_faults(result.image, result.model, bed.n_items))
    elif result.image not in [f.image for f in result.forms]:
        yield f"image is of the form {result.image.env_form[:40]!a}, which was not measured"


def _testbed(testbed: TestbedRecord) -> Faults:
    if testbed.n_nouns < 2:
        yield f"the testbed has {testbed.n_nouns} nouns; a gain needs at least 2"
    if testbed.n_items < testbed.n_nouns:
        yield f"the testbed has {testbed.n_items} items for {testbed.n_nouns} nouns"


def _form(form: FormRecord, result: Result) -> Faults:
    if not FORM.fullmatch(form.env_form):
        yield f"a form is called {form.env_form[:40]!a}; expected up to 40 letters, digits, '_' and '-'"
        return
    where = f"forms[{form.env_form}]."
    bed = result.testbed.model_copy(update={"n_nouns": form.n_nouns})
    yield from _part(where, result.model, bed, form.gain, form.heads, form.ablations)


def _part(
    where: str,
    model: ModelRecord,
    testbed: TestbedRecord,
    gain: GainRecord | None,
    heads: Sequence[HeadsRecord],
    ablations: Sequence[AblationRecord],
) -> Faults:
    """One form's measurements."""
    if gain is not None:
        yield from (f"{where}{f}" for f in _gain(gain, testbed))
    if not model.mixers and (heads or ablations):
        yield f"{where}heads were measured on a model that lists no mixers"
    for i, record in enumerate(heads):
        yield from (f"{where}heads[{i}].{f}" for f in _heads(record, model))
    if heads and not math.isclose(heads[0].threshold, THRESHOLD):
        yield f"{where}heads[0].threshold is {heads[0].threshold:g}; the board's headline asks for {THRESHOLD:g}"
    if ablations and (ablations[0].selection, ablations[0].control) != ("crossfit", "layer"):
        yield f"{where}ablations[0] is {ablations[0].selection}/{ablations[0].control}; the headline is crossfit/layer"
    for i, cut in enumerate(ablations):
        yield from (f"{where}ablations[{i}].{f}" for f in _ablation(cut, model, gain))


def _gain(g: GainRecord, testbed: TestbedRecord) -> Faults:
    slack = FAILED_TOLERANCE if g.n_failed else TOLERANCE
    for name in ("matched", "mismatched"):
        value = getattr(g, name)
        if value is not None and value < 0:
            yield f"gain.{name} is {value:g}; a surprisal is never negative"
    if g.mean is not None and g.matched is not None and g.mismatched is not None:
        difference = g.mismatched - g.matched
        if not near(g.mean, difference, slack):
            yield f"gain.mean is {g.mean:g}, but mismatched minus matched is {difference:g}"
    yield from around("gain.mean", g.mean, g.ci_low, g.ci_high)
    yield from around("gain.same_category", g.same_category, g.same_category_ci_low, g.same_category_ci_high)
    yield from _nouns(g, testbed, slack)
    yield from _categories(g)


def _nouns(g: GainRecord, testbed: TestbedRecord, slack: float) -> Faults:
    if not g.by_noun:
        if g.mean is not None:
            yield "gain.by_noun is empty; a board needs each noun's gain"
        return
    names = [n.noun for n in g.by_noun]
    if len(set(names)) != len(names):
        yield "gain.by_noun names a noun twice"
    if len(names) != testbed.n_nouns:
        yield f"gain.by_noun has {len(names)} nouns, the testbed {testbed.n_nouns}"
    for i, n in enumerate(g.by_noun):
        if None not in (n.gain, n.matched, n.mismatched):
            difference = (n.mismatched or 0.0) - (n.matched or 0.0)
            if not near(n.gain or 0.0, difference, slack):
                yield f"gain.by_noun[{i}].gain is {n.gain:g}, but mismatched minus matched is {difference:g}"
    known = [n.gain for n in g.by_noun if n.gain is not None]
    if known and g.mean is not None and not near(g.mean, math.fsum(known) / len(known), slack):
        yield f"gain.mean is {g.mean:g}, but the nouns' mean is {math.fsum(known) / len(known):g}"
    ends = (g.ci_nouns_low, g.ci_nouns_high)
    if known and None not in ends and not min(known) - slack <= (ends[0] or 0) <= (ends[1] or 0) <= max(known) + slack:
        yield "gain.ci_nouns_low and ci_nouns_high reach beyond every noun's gain, which no bootstrap over nouns does"
    if known and None not in ends and max(known) - min(known) > slack and ends[0] == ends[1]:
        yield "gain.ci_nouns_low equals ci_nouns_high, though the nouns differ"


def _categories(g: GainRecord) -> Faults:
    for i, c in enumerate(g.by_category):
        members = [n.gain for n in g.by_noun if n.category == c.category]
        known = [m for m in members if m is not None]
        if c.n_nouns > len(members):
            yield f"gain.by_category[{i}] counts {c.n_nouns} nouns, by_noun has {len(members)} of them"
        elif c.gain is not None and known and not near(c.gain, math.fsum(known) / len(known), 2 * TOLERANCE):
            yield f"gain.by_category[{i}].gain is {c.gain:g}, but its nouns' mean is {math.fsum(known) / len(known):g}"


def _heads(h: HeadsRecord, model: ModelRecord) -> Faults:
    sizes = {m.layer: m.n_heads for m in model.mixers}
    total = sum(sizes.values())
    for name in ("mean_count", "ci_low", "ci_high", "null_count", "untrained_count"):
        value = getattr(h, name)
        if value is not None and not 0 <= value <= total + 1e-9:
            yield f"{name} is {value:g}; the model has {total} heads"
    yield from around("mean_count", h.mean_count, h.ci_low, h.ci_high)
    if h.mean_layer is not None and sizes and not min(sizes) <= h.mean_layer <= max(sizes):
        yield f"mean_layer is {h.mean_layer:g}; the model's layers go from {min(sizes)} to {max(sizes)}"
    seen = {(x.layer, x.head) for x in h.by_head}
    if len(seen) != len(h.by_head):
        yield "by_head names a head twice"
    outside = next((x for x in h.by_head if x.head >= sizes.get(x.layer, 0)), None)
    if outside is not None:
        yield f"by_head names head {outside.head} of layer {outside.layer}, which the model does not have"
    rates = math.fsum(x.rate for x in h.by_head)
    if len(seen) == total and total and h.mean_count is not None and not near(h.mean_count, rates, 0.02 + 0.01 * rates):
        yield f"mean_count is {h.mean_count:g}, but the heads' rates add up to {rates:g}"


def _mean_gain(gain: GainRecord, nouns: Sequence[str]) -> float | None:
    """The gain over some nouns; over all where none is named."""
    if not nouns:
        return gain.mean
    known = [n.gain for n in gain.by_noun if n.noun in set(nouns) and n.gain is not None]
    return math.fsum(known) / len(known) if known else None


def _sampling(gain: GainRecord, nouns: Sequence[str]) -> float:
    """How far the gain of a sample, in part of the frames and mismatches, may be from that of its nouns (nats)."""
    if not nouns or gain.ci_low is None or gain.ci_high is None:
        return 0.0
    return (gain.ci_high - gain.ci_low) / 2 * math.sqrt(max(1.0, len(gain.by_noun) / len(nouns)))


def _ablation(a: AblationRecord, model: ModelRecord, gain: GainRecord | None) -> Faults:
    total = sum(m.n_heads for m in model.mixers)
    if a.n_heads is not None and not 0 <= a.n_heads <= total:
        yield f"n_heads is {a.n_heads:g}; the model has {total} heads"
    if None not in (a.gain_removed, a.gain_original, a.gain_ablated) and a.gain_original:
        removed = 1 - (a.gain_ablated or 0.0) / a.gain_original
        if not near(a.gain_removed or 0.0, removed, 0.01):
            yield f"gain_removed is {a.gain_removed:g}, but 1 - gain_ablated / gain_original is {removed:g}"
    yield from around("gain_removed", a.gain_removed, a.gain_removed_ci_low, a.gain_removed_ci_high)
    for mean, draws, name in (
        (a.control_mean, a.control_draws, "control"),
        (a.gain_control, a.gain_control_draws, "gain_control"),
    ):
        if len(draws) > a.n_draws:
            yield f"{name}_draws has {len(draws)} draws, n_draws is {a.n_draws}"
        if draws and mean is not None and not near(mean, math.fsum(draws) / len(draws), 0.01):
            yield f"{name} is {mean:g}, but its draws' mean is {math.fsum(draws) / len(draws):g}"
    floor = 1 / (1 + a.n_draws)
    if a.p_rank is not None and a.p_rank < floor - 1e-6:
        yield f"p_rank is {a.p_rank:g}; with {a.n_draws} draws it cannot be below {floor:g}"
    if a.p_holm is not None and a.p_cluster is not None and a.p_holm < a.p_cluster - 1e-9:
        yield f"p_holm is {a.p_holm:g}, below the p_cluster {a.p_cluster:g} that it corrects"
    expected = None if gain is None else _mean_gain(gain, a.nouns)
    if a.selection == "crossfit" and gain and expected is not None and a.gain_original is not None:
        slack = 0.05 + 0.02 * abs(expected) + abs(gain.probe_gap or 0.0) + _sampling(gain, a.nouns)
        if not near(a.gain_original, expected, slack):
            yield f"gain_original is {a.gain_original:g}, but the gain measured is {expected:g}"
