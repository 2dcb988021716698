"""A trajectory over revisions of a repository on a hub (one on the loopback address)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.loopback_hub import LoopbackHub, asked_by
from helpers.planted import PlantedTestbed, single_head

from groundbench.api.errors import BadInputError
from groundbench.evaluation.evaluate import evaluate
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory

OPTIONS = TrajectoryOptions(measures=("gain",), limit=3)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with asked_by(monkeypatch, tmp_path / "cache") as served:
        yield served


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return single_head(tmp_path / "model").folder


def test_revisions_are_measured_in_the_order_of_their_steps(hub: LoopbackHub, model: Path, tmp_path: Path) -> None:
    hub.push("org/run", model, "stage1-step20-tokens1B")
    other = Path(shutil.copytree(model, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 0.5}))
    hub.push("org/run", other, "step3")
    name = "org/run@stage1-step20-tokens1B,step3"
    found = trajectory(name, PlantedTestbed(), out=tmp_path / "out", options=OPTIONS)
    assert [p.step for p in found.points] == [3, 20]
    wanted = [evaluate(str(m), PlantedTestbed(), measures=("gain",), limit=3).gain for m in (other, model)]
    assert [p.result.gain for p in found.points] == wanted
    assert wanted[0] != wanted[1]


def test_a_finished_revision_is_not_opened_again_unless_it_moved(
    hub: LoopbackHub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundbench.evaluation import trajectory as module

    opened: list[str] = []
    open_model = module.open_model
    monkeypatch.setattr(module, "open_model", lambda m, **load: opened.append(m) or open_model(m, **load))
    hub.push("org/run", model, "step1")
    for _ in range(2):
        trajectory("org/run@step1", PlantedTestbed(), out=tmp_path / "out", options=OPTIONS)
    assert opened == ["org/run@step1"]
    (model / "notes.json").write_text("{}")
    hub.push("org/run", model, "step1")
    with pytest.raises(BadInputError, match="holds a run with weights 'hub:"):
        trajectory("org/run@step1", PlantedTestbed(), out=tmp_path / "out", options=OPTIONS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/run@step1,final", "the revision 'final' names no step; expected a name like step1000"),
        ("org/run@step1,step9", "org/run@step9: the repository has no revision 'step9'"),
        ("org/run@step1,ckpt-1", "org/run@step1 and org/run@ckpt-1 are both of step 1"),
        ("org/run@", "no revisions; expected org/name@step1000,step2000"),
    ],
)
def test_refused_in_one_sentence(hub: LoopbackHub, model: Path, tmp_path: Path, name: str, said: str) -> None:
    hub.push("org/run", model, "step1")
    with pytest.raises(BadInputError, match=said):
        trajectory(name, PlantedTestbed(), out=tmp_path / "out", options=OPTIONS)
