"""Planted trainings beside children's ages: what is told, tabled and drawn of an order, of none, and of the null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.fake_results import fake_result

from groundbench.api.errors import BadInputError
from groundbench.results.trajectory import Trajectory, TrajectoryPoint
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.run_order import gains_of, order_figures, order_of, order_sentence, order_table
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


CHILDLIKE = planted({w: 60.0 * (AGES[w] - 14) for w in NOUNS})
NULL = planted(dict.fromkeys(NOUNS, 100.0), sign=-1.0)


def test_a_childlike_order_is_told_with_its_interval() -> None:
    found = order_of([CHILDLIKE, CHILDLIKE], SAID, name="model", n_resamples=200)
    assert found is not None
    assert found.order.age.value == pytest.approx(1, abs=0.02)
    assert "nouns that children say earlier ground earlier" in order_sentence(found)
    assert found.order.nouns == len(NOUNS)
    backwards = order_of([planted({w: 60.0 * (33 - AGES[w]) for w in NOUNS})], SAID, name="model", n_resamples=200)
    assert backwards is not None
    assert "ground later" in order_sentence(backwards)


def test_an_order_of_nothing_claims_nothing() -> None:
    draw = np.random.default_rng(3)
    found = order_of([planted({w: float(draw.uniform(50, 900)) for w in NOUNS})], SAID, name="m", n_resamples=200)
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
    assert page._order_section(page.Study((), (), None, (), 0)) == []


def test_seeds_are_averaged_over_what_all_of_them_have() -> None:
    other = planted({w: 60.0 * (AGES[w] - 10) for w in NOUNS}, steps=(0, 200, 800, 1600))
    steps, nouns, gains = gains_of([CHILDLIKE, other])
    assert steps == [0, 200, 800, 1600]
    assert nouns == NOUNS
    (_, _, one), (_, _, two) = gains_of([CHILDLIKE]), gains_of([other])
    np.testing.assert_allclose(gains, (one[[0, 2, 4, 5]] + two) / 2)
    assert order_of([planted(dict.fromkeys(NOUNS, 1.0), steps=(5,))], SAID, name="m") is None


def test_a_training_without_gains_is_refused() -> None:
    bare = CHILDLIKE.points[0].result.with_headline(gain=None)
    with pytest.raises(BadInputError, match="step 0 has no gain; expected the measure gain"):
        gains_of(
            [
                Trajectory(
                    name="bare",
                    points=(TrajectoryPoint(step=0, result=bare.model_copy(update={"forms": bare.forms[:1]})),),
                )
            ]
        )
