"""Screening through lm-eval's backends: the numbers of our own engine, and one sentence for everything that fails."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval's hf backend is not installed")

from helpers import tiny_backends as tiny  # noqa: E402
from helpers.completions_server import completions_server  # noqa: E402
from lm_eval.models.openai_completions import LocalCompletionsAPI  # noqa: E402

from groundbench import open_model, screen  # noqa: E402
from groundbench.api.errors import BadInputError, GroundbenchError, NonFiniteLogitsError  # noqa: E402
from groundbench.api.text_scorer import ScoredText, ScorerInfo, TextScorer, TextSize  # noqa: E402
from groundbench.cli import main  # noqa: E402
from groundbench.integrations.lm_eval.backend import LmEvalScorer, open_backend  # noqa: E402
from groundbench.registry import open_scorer  # noqa: E402
from groundbench.results.risk_card import RiskCard  # noqa: E402
from groundbench.screening.measure import RecordOptions, ScreenOptions  # noqa: E402
from groundbench.screening.policy import Policy  # noqa: E402
from groundbench.screening.summed_signals import SUMMED  # noqa: E402

served = pytest.mark.skipif(
    find_spec("tenacity") is None or find_spec("aiohttp") is None, reason="lm-eval's API backends are not installed"
)
SHORT = ScreenOptions(records=RecordOptions(template="{evidence} {question}"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Passages that tell a noun; a third of the answers name another one."""
    rng, words = random.Random(0), ("cup", "doll", "bear", "cow", "book", "ball", "necklace")
    rows = []
    for i in range(60):
        told, other = rng.sample(words, 2)
        wrong = i % 3 == 0
        rows.append(
            {"id": f"r{i}", "question": f"Look at {i}, what?", "evidence": f"There is the {told} and {i}.",
             "answer": f"the {other if wrong else told} and", "label": "unsupported" if wrong else "supported"}
        )  # fmt: skip
    path = tmp_path_factory.mktemp("records") / "my.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def columns(folder: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pq.read_table(folder / "answers.parquet").to_pydict()
    return found


@pytest.mark.parametrize("backend", ["hf", pytest.param("local-completions", marks=served)])
def test_a_backends_card_has_the_numbers_of_our_own_engine(
    folder: Path, file: str, tmp_path: Path, backend: str
) -> None:
    ours = screen(str(folder), [file], SHORT, out=tmp_path / "ours", load={"device": "cpu"})
    with completions_server(tiny.gpt2()) as server:
        args = {
            "hf": f"pretrained={folder},device=cpu,dtype=float32",
            "local-completions": f"base_url={server.url},model=tiny,tokenizer={folder},tokenizer_backend=huggingface,"
            "max_length=128,batch_size=8,auth_token=sesame",
        }
        theirs = screen(f"lm-eval:{backend},{args[backend]}", [file], SHORT, out=tmp_path / "theirs")
        asked = server.prompts
        assert asked == (180 if backend == "local-completions" else 0)
        screen(f"lm-eval:{backend},{args[backend]}", [file], SHORT, out=tmp_path / "theirs")
        assert server.prompts == asked  # nothing is paid for twice
    a, b = columns(tmp_path / "ours"), columns(tmp_path / "theirs")
    assert a["id"] == b["id"]
    assert a["split"] == b["split"]
    assert a["tokens"] == b["tokens"]
    for name in SUMMED:
        assert b[f"risk_{name}"] == pytest.approx(a[f"risk_{name}"], rel=1e-5, abs=1e-5), name
    for name in SUMMED:
        mine, own = ours.signal(name), theirs.signal(name)
        assert mine is not None
        assert own is not None
        assert own.auroc == mine.auroc, name
        assert own.aggregates == ()  # sums have no worst token
    for mine_, own_ in zip(ours.gains, theirs.gains, strict=True):
        assert own_.gain.value == pytest.approx(mine_.gain.value, rel=1e-5, abs=1e-5)
    missing = {s.name: s.missing for s in theirs.signals if s.missing}
    assert set(missing) == {s.name for s in ours.signals} - set(SUMMED)
    assert "no attention" in missing["lookback"]
    assert "no hidden states" in missing["lens-entropy"]
    assert "no distributions over tokens" in missing["ln-entropy"]
    assert theirs.errors == ours.errors
    assert (theirs.model.parameters is None) is (backend == "local-completions")
    assert {w.tokens for w in theirs.worst} == {()}
    card = RiskCard.load(tmp_path / "theirs")
    assert card.model.architecture == f"lm-eval {backend}"
    assert card.opened is None  # the arguments hold a key to the server
    assert not any("sesame" in p.read_text(errors="replace") for p in (tmp_path / "theirs").rglob("*.json"))


