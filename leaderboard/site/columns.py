"""The columns of the board's tables: the name, the explanation and the cells of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundbench.leaderboard.ranks import Rank
from groundbench.leaderboard.rows import ResultRow
from groundbench.results.text.numbers import count, decimals_for, interval, number, p_value, parameters, percent


@dataclass(frozen=True)
class Value:
    """A cell: its text (None: not measured), what it sorts by, and a detail in small letters."""

    text: str | None
    sort: float | str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Place:
    """A row's rank, or why it has none.

    Attributes:
        again: another entry of the same weights, which comes before it.
        disputed: another entry of the same weights that measured otherwise.
        aside: what parts it from the tab's other results, among which its rank means nothing, e.g. another form.
    """

    rank: Rank | None
    why: str = ""
    again: str = ""
    disputed: str = ""
    aside: str = ""


@dataclass(frozen=True)
class Column:
    """One column: `help` is a sentence, shown on hover, touch and focus; `unit` for the data files."""

    key: str
    name: str
    kind: str
    help: str
    unit: str
    cell: Callable[[ResultRow, Place], Value]


EMPTY = Value(None)


def _rank(row: ResultRow, place: Place) -> Value:
    if place.rank is None:
        return Value(None, None, place.why)
    if place.aside:
        return Value(None, None, f"rank {place.rank.rank} of {place.aside}")
    detail = "measured again" if place.again else "disputed" if place.disputed else ""
    return Value(str(place.rank.rank), place.rank.rank, detail)


def _model(row: ResultRow, place: Place) -> Value:
    return Value(row.model, row.model.lower(), row.submitter)


def estimate(value: float | None, low: float | None, high: float | None) -> Value:
    """Return a number with its interval as detail."""
    if value is None:
        return EMPTY
    places = decimals_for(value, low, high)
    return Value(number(value, places), value, interval(low, high, places) or "")


def _score(row: ResultRow) -> Value:
    s = row.ladder
    return (
        EMPTY if s is None or s.score is None else Value(number(s.score), s.score, interval(s.ci_low, s.ci_high) or "")
    )


def _heads(row: ResultRow, place: Place) -> Value:
    if row.heads is None:
        return EMPTY
    null = number(row.heads_null, 1)
    return Value(number(row.heads, 1), row.heads, f"{null} by chance" if null else "")


def _layer(row: ResultRow, place: Place) -> Value:
    if row.layer is None or not row.depth:
        return EMPTY
    return Value(percent(row.layer / row.depth), row.layer / row.depth, f"layer {number(row.layer, 1)}")


def _ablation_harm(row: ResultRow, place: Place) -> Value:
    if row.lost is None:
        return EMPTY
    return Value(number(row.lost), row.lost, f"p {p_value(row.lost_p)}" if row.lost_p is not None else "")


def _date(row: ResultRow, place: Place) -> Value:
    return Value(row.measured, row.measured, f"released {row.released}" if row.released else "")


def _half(row: ResultRow, place: Place) -> Value:
    if row.heads_for_half is None:
        return EMPTY
    return Value(number(row.heads_for_half, 1), row.heads_for_half, f"of {row.heads_total}")


RANK = Column(
    "rank",
    "Rank",
    "rank",
    "One plus the number of models that are significantly better (paired test, clustered by noun and frame, "
    "Holm-corrected). Models that cannot be told apart share a rank; a gain not told from 0, or a ladder score not "
    "told from copying, has none",
    "",
    _rank,
)
MODEL = Column("model", "Model", "text", "The submitter’s name for it, and who submitted it", "", _model)
FAMILY = Column("family", "Family", "text", "Architecture family", "", lambda e, p: Value(e.family, e.family.lower()))
SIZE = Column(
    "parameters", "Size", "number", "Parameters", "count", lambda e, p: Value(parameters(e.parameters), e.parameters)
)
FORM = Column("form", "Form", "text", "The form in which a noun was shown", "", lambda e, p: Value(e.form, e.form))
STEP = Column(
    "step", "Step", "number", "Training step of a checkpoint", "steps", lambda e, p: Value(count(e.step), e.step)
)
LADDER = Column(
    "ladder_score",
    "Ladder score",
    "number",
    "How much of the word’s gain the other forms reach (definition, translations, emoji, image), on average: 0 for "
    "a model that only copies, 1 for one that takes all forms as well as the word. 95 % interval over nouns and frames",
    "ratio",
    lambda e, p: _score(e),
)
GAIN = Column(
    "gain",
    "Gain",
    "number",
    "Grounding gain in nats: how much less surprising a noun becomes when it, and no other, was shown; 95 % interval",
    "nats",
    lambda e, p: estimate(e.gain, e.low, e.high),
)
HEADS = Column(
    "heads",
    "Heads",
    "number",
    "Aggregate heads: those through which the shown noun reaches the prediction, mean over items; beside it the count "
    "for other words of the same prompt",
    "heads",
    _heads,
)
LAYER = Column("layer", "Depth", "number", "Mean layer of these heads, as a share of all layers", "share", _layer)
HALF = Column(
    "heads_for_half",
    "Heads for half",
    "number",
    "How many heads, taken from the run that saw the noun, give half of the gain in a run that did not",
    "heads",
    _half,
)
LOST = Column(
    "cut_minus_control",
    "Cut − control",
    "number",
    "Gain lost by cutting the heads beyond cutting equally many others, in nats; a negative number is no better than "
    "chance",
    "nats",
    _ablation_harm,
)
REMOVED = Column(
    "removed",
    "Removed",
    "number",
    "Share of the gain that is gone when the heads are cut",
    "share",
    lambda e, p: EMPTY if e.removed is None else Value(percent(e.removed), e.removed),
)
IMAGE = Column(
    "image_gain",
    "Image gain",
    "number",
    "Grounding gain when the noun is shown as an image, in nats",
    "nats",
    lambda e, p: EMPTY if e.image is None else Value(number(e.image), e.image),
)
MEASURED = Column("measured", "Measured", "text", "The day of the measurement, and the weights’ release", "", _date)

COMMON = (HEADS, LAYER, HALF, LOST, REMOVED, IMAGE, MEASURED)


def columns_for(rows: Sequence[ResultRow], ladder: bool) -> tuple[Column, ...]:
    """Return the columns of a testbed's table: those that some row fills."""
    found = (RANK, MODEL, FAMILY, SIZE, *((LADDER,) if ladder else ()), GAIN, *COMMON)
    place = Place(None)
    keep = {"rank", "model", "gain", *(("ladder_score",) if ladder else ())}
    return tuple(c for c in found if c.key in keep or any(c.cell(e, place).text is not None for e in rows))
