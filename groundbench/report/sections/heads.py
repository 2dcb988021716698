"""The sections on mechanism: head counts with their references, the head map, the flow by layer."""

from __future__ import annotations

from collections import Counter, defaultdict

from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.charts.heatmap import Head, MapStyle, heat_map
from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Figure, Section, Table
from groundbench.results.run import HeadCount, HeadsRecord, ModelRecord
from groundbench.results.text.numbers import interval, number, percent
from groundbench.results.text.sentences import heads_sentence

DETECTED = 0.5
TOP = 12


def all_heads(model: ModelRecord) -> list[Head]:
    """Return every head of a model as (layer, head)."""
    in_layer = Counter[int]()
    for mixer in model.mixers:
        in_layer[mixer.layer] += mixer.n_heads
    return [(layer, head) for layer, count in in_layer.items() for head in range(count)]


def heads_section(model: ModelRecord, heads: tuple[HeadsRecord, ...]) -> Section:
    """Return counts with their three references, the headline's map, flow by layer and thresholds."""
    title = "Heads that tie the word to what is shown"
    if not model.mixers:
        why = f"{model.architecture} has no heads: head measurements do not apply to it."
        return Section("heads", title, missing=why)
    if not heads:
        return Section(
            "heads", title, missing="Heads were not measured in this run: groundbench run MODEL --measure gain,heads."
        )
    headline = heads[0]
    found = (_map(model, headline), _effect_map(model, headline), _flow(heads), _stability(headline))
    figures = [f for f in found if f]
    return Section(
        "heads",
        title,
        heads_sentence(headline, len(all_heads(model))),
        figures=tuple(figures),
        tables=(_counts(heads), *_strongest(headline)),
    )


def _counts(heads: tuple[HeadsRecord, ...]) -> Table:
    even = any(h.even_count is not None for h in heads)
    rows = tuple(
        (
            ", ".join(
                (h.kind, h.selection, *([] if h.diagonal else ["without the diagonal"]), *["no floor"][: h.floor == 0])
            ),
            f"{h.denominator}, {percent(h.threshold)}",
            number(h.mean_count),
            interval(h.ci_low, h.ci_high),
            number(h.null_count),
            *((number(h.even_count),) if even else ()),
            number(h.untrained_count),
            number(h.mean_layer, 1),
        )
        for h in heads
    )
    head = (
        "Heads",
        "Share of",
        "Count",
        "95 % interval",
        "Other span",
        *(("Even attention",) if even else ()),
        "Untrained",
        "Mean layer",
    )
    return Table("Head counts and their references (mean over items)", head, rows, frozenset({0, 1}))


def _strongest(headline: HeadsRecord) -> tuple[Table, ...]:
    top = sorted(headline.by_head, key=lambda h: (h.rate, h.share), reverse=True)[:TOP]
    if not top:
        return ()
    swept, gains = any(h.effect is not None for h in top), any(h.gain_effect is not None for h in top)
    rows = tuple(
        (
            _name(h),
            percent(h.rate),
            percent(h.share, 1),
            number(h.lift, 1),
            *((number(h.gain_effect, 3),) if gains else ()),
            *((number(h.effect, 3),) if swept else ()),
        )
        for h in top
    )
    head = (
        *("Layer.head", "Detected in", "Share on the edge", "Lift"),
        *(("Gain lost when cut (nats)",) if gains else ()),
        *(("Rise of surprisal when cut (nats)",) if swept else ()),
    )
    return (Table(f"The {len(top)} heads detected most often", head, rows),)


def _map(model: ModelRecord, headline: HeadsRecord) -> Figure | None:
    if not headline.by_head:
        return None
    values = {(h.layer, h.head): h.rate for h in headline.by_head}
    found = sum(v >= DETECTED for v in values.values())
    style = MapStyle("share of items in which the head is detected", 1.0, DETECTED)
    summary = f"{found} of {len(all_heads(model))} heads are detected in at least half of the items."
    chart = heat_map(all_heads(model), values, style, "How often each head is detected", summary)
    caption = "A ringed dot marks heads detected in at least half of the items; hollow squares were not recorded."
    return Figure("Detection", (chart,), _by_head_table(headline), caption)


