"""The board's rows: what the site and the ranks need of each result, small enough to hold thousands in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.leaderboard.ladder_ranks import LadderItems, ladder_items
from groundbench.leaderboard.submission.against_testbed import is_whole
from groundbench.leaderboard.submission.form_views import FormView, form_views
from groundbench.leaderboard.submission.submission import Run, Submission
from groundbench.results.ladder_score import LadderScore
from groundbench.results.risk_card import RiskCard
from groundbench.results.run import AblationRecord, Result
from groundbench.stats.significance import t_interval

Floats32 = npt.NDArray[np.float32]
SIZES = ((1e7, "under 10 M"), (1e8, "10 M to 100 M"), (1e9, "100 M to 1 B"), (1e10, "1 B to 10 B"))
LARGEST = "10 B and more"


@dataclass(frozen=True)
class ResultRow:
    """One result of a submission, one of its other ENV forms, or an earlier checkpoint.

    Attributes:
        told: the gain's interval does not touch 0, without items nor does the one that its nouns give: only then is
            there a rank.
        whole: every noun that the testbed has in this form was measured.
        n_failed: items without a surprisal, of a ladder's headline in all its forms: what is left is a choice of items.
        derived: the interval that the nouns' gains give, by which rows without items are ranked.
        by_noun: [nouns] gains in the testbed's order; `cells`: [nouns, frames] the same per frame, where items came.
        same: a digest of the nouns' gains: equal for copies of one measurement.
        layer, depth: mean layer of the aggregate heads, and the model's layers.
        heads_for_half: heads whose interchange gives half of the gain, where causes were measured.
    """

    id: str
    slug: str
    run: str
    kind: str
    model: str
    submitter: str
    licence: str
    own: bool
    family: str
    architecture: str
    parameters: int
    fingerprint: str
    released: str | None
    measured: str | None
    testbed: str
    version: str
    hash: str
    form: str
    n_nouns: int
    n_left_out: int
    mismatches: str
    images: str
    whole: bool
    n_failed: int
    step: int | None
    gain: float | None
    low: float | None
    high: float | None
    told: bool
    derived: tuple[float, float] | None
    by_noun: Floats32 | None
    cells: Floats32 | None
    nested: bool
    same: str
    ideal: float | None
    heads: float | None
    heads_null: float | None
    heads_total: int
    layer: float | None
    depth: int
    lost: float | None
    lost_p: float | None
    removed: float | None
    image: float | None
    heads_for_half: float | None
    ladder: LadderScore | None
    ladder_items: LadderItems | None

    @property
    def board(self) -> str:
        """The testbed that it is shown under."""
        return f"{self.testbed} {self.version}"

    @property
    def group(self) -> tuple[str, ...]:
        """The facts that two rows must share to be ranked together."""
        return self.testbed, self.version, self.hash, self.form, self.images, self.mismatches

    @property
    def ranked(self) -> bool:
        """True if it can have a rank: the last checkpoint, of the whole testbed, with a gain distinguishable from 0."""
        return self.kind != "checkpoint" and self.whole and not self.n_failed and self.gain is not None and self.told


@dataclass(frozen=True)
class RiskRow:
    """A screening on the board; `checked`: it is the board's own, or came with its answers, which give its numbers."""

    id: str
    slug: str
    model: str
    submitter: str
    own: bool
    fingerprint: str
    family: str
    parameters: int
    card: RiskCard
    checked: bool = False


def result_rows(s: Submission, own: bool) -> list[ResultRow]:
    """Return every result of a submission, the last one's other forms, and its checkpoints."""
    return [row for run in s.runs if run.results for row in _rows_of_run(s, run, own)]


def risk_rows(s: Submission, own: bool) -> list[RiskRow]:
    """Return the screenings of a submission."""
    out = []
    for run in s.runs:
        if run.risk is not None:
            m, at = run.risk.model, f"{s.slug}~{run.name}~risk"
            out.append(
                RiskRow(
                    at,
                    s.slug,
                    s.card.model,
                    s.card.submitter,
                    own,
                    m.fingerprint,
                    m.family,
                    m.parameters or 0,
                    run.risk,
                    own or "answers.parquet" in run.files,
                )
            )
    return out


def _rows_of_run(s: Submission, run: Run, own: bool) -> Iterator[ResultRow]:
    at, last = f"{s.slug}~{run.name}", run.last
    for i, result in enumerate(run.results[:-1]):
        step = i if result.model.step is None else result.model.step
        yield _result_row(f"{at}~{step}", s, run, own, result, form_views(result)[0], "checkpoint")
    for i, view in enumerate(form_views(last)):
        if i == 0 or (view.gain is not None and view.gain.mean is not None):
            name = at if i == 0 else f"{at}~{view.env_form}"
            yield _result_row(name, s, run, own, last, view, "form" if i else "headline")