def test_the_command_writes_the_card_and_its_pages(
    folder: Path, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"lm-eval:hf,pretrained={folder},device=cpu,dtype=float32"
    args = ["screen", model, "--questions", file, "--template", "{evidence} {question}", "--out", str(tmp_path)]
    assert main([*args, "--max-risk", "0.9"]) == 0
    shown = capsys.readouterr()
    assert "33" in shown.out
    assert "Requesting" not in shown.err
    assert "sums of log-probabilities only" in re.sub(r"<[^>]*>", "", (tmp_path / "card.html").read_text())
    assert (tmp_path / "flagged.jsonl").read_text().count("\n") == 60
    assert main([*args, "--force", "--max-risk", "0.1"]) == 3


def test_answers_without_labels_are_ranked_by_the_gain_and_calibrated(folder: Path, file: str, tmp_path: Path) -> None:
    model = f"lm-eval:hf,pretrained={folder},device=cpu,dtype=float32"
    screen(model, [file], SHORT, out=tmp_path / "fitted")
    rows = [json.loads(x) for x in Path(file).read_text().splitlines()]
    alone = tmp_path / "alone.jsonl"
    alone.write_text("".join(json.dumps({k: v for k, v in r.items() if k != "label"}) + "\n" for r in rows))
    card = screen(model, [str(alone)], SHORT)
    assert card.protocol["ranked by"] == "gain"
    assert card.errors[0].error.value is None
    assert {w.probability for w in card.worst} == {None}
    records = RecordOptions(template=SHORT.records.template, calibrate=tmp_path / "fitted")
    fitted = screen(model, [str(alone)], ScreenOptions(records=records))
    assert all(w.probability is not None for w in fitted.worst)
    with pytest.raises(BadInputError, match="not of tiny"):
        screen(scorer(lambda texts: [-1.0] * len(texts)), [str(alone)], ScreenOptions(records=records))


class Fixed:
    """A scorer of fixed behaviour."""

    def __init__(self, values: Callable[[list[ScoredText]], list[float]], size: TextSize | None) -> None:
        self.info = ScorerInfo("tiny", "fixed", "0" * 16)
        self.values, self.shown = values, size

    def size(self, text: ScoredText) -> TextSize | None:
        if "r9" in text.where or text.where.endswith("line 10"):
            raise BadInputError("9 tokens do not fit")
        return self.shown

    def log_probabilities(self, texts: list[ScoredText]) -> list[float]:
        return self.values(list(texts))


NINE_AND_THREE = TextSize(9, 3)


def scorer(values: Callable[[list[ScoredText]], list[float]], size: TextSize | None = NINE_AND_THREE) -> TextScorer:
    return Fixed(values, size)


def test_records_that_do_not_fit_are_refused_and_counted(file: str) -> None:
    card = screen(scorer(lambda texts: [-1.0] * len(texts)), [file], SHORT)
    assert card.records is not None
    assert (card.records.refused, card.questions.n) == (1, 59)
    assert card.failures[-1].reason == "9 tokens do not fit"
    assert [g.gain.value for g in card.gains] == [0.0, 0.0]


def test_without_tokens_only_the_sum_is_a_signal(file: str) -> None:
    card = screen(scorer(lambda texts: [-float(len(t.prompt)) for t in texts], None), [file], SHORT)
    assert [s.name for s in card.signals if not s.missing] == ["probability"]
    gain = card.signal("gain")
    assert gain is not None
    assert gain.missing == "fixed does not show its tokens"


def test_an_interrupted_screening_asks_for_the_rest_only(file: str, tmp_path: Path) -> None:
    asked: list[int] = []

    def dies(texts: list[ScoredText]) -> list[float]:
        asked.append(len(texts))
        if len(asked) == 2:
            raise GroundbenchError("the server went away")
        return [-2.0] * len(texts)

    with pytest.raises(GroundbenchError, match="went away"):
        screen(scorer(dies), [file], SHORT, out=tmp_path)
    screen(scorer(dies), [file], SHORT, out=tmp_path)
    assert asked == [96, 81, 81]


@served
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: {"choices": [{**c, "logprobs": None} for c in a["choices"]]}, "must answer echo=true"),
        (lambda a: {"choices": [{**c, "logprobs": {"token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}]}}
                                for c in a["choices"]]}, "sent 1 log-probabilities for a text of"),
        (lambda a: {"choices": [{**c, "logprobs": {**c["logprobs"], "token_logprobs":
                                                   c["logprobs"]["token_logprobs"][:-1]}} for c in a["choices"]]},
         "log-probabilities for a text of"),
        (lambda a: {"choices": a["choices"][:-1]}, "sent 0 choices for 1 prompts"),
        (lambda a: {"error": "no such model"}, "the server's answer has no choices"),
        (lambda a: 500, "500"),
        (lambda a: b"<html>", "failed"),
    ],
)  # fmt: skip
def test_a_server_that_gives_no_log_probabilities_is_told_in_one_sentence(
    folder: Path, file: str, capsys: pytest.CaptureFixture[str], change: Callable[[Any], Any], why: str
) -> None:
    with completions_server(tiny.gpt2(), change) as server:
        model = (
            f"lm-eval:local-completions,base_url={server.url},model=tiny,tokenizer={folder},"
            "tokenizer_backend=huggingface,max_length=128,max_retries=1"
        )
        code = main(["screen", model, "--questions", file, "--template", "{evidence} {question}"])
    assert code in (1, 2)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if line.startswith("groundbench: ")]
    assert len(said) == 1
    assert why in said[0]
    assert server.url in said[0]


