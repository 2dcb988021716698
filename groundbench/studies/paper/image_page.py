"""Models that see images as a section of the reproduction: table, plots and sentences, for page and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.report.elements import Figure, Section, Table
from groundbench.report.markdown import table as as_markdown
from groundbench.report.sections import seeds
from groundbench.report.sections.seeds import cell
from groundbench.results.text.numbers import count, p_value
from groundbench.results.trajectory import AblationSeedMean, TrajectoryPoint
from groundbench.stats.significance import Estimate
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper import tables
from groundbench.studies.paper.image_claims import at_step, last_seen, ratio, swap_interval
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim, count_verdicts

TITLE = "Image-grounded dialogue"
DIFFERENCE = (
    "The paper trains a GPT-style language model on the patches of a frozen DINOv2; ours is a LLaMA-style decoder, "
    "because a LLaVA-class checkpoint needs one."
)
INTERVALS = (
    "Intervals are t-intervals over seeds; of fewer than three seeds they are bootstraps over nouns, where there are "
    "any. Gains are of images in a style that training never showed, unless the column says otherwise. The swap "
    "swaps the patches of the object's box between matched and mismatched image, on a seeded sample of items."
)


FROZEN = (
    "its frozen language model is costly to measure, so these are a sample: nouns and mismatches drawn by a seed, "
    "saliency of the prediction row only, cross-fitted heads only, no lens"
)


def images_table(runs: Sequence[Measured]) -> Table:
    """Return one row for each model that sees images, nulls included, at its last checkpoint."""
    head = (
        "Model",
        "Encoder",
        "Language model",
        "Seeds",
        "Steps",
        "Held-out loss",
        "Gain",
        "Gain, styles of training",
        "Gain, same category",
        "Saliency inside / outside the box",
        "Gain before the swap",
        "Gain after it",
        "Heads an item",
        "Heads, box elsewhere",
        "Seeds cut",
        "Gain, no head cut",
        "Gain, heads cut",
        "Gain, others cut",
        "p draws by seed",
    )
    title = "Models that see images at their last checkpoint, nats; heads cut are cross-fitted, others layer-matched"
    return Table(title, head, tuple(map(_row, runs)), frozenset({0, 1, 2, 3}))


def _row(m: Measured) -> tuple[str | None, ...]:
    last = m.mean.last
    cut = _last_ablation(m)
    return (
        m.run.name,
        _source(m, "vision"),
        _source(m, "language"),
        ", ".join(map(str, m.mean.seeds)),
        count(last.step),
        cell(last.heldout_loss),
        ev.text(ev.gain_interval(m, last.step)),
        None if m.seen is None else ev.text(ev.gain_interval(m.seen, m.seen.mean.last.step)),
        at_step(m, _same_category, last.step),
        *(at_step(m, read, last_seen(m)) for read in (ratio(), swap_interval("gain"), swap_interval("gain_swapped"))),
        at_step(m, _heads, last.step),
        cell(last.null_heads),
        seeds.seeds_cut(cut) if cut else None,
        *(cell(getattr(cut, name)) if cut else None for name in ("gain_original", "gain_ablated", "gain_control")),
        ", ".join(p_value(p) or "-" for p in cut.p_draws) if cut else None,
    )


def _source(m: Measured, part: str) -> str:
    name = m.run.frozen_part("vision" if part == "vision" else "language")
    if name is not None:
        return f"frozen {name}"
    return "trained along" if part == "vision" else f"trained, {m.run.layers} layers"


def _same_category(point: TrajectoryPoint) -> Estimate | None:
    r = point.result.gain
    if r is None:
        return None
    return Estimate(r.same_category, r.same_category_ci_low, r.same_category_ci_high, len(r.by_noun))


def _heads(point: TrajectoryPoint) -> Estimate | None:
    r = ev.heads(point)
    return None if r is None else Estimate(r.mean_count, r.ci_low, r.ci_high, r.n_items)


def _last_ablation(m: Measured) -> AblationSeedMean | None:
    """Return the cross-fitted aggregate heads of the last checkpoint that was cut; None if there was none to cut."""
    tried = [a for p in m.mean.points if (a := seeds.cut_of(p)) is not None]
    return tried[-1] if tried and tried[-1].ablated is not None else None


def figures(runs: Sequence[Measured]) -> list[tuple[str, Figure | None]]:
    """Return (name, plot): the gain of all over training, then matched and mismatched surprisal of each."""
    shown = [m.mean for m in runs]
    gain = seeds.by_run("Gain from images over training", "gain (nats)", shown, seeds.reader("gain"))
    return [("gain", gain), *((f"{m.run.name}-surprisal", seeds.surprisal_figure(m.mean)) for m in runs)]


def evidence(runs: Sequence[Measured]) -> list[Table]:
    """Return the table of models, and what cutting heads did at each checkpoint where there were heads to cut."""
    cuts = tables.crossfit_table([m for m in runs if not m.run.shuffled])
    return [images_table(runs), *([cuts] if cuts.rows else [])]


def sentence(claims: Sequence[Claim]) -> str:
    """Count the claims by verdict."""
    return f"Of {len(claims)} claims on models that see images: {count_verdicts(claims)}."


def sample_notes(runs: Sequence[Measured]) -> str:
    """List the parts of each model's measurement, where not everything was measured."""
    return " ".join(_sample_note(m) for m in runs)


def _sample_note(m: Measured) -> str:
    point = m.trajectories[0].points[-1].result
    steps = ", ".join(count(p.step) or "" for p in m.mean.points)
    costly = [count(p.step) or "" for p in m.mean.points if p.ablations]
    mismatches, draws = point.protocol.get("mismatches", "all"), point.protocol.get("draws")
    cuts = f"; heads cut at {', '.join(costly)}, against {draws} control draws" if costly else "; heads not cut"
    large = f"; {FROZEN}" if m.run.frozen_part("language") else ""
    return f"{m.run.name}: steps {steps}; {point.testbed.n_nouns} nouns, {mismatches} mismatches an item{cuts}{large}."


def section(runs: Sequence[Measured], claims: Sequence[Claim]) -> Section:
    """Return the section of the page."""
    return Section(
        "pictures",
        TITLE,
        lead=f"{sentence(claims)} {DIFFERENCE}",
        figures=tuple(f for _, f in figures(runs) if f is not None),
        tables=(tables.verdict_table(claims), *evidence(runs)),
        notes=(INTERVALS, sample_notes(runs)),
    )


def markdown(runs: Sequence[Measured], claims: Sequence[Claim], images: Sequence[str]) -> list[str]:
    """Return the section of the Markdown; `images` are its plots as Markdown."""
    return [
        f"## {TITLE}",
        f"{sentence(claims)} {DIFFERENCE}",
        INTERVALS,
        *map(as_markdown, (tables.short_table(claims), tables.verdict_table(claims), *evidence(runs))),
        *images,
        f"What was measured: {sample_notes(runs)}",
    ]
