"""A result as tables in the terminal."""

from __future__ import annotations

from groundbench.cli import console
from groundbench.cli.console import interval, nats, p_value
from groundbench.cli.tables.causal import show_causal
from groundbench.results.image import ImageRecord
from groundbench.results.run import AblationRecord, FormRecord, HeadsRecord, LensRecord, Result
from groundbench.results.unknown_words import unknown_words

SHOWN_HEADS = 12


def show_result(result: Result) -> None:
    """Gain and lens of every form that was measured, all records of the first, and of a ladder a row for each rung."""
    model, testbed = result.model, result.testbed
    console.say(
        console.bold(model.name),
        f"  {model.architecture}, {model.parameters:,} parameters, {model.dtype}  on  ",
        console.bold(testbed.name),
        f" {testbed.version} ({testbed.frames} frames, {testbed.n_items:,} items)",
    )
    forms = result.forms
    _show_gains(forms)
    for name, unknown in unknown_words(result.protocol).items():
        if unknown.prompts:
            console.out().print(f"{name}: {unknown.describe()}")
    _show_heads(forms[0].env_form, forms[0].heads)
    show_causal(result.causal)
    _show_ablations(forms[0].env_form, forms[0].ablations)
    if any(form.heads or form.ablations for form in forms[1:]):
        _show_rungs(forms)
    for form in forms:
        _show_lens(form.env_form, form.lens)
        _show_image(form.image)
    _show_together(result)
    for failure in result.failures:
        console.note(f"failed: {failure.where}: {failure.reason}")


def _show_gains(forms: tuple[FormRecord, ...]) -> None:
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
    console.show_table(columns, rows, title="Grounding gain (nats)", right=numbers)


def _show_heads(form: str, heads: tuple[HeadsRecord, ...]) -> None:
    if not heads:
        return
    numbers = ("threshold", "heads", "other span", "untrained", "layer")
    rows = [
        (
            h.kind,
            h.denominator,
            h.selection,
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
    console.show_table(columns, rows, title=f"Heads per item, {form}", right=numbers)


def _show_ablations(form: str, ablations: tuple[AblationRecord, ...]) -> None:
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
    columns = ("heads of", "edit", "control", *numbers)
    console.show_table(columns, rows, title=f"Ablation, {form}: gain (nats) with heads cut", right=numbers)


def _show_rungs(forms: tuple[FormRecord, ...]) -> None:
    """The first record of heads and of ablation of every form, a row each."""
    numbers = ("heads", "other span", "untrained", "cut on", "gain", "ablated", "control", "removed", "p rank")
    rows = []
    for form in forms:
        heads = form.heads[0] if form.heads else None
        cut = form.ablations[0] if form.ablations else None
        counts = (None, None, None) if heads is None else (heads.mean_count, heads.null_count, heads.untrained_count)
        row = (form.env_form, "" if heads is None else heads.selection, *map(or_dash, counts))
        if cut is None:
            rows.append((*row, *["-"] * 6))
            continue
        removed = "not defined" if cut.gain_removed is None else f"{cut.gain_removed:.0%}"
        gains = map(or_dash, (cut.gain_original, cut.gain_ablated, cut.gain_control))
        rows.append((*row, f"{len(cut.nouns) or form.n_nouns} nouns", *gains, removed, p_value(cut.p_rank)))
    columns = ("ENV form", "selected by", *numbers)
    console.show_table(columns, rows, title="The ladder: heads per item, gain (nats) with heads cut", right=numbers)


def _show_together(result: Result) -> None:
    """What the forms say together: the copy-corrected gain and the heads of several forms."""
    copied = result.copy_corrected
    if copied is not None:
        ratio = "none: G(word) is not told from 0" if copied.ratio is None else f"{copied.ratio:.3f}"
        ends = interval(copied.ci_low, copied.ci_high)
        nouns = "" if copied.n_nouns is None else f" on {copied.n_nouns} nouns"
        console.out().print(
            f"copy-corrected gain G(gloss)/G(word): {ratio} {ends}".rstrip()
            + f" ({nats(copied.gain_gloss, 2)} of {nats(copied.gain_word, 2)} nats within categories{nouns})"
        )
    several = [h for h in result.head_forms if len(h.forms) > 1]
    if several:
        shown = "; ".join(f"{h.layer}.{h.head} ({', '.join(h.forms)})" for h in several[:SHOWN_HEADS])
        more = f"; {len(several) - SHOWN_HEADS} more" if len(several) > SHOWN_HEADS else ""
        console.out().print(f"heads (layer.head) that serve several forms: {shown}{more}")
    elif result.head_forms:
        console.out().print("no head stands in the lists of several forms")


def _show_lens(form: str, lenses: tuple[LensRecord, ...]) -> None:
    for lens in lenses:
        rows = [(str(x.layer), nats(x.matched, 2), nats(x.mismatched, 2), nats(x.gain, 2)) for x in lens.layers]
        columns = ("layer", "matched", "mismatched", "gain")
        console.show_table(columns, rows, title=f"{lens.kind.capitalize()} lens, {form} (nats)", right=columns)


def or_dash(value: float | None) -> str:
    """Two decimals; a dash for what was not measured."""
    return "-" if value is None else f"{value:.2f}"


def _show_image(image: ImageRecord | None) -> None:
    """What a patch of the object's box and one outside it are read, over the picture's mean patch; the swap test."""
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
        title = f"Saliency of a patch over the picture's mean patch, {image.env_form}"
        console.show_table(("read by", *numbers, "95 %"), rows, title=title, right=numbers)
    for swap in image.swaps:
        what = "the box's patches" if swap is image.swap else swap.region
        console.out().print(
            f"{what} exchanged, {image.env_form}: a gain of {nats(swap.gain)} becomes "
            f"{nats(swap.gain_swapped)} {interval(swap.gain_swapped_ci_low, swap.gain_swapped_ci_high)} nats "
            f"({swap.n_items} items)"
        )
