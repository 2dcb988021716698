"""The tutorial's commands do what the page says, one after another, at 80 columns."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.doc_world import save_model
from helpers.documents import commands, fences

from groundbench.cli import main
from groundbench.registry import load_testbed

PAGE = "docs/tutorial.md"
LONG = ("demo",)
"""Trains three models; its own tests run it."""


def test_the_first_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    # Nouns of one token: a whole form is a thousand passes and no more.
    model = str(save_model(tmp_path / "model", [f" {noun.word}" for noun in load_testbed("ladder").nouns]))
    (questions,) = [f.body for f in fences("json") if f.page == PAGE]
    Path("my.jsonl").write_text(questions)
    (card,) = [f.body for f in fences("yaml") if f.page == PAGE]
    Path("card.yaml").write_text(card)
    texts = {}
    for fence, command in commands():
        words = shlex.split(command)
        if fence.page != PAGE or words[0] != "groundbench" or words[1] in LONG:
            continue
        if words[1] == "lm-eval" and find_spec("lm_eval") is None:
            continue
        assert main([re.sub(r"\bMODEL$", model, w) for w in words[1:]]) == 0, command
        texts[command] = capsys.readouterr()
        # A line with a path is never cut.
        lines = () if words[1] in ("doctor", "lm-eval") else texts[command].out.splitlines()
        wide = [line for line in lines if len(line) > 80 and "/" not in line]
        assert wide == [], command
    assert len(texts) >= 18

    def out(part: str) -> str:
        return " ".join(next(t.out for c, t in texts.items() if part in c).split())

    assert "Null control" in out("--shuffle-forms")
    assert "B controls A" in out("compare")
    assert "A small testbed (3 frames and 6 nouns)" in out("runs/fruits")
    (shown,) = [f.body for f in fences("text") if f.page == PAGE]
    assert out("run my_bigram").startswith(" ".join(shown.split()))
    assert re.search(r"matched: surprisal", out("--explain"))
    assert Path("site/index.html").is_file()
