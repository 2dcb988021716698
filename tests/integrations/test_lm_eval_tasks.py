"""Our task files in lm-eval: what they load as, and that the mean over documents is the gain."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from types import SimpleNamespace

import numpy as np
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")

from helpers import tiny_backends as tiny  # noqa: E402

import groundbench  # noqa: E402
from groundbench.api.errors import BadInputError, NonFiniteLogitsError  # noqa: E402
from groundbench.api.surprisal_table import SurprisalTable  # noqa: E402
from groundbench.integrations.lm_eval import include_path, metrics  # noqa: E402
from groundbench.integrations.lm_eval.convert import table_of  # noqa: E402
from groundbench.integrations.lm_eval.documents import (  # noqa: E402
    contexts,
    items,
    ladder_contexts,
    mismatch_weights,
    select,
)
from groundbench.measures.gain.ladder_score import ladder_score  # noqa: E402
from groundbench.measures.gain.measure import measure_gain  # noqa: E402
from groundbench.registry import load_testbed  # noqa: E402

logging.getLogger("lm_eval").setLevel(logging.ERROR)
LADDER = load_testbed("ladder")
FORMS = [f.name for f in LADDER.forms]
GROUPS = {"groundbench": "ladder", "groundbench_childworld": "childworld"}


@pytest.fixture(scope="module")
def writer(root):
    loader = SourceFileLoader("lm_eval_tasks", str(root / "scripts" / "generate" / "lm_eval_tasks"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("lm_eval_tasks", loader))
    loader.exec_module(module)
    return module


def test_task_files_are_those_of_the_testbeds(root):
    done = subprocess.run(
        [sys.executable, str(root / "scripts/generate/lm_eval_tasks"), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"run scripts/generate/lm_eval_tasks:\n{done.stdout}{done.stderr}"


def test_the_check_sees_missing_stale_and_left_over_files(writer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writer, "include_path", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["lm_eval_tasks"])
    (tmp_path / "left.yaml").write_text("task: left\n")
    assert writer.main() == 0
    monkeypatch.setattr(sys, "argv", ["lm_eval_tasks", "--check"])
    assert writer.main() == 0
    (tmp_path / "groundbench_word.yaml").write_text("task: other\n")
    (tmp_path / "groundbench.yaml").unlink()
    assert writer.main() == 1
    shown = capsys.readouterr().out
    assert "groundbench_word.yaml" in shown
    assert "groundbench.yaml" in shown


def test_every_file_loads_as_a_task_of_its_testbed():
    """lm-eval skips a file that does not parse without a word."""
    manager = tiny.our_tasks(limit_nouns=3)
    assert set(manager.all_tasks) == {p.stem for p in include_path().glob("*.yaml")}
    for kind in ("", "_full"):
        loaded = manager.load([name.replace("groundbench", f"groundbench{kind}", 1) for name in GROUPS])
        names = {
            group: {
                f"{group.replace('groundbench', f'groundbench{kind}', 1)}_{f.name}" for f in load_testbed(bed).forms
            }
            for group, bed in GROUPS.items()
        }
        assert set(loaded["tasks"]) == set().union(*names.values())
        for task in loaded["tasks"].values():
            assert len(task.eval_docs) == 3 * 10
            assert task.config.num_fewshot == 0
            assert task.VERSION == "1"
            assert set(task.aggregation()) == set(task.higher_is_better())
            assert {f.__name__ for f in task.aggregation().values()} == {"mean"}


@pytest.fixture(scope="module")
def run():
    """The group on lm-eval's own backend: nine nouns of every form of the ladder."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval's hf backend is not installed")
    lm = huggingface.HFLM(pretrained=tiny.gpt2(), tokenizer=tiny.english(), batch_size=64, device="cpu")
    return lm_eval.simple_evaluate(model=lm, tasks=["groundbench"], task_manager=tiny.our_tasks(limit_nouns=9))


@pytest.mark.parametrize("form", FORMS)
def test_the_group_gives_the_gain_of_groundbench(run, form):
    ours = groundbench.evaluate(tiny.adapter(), LADDER, forms=[form], limit=9, measures=["gain"]).gain
    theirs = run["results"][f"groundbench_{form}"]
    for name, value in (
        ("grounding_gain", ours.mean),
        ("matched_surprisal", ours.matched),
        ("mismatched_surprisal", ours.mismatched),
        ("same_category_gain", ours.same_category),
    ):
        assert theirs[f"{name},none"] == pytest.approx(value, abs=2e-6), name
        assert isinstance(theirs[f"{name}_stderr,none"], float)
    assert ours.n_failed == 0


def test_samples_hold_every_surprisal(run):
    for form in FORMS:
        samples = run["samples"][f"groundbench_{form}"]
        assert run["n-samples"][f"groundbench_{form}"] == {"original": 90, "effective": 90}
        best = [int(np.argmax([a for a, _ in s["filtered_resps"]])) for s in samples]
        if not LADDER.excluded_pairs(LADDER.form(form)):
            acc = np.mean([b == s["target"] for b, s in zip(best, samples, strict=True)])
            assert run["results"][f"groundbench_{form}"]["acc,none"] == acc
        for sample in samples[:3]:
            assert len(sample["filtered_resps"]) == 9
            assert {a[0] for a in sample["arguments"]} == {sample["doc"]["context"]}  # one context, shared by all
            assert sample["doc"]["choices"][sample["target"]].strip() == sample["doc"]["shown"]


