"""A training run measured checkpoint by checkpoint: trained here, killed, resumed, and what it records."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_results import fake_trajectory
from helpers.toy_training import toy_preset

from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.cli import main
from groundbench.evaluation import trajectory as module
from groundbench.evaluation.checkpoints import find_checkpoints
from groundbench.evaluation.seeds import trajectories
from groundbench.evaluation.training_provenance import Trained
from groundbench.evaluation.trajectory import TrajectoryOptions, correct_p_values, trajectory
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.cooccurrence import corpus_counts, measure_cooccurrence
from groundbench.measures.lens.options import LensOptions
from groundbench.registry import load_testbed
from groundbench.results.items import read_items
from groundbench.results.run import Result
from groundbench.results.trajectory import MeanTrajectory, Trajectory
from groundbench.stats.significance import holm
from groundbench.studies.demo import PAGE, PARTS, demo
from groundbench.training import train

HERE = Path(__file__).parent
NOUNS = 8
LENS = LensOptions(steps=3, positions=256, batch_positions=16)
QUICK = {"ablation": AblationOptions(draws=2, instance_draws=1), "lens": LENS}
OPTIONS = TrajectoryOptions(points=3, costly_points=1, limit=NOUNS, **QUICK)
STEPS = (0, 20, 30)
SIZES = {"config.n_positions": 64, "length": 48}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Transformer of one layer, trained for 30 steps: checkpoints 0, 10, 20, 30."""
    out = tmp_path_factory.mktemp("trained")
    train(toy_preset(**SIZES), "childworld", out, seeds=(3,), device="cpu", threads=1)
    return out / "seed-3"


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its measurements, uninterrupted."""
    out = tmp_path_factory.mktemp("whole")
    trajectory(trained, "childworld", out=out, options=OPTIONS)
    return out


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints whose models are opened from now on."""
    seen: list[str] = []
    open_model = module.open_model

    def watched(model: str, **load: Any) -> Any:
        seen.append(Path(model).name)
        return open_model(model, **load)

    monkeypatch.setattr(module, "open_model", watched)
    return seen


