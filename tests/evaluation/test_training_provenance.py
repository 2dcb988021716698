"""A checkpoint trained on an imported corpus: which testbed fits it, which nouns its corpus leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.corpus_fixtures import small_corpus
from helpers.small_models import tiny_gpt2
from helpers.toy_training import toy_preset

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.cli.tables.result import show_result
from groundbench.evaluation.defaults import choose_testbed
from groundbench.evaluation.evaluate import evaluate
from groundbench.evaluation.training_provenance import Trained
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory
from groundbench.registry import load_testbed, open_model
from groundbench.results.run import Result
from groundbench.results.unknown_words import unknown_words
from groundbench.tasks import childes
from groundbench.tasks.corpora import ImportedCorpus, import_childes
from groundbench.training import train

KEPT = ("ball", "book", "cup", "dog", "hat", "shoe")
SIZES = {"config.n_positions": 32, "length": 32, "steps": 4, "checkpoints": [{"every": 2}], "heldout_rows": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six nouns, each shown 60 times and said 120 times."""
    root = tmp_path_factory.mktemp("corpus")
    import_childes(small_corpus(root / "in"), root / "corpus", jobs=1)
    return root / "corpus"


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(toy_preset(**SIZES), ImportedCorpus(folder), out, seeds=(3,), device="cpu", threads=1)
    return out / "seed-3"


def last(run: Path) -> str:
    return str(run / "step-000004")


def test_its_own_corpus_chooses_testbed_and_nouns(run: Path, folder: Path) -> None:
    bed = choose_testbed(open_model(last(run)), None, at_least=60)
    assert bed.name == "childes"
    form = bed.form("token")
    assert tuple(n.word for n in bed.nouns_of(form)) == KEPT
    assert bed.excluded(form)["airplane"] == "shown 0 times and said 0 times, fewer than 60"
    assert {f.noun for f in bed.frames(form)} == {*KEPT}
    assert bed.identity()["nouns"] == {
        "kept": 6,
        "of": 100,
        "at_least": 60,
        "tiers": "core",
        "corpus": ImportedCorpus(folder).manifest.digest[:16],
        "fold_case": False,
    }
    assert bed.digest() != load_testbed("childes").digest()


def test_the_threshold_is_in_the_result_and_none_is_all_nouns(run: Path) -> None:
    result = evaluate(last(run), measures=["gain"], mismatches=1, at_least=60)
    assert (result.testbed.name, result.testbed.n_nouns, result.testbed.n_items) == ("childes", 6, 60)
    assert result.protocol["nouns"]["kept"] == 6  # type: ignore[index,call-overload]
    assert len(result.testbed.excluded) == 94
    with pytest.raises(BadInputError, match="0 of 100 nouns occur at least 100 times in both forms, core tiers"):
        choose_testbed(open_model(last(run)), "childes")
    every = choose_testbed(open_model(last(run)), "childes", at_least=0)
    assert every.digest() == load_testbed("childes").digest()


