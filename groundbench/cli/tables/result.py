"""A result as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from groundbench.cli import console
from groundbench.cli.console import interval, nats, p_value
from groundbench.cli.tables.causal import show_causal
from groundbench.results.image import ImageRecord
from groundbench.results.run import AblationRecord, FormRecord, HeadsRecord, LensRecord, Result, TestbedRecord
from groundbench.results.text.numbers import NOT_MEASURED
from groundbench.results.text.sentences import headline
from groundbench.results.unknown_words import unknown_words

SHOWN_HEADS = 12
TOP_HEADS = 4
Legend = Mapping[str, str] | None


LEGEND = {
    "ENV form": "how the noun was shown",
    "left out": "nouns that this form or this model cannot show",
    "gain": "mean surprisal (nats) of a noun after another noun was shown, minus after it was shown itself",
    "95 %": "interval, clustered by noun and frame",
    "same category": "the gain against other nouns of the same category alone",
    "matched": "surprisal (nats) where its own noun was shown",
    "mismatched": "surprisal (nats) where another noun was shown",
    "p": "two-sided, clustered by noun and frame; of an ablation: detected heads against the mean of the controls",
    "detectable": "the smallest gain that this design finds at 5 % with 80 % power",
    "failed": "items that could not be read; errors, never scores",
    "kind": "aggregate: the shown noun to the prediction; gather: into the shown noun",
    "share of": "of what a head's saliency is the share: the prediction's row, or all of it",
    "selected by": "share, or also magnitude",
    "diagonal": "a position's saliency on itself counted or not",
    "threshold": "the least share of a detected head",
    "heads": "detected heads per item",
    "other span": "heads that pass for an equally long span of other words",
    "untrained": "heads that pass in the same model with random weights",
    "layer": "mean layer of the detected heads",
    "heads of": "on which items the heads were found: other ones (crossfit), or these (instance)",
    "edit": "what was done to the heads, and at which positions",
    "compared with": "as many other heads, drawn from the same layers, uniformly, or of like saliency",
    "control": "gain (nats) with such other heads cut, mean over the draws",
    "draws": "sets of control heads",
    "ablated": "gain (nats) with the detected heads cut",
    "removed": "share of the gain that is lost",
    "p rank": "rank of the detected heads among the draws",
    "p draws": "detected heads against the spread of the draws",
    "cut on": "nouns on which heads were cut",
}


def show_result(result: Result, *, explain: bool = False) -> None:
    """Print gain and lens of every form, all records of the first, and of a ladder a row for each form.

    Gain and lens of every form that was measured, all records of the first, and of a ladder a row for each form.

    Args:
        explain: print what each column means.
    """
    legend = LEGEND if explain else None
    model, testbed = result.model, result.testbed
    console.say(console.bold(headline(result)))
    console.say(
        console.bold(model.name),
        f"  {model.architecture}, {model.parameters:,} parameters, {model.dtype}  on  ",
        console.bold(testbed.name),
        f" {testbed.version} ({_frames(testbed)}, {testbed.n_items:,} items)",
    )
    forms = result.forms
    _show_gains(forms, legend)
    for name, unknown in unknown_words(result.protocol).items():
        if unknown.prompts:
            console.out().print(f"{name}: {unknown.describe()}")
    _show_heads(forms[0].env_form, forms[0].heads, legend)
    show_causal(result.causal)
    _show_ablations(forms[0].env_form, forms[0].ablations, legend)
    if any(form.heads or form.ablations for form in forms[1:]):
        _show_ladder_forms(forms, legend)
    for form in forms:
        _show_lens(form.env_form, form.lens)
        _show_image(form.image)
    _show_together(result)
    for name in _asked_and_missing(result):
        console.say(f"{name}: not measured")
    for failure in result.failures:
        console.note(f"not measured: {failure.where}: {failure.reason}")


def _frames(testbed: TestbedRecord) -> str:
    if testbed.frames == "per-noun" or not testbed.n_nouns:
        return "frames of each noun's own"
    n = testbed.n_items // testbed.n_nouns
    return f"{n} frame{'' if n == 1 else 's'}"


def _asked_and_missing(result: Result) -> list[str]:
    """List the measures that were asked for but are neither in the result nor named by a failure."""
    asked = result.protocol.get("measures")
    there = {
        "gain": result.gain,
        "heads": result.heads,
        "ablation": result.ablations,
        "causal": result.causal,
        "lens": result.lens,
        "image": result.image,
    }
    said = " ".join(f"{f.where} {f.reason}" for f in result.failures)
    names = [str(n) for n in asked] if isinstance(asked, list) else []
    return [n for n in names if n in there and not there[n] and n not in said]


def _show_gains(forms: tuple[FormRecord, ...], legend: Legend) -> None:
    numbers = ("nouns", "left out", "gain", "same category", "matched", "mismatched", "p", "detectable", "failed")
    rows = []
    for form in forms:
        gain = form.gain
        if gain is None:
            rows.append((form.env_form, str(form.n_nouns), str(len(form.excluded)), "not measured", *[""] * 7))
            continue
        rows.append(
            (
                form.env_form,
                str(form.n_nouns),
                str(len(form.excluded)),
                nats(gain.mean),
                interval(gain.ci_low, gain.ci_high),
                nats(gain.same_category),
                nats(gain.matched),
                nats(gain.mismatched),
                p_value(gain.p_cluster),
                nats(gain.detectable),
                str(gain.n_failed),
            )
        )
    columns = ("ENV form", *numbers[:3], "95 %", *numbers[3:])
    show_used(
        columns,
        rows,
        title="Grounding gain (nats)",
        right=numbers,
        empty={"left out": "0", "failed": "0"},
        secondary=("detectable", "same category", "left out", "nouns", "matched", "mismatched"),
        legend=legend,
        headline=True,
    )


def _show_heads(form: str, heads: tuple[HeadsRecord, ...], legend: Legend) -> None:
    if not heads:
        return
    numbers = ("threshold", "heads", "other span", "untrained", "layer")
    rows = [
        (
            h.kind,
            h.denominator,
            f"{h.selection}, no floor" if h.floor == 0 else h.selection,
            "with" if h.diagonal else "without",
            f"{h.threshold:.2f}",
            or_dash(h.mean_count),
            interval(h.ci_low, h.ci_high, 2),
            or_dash(h.null_count),
            or_dash(h.untrained_count),
            or_dash(h.mean_layer),
        )
        for h in heads
    ]
    columns = ("kind", "share of", "selected by", "diagonal", *numbers[:2], "95 %", *numbers[2:])
    show_used(
        columns,
        rows,
        title=f"Heads per item, {form}",
        right=numbers,
        secondary=("threshold", "diagonal", "selected by", "layer"),
        legend=legend,
        headline=True,
    )
    top = sorted(heads[0].by_head, key=lambda h: -h.rate)[:TOP_HEADS]
    if top:
        console.say("most often: " + ", ".join(f"{head_name(h.layer, h.head)} ({h.rate:.0%} of items)" for h in top))


def _show_ablations(form: str, ablations: tuple[AblationRecord, ...], legend: Legend) -> None:
    if not ablations:
        return
    numbers = ("draws", "gain", "ablated", "control", "removed", "p rank", "p draws", "p")
    rows = [
        (
            f"{'' if a.kind == 'aggregate' else 'gather, '}{a.selection}, {a.denominator}",
            f"{a.mode}, {a.positions}",
            a.control,
            str(a.n_draws),
            nats(a.gain_original, 2),
            nats(a.gain_ablated, 2),
            nats(a.gain_control, 2),
            "not defined" if a.gain_removed is None else f"{a.gain_removed:.0%}",
            p_value(a.p_rank),
            p_value(a.p_draws),
            p_value(a.p_cluster),
        )
        for a in ablations
    ]
    columns = ("heads of", "edit", "compared with", *numbers)
    show_used(
        columns,
        rows,
        title=f"Ablation, {form}: gain (nats) with heads cut",
        right=numbers,
        secondary=("edit", "draws", "p draws"),
        legend=legend,
        headline=True,
    )


def _show_ladder_forms(forms: tuple[FormRecord, ...], legend: Legend) -> None:
    """Return the first record of heads and of ablation of every form, a row each."""
    numbers = ("heads", "other span", "untrained", "cut on", "gain", "ablated", "control", "removed", "p rank")
    rows = []
    for form in forms:
        heads = form.heads[0] if form.heads else None
        cut = form.ablations[0] if form.ablations else None
        counts = (None, None, None) if heads is None else (heads.mean_count, heads.null_count, heads.untrained_count)
        row = (form.env_form, "" if heads is None else heads.selection, *map(or_dash, counts))
        if cut is None:
            rows.append((*row, *[""] * 6))
            continue
        removed = "not defined" if cut.gain_removed is None else f"{cut.gain_removed:.0%}"
        gains = map(or_dash, (cut.gain_original, cut.gain_ablated, cut.gain_control))
        rows.append((*row, f"{len(cut.nouns) or form.n_nouns} nouns", *gains, removed, p_value(cut.p_rank)))
    columns = ("ENV form", "selected by", *numbers)
    show_used(
        columns,
        rows,
        title="The ladder: heads per item, gain (nats) with heads cut",
        right=numbers,
        secondary=("selected by", "untrained", "cut on"),
        legend=legend,
        headline=True,
    )


def _show_together(result: Result) -> None:
    """Print the copy-corrected gain and the heads of several forms."""
    copied = result.copy_corrected
    if copied is not None:
        on = "" if copied.n_nouns is None else f" of {copied.n_nouns} nouns"
        gains = f"{nats(copied.gain_gloss, 2)} and {nats(copied.gain_word, 2)} nats within categories{on}"
        if copied.ratio is None:
            console.out().print(
                f"copy-corrected gain G(gloss)/G(word): {NOT_MEASURED}, since within categories, where alone it is "
                f"taken, G(word) cannot be told from 0 ({gains})"
            )
        else:
            ends = interval(copied.ci_low, copied.ci_high)
            console.out().print(f"copy-corrected gain G(gloss)/G(word): {copied.ratio:.3f} {ends} ({gains})")
    several = [h for h in result.head_forms if len(h.forms) > 1]
    if several:
        shown = "; ".join(f"{head_name(h.layer, h.head)} ({', '.join(h.forms)})" for h in several[:SHOWN_HEADS])
        more = f"; {len(several) - SHOWN_HEADS} more" if len(several) > SHOWN_HEADS else ""
        console.out().print(f"heads that serve several forms: {shown}{more}")
    elif result.head_forms:
        console.out().print("no head stands in the lists of several forms")


def _show_lens(form: str, lenses: tuple[LensRecord, ...]) -> None:
    for lens in lenses:
        rows = [(str(x.layer), nats(x.matched, 2), nats(x.mismatched, 2), nats(x.gain, 2)) for x in lens.layers]
        columns = ("layer", "matched", "mismatched", "gain")
        console.show_table(columns, rows, title=f"{lens.kind.capitalize()} lens, {form} (nats)", right=columns)


def head_name(layer: int, head: int) -> str:
    """Return a head as the literature writes it: layer from 1, head from 0."""
    return f"L{layer}H{head}"


def show_used(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str,
    right: Sequence[str],
    secondary: Sequence[str] = (),
    legend: Legend = None,
    headline: bool = False,
    empty: Mapping[str, str] | None = None,
) -> None:
    """Return a table without the columns that hold nothing: what was not asked for is no column of dashes.

    Args:
        empty: what a column's cells are where it says nothing, if not "", "-" or "not measured".
    """
    nothing = {"", "-"}
    used = [
        i
        for i, name in enumerate(columns)
        if any(row[i] not in nothing | {(empty or {}).get(name, "")} for row in rows) or not rows
    ]
    console.show_table(
        [columns[i] for i in used],
        [[row[i] for i in used] for row in rows],
        title=title,
        right=right,
        secondary=secondary,
        legend=legend,
        headline=headline,
    )


def or_dash(value: float | None) -> str:
    """Return two decimals; a dash for what was not measured."""
    return "-" if value is None else f"{value:.2f}"


def _show_image(image: ImageRecord | None) -> None:
    """Print saliency on a patch of the object's box and outside, over the image's mean patch; the swap test."""
    if image is None:
        return
    numbers = ("heads", "inside", "outside", "null box", "inside / outside")
    rows = [
        (
            "all heads" if r.heads == "all" else "detected, cross-fitted",
            nats(r.n_heads, 2),
            nats(r.inside),
            nats(r.outside),
            nats(r.null),
            nats(r.ratio),
            interval(r.ratio_ci_low, r.ratio_ci_high),
        )
        for r in image.reading
    ]
    if rows:
        title = f"Saliency of a patch over the image's mean patch, {image.env_form}"
        console.show_table(("read by", *numbers, "95 %"), rows, title=title, right=numbers)
    for swap in image.swaps:
        what = "the box's patches" if swap is image.swap else swap.region
        console.out().print(
            f"{what} swapped, {image.env_form}: a gain of {nats(swap.gain)} becomes "
            f"{nats(swap.gain_swapped)} {interval(swap.gain_swapped_ci_low, swap.gain_swapped_ci_high)} nats "
            f"({swap.n_items} items)"
        )