def numbers(out: Path) -> dict[str, Any]:
    """trajectory.json without what differs between two runs of the same: where it was measured and how long it took."""
    data: dict[str, Any] = json.loads((out / "trajectory.json").read_text())
    for point in data["points"]:
        del point["result"]["environment"]
    return data


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    from test_trajectory import OPTIONS
    from groundbench.engine.run_directory import Stage
    from groundbench.evaluation.trajectory import trajectory

    write = Stage.write

    def write_then_die(stage, batch, array):
        write(stage, batch, array)
        if stage.store.directory.name == "step-000020":
            os.kill(os.getpid(), signal.SIGKILL)

    Stage.write = write_then_die
    trajectory(sys.argv[2], "childworld", out=sys.argv[3], options=OPTIONS)
    """
)


@pytest.mark.slow
def test_killed_in_the_second_checkpoint_it_resumes_to_identical_numbers(
    trained: Path, whole: Path, tmp_path: Path, opened: list[str]
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(HERE), str(trained), str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "step-000000" / "result.json").is_file()
    assert list((tmp_path / "step-000020").rglob("*.npy"))
    assert not (tmp_path / "step-000020" / "result.json").exists()
    assert not (tmp_path / "trajectory.json").exists()
    trajectory(trained, "childworld", out=tmp_path, options=OPTIONS)
    assert opened == ["step-000020", "step-000030"]
    assert numbers(tmp_path) == numbers(whole)


def test_several_seeds_are_measured_and_averaged(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(toy_preset(**SIZES), "childworld", trained.parent, seeds=(4,), device="cpu", threads=1)
    words = ["trajectory", str(trained.parent), "--measure", "gain", "--points", "2", "--limit", str(NOUNS)]
    assert main([*words, "--out", str(tmp_path), "--json"]) == 0
    mean = MeanTrajectory.model_validate_json(capsys.readouterr().out)
    assert mean == MeanTrajectory.load(tmp_path)
    each = [Trajectory.load(tmp_path / f"seed-{s}") for s in mean.seeds]
    assert mean.seeds == (3, 4)
    assert [p.step for p in mean.points] == [0, 30]
    assert mean.last.gain is not None
    assert mean.last.gain.values == tuple(t.last.gain.mean for t in each if t.last.gain)
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "mean over the seeds 3, 4" in capsys.readouterr().out
    assert (
        trajectories(trained.parent, out=tmp_path, options=TrajectoryOptions(measures=("gain",), points=2, limit=NOUNS))
        == mean
    )


def test_what_is_finished_is_taken_as_it_is_and_nothing_else(trained: Path, tmp_path: Path, opened: list[str]) -> None:
    def measured(out: Path, **more: Any) -> list[str]:
        opened.clear()
        options = TrajectoryOptions(**{"measures": ("gain",), "points": 2, "limit": NOUNS, **more})
        trajectory(trained, "childworld", out=out, options=options)
        return list(opened)

    assert measured(tmp_path) == ["step-000000", "step-000030"]
    first = numbers(tmp_path)
    assert measured(tmp_path) == []
    assert numbers(tmp_path) == first
    assert measured(tmp_path, points=3) == ["step-000020"]  # the others were measured under the same options
    assert measured(tmp_path, measures=("gain", "heads"), **QUICK) == ["step-000000", "step-000030"]
    assert measured(tmp_path) == ["step-000000", "step-000030"]  # and what stands there now has heads: not the same
    result = tmp_path / "step-000030" / "result.json"
    Result.load(result).with_headline(gain=None).save(result)
    assert measured(tmp_path) == ["step-000030"]
    (tmp_path / "step-000000" / "items.parquet").unlink()
    assert measured(tmp_path) == ["step-000000"]
    assert numbers(tmp_path) == first


def test_another_run_is_refused_and_force_starts_over(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trajectory", str(trained), "--testbed", "childworld", "--out", str(tmp_path)]
    words += ["--measure", "gain", "--points", "2", "--json", "--limit"]
    assert main([*words, "8"]) == 0
    capsys.readouterr()
    assert main([*words, "9"]) == 2
    assert "holds a run with limit 8, but this run has 9" in capsys.readouterr().err
    assert main([*words, "9", "--force"]) == 0
    assert json.loads(capsys.readouterr().out)["points"][0]["result"]["testbed"]["n_nouns"] == 9
    with pytest.raises(StoreMismatchError, match="limit 9"):
        trajectory(trained, "childworld", out=tmp_path, options=OPTIONS)


def test_only_the_costly_points_are_cut_and_never_the_untrained_one(whole: Path) -> None:
    points = Trajectory.load(whole).points
    assert tuple(p.step for p in points) == STEPS
    assert all(p.result.gain and p.result.gain.mean is not None and p.result.heads for p in points)
    cut = [p.step for p in points if p.result.ablations]
    assert cut == [p.step for p in points if p.result.lens] == [30]
    assert all(p.result.model.step == p.step for p in points)
    assert points[0].heldout_loss > points[-1].heldout_loss  # type: ignore[operator]


def test_cooccurrence_is_measured_at_every_checkpoint_in_both_windows(trained: Path, whole: Path) -> None:
    bed = load_testbed("childworld")
    for checkpoint, point in zip(find_checkpoints(trained)[::2], Trajectory.load(whole).points[:2], strict=True):
        record = point.result.cooccurrence
        assert record is not None
        cells = {(r.window, r.statistic, r.unit): r for r in record.regressions}
        assert len(cells) == 8
        assert all(r.n == NOUNS for (_, _, unit), r in cells.items() if unit == "noun")
        table = read_items(whole / checkpoint.path.name / "items.parquet")
        counts = corpus_counts(bed, point.result, checkpoint.training, Trained(checkpoint.training).corpus(bed))
        assert all(c.counts.diagonal().min() > 0 for c in counts)
        again = measure_cooccurrence(table, counts, n_resamples=10)
        assert [r.r2_adjusted for r in again.regressions] == [r.r2_adjusted for r in record.regressions]
        assert again.gain_variance == record.gain_variance
        assert Result.load(whole / checkpoint.path.name).cooccurrence == record


def test_holm_corrects_over_the_checkpoints_that_have_a_test(whole: Path) -> None:
    done = Trajectory.load(whole)
    tests = [h for h in done.holm if h.test == "gain"]
    assert [h.step for h in tests] == list(STEPS)
    assert [h.p for h in tests] == [p.result.gain.p_cluster for p in done.points if p.result.gain]
    assert [h.p_holm for h in tests] == holm([h.p for h in tests])


def test_holm_reaches_the_headline_ablation_of_its_checkpoint() -> None:
    before = fake_trajectory(3)
    ps = [0.04, 0.001, 0.02, 0.9, 0.3, 0.0002]
    points = list(before.points)
    cut = [i for i, p in enumerate(points) if p.result.ablations][: len(ps)]
    for i, p in zip(cut, ps, strict=True):
        head, *others = points[i].result.ablations
        changed = (head.model_copy(update={"p_cluster": p, "p_holm": None}), *others)
        points[i] = points[i].model_copy(update={"result": points[i].result.with_headline(ablations=changed)})
    untested = [i for i, p in enumerate(points) if i not in cut]
    for i in untested:
        points[i] = points[i].model_copy(update={"result": points[i].result.with_headline(ablations=())})
    after = correct_p_values(before.model_copy(update={"points": tuple(points)}))
    wanted = holm(ps)
    assert [after.points[i].result.ablations[0].p_holm for i in cut] == wanted
    assert [(h.step, h.p, h.p_holm) for h in after.holm if h.test == "ablation"] == [
        (points[i].step, p, q) for i, p, q in zip(cut, ps, wanted, strict=True)
    ]
    assert all(after.points[i].result.ablations == () for i in untested)
    for i in cut:  # and nothing else
        assert after.points[i].result.ablations[1:] == points[i].result.ablations[1:]


def test_an_lstm_has_no_heads_and_the_result_says_why(tmp_path: Path) -> None:
    lstm = {"architecture": "groundbench_lstm", "config": {"num_hidden_layers": 1, "hidden_size": 32}}
    train(toy_preset(**lstm, length=48), "childworld", tmp_path, seeds=(3,), steps=10, device="cpu", threads=1)
    done = trajectory(tmp_path, "childworld", out=tmp_path / "measured", options=OPTIONS)
    for point in done.points:
        result = point.result
        assert result.gain is not None
        assert result.gain.mean is not None
        assert (result.heads, result.ablations, result.model.mixers) == ((), (), ())
        assert result.cooccurrence is not None
        reasons = {f.where: f.reason for f in result.failures}
        assert set(reasons) == ({"heads", "ablation", "lens"} if point.step else {"heads"})
        assert all("the model has no heads" in reasons[what] for what in {"heads", "ablation"} & set(reasons))
    assert [h.test for h in done.holm] == ["gain"] * len(done.points)


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no checkpoints found, expected folders step-000000"):
        trajectory(tmp_path, "childworld", out=tmp_path / "out")


@pytest.mark.slow
def test_the_demo_trains_measures_and_writes_its_page_and_board(tmp_path: Path) -> None:
    runs = demo(tmp_path, steps=20)
    assert [r.name for r in runs] == [p.name for p in PARTS]
    assert all([p.step for p in r.points] == [0, 20] for r in runs)
    assert [bool(r.last.ablations) for r in runs] == [True, True, False]
    assert {f.where for f in runs[2].last.failures} == {"heads", "causal", "ablation", "lens"}
    page = (tmp_path / PAGE).read_text()
    assert all(p.name in page for p in PARTS)
    assert (tmp_path / "site" / "index.html").is_file()
    assert demo(tmp_path, steps=20) == runs
