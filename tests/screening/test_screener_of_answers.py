"""Live answers of many tokens: the same numbers as a screening's, from many threads, and calibrated by its card."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.small_models import tiny_llama

from groundbench import screen
from groundbench.adapters.loading import hub
from groundbench.api.errors import BadInputError
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.screener import Screener


def rows(n: int = 60) -> list[dict[str, object]]:
    words = ["ada", "bob", "cid", "dot", "eve", "fay"]
    return [
        {
            "question": f"who {words[i % 6]}",
            "evidence": f"{words[i % 6]} met {words[(i + 1) % 6]} {words[(i * 5 + 2) % 6]} {words[i % 5]}{i}",
            "answer": f"{words[(i + 1 + i % 2) % 6]} came",
            "label": "unsupported" if i % 2 else "supported",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    (folder / "my.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows()))
    screen(tiny_llama(), [str(folder / "my.jsonl")], out=folder / "out")
    return folder / "out"


def parts(row: dict[str, object]) -> tuple[str, str, str]:
    evidence = str(row["evidence"])
    asked = f"Question: {row['question']}\nAnswer:"
    prompt = f"Answer the question with what the passage says.\n\nPassage: {evidence}\n\n{asked}"
    return prompt, evidence, str(row["answer"])


def test_a_live_answer_has_the_screenings_own_numbers(screened: Path) -> None:
    screener = Screener.load(screened, tiny_llama())
    table = pq.read_table(screened / "answers.parquet").to_pydict()
    for i in (0, 7, 31):
        found = screener.risk_of_answer(parts(rows()[i])[0], parts(rows()[i])[2], evidence=parts(rows()[i])[1])
        for signal in found.signals:
            expected = table[f"risk_{signal.name}"][i]
            assert expected is not None, signal.name
            assert signal.value == pytest.approx(expected, rel=1e-4, abs=1e-6), signal.name
        assert {s.name for s in found.signals} >= {"gain", "perplexity", "length", "rauq", "ipr"}


def test_many_answers_from_many_threads_are_those_of_one(screened: Path) -> None:
    screener = Screener.load(screened, tiny_llama())
    some = [parts(r) for r in rows(8)]
    alone = screener.risk_many(some)
    assert all(0 <= f.risk <= 1 for f in alone if f.risk is not None)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: screener.risk_many(some), range(4)))
    assert all(found == alone for found in again)
    assert any(s.name == "context-shift" for s in alone[0].signals)


def test_risk_takes_signals_of_whole_answers_too(screened: Path) -> None:
    screener = Screener.load(screened, tiny_llama())
    prompt, evidence, answer = parts(rows()[0])
    names = ("perplexity", "gain")
    found = screener.risk(prompt, answer, evidence=evidence, signals=names)
    assert found == screener.risk_of_answer(prompt, answer, evidence=evidence, signals=names)


def test_what_cannot_be_read_is_named(screened: Path) -> None:
    screener = Screener.load(screened, tiny_llama())
    with pytest.raises(BadInputError, match="answer 1: the evidence 'nowhere' stands 0 times"):
        screener.risk_many([parts(rows()[0]), ("no such text", "nowhere", "bob")])
    with pytest.raises(BadInputError, match="could be measured"):
        screener.risk_of_answer("it is red say", "bob", evidence="red", signals=("svar",))
    with pytest.raises(BadInputError, match="unknown signal"):
        screener.risk_of_answer("it is red say", "bob", evidence="red", signals=("nonsense",))


def as_folder(place: Path) -> tuple[Path, dict[str, str]]:
    model = tiny_llama()
    model.model.save_pretrained(place / "mine")
    model.tokenizer.save_pretrained(place / "mine")
    return place / "mine", {"dtype": "float32"}


def as_gguf(place: Path) -> tuple[Path, dict[str, str]]:
    pytest.importorskip("gguf")
    from helpers.tiny_gguf import write_gguf

    return write_gguf(place / "mine.gguf"), {}


@pytest.mark.parametrize("made", [as_folder, as_gguf])
def test_a_card_opens_what_it_was_opened_from(
    made: Callable[[Path], tuple[Path, dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or folder by its path, from any working folder; a bare name is never asked of a hub."""
    monkeypatch.setenv("GROUNDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "fetch_texts", lambda asked: pytest.fail(f"a hub was asked for {asked}"))
    (tmp_path / "here").mkdir()
    place, options = made(tmp_path / "here")
    (tmp_path / "here" / "my.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(8)))
    monkeypatch.chdir(place.parent)
    asked = ScreenOptions(signals=("probability", "length"))
    card = screen(place.name, ["my.jsonl"], asked, out="out", load=options)
    assert card.opened is not None
    assert card.opened.model == str(place)
    assert card.opened.options == options
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = place.parent / "out"
    for where in (folder, folder / "card.json", str(folder)):
        assert Screener.load(where).adapter.info.fingerprint == card.model.fingerprint
    (tmp_path / "gone").mkdir()
    gone = place.rename(tmp_path / "gone" / place.name)  # a file's name is part of its fingerprint
    with pytest.raises(BadInputError, match="which is not there; give the model"):
        Screener.load(folder)
    assert Screener.load(folder, str(gone)).adapter.info.fingerprint == card.model.fingerprint
    card.model_copy(update={"opened": None}).save(folder / "card.json")
    with pytest.raises(BadInputError, match="does not say what mine was opened from"):
        Screener.load(folder)


def test_a_watched_generation_says_what_it_would_have_said_and_is_judged_as_it_grows(screened: Path) -> None:
    screener = Screener.load(screened, tiny_llama())
    prompt, evidence, _ = parts(rows()[0])
    model, tokenizer = screener.adapter.model, screener.adapter.tokenizer  # type: ignore[attr-defined]
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    options = {"max_new_tokens": 8, "do_sample": False, "min_new_tokens": 8}
    plain = model.generate(ids, **options)
    watch = screener.watch(prompt, evidence=evidence, every=4, signals=("perplexity", "gain"))
    watched = model.generate(ids, stopping_criteria=[watch], **options)
    assert watched.tolist() == plain.tolist()
    assert watch.tokens == [4, 8]
    said = "".join(screener.adapter.token_texts(plain[0, ids.shape[1] :].tolist())).strip()  # type: ignore[attr-defined]
    again = screener.risk_of_answer(prompt, said, evidence=evidence, signals=("perplexity", "gain"))
    assert watch.found[-1] == again
    stopped = screener.watch(prompt, evidence=evidence, every=2, signals=("gain",), stop_above=-1.0)
    assert model.generate(ids, stopping_criteria=[stopped], **options).shape[1] == ids.shape[1] + 2
    with pytest.raises(BadInputError, match="2 rows are generated at once"):
        watch(ids.repeat(2, 1))
    with pytest.raises(BadInputError, match="every is 0"):
        screener.watch(prompt, evidence=evidence, every=0)