def test_context_words_that_the_corpus_lacks_are_counted_and_nothing_else_changes(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bed = childes.load(folder, 60)
    known = set((folder / "vocabulary.txt").read_text().split())
    form = bed.form("token")
    texts = [bed.prompt(f, bed.noun(f.noun or ""), form).text.split() for f in bed.frames(form)]
    unknown = [[w for w in text if w not in known] for text in texts]
    result = evaluate(last(run), measures=["gain"], mismatches=1, at_least=60, out=tmp_path)
    assert result.protocol["unknown_words"] == {
        "token": {
            "prompts": sum(map(bool, unknown)),
            "of_prompts": 60,
            "words": sum(map(len, unknown)),
            "of_words": sum(map(len, texts)),
        }
    }
    assert 0 < sum(map(len, unknown)) < sum(map(len, texts))
    assert "unknown" not in (tmp_path / "manifest.json").read_text()  # no part of what makes a run the same one
    show_result(result)
    line = f"token: {unknown_words(result.protocol)['token'].describe()}"
    assert line in capsys.readouterr().out.replace("\n", " ")


def test_a_moved_corpus_is_said_to_be_missing_and_found_where_it_is_now(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    for path in moved.glob("*/training.json"):
        record = json.loads(path.read_text())
        record["corpus"]["folder"] = str(tmp_path / "gone")
        path.write_text(json.dumps(record))
    with pytest.raises(BadInputError, match=r"does not lie in .*gone any more; give --corpus DIR"):
        evaluate(last(moved), measures=["gain"], at_least=60)
    lost = TrajectoryOptions(measures=("gain",), mismatches=1, points=1)
    (point,) = trajectory(moved, childes.load(folder, 60), out=tmp_path / "lost", options=lost).points
    assert point.result.cooccurrence is None
    assert [f.where for f in point.result.failures] == ["cooccurrence"]
    here = TrajectoryOptions(measures=("gain",), mismatches=1, points=1, at_least=60, corpus=folder)
    (point,) = trajectory(moved, out=tmp_path / "found", options=here).points
    assert point.result.cooccurrence is not None
    assert not point.result.failures
    other = tmp_path / "other"
    import_childes(small_corpus(tmp_path / "in", files=6), other, jobs=1)
    with pytest.raises(BadInputError, match="its digest is"):
        trajectory(moved, out=tmp_path / "no", options=TrajectoryOptions(corpus=other))


def test_the_command_takes_both_options(run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", last(run), "--measure", "gain", "--mismatches", "1", "--at-least", "60", "--corpus", str(folder)]
    assert main([*words, "--json"]) == 0
    assert Result.model_validate_json(capsys.readouterr().out).testbed.n_nouns == 6


def test_contexts_of_a_folded_corpus_are_in_lower_case(tmp_path: Path) -> None:
    import_childes(small_corpus(tmp_path / "in"), tmp_path / "folded", fold_case=True, jobs=1)
    bed = childes.load(corpus=tmp_path / "folded", at_least=60)
    token, plain = bed.form("token"), bed.form("plain")
    texts = [bed.prompt(f, bed.noun("book"), token).text for f in bed.frames(token) if f.noun == "book"]
    assert texts[0] == "<CHI> asked:<ENV> for:<ENV> a:<ENV> new:<ENV> book:<ENV> <CHI> i:<LAN> love:<LAN> this:<LAN>"
    words = [w for t in texts for w in t.split() if not w.startswith("<")]
    assert [w.split(":<")[0] for w in words] == [w.split(":<")[0].lower() for w in words]
    assert "I love this" in bed.prompt(bed.frames(plain)[10], bed.noun("book"), plain).text


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"name": "childes-strict", "folder": "x"}, "childes"),
        ({"name": "visdial", "folder": "x"}, "caption-dialogue"),
        ({"name": "coco", "folder": "x"}, "caption-dialogue"),
        ({"name": "childworld"}, "childworld"),
        ({"name": "toy"}, None),
    ],
)
def test_the_testbed_of_each_corpus(identity: dict[str, str], name: str | None) -> None:
    assert Trained({"corpus": identity}).testbed_name() == name


def test_marked_forms_are_refused_on_a_model_without_their_tokens() -> None:
    with pytest.raises(BadInputError, match=r"no token 'bunny:<LAN>', .*; try --env-form plain"):
        evaluate(tiny_gpt2(), "childes", measures=["gain"], limit=3)
    assert evaluate(tiny_gpt2(), "childes", forms=["plain"], measures=["gain"], limit=3, mismatches=1).gain is not None


def test_a_threshold_needs_a_corpus_and_a_testbed_that_has_one() -> None:
    with pytest.raises(BadInputError, match="the model is no checkpoint trained on one"):
        evaluate(tiny_gpt2(), "childes", at_least=5)
    with pytest.raises(BadInputError, match="its nouns are not chosen by a threshold"):
        evaluate(tiny_gpt2(), "ladder", at_least=5)
    with pytest.raises(BadInputError, match="counts in a corpus; give its folder too"):
        childes.load(at_least=5)
