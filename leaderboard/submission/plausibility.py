"""Checks of plausibility that hold for every result of the protocol, of any model.

They find slips and clumsy forgeries. A consistent forgery passes: only scoring items again (`recheck`) finds it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from groundbench.leaderboard.submission.bounds import interval_faults, is_near
from groundbench.leaderboard.submission.form_views import FormView, form_views
from groundbench.leaderboard.submission.plausibility_causal import causal_faults
from groundbench.leaderboard.submission.plausibility_gain import gain_faults
from groundbench.leaderboard.submission.plausibility_images import image_faults
from groundbench.leaderboard.submission.plausibility_ladder import ladder_faults
from groundbench.results.run import (
    AblationRecord,
    GainRecord,
    HeadsRecord,
    ModelRecord,
    Result,
    TestbedRecord,
)

THRESHOLD = 0.30
"""The share of saliency that the headline count asks of a head (protocol §10)."""

MOST_HEADS = 50_000
"""Heads of a model, and the number of its last layer: the largest models have a third as many."""
MOST_PARAMETERS = 10**14

FORM = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""A form's name is part of an address on the site."""

Faults = Iterator[str]


def implausible(result: Result) -> str | None:
    """Return the first thing in a result that cannot be so, as a clause; None if nothing is found."""
    return next(_faults(result), None)


def _faults(result: Result) -> Faults:
    yield from _testbed(result.testbed)
    if not result.model.fingerprint:
        yield "the weights have no fingerprint"
    if (result.model.parameters or 0) > MOST_PARAMETERS:
        yield f"model.parameters is {result.model.parameters:,}; no model has more than {MOST_PARAMETERS:,}"
    if result.model.step is not None and result.model.step < 0:
        yield f"model.step is {result.model.step}; a training step is 0 or more"
    names = [f.env_form for f in result.forms]
    if len(set(names)) != len(names):
        yield "forms names a form twice"
    sizes = _heads_by_layer(result.model)
    yield from _size(sizes)
    for i, view in enumerate(form_views(result)):
        if not FORM.fullmatch(view.env_form):
            yield f"a form is called {view.env_form[:40]!a}; expected up to 40 letters, digits, '_' and '-'"
            return
        yield from _part("" if i == 0 else f"forms[{view.env_form}].", sizes, view)
    yield from _causal(result, sizes)
    yield from _images(result)
    for name in ("n_nouns", "n_items", "excluded"):
        if getattr(result.testbed, name) != getattr(result.headline, name):
            yield f"testbed.{name} is not that of its form, forms[0].{name}"
    stray = next((h for h in result.head_forms if h.head >= sizes.get(h.layer, 0)), None)
    if stray is not None:
        yield f"head_forms names head {stray.head} of layer {stray.layer}, which the model does not have"
    yield from ladder_faults(result)
    copy = result.copy_corrected
    if copy and None not in (copy.ratio, copy.gain_gloss, copy.gain_word) and copy.gain_word:
        expected = (copy.gain_gloss or 0.0) / copy.gain_word
        if not is_near(copy.ratio or 0.0, expected):
            yield f"copy_corrected.ratio is {copy.ratio:g}, but gain_gloss / gain_word is {expected:g}"
        yield from interval_faults("copy_corrected.ratio", copy.ratio, copy.ci_low, copy.ci_high)


def _images(result: Result) -> Faults:
    """Yield the records of images: of forms that were measured, and once more at the top of the result."""
    for form in result.forms:
        if form.image is not None and form.image.env_form != form.env_form:
            yield f"forms[{form.env_form}].image is of the form {form.image.env_form[:40]!a}"
    for i, view in enumerate(form_views(result)):
        if view.image is not None:
            where = "" if i == 0 else f"forms[{view.env_form}]."
            yield from (f"{where}image.{f}" for f in image_faults(view.image, result.model, view.n_items))


def _testbed(testbed: TestbedRecord) -> Faults:
    if testbed.n_nouns < 2:
        yield f"the testbed has {testbed.n_nouns} nouns; a gain needs at least 2"
    if testbed.n_items < testbed.n_nouns:
        yield f"the testbed has {testbed.n_items} items for {testbed.n_nouns} nouns"


def _size(sizes: Counter[int]) -> Faults:
    """Yield a model larger than any: a page draws each of its heads."""
    if sum(sizes.values()) > MOST_HEADS or max(sizes, default=0) > MOST_HEADS:
        yield f"the model has {sum(sizes.values())} heads in layers up to {max(sizes)}; expected {MOST_HEADS:,} at most"


def _causal(result: Result, sizes: Counter[int]) -> Faults:
    names = [r.env_form for r in result.causal]
    if len(set(names)) != len(names):
        yield "causal names a form twice"
    views = {v.env_form: v for v in form_views(result)}
    for i, record in enumerate(result.causal):
        yield from (f"causal[{i}].{f}" for f in causal_faults(record, sizes, views))


def _part(where: str, sizes: Counter[int], view: FormView) -> Faults:
    """Yield one form's measurements."""
    heads, ablations = view.heads, view.ablations
    if view.gain is not None:
        yield from (f"{where}{f}" for f in gain_faults(view.gain, view.n_nouns))
    if not sizes and (heads or ablations):
        yield f"{where}heads were measured on a model that lists no mixers"
    for i, record in enumerate(heads):
        yield from (f"{where}heads[{i}].{f}" for f in _heads(record, sizes, view.n_items or 0))
    if heads and not math.isclose(heads[0].threshold, THRESHOLD):
        yield f"{where}heads[0].threshold is {heads[0].threshold:g}; the board's headline asks for {THRESHOLD:g}"
    if ablations and (ablations[0].selection, ablations[0].control) != ("crossfit", "layer"):
        yield f"{where}ablations[0] is {ablations[0].selection}/{ablations[0].control}; the headline is crossfit/layer"
    stray = next((x.layer for lens in view.lens for x in lens.layers if sizes and x.layer > max(sizes)), None)
    if stray is not None:
        yield f"{where}lens names the layer {stray}, which the model does not have"
    total = sum(sizes.values())
    for i, cut in enumerate(ablations):
        yield from (f"{where}ablations[{i}].{f}" for f in _ablation(cut, total, view.gain))


