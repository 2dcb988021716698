"""Planted trainings beside children's ages: what is told, tabled and drawn of an order, of none, and of the null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.fake_results import fake_result
from helpers.small_models import Home, tiny_gpt2

from groundbench.api.errors import BadInputError
from groundbench.evaluation.evaluate import evaluate
from groundbench.results.run import Result
from groundbench.results.trajectory import Trajectory, TrajectoryPoint
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.run_order import (
    gains_of_frames,
    gains_of_nouns,
    mean_gains,
    order_figures,
    order_of,
    order_sentence,
    order_table,
)
from groundbench.studies.paper import page
from groundbench.studies.paper.figures import write_order_figures

AGES = production_ages()
NOUNS = sorted(AGES)[:60]
STEPS = (0, 100, 200, 400, 800, 1600)
SAID = {w: 1 + i for i, w in enumerate(NOUNS)}  # in the order of the alphabet: nothing to do with ages


def planted(middle: dict[str, float], *, sign: float = 1.0, steps: tuple[int, ...] = STEPS) -> Trajectory:
    """A training in which each noun's gain rises to 4 nats around its own step."""
    base = fake_result(n_nouns=len(NOUNS))
    points = []
    for step in steps:
        gains = tuple(
            g.model_copy(update={"noun": w, "gain": sign * 4 * float(np.clip((step - middle[w]) / 200 + 0.5, 0, 1))})
            for w, g in zip(NOUNS, base.gain.by_noun, strict=True)
        )
        points.append(
            TrajectoryPoint(step=step, result=base.with_headline(gain=base.gain.model_copy(update={"by_noun": gains})))
        )
    return Trajectory(name="planted", points=tuple(points))


def gains(*args: dict[str, float], **more: object) -> dict[int, dict[str, list[float]]]:
    return gains_of_nouns(planted(*args, **more))  # type: ignore[arg-type]


CHILDLIKE = gains({w: 60.0 * (AGES[w] - 14) for w in NOUNS})
NULL = gains(dict.fromkeys(NOUNS, 100.0), sign=-1.0)


def test_a_childlike_order_is_told_with_its_interval() -> None:
    found = order_of([CHILDLIKE, CHILDLIKE], SAID, name="model", n_resamples=200)
    assert found is not None
    assert found.order.age.value == pytest.approx(1, abs=0.02)
    assert "nouns that children say earlier ground earlier" in order_sentence(found)
    assert found.order.nouns == len(NOUNS)
    backwards = order_of([gains({w: 60.0 * (33 - AGES[w]) for w in NOUNS})], SAID, name="model", n_resamples=200)
    assert backwards is not None
    assert "ground later" in order_sentence(backwards)


def test_an_order_of_nothing_claims_nothing() -> None:
    draw = np.random.default_rng(3)
    found = order_of([gains({w: float(draw.uniform(50, 900)) for w in NOUNS})], SAID, name="m", n_resamples=200)
    assert found is not None
    assert "no relation to children's order is shown" in order_sentence(found)


def test_the_null_stands_beside_and_has_no_order(tmp_path: Path) -> None:
    runs = [
        order_of([CHILDLIKE], SAID, name="model", n_resamples=50),
        order_of([NULL], SAID, name="model-shuffled", shuffled=True, n_resamples=50),
    ]
    kept = tuple(r for r in runs if r is not None)
    assert len(kept) == 2
    rows = order_table(kept).rows
    assert [row[0] for row in rows] == ["model", "model-shuffled (scenes shuffled)"]
    assert rows[1][2:] == (f"0 of {len(NOUNS)}", None, None, None)
    assert "too few for an order" in order_sentence(kept[1])
    assert len(order_figures(kept)) == 1  # nothing of the null to draw
    (drawn,) = write_order_figures(kept, tmp_path)
    assert (tmp_path / drawn.file).read_text().count("<circle") >= len(NOUNS)
    study = page.Study((), (), None, (), 0, orders=kept)
    (section,) = page._order_section(study)
    assert order_sentence(kept[1]) in section.lead
    assert "no null" not in section.lead
    assert "no null" in page._order_section(page.Study((), (), None, (), 0, orders=kept[:1]))[0].lead
    assert page._order_section(page.Study((), (), None, (), 0)) == []


