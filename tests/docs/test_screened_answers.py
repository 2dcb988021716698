"""The command of screen_your_evidence.md, then the live answers of it and of screen.md, from the card it wrote."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import pytest
from helpers.doc_world import save_model
from helpers.documents import commands, fences
from helpers.source_tree import ROOT

from groundbench.cli import main

OWN = "tests/docs/test_screened_answers.py"
MODEL = "tiny"
"""As with a name on the Hub, what the card calls the model is what opens it."""


def test_live_answers_are_judged_by_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / MODEL)
    records = (ROOT / "docs/examples/rag.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("my.jsonl").write_text("".join(records[:40]), encoding="utf-8")
    own = [command for fence, command in commands() if fence.by == OWN]
    assert len(own) == 1
    assert main([MODEL if w == "MODEL" else w for w in shlex.split(own[0])[1:]]) == 0
    written = {path.name for path in Path("DIR").iterdir()}
    assert {"card.html", "card.json", "answers.parquet", "flagged.jsonl"} <= written
    Path("card").symlink_to("DIR")
    blocks = [fence for fence in fences("python") if fence.by == OWN]
    assert {Path(fence.page).name for fence in blocks} == {"screen.md", "screen_your_evidence.md"}
    for fence in blocks:
        space: dict[str, object] = {}
        with contextlib.redirect_stdout(None):
            exec(compile("\n" * fence.line + fence.body, str(ROOT / fence.page), "exec"), space)
        found = space["found"]
        assert 0 <= found.risk <= 1
        assert found.signal in {signal.name for signal in found.signals}