def _heads_by_layer(model: ModelRecord) -> Counter[int]:
    """Count heads each layer has in all its mixers."""
    sizes = Counter[int]()
    for mixer in model.mixers:
        sizes[mixer.layer] += mixer.n_heads
    return sizes


def _heads(h: HeadsRecord, sizes: Counter[int], n_items: int) -> Faults:
    total = sum(sizes.values())
    for name in ("mean_count", "ci_low", "ci_high", "null_count", "even_count", "untrained_count"):
        value = getattr(h, name)
        beyond = total if name.startswith("ci_") else 0  # a t-interval reaches past what can be, as far as it is wide
        if value is not None and not -beyond <= value <= total + beyond + 1e-9:
            yield f"{name} is {value:g}; the model has {total} heads"
    yield from interval_faults("mean_count", h.mean_count, h.ci_low, h.ci_high)
    if h.mean_layer is not None and sizes and not min(sizes) <= h.mean_layer <= max(sizes):
        yield f"mean_layer is {h.mean_layer:g}; the model's layers go from {min(sizes)} to {max(sizes)}"
    yield from interval_faults("mean_layer", h.mean_layer, h.mean_layer_ci_low, h.mean_layer_ci_high)
    stray = next((s for s in h.stability if not (0 <= s.threshold <= 1 and 0 <= s.mean_count <= total + 1e-9)), None)
    if stray is not None:
        yield f"stability has {stray.mean_count:g} of {total} heads at the threshold {stray.threshold:g}"
    seen = {(x.layer, x.head) for x in h.by_head}
    if len(seen) != len(h.by_head):
        yield "by_head names a head twice"
    outside = next((x for x in h.by_head if x.head >= sizes.get(x.layer, 0)), None)
    if outside is not None:
        yield f"by_head names head {outside.head} of layer {outside.layer}, which the model does not have"
    rates = math.fsum(x.rate for x in h.by_head)
    # the count is a mean over nouns, the rates are of items: in a sample of items nouns have unequally many
    apart = 0.02 + (0.1 if 0 < h.n_items < n_items else 0.01) * rates
    if len(seen) == total and total and h.mean_count is not None and not is_near(h.mean_count, rates, apart):
        yield f"mean_count is {h.mean_count:g}, but the heads' rates add up to {rates:g}"


def _mean_gain(gain: GainRecord, nouns: Sequence[str]) -> float | None:
    """Return the gain over some nouns; over all where none is named."""
    if not nouns:
        return gain.mean
    wanted = set(nouns)
    known = [n.gain for n in gain.by_noun if n.noun in wanted and n.gain is not None]
    return math.fsum(known) / len(known) if known else None


def _sampling_slack(gain: GainRecord, nouns: Sequence[str]) -> float:
    """Bound how far the gain of a sample, in part of frames and mismatches, may be from its nouns' (nats)."""
    if not nouns or gain.ci_low is None or gain.ci_high is None:
        return 0.0
    return (gain.ci_high - gain.ci_low) / 2 * math.sqrt(max(1.0, len(gain.by_noun) / len(nouns)))


def _ablation(a: AblationRecord, total: int, gain: GainRecord | None) -> Faults:
    if a.n_heads is not None and not 0 <= a.n_heads <= total:
        yield f"n_heads is {a.n_heads:g}; the model has {total} heads"
    if None not in (a.gain_removed, a.gain_original, a.gain_ablated) and a.gain_original:
        removed = 1 - (a.gain_ablated or 0.0) / a.gain_original
        if not is_near(a.gain_removed or 0.0, removed):
            yield f"gain_removed is {a.gain_removed:g}, but 1 - gain_ablated / gain_original is {removed:g}"
    yield from interval_faults("gain_removed", a.gain_removed, a.gain_removed_ci_low, a.gain_removed_ci_high)
    for mean, draws, name in (
        (a.control_mean, a.control_draws, "control"),
        (a.gain_control, a.gain_control_draws, "gain_control"),
    ):
        if len(draws) > a.n_draws:
            yield f"{name}_draws has {len(draws)} draws, n_draws is {a.n_draws}"
        if draws and mean is not None and not is_near(mean, math.fsum(draws) / len(draws)):
            yield f"{name} is {mean:g}, but its draws' mean is {math.fsum(draws) / len(draws):g}"
    floor = 1 / (1 + a.n_draws)
    if a.p_rank is not None and a.p_rank < floor - 1e-6:
        yield f"p_rank is {a.p_rank:g}; with {a.n_draws} draws it cannot be below {floor:g}"
    if a.p_holm is not None and a.p_cluster is not None and a.p_holm < a.p_cluster - 1e-9:
        yield f"p_holm is {a.p_holm:g}, below the p_cluster {a.p_cluster:g} that it corrects"
    expected = None if gain is None else _mean_gain(gain, a.nouns)
    if a.selection == "crossfit" and gain and expected is not None and a.gain_original is not None:
        slack = 0.05 + 0.02 * abs(expected) + abs(gain.probe_gap or 0.0) + _sampling_slack(gain, a.nouns)
        if not is_near(a.gain_original, expected, slack):
            yield f"gain_original is {a.gain_original:g}, but the gain measured is {expected:g}"
