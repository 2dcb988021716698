"""Models that see images in the reproduction: found, measured as far as their size allows, and written."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from groundbench.api.errors import BadInputError
from groundbench.evaluation import trajectory as module
from groundbench.evaluation.trajectory import TrajectoryOptions
from groundbench.measures.ablation.options import AblationOptions
from groundbench.studies.paper import find_runs, reproduce
from groundbench.studies.paper.measure import OPTIONS, options_for
from groundbench.studies.paper.reproduce import _images_in_order
from groundbench.tasks.image_dialogue import corpus
from groundbench.training import train

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "reproduce"
QUICK = TrajectoryOptions(
    points=2,
    costly_points=1,
    mismatches=1,
    limit=4,
    at_least=60,
    measures=("gain", "heads", "ablation", "image"),
    ablation=AblationOptions(draws=2, instance_draws=1),
)
FEW = {
    "steps": 2,
    "batch_size": 2,
    "heldout_rows": 4,
    "checkpoints": [{"every": 2}],
    "config.text_config.num_hidden_layers": 2,
    "config.vision_config.num_hidden_layers": 1,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its null, both of an encoder that is trained along."""
    root = tmp_path_factory.mktemp("pictures")
    override = {**FEW, "pictures.cache": str(root / "cache")}
    for name, shuffled in (("vlm", False), ("vlm-shuffled", True)):
        text = corpus(images=4, shuffle_env=shuffled)
        train("vlm-mini-embedded", text, root / "runs" / name, override=override, threads=1, device="cpu")
    return root / "runs"


def planted(root: Path, name: str, **preset: object) -> Path:
    """A folder of one finished checkpoint that holds no weights."""
    folder = root / name / "seed-42" / "step-000004"
    folder.mkdir(parents=True)
    whole = {"name": name, "architecture": "llava", "steps": 4, "config": {}, **preset}
    record = {"step": 4, "preset": whole, "corpus": {"name": "image-dialogue", "shuffle_env": False}}
    (folder / "training.json").write_text(json.dumps(record))
    config = {"model_type": "llava", "text_config": {"model_type": "llama", "num_hidden_layers": 7}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_layers_and_sources_of_a_run_that_sees(tmp_path: Path) -> None:
    planted(tmp_path, "smol", pictures={"vision": "models/dino", "language": "hub/SmolLM2"})
    planted(tmp_path, "mini", config={"text_config": {"num_hidden_layers": 3}}, pictures={"vision": None})
    planted(tmp_path, "gpt2", architecture="gpt2", config={"n_layer": 5})
    found = {r.name: r for r in find_runs(tmp_path, images=True)}
    assert {name: (r.kind, r.layers) for name, r in found.items()} == {"smol": ("vlm", 7), "mini": ("vlm", 3)}
    assert (found["smol"].frozen_part("vision"), found["smol"].frozen_part("language")) == ("dino", "SmolLM2")
    assert (found["mini"].frozen_part("vision"), found["mini"].frozen_part("language")) == (None, None)
    assert [r.name for r in find_runs(tmp_path)] == ["gpt2"]
    assert [r.name for r in _images_in_order(list(found.values()))] == ["mini", "smol"]
    with pytest.raises(BadInputError, match="no finished training of a model that sees images"):
        find_runs(tmp_path / "mini", images=True)


def test_of_a_frozen_language_model_less_is_measured(tmp_path: Path) -> None:
    planted(tmp_path, "smol", pictures={"vision": "models/dino", "language": "hub/SmolLM2"})
    planted(tmp_path, "mini", pictures={"vision": "models/dino", "language": None})
    mini, smol = find_runs(tmp_path, images=True)
    asked = replace(OPTIONS, corpus=tmp_path, at_least=5)
    small, large = options_for(mini, asked), options_for(smol, asked)
    assert (small.corpus, small.at_least, small.mismatches, small.limit) == (None, None, None, None)
    assert (small.points, small.ablation) == (OPTIONS.points, OPTIONS.ablation)
    assert (large.points, large.costly_points, large.limit, large.mismatches) == (3, 1, 40, OPTIONS.mismatches)
    assert (large.ablation.draws, large.heads.denominator, large.ablation.selections) == (5, "row", ("crossfit",))
    assert "lens" in small.measures
    assert "lens" not in large.measures
    training = {**smol.training, "corpus": {"name": "image-dialogue", "shuffle_env": True}}
    null = options_for(replace(smol, training=training), asked)
    assert (null.measures, null.points, null.limit) == (("gain", "heads", "image"), 3, 40)


@pytest.mark.slow
def test_pictures_alone_are_measured_written_and_gone_on_with(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_model = module.open_model
    monkeypatch.setattr(module, "open_model", lambda path, **load: opened.append(path) or open_model(path, **load))
    docs = tmp_path / "docs" / "reproduction.md"

    def whole() -> str:
        study = reproduce(images=trained, out=tmp_path / "out", docs=docs, options=QUICK, jobs=1, commands=["x"])
        assert study.measured == ()
        assert [m.run.name for m in study.image_runs] == ["vlm", "vlm-shuffled"]
        seen = study.image_runs[0].seen
        assert seen is not None
        assert seen.mean.testbed.env_form == "image-seen-style"
        assert (len(seen.mean.points), seen.run.layers) == (1, 2)
        return study.sentence()

    assert whole().startswith("Of 12 claims on models that see images: ")
    assert len(opened) == 2 * (2 + 1)  # two checkpoints each, and the last once more in the styles of the training
    text, page = docs.read_text(), (tmp_path / "out" / "report.html").read_text()
    assert "## Image-grounded dialogue" in text
    assert "LLaMA-style decoder" in text
    assert "vlm: steps 0, 2; 4 nouns, all mismatches an item; heads" in text
    assert "The corpus" not in text
    assert "Image-grounded dialogue" in page
    claims = json.loads((tmp_path / "out" / "verdicts.json").read_text())
    assert {c["id"] for c in claims} >= {"emerges", "reads-object", "goes-with-patches", "null"}
    drawn = [p.name for p in sorted((docs.parent / "images" / "reproduction").iterdir())]
    assert drawn == ["pictures-gain.svg", "pictures-vlm-shuffled-surprisal.svg", "pictures-vlm-surprisal.svg"]
    assert str(tmp_path) not in text
    opened.clear()
    whole()
    assert opened == []
    assert docs.read_text() == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected CORPUS, or --images DIR"),
        (["--images", "DIR", "--runs", "DIR"], "--runs and --arch are of models trained on CORPUS"),
        (["--pictures", "DIR", "--set", "steps"], "--set 'steps': expected KEY=VALUE"),
    ],
)
def test_the_script_says_what_it_needs(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