def _by_head_table(headline: HeadsRecord) -> Table:
    rows = tuple(
        (
            *(_name(h), number(h.rate, 3), number(h.share, 3), number(h.lift, 2)),
            *(number(h.gain_effect, 4), number(h.effect, 4)),
        )
        for h in sorted(headline.by_head, key=lambda h: (h.layer, h.head))
    )
    head = ("Layer.head", "Rate", "Share", "Lift", "Gain lost (nats)", "Surprisal added (nats)")
    return Table("Every recorded head", head, rows)


def _name(h: HeadCount) -> str:
    """Return a head as layer.head, with what its saliency says of its direction where it holds the word back."""
    return f"{h.layer}.{h.head} (suppresses)" if h.signed is not None and h.signed > 0 else f"{h.layer}.{h.head}"


def _effect_map(model: ModelRecord, headline: HeadsRecord) -> Figure | None:
    gains = {(h.layer, h.head): h.gain_effect for h in headline.by_head if h.gain_effect is not None}
    values = gains or {(h.layer, h.head): h.effect for h in headline.by_head if h.effect is not None}
    if not values:
        return None
    what = "loss of gain" if gains else "rise of matched surprisal"
    verb = "takes more gain than any other" if gains else "raises the matched surprisal most"
    (layer, head), most = max(values.items(), key=lambda v: v[1])
    full = max(abs(v) for v in values.values()) or 1.0
    style = MapStyle(f"{what} (nats)", full, signed=True, decimals=3)
    summary = f"Cutting head {head} of layer {layer} alone {verb}, {number(most)} nats."
    chart = heat_map(all_heads(model), values, style, "Effect of cutting each head alone", summary)
    return Figure("Effect of cutting one head", (chart,), _by_head_table(headline), summary)


def _flow(heads: tuple[HeadsRecord, ...]) -> Figure | None:
    series: list[Series] = []
    cells: dict[int, dict[str, float]] = defaultdict(dict)
    for kind, edge, colour in (("aggregate", "shown → prediction", 1), ("gather", "→ shown", 3)):
        record = next((h for h in heads if h.kind == kind and h.by_head), None)
        if record is None:
            continue
        by_layer: dict[int, list[float]] = defaultdict(list)
        for h in record.by_head:
            by_layer[h.layer].append(h.share)
        layers = sorted(by_layer)
        mean = [sum(by_layer[n]) / len(by_layer[n]) for n in layers]
        series.append(Series(edge, layers, mean, colour=colour))
        for n, value in zip(layers, mean, strict=True):
            cells[n][edge] = value
    if not series or len(cells) < 2:
        return None
    names = tuple(s.name for s in series)
    ticks = sorted(cells)
    axes = Axes("layer", "mean share of a head's saliency", x_ticks=ticks[:: max(1, len(ticks) // 8)], decimals=3)
    peak = max(series[0].x, key=lambda n: cells[int(n)][series[0].name])
    summary = f"The flow from the noun shown to the prediction is largest at layer {peak:g}."
    table = Table(
        "Saliency flow by layer",
        ("Layer", *names),
        tuple((str(n), *(number(cells[n].get(name), 4) for name in names)) for n in ticks),
    )
    return Figure(
        "Saliency flow by layer", (line_chart(series, axes, "Saliency flow by layer", summary),), table, summary
    )


def _stability(headline: HeadsRecord) -> Figure | None:
    if not headline.stability:
        return None
    rows = [Row(f"share ≥ {percent(s.threshold)}", s.mean_count) for s in headline.stability]
    summary = "; ".join(f"{percent(s.threshold)}: {number(s.mean_count)}" for s in headline.stability)
    chart = dot_plot(rows, Layout("heads (mean over items)", 420, 26, 92), "Head count by threshold", f"{summary}.")
    table = Table(
        "Head count by threshold",
        ("Threshold", "Heads"),
        tuple((percent(s.threshold), number(s.mean_count)) for s in headline.stability),
    )
    return Figure("Other thresholds", (chart,), table, "How the count depends on the share that is asked of a head.")