def random_table(seed, testbed, form, nouns, frames=3):
    """S[n, u, v] drawn at random, without the rows that are no mismatch."""
    none = testbed.excluded_pairs(form)
    rows = [
        (n, u, v)
        for n in range(frames)
        for u in range(len(nouns))
        for v in range(len(nouns))
        if (nouns[u].word, nouns[v].word) not in none or u == v
    ]
    frame, env, target = np.array(rows).T
    return SurprisalTable(
        form.name,
        "shared",
        tuple(n.word for n in nouns),
        tuple(n.category for n in nouns),
        tuple(f"f{i}" for i in range(frames)),
        np.full(frames, -1),
        frame,
        env,
        target,
        np.random.default_rng(seed).normal(5.0, 2.0, len(rows)) + target,
    )


@pytest.mark.parametrize("synonyms", [(), (("couch", "sofa"), ("sofa", "couch"), ("bear", "pig"))])
def test_the_mean_over_documents_is_the_gain_exactly(synonyms, monkeypatch):
    """The algebra of `documents`, with nouns that are no mismatch of each other and a category of one noun."""
    words = ("couch", "sofa", "bear", "pig", "cow", "farm", "bed")
    testbed = load_testbed("ladder")
    monkeypatch.setattr(testbed, "excluded_pairs", lambda form: frozenset(synonyms))
    form = testbed.form("word")
    nouns = tuple(testbed.noun(w) for w in words)
    table = random_table(1, testbed, form, nouns)
    weights, alike = mismatch_weights(SimpleNamespace(testbed=testbed, form=form, nouns=nouns))
    dense = np.nan_to_num(table.dense(), nan=1e6)  # what is no mismatch must not be read
    found = []
    for n in range(3):
        for u in range(len(nouns)):
            doc = {"gold": u, "weights": weights[u].tolist(), "frame": n, "shown": words[u]}
            doc["same_category_weights"] = alike[u].tolist() if alike[:, u].any() else []
            found.append(metrics.of_context(doc, [(-s, False) for s in dense[n, u]]))
    gain = measure_gain(table, n_resamples=10)
    for name, value in (
        ("grounding_gain", gain.mean),
        ("same_category_gain", gain.same_category),
        ("matched_surprisal", gain.matched),
        ("mismatched_surprisal", gain.mismatched),
    ):
        assert np.mean([d[name] for d in found if name in d]) == pytest.approx(value, abs=1e-9), name
    assert sum("same_category_gain" not in d for d in found) >= 3  # the farm stands alone


def test_the_ladder_task_gives_the_score_of_groundbench():
    """Log-likelihoods made up for its documents: what lm-eval aggregates is the score of the tables they make."""
    docs = list(ladder_contexts(testbed="ladder", hash=LADDER.digest(), limit_nouns=12)["test"])
    assert {d["form"] for d in docs} == {f.name for f in LADDER.forms if f.modality == "text"}
    strength = {"word": 8.0, "gloss": 4.0, "emoji": 0.0}
    rng = np.random.default_rng(0)
    samples, told = [], {}
    for i, doc in enumerate(docs):
        s = 12 + 0.3 * rng.standard_normal(len(doc["choices"]))
        s[doc["gold"]] -= strength.get(doc["form"], 2.0)
        answers = [(-float(x), False) for x in s]
        samples.append(metrics.of_ladder(doc, answers)["ladder_score"])
        told.setdefault(doc["form"], []).append({"doc_id": i, "doc": doc, "filtered_resps": answers})
    expected = ladder_score([table_of(form, rows) for form, rows in told.items()])
    assert metrics.ladder_score(samples) == expected.score
    assert expected.score == pytest.approx((4 + 6 * 2 + 0) / 8 / 8, abs=0.05)
    assert np.isnan(metrics.ladder_score([s for s in samples if s["doc"]["form"] != "word"]))


def test_the_ladder_task_loads_with_its_own_aggregation():
    (task,) = tiny.our_tasks(limit_nouns=3).load(["groundbench_ladder"])["tasks"].values()
    assert len(task.eval_docs) == 9 * 3 * 10
    assert task.aggregation() == {"ladder_score": metrics.ladder_score}


def test_a_document_that_was_not_measured_is_an_error():
    doc = {"gold": 0, "weights": [0.0, 1.0], "same_category_weights": [], "frame": "f1", "shown": "cup"}
    with pytest.raises(NonFiniteLogitsError, match="frame 'f1' with 'cup' shown"):
        metrics.of_context(doc, [(-1.0, True), (float("nan"), False)])


def test_documents_take_the_nouns_that_run_takes():
    rows = contexts(testbed="ladder", env_form="word", limit_nouns=5, noun_seed=3, pretrained="ignored")["test"]
    ours = groundbench.evaluate(tiny.adapter(), LADDER, forms=["word"], limit=5, seed=3, measures=["gain"]).gain
    assert list(dict.fromkeys(rows["shown"])) == [n.noun for n in ours.by_noun]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hash": "0" * 16}, "task file was written for 0000000000000000"),
        ({"limit_nouns": 1}, "limit is 1; expected at least 2"),
        ({"limit_nouns": "many"}, "limit_nouns='many': expected a whole number"),
        ({"env_form": "smell"}, "no ENV form 'smell'"),
        ({"testbed": "nowhere"}, "unknown testbed 'nowhere'"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused_in_one_sentence(options, message):
    with pytest.raises(BadInputError, match=message):
        select(**{"testbed": "ladder", "env_form": "word", **options})


def test_draws_are_a_number():
    with pytest.raises(BadInputError, match="draws=0: expected a whole number from 1 up"):
        items(testbed="ladder", env_form="word", draws=0)


def test_per_noun_frames_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        'name: own\nversion: "1"\nnatural_language: true\nframe_kind: per-noun\nnouns: [cup, doll]\n'
        'forms: {word: {template: "{noun}"}}\nframes: {cup: ["a {env} . the"], doll: ["my {env} . the"]}\n'
    )
    with pytest.raises(BadInputError, match="need shared frames and text"):
        select(testbed=str(path), env_form="word")
