"""The board's rows: one for each result, with the text and the sort value of every column."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from groundbench.leaderboard.ranks import Contender, Rank, rank_groups
from groundbench.leaderboard.submission.item_gains import Cells
from groundbench.leaderboard.submission.submission import Run, Submission
from groundbench.report.charts import svg
from groundbench.report.charts.scale import Scale
from groundbench.results.run import AblationRecord, FormRecord, Result
from groundbench.results.text.numbers import count, decimals_for, interval, number, p_value, parameters, percent

SIZES = ((1e7, "under 10 M"), (1e8, "10 M to 100 M"), (1e9, "100 M to 1 B"), (1e10, "1 B to 10 B"))
LARGEST = "10 B and more"


@dataclass(frozen=True)
class Entry:
    """One line of the board: a result of a submission, or one of its other ENV forms, or an earlier checkpoint.

    `result` is what was measured in this form at this step; `whole` the result it is a part of.
    """

    id: str
    submission: Submission
    run: str
    result: Result
    whole: Result
    kind: Literal["headline", "form", "checkpoint"] = "headline"
    cells: Cells | None = None

    @property
    def final(self) -> bool:
        """Whether it is ranked and can be compared."""
        return self.kind != "checkpoint"


@dataclass(frozen=True)
class Value:
    """A cell: its text (None: not measured), what it sorts by, a detail, and stars with their p-value in words."""

    text: str | None
    sort: float | str | None = None
    detail: str = ""
    stars: str = ""
    said: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the board."""

    entry: Entry
    rank: Rank | None
    cells: tuple[Value, ...]
    bar: Markup
    board: str
    size: str
    search: str


COLUMNS = (
    ("Rank", "number", "One plus the number of models significantly better on the same testbed and form"),
    ("Model", "text", "Name and submitter"),
    ("Family", "text", "Architecture family"),
    ("Size", "number", "Parameters"),
    ("Testbed", "text", "Testbed and the form in which a noun was shown"),
    ("Step", "number", "Training step of a checkpoint"),
    ("Gain", "number", "Grounding gain in nats, with its 95\u202f% interval"),
    ("Copy-corrected", "number", "Gain with a definition over gain with the word itself"),
    ("Heads", "number", "Aggregate heads, mean over items"),
    ("Layer", "number", "Mean layer of the aggregate heads"),
    ("Cut \u2212 control", "number", "Gain lost by cutting the heads beyond cutting equally many others, in nats"),
    ("Removed", "number", "Share of the gain removed by cutting the heads"),
    ("Image gain", "number", "Gain with pictures, in nats"),
    ("Risk", "number", "Risk found by screening"),
)


def entries_of(submissions: Iterable[Submission]) -> list[Entry]:
    """Every result of every submission, and the last one's other forms."""
    return [e for s in submissions for run in s.runs for e in _entries(s, run)]


def _entries(s: Submission, run: Run) -> Iterator[Entry]:
    at, last = f"{s.slug}~{run.name}", run.last
    for i, result in enumerate(run.results[:-1]):
        step = i if result.model.step is None else result.model.step
        yield Entry(f"{at}~{step}", s, run.name, result, result, "checkpoint")
    yield Entry(at, s, run.name, last, last, cells=run.cells)
    for form in last.forms:
        name = form.env_form
        if name != last.testbed.env_form and form.gain is not None and form.gain.mean is not None:
            yield Entry(f"{at}~{name}", s, run.name, in_form(last, form), last, "form", run.forms.get(name))


def in_form(result: Result, form: FormRecord) -> Result:
    """What a result says of one of its forms, as a result of its own."""
    bed = result.testbed
    items = round(form.n_nouns * bed.n_items / bed.n_nouns) if bed.n_nouns else 0
    about = {"env_form": form.env_form, "n_nouns": form.n_nouns, "n_items": items, "excluded": form.excluded}
    parts = {name: getattr(form, name) for name in ("gain", "heads", "ablations", "lens", "image")}
    return result.model_copy(update={**parts, "testbed": bed.model_copy(update=about), "forms": (), "head_forms": ()})


def rows_of(entries: list[Entry]) -> list[Row]:
    """The rows, best gain first; ranks among the final results on one testbed in one form."""
    ranks = _ranks(entries)
    scale = _scale(entries)
    rows = [_row(e, ranks.get(e.id), scale) for e in entries]
    return sorted(rows, key=_order)


def _order(row: Row) -> tuple[float, str]:
    """Best gain first; what has no gain comes last."""
    gain = _gain(row.entry)
    return math.inf if gain is None else -gain, row.entry.id


def board_key(result: Result) -> tuple[str, ...]:
    """What two results must share to be ranked together: testbed, form (of pictures also which), nouns, and how
    mismatches were drawn."""
    bed, image = result.testbed, result.image
    mismatches = str(result.protocol.get("mismatches", "all"))
    pictures = image.hash if image is not None and image.env_form == bed.env_form else ""
    return bed.name, bed.version, bed.hash, bed.env_form, pictures, str(bed.n_nouns), mismatches


