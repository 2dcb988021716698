"""Results as plain sentences: what a number means, never more than it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from groundbench.results.text.numbers import decimals_for, factor, interval, number, p_phrase, percent

if TYPE_CHECKING:
    from groundbench.results.causal import CausalRecord, InterchangeRecord
    from groundbench.results.run import AblationRecord, GainRecord, HeadsRecord, Result, TestbedRecord

FORMS = {
    "token": "its environment token",
    "word": "the word itself",
    "gloss": "its definition",
    "translation": "its translation",
    "emoji": "its emoji",
    "image": "its image",
}
COPYING = "Copying what was shown is enough to score with this form; only forms without the word rule that out."
CI = "95\u202f% interval"
ALPHA = 0.05
USUAL_FRAMES, USUAL_NOUNS = 10, 20
"""A testbed with fewer is told what limits it."""
CONTROLS = {"layer": "of the same layers", "uniform": "drawn uniformly", "saliency": "of like saliency"}


def form_in_words(form: str) -> str:
    """Say in words how a noun was shown; `translation-fr` is a translation into one language."""
    kind, _, language = form.partition("-")
    if kind == "translation" and language:
        return f"{FORMS[kind]} ({language})"
    return FORMS.get(form, f"its form “{form}”")


def gain_sentence(gain: GainRecord | None, form: str) -> str:
    """Return the headline: the gain, its interval and what it means."""
    if gain is None or gain.mean is None:
        return "The grounding gain was not measured."
    places = decimals_for(gain.mean, gain.ci_low, gain.ci_high)
    ends = interval(gain.ci_low, gain.ci_high, places)
    p = p_phrase(gain.p_cluster)
    proof = f"{f'{CI} {ends}' if ends else 'no interval'}{', ' + p if p else ''}"
    size = f"{number(gain.mean, places)} nats ({proof})"
    sign = direction(gain)
    if sign is None:
        return f"Showing a noun as {form_in_words(form)} lowers its word's surprisal by {size}."
    if sign:
        return (
            f"Showing a noun as {form_in_words(form)} makes its word {times_as_probable(gain.mean)} showing another "
            f"noun does: a grounding gain of {size}."
        )
    found = (
        ""
        if gain.detectable is None
        else f" This design finds gains from {number(gain.detectable, decimals_for(gain.detectable))} nats on."
    )
    return f"No grounding was found: a gain of {size} cannot be told from 0.{found}"


def headline(result: Result) -> str:
    """Say in one sentence what a result found, with its limits.

    The terminal, the page, `print(result)` and notebooks begin with it. Of a null control (`--shuffle-forms`,
    `--random-weights`) it is the control's verdict.
    """
    form = result.testbed.env_form
    if null_controls(result):
        return " ".join(filter(None, (control_verdict(result.gain, null_controls(result)), limits(result.testbed))))
    said = [gain_sentence(result.gain, form)]
    if form == "word" and result.gain is not None and direction(result.gain) == 1:
        said.append(COPYING)
    said.append(limits(result.testbed))
    return " ".join(filter(None, said))


NULL_CONTROLS = {
    "shuffle-forms": "every noun shown in another noun's form",
    "random-weights": "the same architecture with random weights",
}


def null_controls(result: Result) -> tuple[str, ...]:
    """Return the null controls that a result is of, by their options' names: its gain must be 0."""
    named = result.protocol.get("null_controls")
    return tuple(str(n) for n in named if n in NULL_CONTROLS) if isinstance(named, list) else ()


def control_verdict(gain: GainRecord | None, controls: tuple[str, ...]) -> str:
    """Say if a null control passed: its 95 % interval holds 0, or does not (level 5 %)."""
    what = " and ".join(NULL_CONTROLS[c] for c in controls)
    if gain is None or gain.mean is None:
        return f"Null control not decided ({what}): its gain was not measured."
    if gain.ci_low is None or gain.ci_high is None:
        return f"Null control not decided ({what}): its gain of {number(gain.mean)} nats has no interval."
    places = decimals_for(gain.mean, gain.ci_low, gain.ci_high)
    ends = f"[{number(gain.ci_low, places)}, {number(gain.ci_high, places)}]"
    level = f"{CI}, level 5\u202f%; {number(gain.mean, places)} nats"
    if gain.ci_low <= 0 <= gain.ci_high:
        return f"Null control passed ({what}): 0 lies within {ends} ({level})."
    return f"Null control not passed ({what}): 0 lies outside {ends} ({level}); such a gain is not grounding."


def limits(testbed: TestbedRecord) -> str:
    """Say what a small testbed cannot tell; empty where it has the usual size."""
    nouns = testbed.n_nouns
    frames = testbed.n_items // nouns if nouns else 0
    small = []
    if frames < USUAL_FRAMES and testbed.frames == "shared":
        small.append(f"{frames} frame{'' if frames == 1 else 's'}")
    if nouns < USUAL_NOUNS:
        small.append(f"{nouns} nouns")
    if not small:
        return ""
    df = nouns - 1 if testbed.frames == "per-noun" else min(nouns, frames) - 1
    what = " and ".join(small)
    usual = f"{USUAL_FRAMES} frames and {USUAL_NOUNS} nouns or more are usual."
    if df < 1:
        return f"A small testbed ({what}): no p and no interval; {usual}"
    return (
        f"A small testbed ({what}): its interval has {df} degree{'' if df == 1 else 's'} of freedom "
        f"and holds for texts like these; {usual}"
    )


