"""The section on cause: what is left when the heads are cut, against equally many others."""

from __future__ import annotations

from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.elements import Figure, Section, Table
from groundbench.results.run import AblationRecord, ModelRecord
from groundbench.results.text.numbers import count, interval, number, p_value, percent
from groundbench.results.text.sentences import ablation_sentence

TITLE = "What breaks when the heads are cut"
LEGEND = (
    ("diamond c2", "detected heads cut"),
    ("cloud c3", "one draw of control heads cut"),
    ("tickmark", "mean of the draws"),
)


def ablation_section(model: ModelRecord, ablations: tuple[AblationRecord, ...]) -> Section:
    """Show gain (and matched surprisal) untouched, with the heads cut, and with each draw of controls cut."""
    if not model.mixers:
        return Section("ablation", TITLE, missing=f"{model.architecture} has no heads to cut.")
    if not ablations:
        return Section(
            "ablation",
            TITLE,
            missing="Ablations were not measured in this run: groundbench run MODEL --measure gain,heads,ablation.",
        )
    figures = [f for f in (_gain_figure(ablations), _surprisal_figure(ablations)) if f]
    noted = dict.fromkeys(a.note for a in ablations if a.note)
    notes = tuple(f"{'; '.join(name(a) for a in ablations if a.note == note)}: {note}." for note in noted)
    return Section(
        "ablation", TITLE, ablation_sentence(ablations[0]), tuple(figures), (_table(ablations),), notes=notes
    )


def name(a: AblationRecord) -> str:
    """Return a row's name: selection, control, and what differs from zeroing aggregate heads everywhere."""
    extra = "" if a.mode == "zero" else f" {a.mode}"
    kind = "" if a.kind == "aggregate" else f"{a.kind} heads, "
    return f"{kind}{a.selection}/{a.denominator}, {a.control}{extra}{'' if a.positions == 'all' else ' last'}"


def _gain_figure(ablations: tuple[AblationRecord, ...]) -> Figure | None:
    kept = [a for a in ablations if a.gain_ablated is not None]
    if not kept:
        return None
    rows = [
        Row(
            name(a),
            a.gain_ablated,
            cloud=a.gain_control_draws,
            tick=a.gain_control,
            colour=2,
            cloud_colour=3,
            sharp=True,
        )
        for a in kept
    ]
    original = kept[0].gain_original
    return _figure("Gain left", rows, "gain (nats)", original, "untouched", kept)


def _surprisal_figure(ablations: tuple[AblationRecord, ...]) -> Figure | None:
    kept = [a for a in ablations if a.ablated is not None]
    if not kept:
        return None
    rows = [
        Row(name(a), a.ablated, cloud=a.control_draws, tick=a.control_mean, colour=2, cloud_colour=3, sharp=True)
        for a in kept
    ]
    return _figure("Matched surprisal", rows, "surprisal (nats)", kept[0].original, "untouched", kept)


def _figure(
    title: str, rows: list[Row], unit: str, reference: float | None, reference_label: str, kept: list[AblationRecord]
) -> Figure:
    layout = Layout(
        unit, 420, 30, 150, () if title != "Gain left" else (0.0,), reference=reference, reference_label=reference_label
    )
    summary = "; ".join(f"{r.label}: {number(r.value)}, controls {number(r.tick) or 'not measured'}" for r in rows)
    chart = dot_plot(rows, layout, title, f"{unit}, untouched {number(reference) or 'not measured'}. {summary}.")
    return Figure(title, (chart,), _draws(title, kept), "", LEGEND)


def _draws(title: str, kept: list[AblationRecord]) -> Table:
    """Return every draw's value: what the cloud shows."""
    rows = []
    for a in kept:
        gain = title == "Gain left"
        draws = a.gain_control_draws if gain else a.control_draws
        value, mean = (a.gain_ablated, a.gain_control) if gain else (a.ablated, a.control_mean)
        rows.append((name(a), number(value), number(mean), " ".join(number(d) or "" for d in sorted(draws)) or None))
    return Table(f"{title}: detected and control draws", ("Cut", "Detected", "Controls", "Draws"), tuple(rows))


def _table(ablations: tuple[AblationRecord, ...]) -> Table:
    rows = tuple(
        (
            name(a),
            number(a.n_heads, 1),
            number(a.gain_original),
            number(a.gain_ablated),
            number(a.gain_control),
            percent(a.gain_removed),
            interval(_as_percent(a.gain_removed_ci_low), _as_percent(a.gain_removed_ci_high), 0),
            p_value(a.p_rank),
            p_value(a.p_cluster),
            p_value(a.p_holm),
            count(a.n_no_head),
        )
        for a in ablations
    )
    head = (
        "Heads, control",
        "Heads cut",
        "Gain",
        "Cut",
        "Controls cut",
        "Removed",
        "95 % interval (%)",
        "p rank",
        "p clustered",
        "p Holm",
        "Items without a head",
    )
    return Table("Gain before and after (nats)", head, rows)


def _as_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