def test_seeds_are_averaged_over_what_all_of_them_have() -> None:
    other = gains({w: 60.0 * (AGES[w] - 10) for w in NOUNS}, steps=(0, 200, 800, 1600))
    steps, nouns, both = mean_gains([CHILDLIKE, other])
    assert steps == [0, 200, 800, 1600]
    assert nouns == NOUNS
    (_, _, one), (_, _, two) = mean_gains([CHILDLIKE]), mean_gains([other])
    np.testing.assert_allclose(both, (one[[0, 2, 4, 5]] + two) / 2)
    assert order_of([gains(dict.fromkeys(NOUNS, 1.0), steps=(5,))], SAID, name="m") is None


def noisy(at: dict[str, float], frames: int, noise: float) -> dict[int, dict[str, list[float]]]:
    """Gains of each frame about the noun's own."""
    draw = np.random.default_rng(5)
    return {
        step: {w: [g[0] + noise * float(draw.standard_normal()) for _ in range(frames)] for w, g in row.items()}
        for step, row in gains(at).items()
    }


def test_intervals_are_over_frames_where_they_were_kept() -> None:
    """Frames that differ widen the steps' intervals; the mean over frames alone has none."""
    at = {w: 60.0 * (AGES[w] - 14) for w in NOUNS}
    still, loud = (order_of([noisy(at, 10, k)], SAID, name="m", n_resamples=200) for k in (0.01, 2.0))
    means = order_of([CHILDLIKE], SAID, name="m", n_resamples=200)
    assert still is not None
    assert loud is not None
    assert means is not None
    assert (still.frames, means.frames) == (10, 1)
    assert np.isnan(means.order.steps_low).all()
    for found in (still, loud):
        kept = ~np.isnan(found.order.steps)
        assert (found.order.steps_low[kept] <= found.order.steps_high[kept]).all()
        inside = (found.order.steps_low <= found.order.steps) & (found.order.steps <= found.order.steps_high)
        assert inside[kept].mean() > 0.9
    width = [np.median(np.minimum(f.order.steps_high, 1600) - f.order.steps_low) for f in (still, loud)]
    assert width[1] > 5 * width[0]
    assert "nouns and their frames" in order_table([still]).caption
    assert "frames" not in order_table([means]).caption
    (figure,) = order_figures([still])
    assert all(row[3] is not None for row in figure.table.rows)


def test_the_interval_of_a_step_covers_the_planted_one() -> None:
    """Frames drawn about a noun's true step: nearly all of 60 intervals of 20 frames hold it."""
    at = {w: 60.0 * (AGES[w] - 14) for w in NOUNS}
    true = order_of([gains(at)], SAID, name="m", n_resamples=1)
    found = order_of([noisy(at, 20, 1.0)], SAID, name="m", n_resamples=400)
    assert true is not None
    assert found is not None
    held = (found.order.steps_low <= true.order.steps) & (true.order.steps <= found.order.steps_high)
    assert held.mean() > 0.8


def test_gains_of_frames_are_those_of_the_items(tmp_path: Path) -> None:
    """Read from a run directory, their means are the gains by noun of its result."""
    for step, seed in ((0, 1), (100, 2)):
        evaluate(tiny_gpt2(seed), Home(), measures=["gain"], forms=["word"], out=tmp_path / f"step-{step:06}")
    found = gains_of_frames(tmp_path)
    assert list(found) == [0, 100]
    for step, row in found.items():
        result = Result.load(tmp_path / f"step-{step:06}" / "result.json")
        assert result.gain is not None
        for noun in result.gain.by_noun:
            assert len(row[noun.noun]) == 3
            assert np.mean(row[noun.noun]) == pytest.approx(noun.gain, rel=1e-6)


def test_a_training_without_gains_is_refused() -> None:
    point = planted(dict.fromkeys(NOUNS, 100.0)).points[0]
    bare = point.result.with_headline(gain=None)
    bare = bare.model_copy(update={"forms": bare.forms[:1]})
    with pytest.raises(BadInputError, match="step 0 has no gain; expected the measure gain"):
        gains_of_nouns(Trajectory(name="bare", points=(TrajectoryPoint(step=0, result=bare),)))
