"""The whole path on a tiny corpus: trained, measured, decided, written, and gone on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.corpus_fixtures import small_corpus
from helpers.planted_runs import planted

from groundbench.api.errors import BadInputError
from groundbench.evaluation import trajectory as module
from groundbench.evaluation.trajectory import TrajectoryOptions
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.lens.options import LensOptions
from groundbench.results.trajectory import MeanTrajectory
from groundbench.studies.paper import find_runs, reproduce
from groundbench.studies.paper import training_plan as plan
from groundbench.studies.paper.page import early_end_note
from groundbench.studies.paper.training_plan import SIZES, Size, plan_parts, size_of, train_parts
from groundbench.tasks.corpora import import_childes

TINY = Size(
    architectures=("gpt2-mini",),
    lstms=("lstm-1l-mini",),
    override={"steps": 4, "batch_size": 2, "length": 32, "checkpoints": [{"every": 2}], "heldout_rows": 4},
)
QUICK = {
    "heads": HeadOptions(denominator="total"),
    "ablation": AblationOptions(draws=2, instance_draws=1, gather=True),
    "lens": LensOptions(steps=3, positions=256),
}
OPTIONS = TrajectoryOptions(points=2, costly_points=1, mismatches=1, at_least=60, **QUICK)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    import_childes(small_corpus(root / "in"), root / "corpus", jobs=1)
    return root / "corpus"


@pytest.mark.slow
def test_from_a_corpus_to_its_report_and_on_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "mini", TINY)  # type: ignore[misc]
    monkeypatch.setattr(plan, "RATES", (1e-3, 3e-3))
    out, docs = tmp_path / "out", tmp_path / "docs" / "reproduction.md"

    def whole(**more: object) -> list[str]:
        opened.clear()
        found = reproduce(corpus, seeds=(1, 2), out=out, docs=docs, options=OPTIONS, jobs=1, commands=["x"], **more)
        assert [m.run.name for m in found.measured][:2] == ["gpt2-mini", "gpt2-mini-shuffled"]
        return list(opened)

    opened: list[str] = []
    open_model = module.open_model
    monkeypatch.setattr(module, "open_model", lambda path, **load: opened.append(path) or open_model(path, **load))
    # two seeds of the Transformer, its null and the LSTM (whose own rate is 3e-3), and the LSTM at another rate: two
    # checkpoints each
    assert len(whole()) == 2 * (2 + 2 + 2 + 1)
    mean = MeanTrajectory.load(out / "measured" / "gpt2-mini")
    assert (mean.seeds, mean.testbed.name, mean.testbed.n_nouns) == ((1, 2), "childes", 6)
    last = mean.last
    assert last.lens
    assert {a.selection for a in last.ablations} == {"crossfit", "instance"}
    assert {a.kind for a in last.ablations} == {"aggregate", "gather"}
    assert last.regressions[0].r2_adjusted is not None
    text, page = docs.read_text(), (out / "report.html").read_text()
    verdicts = json.loads((out / "verdicts.json").read_text())
    for claim in verdicts:
        assert claim["claim"] in text
        assert claim["verdict"] in ("reproduced", "not reproduced", "not testable")
    assert "of 100" in text
    assert "claims on this corpus" in page
    assert str(tmp_path) not in text
    drawn = sorted((docs.parent / "images" / "reproduction").iterdir())
    assert "gpt2-mini-surprisal.svg" in [p.name for p in drawn]
    for path in drawn:
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert f"images/reproduction/{path.name}" in text
    assert whole() == []  # all that is finished is taken as it is
    assert whole(runs=out / "training") == []
    assert docs.read_text() == text


def test_what_is_still_trained_is_left_out_and_another_corpus_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no finished training, expected folders NAME/seed-42"):
        reproduce(corpus, runs=tmp_path, out=tmp_path / "out")
    seed = tmp_path / "gpt2-mini" / "seed-1" / "step-000000"
    seed.mkdir(parents=True)
    (seed / "config.json").write_text("{}")
    preset = {"name": "gpt2-mini", "architecture": "gpt2", "steps": 4, "config": {"n_layer": 1}}
    record = {"step": 0, "preset": preset, "corpus": {"digest": "another"}}
    (seed / "training.json").write_text(json.dumps(record))
    with pytest.raises(BadInputError, match="still trained: gpt2-mini"):
        find_runs(tmp_path)
    (early,) = find_runs(tmp_path, unfinished=True)
    assert (early.seeds, early.stopped, early.unfinished) == ((seed.parent,), {"seed-1": 0}, ())
    told = early_end_note(replace(planted(), run=early))
    assert told == "The training of gpt2-mini ended before its 4 steps: seed 1 at step 0."
    (seed / "training.json").write_text(json.dumps({**record, "step": 4}))
    assert [r.stopped for r in find_runs(tmp_path, unfinished=True)] == [{}]
    with pytest.raises(BadInputError, match="trained on another corpus"):
        reproduce(corpus, runs=tmp_path, out=tmp_path / "out")


def test_the_plan_of_each_size_has_the_null_and_what_an_lstm_verdict_needs() -> None:
    parts = plan_parts(SIZES["mini"], None, (42, 142, 242))
    assert [p.name for p in parts if p.shuffled] == ["gpt2-mini-shuffled"]
    tried = [p.rate or 3e-3 for p in parts if p.preset == "lstm-1l-mini"]  # 3e-3 is the preset's own
    assert sorted(tried) == [1e-3, 3e-3, 1e-2]
    only = plan_parts(SIZES["paper"], ["mamba2-4l"], (42,))
    assert [p.name for p in only] == ["mamba2-4l", "mamba2-4l-shuffled"]
    with pytest.raises(BadInputError, match="--arch 'gpt3': expected some of"):
        plan_parts(SIZES["mini"], ["gpt3"], (42,))


def test_values_of_presets_can_be_changed_and_an_lstm_keeps_the_rates_it_is_tried_at(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = size_of("mini", {"steps": 3000, "optimisation.lr": 1e-2}, 500)
    assert (size.override["steps"], size.override["batch_size"], size.vocabulary) == (3000, 16, 500)
    parts = plan_parts(size, ["lstm-1l-mini"], (1,))
    assert [p.name for p in parts] == ["lstm-1l-mini", "lstm-1l-mini-lr0.001", "lstm-1l-mini-lr0.003"]
    trained: list[tuple[object, object]] = []
    monkeypatch.setattr(plan, "train", lambda *_, override, **__: trained.append(override["optimisation.lr"]))
    train_parts(parts, size, corpus, tmp_path, 1)
    assert trained == [1e-2, 1e-3, 3e-3]
    with pytest.raises(BadInputError, match="for models that are trained; none is"):
        reproduce(corpus, runs=tmp_path, out=tmp_path / "out", override={"steps": 3})
    with pytest.raises(BadInputError, match="nothing to measure; expected an imported corpus, or trainings"):
        reproduce(out=tmp_path / "out")