def times_as_probable(nats: float) -> str:
    """Return the ratio exp(nats) in words that lead on to what it is compared with: `120 times as probable as`."""
    if nats >= math.log(2):
        return f"{factor(nats)} times as probable as"
    change = 100 * math.expm1(nats)
    return f"{abs(change):.2g}\u202f% {'more' if nats > 0 else 'less'} probable than"


def direction(gain: GainRecord) -> int | None:
    """Return 1 or -1 if interval and clustered test both tell the gain from 0, else 0; None without one."""
    if gain.mean is None or gain.ci_low is None or gain.ci_high is None:
        return None
    if gain.p_cluster is not None and gain.p_cluster >= ALPHA:
        return 0
    return 1 if gain.ci_low > 0 else -1 if gain.ci_high < 0 else 0


def gain_phrase(gain: GainRecord | None) -> str:
    """Say what a gain means in one short sentence, for a place that shows the numbers already."""
    if gain is None or gain.mean is None:
        return "The grounding gain was not measured."
    sign = direction(gain)
    if sign is None:
        return "The gain has no interval."
    if sign == 0:
        return "The word does not measurably depend on what was shown."
    return f"Its own noun makes a word {times_as_probable(gain.mean)} another noun does."


def heads_sentence(heads: HeadsRecord, total: int) -> str:
    """Say how many heads were detected, beside the references without which a count says nothing."""
    if heads.mean_count is None:
        return "The head count could not be measured."
    where = "" if heads.mean_layer is None else f", at layer {number(heads.mean_layer, 1)} on average"
    verb = "carry" if heads.kind == "aggregate" else "gather"
    what = "from the noun shown to the prediction" if heads.kind == "aggregate" else "into the noun shown"
    refs = []
    if heads.null_count is not None:
        refs.append(f"{number(heads.null_count)} pass for an equally long span of other words")
    if heads.untrained_count is not None:
        refs.append(f"{number(heads.untrained_count)} in the same model untrained")
    beside = f" For comparison, {' and '.join(refs)}." if refs else " Its references were not measured."
    share = percent(heads.threshold)
    return (
        f"{number(heads.mean_count)} of {total} heads {verb} at least {share} of their saliency {what}{where} "
        f"(mean over {heads.n_items} items).{beside}"
    )


def ablation_sentence(record: AblationRecord) -> str:
    """Say what cutting the heads took away, against equally many other heads."""
    done = {"zero": "Zeroing", "mean": "Mean-ablating", "resample": "Resampling", "scale": "Scaling"}[record.mode]
    half = record.selection == "crossfit"
    which = f"the heads detected {'on the other half of the items' if half else 'in the item itself'}"
    heads = "" if record.n_heads is None else f" ({number(record.n_heads, 1)} heads)"
    control = f"equally many {CONTROLS[record.control]} ({record.n_draws} draws)"
    if record.gain_original is not None and record.gain_ablated is not None:
        kept = "" if record.gain_control is None else f"; cutting {control} leaves {number(record.gain_control)}"
        body = f"takes the gain from {number(record.gain_original)} to {number(record.gain_ablated)} nats{kept}"
    elif record.original is not None and record.ablated is not None:
        kept = "" if record.control_mean is None else f"; cutting {control} to {number(record.control_mean)}"
        body = f"takes the matched surprisal from {number(record.original)} to {number(record.ablated)} nats{kept}"
    else:
        return f"{done} {which}: not measured."
    tests = [f"rank p = {number(record.p_rank, 3)}"] if record.p_rank is not None else []
    tests += [f"against the spread of draws {p_phrase(record.p_draws)}"] if record.p_draws is not None else []
    tests += [f"clustered {p_phrase(record.p_cluster)}"] if record.p_cluster is not None else []
    tests += [f"Holm-corrected {p_phrase(record.p_holm)}"] if record.p_holm is not None else []
    bias = " The mask was chosen with the label in hand: selection-biased." if record.selection == "instance" else ""
    return f"{done} {which}{heads} {body}{' (' + ', '.join(tests) + ')' if tests else ''}.{bias}"


def carried_sentence(record: CausalRecord) -> str:
    """Return the headline of the measure causal: how few heads carry how much of the gain, beside random ones."""
    headline = record.headline
    if headline is None or headline.recovered.value is None:
        form = form_in_words(record.env_form)
        return f"Shown as {form} there is nothing to carry: the gain of the pairs cannot be told from 0."
    ends = _shares(headline.recovered.ci_low, headline.recovered.ci_high)
    heads = f"{headline.k} of {record.n_heads} heads {'carry' if headline.k > 1 else 'carries'}"
    found = f"{heads} {percent(headline.recovered.value)} of the gain{ends}"
    effect = random_effect(headline)
    if effect is None:
        return f"Shown as {form_in_words(record.env_form)}, {found}."
    rank = "" if headline.p_rank is None else f", rank p = {number(headline.p_rank, 3)}"
    return (
        f"Shown as {form_in_words(record.env_form)}, {found}; as many random heads of the same layers {effect} "
        f"({headline.n_draws} draws{rank})."
    )


def random_effect(headline: InterchangeRecord) -> str | None:
    """Say what random heads do: `carry 7 %`, or that they push against the noun; None where none were drawn."""
    mean = headline.random_mean
    if mean is None:
        return None
    return f"carry {percent(mean)}" if mean > -0.005 else f"make the noun less likely, by {percent(-mean)} of the gain"


def _shares(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f" ({CI} {interval(100 * low, 100 * high, 0)}\u202f%)"