def board_name(result: Result) -> str:
    """The same in words."""
    bed = result.testbed
    return f"{bed.name} {bed.version} · {bed.env_form} · {bed.n_nouns} nouns"


def _gain(e: Entry) -> float | None:
    return None if e.result.gain is None else e.result.gain.mean


def _ranks(entries: list[Entry]) -> dict[str, Rank]:
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for e in entries:
        if e.final and _gain(e) is not None:
            groups[board_key(e.result)].append(e)
    out = {}
    for members in groups.values():
        found = rank_groups([_contender(e) for e in members])
        out.update({e.id: rank for e, rank in zip(members, found, strict=True)})
    return out


def _contender(e: Entry) -> Contender:
    g = e.result.gain
    if g is None or g.mean is None:
        raise ValueError(f"{e.id} has no gain to rank")
    return Contender(g.mean, g.ci_low, g.ci_high, e.cells)


def _scale(entries: list[Entry]) -> Scale:
    ends = [v for e in entries if (g := e.result.gain) for v in (g.mean, g.ci_low, g.ci_high) if v is not None]
    return Scale(min([0.0, *ends]), max([1.0, *ends]), 3, 107)


def _row(e: Entry, rank: Rank | None, scale: Scale) -> Row:
    r, card = e.result, e.submission.card
    heads = r.heads[0] if r.heads else None
    cut = r.ablations[0] if r.ablations else None
    cells = (
        Value(str(rank.rank), rank.rank, rank.method) if rank else Value(None),
        Value(card.model, card.model.lower(), card.submitter),
        Value(r.model.family, r.model.family.lower()),
        Value(parameters(r.model.parameters), r.model.parameters),
        Value(f"{r.testbed.name} · {r.testbed.env_form}", board_name(r)),
        Value(count(r.model.step), r.model.step),
        _with_interval(r),
        _measured(e.whole.copy_corrected.ratio if e.whole.copy_corrected else None),
        _measured(heads.mean_count if heads else None, 1),
        _measured(heads.mean_layer if heads else None, 1),
        _difference(cut),
        Value(percent(cut.gain_removed), cut.gain_removed) if cut else Value(None),
        _measured(image_gain(e.whole)),
        _measured(risk(e.whole)),
    )
    words = (card.model, card.submitter, r.model.name, r.model.family, r.model.architecture, board_name(r))
    return Row(e, rank, cells, _bar(r, scale), board_name(r), size_of(r.model.parameters), " ".join(words).lower())


def _measured(value: float | None, decimals: int = 2) -> Value:
    return Value(number(value, decimals), value)


def _with_interval(result: Result) -> Value:
    g = result.gain
    if g is None:
        return Value(None)
    places = decimals_for(g.mean, g.ci_low, g.ci_high)
    return Value(number(g.mean, places), g.mean, interval(g.ci_low, g.ci_high, places) or "")


def lost_to_cut(cut: AblationRecord | None) -> tuple[float | None, float | None]:
    """What cutting the heads costs beyond the controls (nats), and its p-value."""
    if cut is None or cut.gain_control is None or cut.gain_ablated is None:
        return None, None
    return cut.gain_control - cut.gain_ablated, cut.p_holm if cut.p_holm is not None else cut.p_cluster


def _difference(cut: AblationRecord | None) -> Value:
    """What cutting the heads costs beyond the controls, with the test's stars."""
    value, p = lost_to_cut(cut)
    if value is None:
        return Value(None)
    stars = "" if p is None else "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else ""
    return Value(number(value), value, stars=stars, said="" if p is None else f"p {p_value(p)}")


def image_gain(result: Result) -> float | None:
    """The gain with pictures: of the run itself, or of its form `image`."""
    if result.testbed.env_form == "image":
        return None if result.gain is None else result.gain.mean
    form = next((f for f in result.forms if f.env_form == "image"), None)
    return None if form is None or form.gain is None else form.gain.mean


def risk(result: Result) -> float | None:
    """The number `risk` of the screening, if it was done."""
    value = (result.screening or {}).get("risk")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def size_of(n: int) -> str:
    """The size class of a number of parameters."""
    return next((label for limit, label in SIZES if n < limit), LARGEST)


def _bar(result: Result, scale: Scale) -> Markup:
    """The interval drawn small, on one scale for the whole board."""
    g = result.gain
    if g is None or g.mean is None:
        return Markup("")
    parts = [svg.line(scale(0), 8, scale(g.mean), 8, "stem"), svg.line(scale(0), 1, scale(0), 15, "zero")]
    if g.ci_low is not None and g.ci_high is not None:
        parts.append(svg.line(scale(g.ci_low), 8, scale(g.ci_high), 8, "whisker c1"))
    parts.append(svg.dot(scale(g.mean), 8, 3.2, "mark c1"))
    return svg.el("svg", *parts, class_="bar", viewBox="0 0 110 16", width=110, height=16, aria_hidden="true")
