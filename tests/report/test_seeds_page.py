"""Several seeds on one page: every line has its band, and what one seed lacks is not drawn as 0."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.fake_results import fake_trajectory

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.evaluation.seeds import mean_over_seeds, seed_mean
from groundbench.report.from_directory import page_of
from groundbench.report.sections import seeds
from groundbench.results.trajectory import AGGREGATE, MeanTrajectory, Trajectory


def seeded(seed: int, parameters: int = 1_300_000) -> Trajectory:
    """A fake trajectory of that seed, all of one model."""
    made = fake_trajectory(seed)
    points = [
        p.model_copy(
            update={
                "result": p.result.model_copy(
                    update={"model": p.result.model.model_copy(update={"seed": seed, "parameters": parameters})}
                )
            }
        )
        for p in made.points
    ]
    return made.model_copy(update={"points": tuple(points)})


@pytest.fixture(scope="module")
def three() -> MeanTrajectory:
    return mean_over_seeds([seeded(s) for s in (2, 0, 1)], name="three seeds")


def test_means_and_t_intervals_by_hand(three: MeanTrajectory) -> None:
    runs = [seeded(s) for s in (0, 1, 2)]
    assert three.seeds == (0, 1, 2)
    for i, point in enumerate(three.points):
        values = [r.points[i].result.gain.mean for r in runs]  # type: ignore[union-attr]
        mean = sum(values) / 3
        sd = math.sqrt(sum((v - mean) ** 2 for v in values) / 2)
        assert point.gain is not None
        assert point.gain.values == tuple(values)
        assert point.gain.mean == pytest.approx(mean)
        assert point.gain.ci_high == pytest.approx(mean + 4.302653 * sd / math.sqrt(3))
    cut = three.last.ablations[0]
    own = [r.last.ablations[0] for r in runs]
    assert (cut.kind, cut.selection, cut.control) == ("aggregate", own[0].selection, own[0].control)
    assert cut.gain_ablated is not None
    assert cut.gain_ablated.values == tuple(a.gain_ablated for a in own)
    assert cut.p_rank == tuple(a.p_rank for a in own)


def test_one_seed_has_no_interval_and_a_missing_value_is_no_zero() -> None:
    one = seed_mean([1.5])
    assert one is not None
    assert (one.mean, one.ci_low, one.ci_high) == (1.5, None, None)
    assert seed_mean([None, None]) is None
    two = seed_mean([1.0, None, 3.0])
    assert two is not None
    assert (two.mean, two.values) == (2.0, (1.0, None, 3.0))


def test_seeds_of_other_models_or_one_seed_twice_are_refused() -> None:
    with pytest.raises(BadInputError, match="expected each seed once"):
        mean_over_seeds([seeded(1), seeded(1)])
    with pytest.raises(
        BadInputError, match=r"seed 0 has the number of parameters \d+, seed 1 7; expected seeds of one"
    ):
        mean_over_seeds([seeded(0), seeded(1, parameters=7)])
    with pytest.raises(BadInputError, match="no trajectory to average"):
        mean_over_seeds([])


def test_the_file_comes_back_and_its_page_has_a_band_for_each_seeded(three: MeanTrajectory, tmp_path: Path) -> None:
    three.save(tmp_path / "three" / AGGREGATE)
    assert MeanTrajectory.load(tmp_path / "three") == three
    page = page_of(tmp_path / "three")
    assert page == page_of(tmp_path)
    assert "three seeds" in page
    figure = seeds.hero([three])
    assert figure is not None
    drawn = [e.get("class") for e in ElementTree.fromstring(figure.panels[0]).iter()]
    assert "band c1" in drawn
    assert len([c for c in drawn if c == "mark c1"]) == len(three.points)
    assert main(["report", str(tmp_path / "three")]) == 0
    (tmp_path / AGGREGATE).write_text(three.model_dump_json().replace('"points":[', '"points":[1,', 1))
    with pytest.raises(BadInputError, match="field points"):
        MeanTrajectory.load(tmp_path)


def test_lines_beyond_the_colours_begin_again_dashed(three: MeanTrajectory) -> None:
    runs = [three.model_copy(update={"name": f"run {i}"}) for i in range(8)]
    figure = seeds.by_run("Gain", "nats", runs, seeds.reader("gain"))
    assert figure is not None
    drawn = [e.get("class", "") for e in ElementTree.fromstring(figure.panels[0]).iter()]
    lines = [c for c in drawn if c.startswith("line ")]
    assert lines == [*(f"line c{i}" for i in range(1, 7)), "line c1 dashed", "line c2 dashed"]
