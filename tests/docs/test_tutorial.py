"""The tutorial's commands do what the page says, one after another, at 80 columns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from helpers.doc_world import save_model
from helpers.documents import commands, fences

from groundbench.cli import main
from groundbench.registry import load_testbed
from groundbench.results.run import Result

PAGE = "docs/tutorial.md"
LONG = ("demo", "lm-eval")
"""Other tests run these: one trains three models, one imports for ten seconds."""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny model in an empty working folder; words are one token, so that a whole form takes few and short passes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    bed = load_testbed("ladder")
    forms = [bed.form(name) for name in ("word", "translation-fr")]
    known = [bed.prompt(frame, n, f).text for f in forms for frame in bed.frames(f) for n in bed.nouns_of(f)]
    return str(save_model(tmp_path / "model", [*known, *(f" {noun.word}" for noun in bed.nouns)]))


def carry_out(command: str, model: str) -> int:
    return main([re.sub(r"\bMODEL$", model, word) for word in shlex.split(command)[1:]])


def told() -> list[str]:
    """Every command of the page, in its order."""
    return [c for fence, c in commands() if fence.page == PAGE and shlex.split(c)[0] == "groundbench"]


def test_the_first_hour(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (questions,) = [f.body for f in fences("json") if f.page == PAGE]
    Path("my.jsonl").write_text(questions)
    (card,) = [f.body for f in fences("yaml") if f.page == PAGE]
    Path("card.yaml").write_text(card)
    texts = {}
    for command in told():
        name = shlex.split(command)[1]
        if name in LONG:
            continue
        assert carry_out(command, model) == 0, command
        texts[command] = capsys.readouterr()
        # A line with a path is never cut.
        lines = () if name == "doctor" else texts[command].out.splitlines()
        wide = [line for line in lines if len(line) > 80 and "/" not in line]
        assert wide == [], command
    assert len(texts) >= 17

    def out(part: str) -> str:
        return " ".join(next(t.out for c, t in texts.items() if part in c).split())

    assert "Null control" in out("--shuffle-forms")
    assert "B controls A" in out("compare")
    assert "A small testbed (3 frames and 6 nouns)" in out("runs/fruits")
    (shown,) = [f.body for f in fences("text") if f.page == PAGE]
    assert out("run my_bigram").startswith(" ".join(shown.split()))
    assert re.search(r"matched: surprisal", out("--explain"))
    assert Path("site/index.html").is_file()


@pytest.mark.slow  # lm-eval's imports alone take ten seconds
def test_lm_eval_finds_the_gain_of_the_run(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lm_eval")
    (run,) = [c for c in told() if "--out runs/mine" in c]
    (harness,) = [c for c in told() if "lm-eval" in c]
    assert carry_out(run, model) == carry_out(harness, model) == 0
    found = re.search(r"\|grounding_gain *\|[^|]*\|([^|]*)\|", capsys.readouterr().out)
    assert found is not None
    gain = Result.load(Path("runs/mine")).gain
    assert gain is not None
    assert float(found[1]) == pytest.approx(gain.mean, abs=1e-4)