def test_what_cannot_be_opened_is_one_sentence(folder: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/v1/completions"
    for spec, why in (
        ("nothing", "lm-eval has no backend 'nothing'; it knows "),
        ("hf,pretrained", "found the argument 'pretrained', expected key=value"),
        (f"local-completions,base_url={closed},model=x", f"no server answers at {closed}"),
        ("local-completions,base_url=localhost:8000,model=x", "base_url is 'localhost:8000', expected http://"),
        (f"hf,pretrained={folder}/none", "lm-eval's backend hf does not open: "),
    ):
        assert main(["screen", f"lm-eval:{spec}", "--questions", file]) == 2, spec
        (said,) = capsys.readouterr().err.splitlines()
        assert why in said, spec


def test_what_only_logits_can_tell_is_refused(
    folder: Path, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"lm-eval:hf,pretrained={folder},device=cpu,dtype=float32"
    choices = tmp_path / "choices.jsonl"
    choices.write_text(json.dumps({"question": "q", "evidence": "e", "candidates": ["a", "b"], "truth": 0}) + "\n")
    for args, why in (
        (["run", model], "gives log-probabilities of texts alone, which `groundbench screen --questions FILE` reads"),
        (["screen", model], "name a file of them with --questions FILE"),
        (["screen", model, "--questions", "text-scenes"], "name a file of them with --questions FILE"),
        (["screen", model, "--questions", str(choices)], "--tasks groundbench_records"),
        (["screen", model, "--questions", file, "--signals", "heads"], "gives sums of log-probabilities only"),
        (["screen", model, "--questions", file, "--generate"], "generates nothing here"),
        (
            ["screen", model, "--questions", file, "--dtype", "float16"],
            "option of loading 'dtype' is not read here",
        ),
        (["screen", model, "--questions", file, "--dry-run"], "60 records would be up to 180 requests"),
    ):
        assert main(args) == 2, args
        assert why in capsys.readouterr().err.splitlines()[-1], args


def test_only_its_own_names_are_scorers(folder: Path) -> None:
    assert open_scorer(str(folder)) is None
    assert open_scorer("module:object") is None
    assert open_scorer(tiny.adapter()) is None
    assert isinstance(open_backend(f"hf,pretrained={folder},device=cpu"), TextScorer)
    with pytest.raises(BadInputError, match="log-probabilities of texts alone"):
        open_model(f"lm-eval:hf,pretrained={folder}")


def test_sizes_are_the_tokenizers_and_nothing_is_cut(folder: Path) -> None:
    made = open_backend(f"hf,pretrained={folder},device=cpu,dtype=float32")
    assert isinstance(made, LmEvalScorer)
    found = made.size(ScoredText("The girl looks at the", " cup", "x"))
    (row,) = tiny.english()(["The girl looks at the"])["input_ids"]
    assert found == TextSize(len(row), 1)
    with pytest.raises(BadInputError, match="do not fit lm-eval hf's context of 128"):
        made.size(ScoredText("a b c d " * 60, " cup", "x"))
    with pytest.raises(BadInputError, match="merges the prompt's end"):
        made.size(ScoredText("The girl looks at the c", "up", "x"))
    with pytest.raises(BadInputError, match="no token of its own"):
        made.size(ScoredText("The girl", "", "x"))


def test_what_is_not_finite_is_an_error_and_no_score(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = open_backend(f"hf,pretrained={folder},device=cpu,dtype=float32")
    monkeypatch.setattr(made.lm, "loglikelihood", lambda requests: [(float("nan"), False)])
    with pytest.raises(NonFiniteLogitsError, match=r"my\.jsonl, line 3: lm-eval hf gave nan"):
        made.log_probabilities([ScoredText("a", " b", "my.jsonl, line 3")])
    monkeypatch.setattr(made.lm, "loglikelihood", lambda requests: [])
    with pytest.raises(GroundbenchError, match="gave 0 answers to 1 requests"):
        made.log_probabilities([ScoredText("a", " b", "x")])

    def none(requests: Any) -> Any:
        raise NotImplementedError("chat only")

    monkeypatch.setattr(made.lm, "loglikelihood", none)
    with pytest.raises(BadInputError, match="gives no log-probabilities of texts"):
        made.log_probabilities([ScoredText("a", " b", "x")])


def test_policies_hold_on_a_backends_card(folder: Path, file: str) -> None:
    model = f"lm-eval:hf,pretrained={folder},device=cpu,dtype=float32"
    options = ScreenOptions(records=SHORT.records, policy=Policy(max_risk=0.5))
    assert screen(model, [file], options).verdict.passed is True


def test_lm_evals_own_reading_of_a_servers_answer_is_kept() -> None:
    """The check stands before `parse_logprobs`, whose sums are lm-eval's."""
    from groundbench.integrations.lm_eval.completions import with_check

    answer = {"choices": [{"index": 0, "logprobs": {"token_logprobs": [None, -1.0, -2.0, -9.0], "top_logprobs": None}}]}
    assert with_check(LocalCompletionsAPI.parse_logprobs)(outputs=answer, tokens=[[5, 6, 7]], ctxlens=[1]) == [
        (-3.0, True)
    ]
