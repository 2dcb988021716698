"""Public sets and users' own files as lm-eval's tasks: their documents, and a screening's numbers of the same file."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval's hf backend is not installed")

from helpers import tiny_backends as tiny  # noqa: E402
from helpers.public_sets import ROWS, folder_of  # noqa: E402
from lm_eval.api.model import LM  # noqa: E402
from PIL import Image  # noqa: E402

from groundbench import screen  # noqa: E402
from groundbench.api.errors import BadInputError, NonFiniteLogitsError  # noqa: E402
from groundbench.cli import main  # noqa: E402
from groundbench.integrations.lm_eval import evidence, evidence_metrics, include_path  # noqa: E402
from groundbench.screening.measure import RecordOptions, ScreenOptions  # noqa: E402
from groundbench.stats.error_ranking import auroc  # noqa: E402
from groundbench.tasks.questions.sets import SETS  # noqa: E402

logging.getLogger("lm_eval").setLevel(logging.ERROR)
DATA = Path(os.environ.get("GROUNDBENCH_DATA", Path(__file__).parents[3] / "shared" / "data")) / "evidence"
IMAGE_SETS = {"pope-records": "pope", "amber": "amber", "naturalbench": "naturalbench"}
TEXTS = sorted(set(SETS) - set(IMAGE_SETS) - {"squad-v2", "squad-v2-flat"})
SHORT = "{evidence} {question}"


def task_of(name: str, **metadata: Any) -> Any:
    (task,) = tiny.our_tasks(**metadata).load([f"groundbench_{name}"])["tasks"].values()
    return task


def measured(name: str, lm: Any = None, **metadata: Any) -> dict[str, Any]:
    lm = lm or huggingface.HFLM(pretrained=tiny.gpt2(), tokenizer=tiny.english(), batch_size=16, device="cpu")
    task = f"groundbench_{name}"
    manager = tiny.our_tasks(**metadata)
    found = lm_eval.simple_evaluate(model=lm, tasks=[task], task_manager=manager, log_samples=True)
    return {k.removesuffix(",none"): v for k, v in found["results"][task].items()}


def test_every_set_that_lm_eval_lacks_has_a_task_and_no_other() -> None:
    there = {p.stem.removeprefix("groundbench_") for p in include_path().glob("*.yaml")}
    assert {*TEXTS, *IMAGE_SETS.values(), "records"} <= there
    assert not {"squad-v2", "squad-v2-flat"} & there
    theirs = {p.name for p in (Path(lm_eval.__file__).parent / "tasks").iterdir()}
    assert "squadv2" in theirs
    assert not theirs & {"memotrap", "halueval", "faitheval", "nq_swap", "conflictqa", "confiqa", "ragtruth", "pope"}


@pytest.mark.parametrize("name", TEXTS)
def test_a_sets_rows_become_documents_with_three_prompts(tmp_path: Path, name: str) -> None:
    rows, mode, shown = ROWS[name]
    docs = list(task_of(name, file=str(folder_of(tmp_path, rows))).eval_docs)
    assert len(docs) == len(shown)
    for doc, text in zip(docs, shown, strict=True):
        assert text in doc["prompt"]
        assert text not in doc["without"]
        assert (doc["gold"] >= 0) is (mode == "A") is (doc["wrong"] is None)
        assert len(doc["choices"]) > 1 or mode == "B"


@pytest.mark.parametrize("name", sorted(IMAGE_SETS))
def test_a_set_of_images_becomes_documents_that_show_them(tmp_path: Path, name: str) -> None:
    rows, _, shown = ROWS[name]
    task = task_of(IMAGE_SETS[name], file=str(folder_of(tmp_path, rows)))
    docs = list(task.eval_docs)
    assert len(docs) == len(shown)
    for doc in docs:
        (image,) = task.doc_to_image(doc)
        assert image.size == (8, 8)
        assert task.doc_to_text(doc).startswith("<image>\n")


def passages(n: int = 40) -> list[dict[str, Any]]:
    rng = random.Random(0)
    words = ("cup", "doll", "bear", "cow", "book", "ball", "necklace")
    found = []
    for i in range(n):
        told, other = rng.sample(words, 2)
        found.append(
            {"id": f"r{i}", "question": f"Look at {i}, what?", "evidence": f"There is the {told} and {i}.",
             "told": told, "other": other}
        )  # fmt: skip
    return found


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "my.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def test_choices_are_answered_as_groundbench_screen_answers_them(tmp_path: Path) -> None:
    keys = ("id", "question", "evidence")
    rows = [
        {**{k: r[k] for k in keys}, "candidates": [r["told"], r["other"]], "truth": 0, "usual": 1} for r in passages()
    ]
    file = written(tmp_path, rows)
    signals = ("gain", "probability")
    card = screen(tiny.adapter(), [file], ScreenOptions(signals=signals, records=RecordOptions(template=SHORT)))
    found = measured("records", file=file, template=SHORT)
    error = card.errors[0].error.value
    assert error is not None
    assert 0 < error < 1
    assert found["acc"] == pytest.approx(1 - error)
    gains = {g.against: g.gain.value for g in card.gains}
    assert found["gain_right"] == pytest.approx(gains["without"], rel=1e-5, abs=1e-5)
    assert found["gain_mismatched_right"] == pytest.approx(gains["mismatched"], rel=1e-5, abs=1e-5)
    assert found["says_usual"] == pytest.approx(error)  # of two candidates the wrong one is the usual one
    assert 0 <= found["acc_without"] <= 1


def test_given_answers_have_the_gains_and_rankings_of_groundbench_screen(tmp_path: Path) -> None:
    keys = ("id", "question", "evidence")
    rows = [
        {**{k: r[k] for k in keys}, "answer": f"the {r['other' if i % 3 == 0 else 'told']} and",
         "label": "unsupported" if i % 3 == 0 else "supported"}
        for i, r in enumerate(passages())
    ]  # fmt: skip
    file = written(tmp_path, rows)
    options = ScreenOptions(signals=("gain", "gain-mismatched", "probability"), records=RecordOptions(template=SHORT))
    card = screen(tiny.adapter(), [file], options, out=tmp_path / "out")
    found = measured("records", file=file, template=SHORT)
    gains = {g.against: g.gain.value for g in card.gains}
    assert found["gain_right"] == pytest.approx(gains["without"], rel=1e-5, abs=1e-5)
    assert found["gain_mismatched_right"] == pytest.approx(gains["mismatched"], rel=1e-5, abs=1e-5)
    table = pq.read_table(tmp_path / "out" / "answers.parquet").to_pydict()
    answers = {r["id"]: r["answer"] for r in rows}
    size = np.array([len(answers[i]) for i in table["id"]])
    wrong = np.array(table["wrong"])
    assert found["auroc_logprob"] == pytest.approx(auroc(np.array(table["risk_probability"]) / size, wrong))
    assert found["auroc_length"] == pytest.approx(auroc(size.astype(float), wrong))
    assert "acc" not in found


def test_a_chat_template_stands_around_all_three_prompts(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "evidence": f"Bo {i}.", "answer": "Bo", "label": "supported"} for i in range(2)]
    task = task_of("records", file=written(tmp_path, rows))
    doc = task.eval_docs[0]
    wrapped = f"<user>{doc['prompt']}</user>"
    made = task.construct_requests(doc, wrapped, apply_chat_template=True, metadata=("records", 0, 1))
    contexts = [m.args[0] for m in made]
    assert contexts == [f"<user>{doc[k]}</user>" for k in ("prompt", "without", "other")]
    assert {m.args[1] for m in made} == {"Bo"}
    plain = task.construct_requests(doc, doc["prompt"], metadata=("records", 0, 1))
    assert {m.args[1] for m in plain} == {" Bo"}
    with pytest.raises(BadInputError, match="line 1: the prompt stands 0 times in the context"):
        task.construct_requests(doc, "something else", metadata=("records", 0, 1))


@pytest.mark.parametrize(
    ("name", "rows", "metadata", "why"),
    [
        ("memotrap", None, {}, r"pass --metadata file=PATH; its makers publish it at github.com/liujch1998/memo-trap"),
        ("records", None, {}, r"pass --metadata file=PATH \(nothing is downloaded\)"),
        ("nq-swap", [{"a": 1}], {}, "the set nq-swap has the fields question"),
        ("records", [{"question": "q", "evidence": "e", "answer": "a"}], {}, "answers without labels"),
        ("records", ROWS["pope-records"][0], {}, "asks about images, which this task of texts cannot show"),
        ("pope", ROWS["nq-swap"][0], {}, "the set pope-records has the fields"),
        ("records", ROWS["nq-swap"][0], {"max_evidence": "many"}, "max_evidence='many': expected a whole number"),
        ("records", ROWS["nq-swap"][0], {"seed": "x"}, "seed='x': expected a whole number"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, rows: list[dict[str, Any]] | None, metadata: dict[str, Any], why: str
) -> None:
    file = {} if rows is None else {"file": str(folder_of(tmp_path, rows))}
    with pytest.raises(BadInputError, match=why):
        task_of(name, **file, **metadata)


def test_several_sets_at_once_have_a_file_each(tmp_path: Path) -> None:
    paths = {}
    for name in ("nq-swap", "halueval-qa"):
        (tmp_path / name).mkdir()
        paths[name] = str(folder_of(tmp_path / name, ROWS[name][0]))
    loaded = tiny.our_tasks(**paths).load(["groundbench_nq-swap", "groundbench_halueval-qa"])["tasks"]
    assert [len(t.eval_docs) for t in loaded.values()] == [2, 2]


def test_a_record_that_was_not_measured_is_an_error() -> None:
    doc = {"where": "my.jsonl, line 3", "without": "w", "other": "", "gold": -1, "usual": -1, "choices": [" a"]}
    with pytest.raises(NonFiniteLogitsError, match=r"my\.jsonl, line 3: the model returned NaN"):
        evidence_metrics.of_record({**doc, "wrong": True}, [(-1.0, True), (float("nan"), False)])
    found = evidence_metrics.of_record({**doc, "wrong": True}, [(-3.0, True), (-5.0, False)])
    assert found["gain_wrong"] == 2.0
    assert found["auroc_gain"] == (-2.0, True)
    assert not {"gain_right", "acc", "gain_mismatched_wrong", "says_usual"} & set(found)
    assert np.isnan(evidence_metrics.auroc_of_errors([(1.0, True), (2.0, True)]))
    assert evidence_metrics.auroc_of_errors([(2.0, True), (1.0, False)]) == 1.0


class Painter(LM):
    """Says yes where the image is red: what a model that sees would answer to `Is it red?`."""

    MULTIMODAL = True

    def generate_until(self, requests: list[Any]) -> list[str]:
        found = []
        for request in requests:
            (image,) = request.args[2]["visual"]
            red = image.getpixel((0, 0))[0] > 128
            asked = "red" in request.args[0]
            found.append("Yes, it is." if red is asked else "No.")
        return found

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        raise NotImplementedError


def test_a_model_that_sees_answers_questions_about_images(tmp_path: Path) -> None:
    file = str(folder_of(tmp_path, ROWS["naturalbench"][0]))
    found = measured("naturalbench", Painter(), file=file)
    assert (found["acc"], found["unreadable"], found["says_yes"]) == (1.0, 0.0, 0.5)
    assert evidence_metrics.of_image({"choices": ["yes", "no"], "gold": 0}, ["Well, maybe"]) == {
        "acc": 0.0,
        "unreadable": 1.0,
    }


def test_lm_evals_own_model_of_images_runs_them(tmp_path: Path) -> None:
    from helpers.tiny_vlms import tiny_vlm

    vlms = pytest.importorskip("lm_eval.models.hf_vlms")
    model, processor = tiny_vlm("llava")
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    lm = vlms.HFMultimodalLM(pretrained=str(tmp_path / "model"), device="cpu", batch_size=1, dtype="float32")
    (tmp_path / "set").mkdir()
    file = folder_of(tmp_path / "set", ROWS["pope-records"][0])
    Image.new("RGB", (32, 32), "red").save(tmp_path / "set" / "a.png")
    found = measured("pope", lm, file=str(file))
    assert found["acc"] in (0.0, 1.0)
    assert found["unreadable"] in (0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "file", "n"),
    [
        ("memotrap", "memotrap-1-proverb-ending.csv", 860),
        ("memotrap", "memotrap-4-history-of-science-qa.csv", 736),
        ("halueval-qa", "halueval-qa-500.jsonl", 1000),
    ],
)
def test_the_real_files(name: str, file: str, n: int) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"{file} is not at hand")
    docs = evidence.records(set=name, file=str(DATA / file))["test"]
    assert len(docs) == n
    assert all(d["other"] for d in docs)


def test_the_command_runs_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from lm_eval.tasks import manager

    original = manager.TaskManager.__init__
    monkeypatch.setattr(
        manager.TaskManager, "__init__", lambda self, *a, **m: original(self, *a, **{**m, "include_defaults": False})
    )
    folder = tiny.save_gpt2(tmp_path / "gpt2")
    (tmp_path / "set").mkdir()
    file = folder_of(tmp_path / "set", ROWS["memotrap"][0])
    args = [
        "lm-eval",
        "--model",
        "groundbench",
        "--model_args",
        f"pretrained={folder}",
        "--tasks",
        "groundbench_memotrap",
    ]
    assert main([*args, "--metadata", f"file={file}"]) == 0
    assert "says_usual" in capsys.readouterr().out
    assert main(args) == 2
    assert "pass --metadata file=PATH" in capsys.readouterr().err.splitlines()[-1]