def _result_row(at: str, s: Submission, run: Run, own: bool, result: Result, view: FormView, kind: str) -> ResultRow:
    if run.bed is None:
        raise ValueError(f"{at}: its testbed was not looked up")
    g, m = view.gain, result.model
    about = run.bed.forms[view.env_form]
    gains = {n.noun: n.gain for n in g.by_noun if n.gain is not None} if g else {}
    entire = is_whole(view, about)
    complete = entire and len(gains) == len(about.nouns)
    heads = view.heads[0] if view.heads else None
    cut = view.ablations[0] if view.ablations else None
    lost, p = lost_to_cut(cut)
    cells = run.forms.get(view.env_form) if kind != "checkpoint" and complete else None
    ladder = result.ladder_score if kind == "headline" and run.bed.ladder else None
    low, high = (g.ci_low, g.ci_high) if g else (None, None)
    derived = derived_interval(list(gains.values()))
    sides = [(low, high)] if cells is not None else [(low, high), derived or (None, None)]
    by_noun = np.array([gains[n] for n in about.nouns], dtype=np.float32) if complete else None
    return ResultRow(
        id=at,
        slug=s.slug,
        run=run.name,
        kind=kind,
        model=s.card.model,
        submitter=s.card.submitter,
        licence=s.card.licence,
        own=own,
        family=m.family,
        architecture=m.architecture,
        parameters=m.parameters or 0,  # never None here: submissions without it are refused
        fingerprint=m.fingerprint,
        released=s.card.released,
        measured=s.card.measured,
        testbed=result.testbed.name,
        version=result.testbed.version,
        hash=result.testbed.hash,
        form=view.env_form,
        n_nouns=view.n_nouns,
        n_left_out=len(about.nouns) - len(set(view.nouns) & set(about.nouns)),
        mismatches=_mismatches(result, view),
        images=view.image.hash if view.image is not None else "",
        whole=entire,
        n_failed=sum(v.gain.n_failed for v in (form_views(result) if ladder else (view,)) if v.gain is not None),
        step=m.step,
        gain=g.mean if g else None,
        low=low,
        high=high,
        told=all(a is not None and b is not None and (a > 0 or b < 0) for a, b in sides),
        derived=derived,
        by_noun=by_noun,
        cells=None if cells is None or np.isnan(cells.gain).all(1).any() else cells.gain.astype(np.float32),
        nested=cells.nested if cells is not None else False,
        same=hashlib.sha256(repr([round(v, 5) for v in gains.values()]).encode()).hexdigest()[:16] if gains else at,
        ideal=g.ideal if g else None,
        heads=heads.mean_count if heads else None,
        heads_null=heads.null_count if heads else None,
        heads_total=sum(x.n_heads for x in m.mixers),
        layer=heads.mean_layer if heads else None,
        depth=max((x.layer for x in m.mixers), default=0),
        lost=lost,
        lost_p=p,
        removed=cut.gain_removed if cut else None,
        image=image_gain(result) if kind == "headline" else None,
        heads_for_half=heads_for_half(result, view.env_form),
        ladder=ladder,
        ladder_items=None
        if ladder is None or ladder.score is None or not entire
        else ladder_items(run.tables, [f.env_form for f in ladder.forms], run.bed),
    )


def _mismatches(result: Result, view: FormView) -> str:
    """Return how many other nouns an item was compared with; a sample of all of them is all."""
    drawn = result.protocol.get("mismatches")
    return str(drawn) if isinstance(drawn, int) and drawn < view.n_nouns - 1 else "all"


def derived_interval(gains: list[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of nouns' gains (t over nouns); None with fewer than two."""
    found = t_interval(gains)
    return None if found.ci_low is None or found.ci_high is None else (found.ci_low, found.ci_high)


def lost_to_cut(cut: AblationRecord | None) -> tuple[float | None, float | None]:
    """Return the cost of cutting the heads beyond the controls (nats), and its p-value."""
    if cut is None or cut.gain_control is None or cut.gain_ablated is None:
        return None, None
    return cut.gain_control - cut.gain_ablated, cut.p_holm if cut.p_holm is not None else cut.p_cluster


def image_gain(result: Result) -> float | None:
    """Return the gain with images: of the run itself, or of its form `image`."""
    view = next((v for v in form_views(result) if v.env_form == "image"), None)
    return None if view is None or view.gain is None else view.gain.mean


def heads_for_half(result: Result, form: str) -> float | None:
    """Return the least number of heads whose interchange gives half of the gain, by `contrast` (concepts §15)."""
    curves = (record.headline_curve for record in result.causal if record.env_form == form)
    return next((c.heads_for_half.value for c in curves if c is not None), None)


def size_of(n: int) -> str:
    """Return the size class of a number of parameters."""
    return next((label for limit, label in SIZES if n < limit), LARGEST)
