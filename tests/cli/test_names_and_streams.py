"""Names that look like markup or paths, outputs that take no UTF-8 or are closed, and `~` in every option."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_models import tiny_llama

from groundbench.cli import console, main
from groundbench.cli.app import Session
from groundbench.cli.failures import explain
from groundbench.results.items import read_items
from groundbench.results.run import Result

BED = """\
name: "{name}"
version: "[bold]1[/bold]"
natural_language: true
frame_kind: shared
nouns: [cup, spoon, {{word: "[red]ball[/red]", category: "[/toys]"}}]
forms:
  "{form}": {{description: "[/] of [x]", template: "{{noun}}"}}
frames:
  "[f1]": "The {{env}} is here. Look at the"
  "f2": "She sees the {{env}} now. This is the"
"""
BRACKETS = ("kitchen [/v2]", "[bold]", "a [link=x]b", "[/]", ":smile: [red]")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny [/x]"
    adapter = tiny_llama()
    adapter.model.save_pretrained(folder)
    adapter.tokenizer.save_pretrained(folder)
    return folder


def written(folder: Path, name: str = "kitchen", form: str = "word") -> Path:
    path = folder / "bed.yaml"
    path.write_text(BED.format(name=name, form=form))
    return path


@pytest.mark.parametrize("name", BRACKETS)
def test_a_name_in_brackets_is_shown_as_it_is(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bed = str(written(tmp_path, name, name.replace("/", "")))
    out = str(tmp_path / "out")
    for command in (
        ["tasks", "validate", bed],
        ["tasks", "show", bed],
        ["models", "check", str(model), "--testbed", bed],
        ["run", str(model), "--testbed", bed, "--measure", "gain,heads,lens", "--out", out],
        ["run", str(model), "--testbed", bed, "--dry-run"],
        ["compare", out, out],
        ["report", out],
    ):
        capsys.readouterr()
        assert main(command) == 0, (command, capsys.readouterr().err)
        shown = capsys.readouterr().out
        if command[0] == "tasks" or (command[:2] == ["run", str(model)] and "--out" in command):
            assert name in shown
    table = read_items(Path(out) / "items.parquet")
    assert "[red]ball[/red]" in table.nouns


@pytest.mark.parametrize("form", ["../../victim", "a/b", "..", ".", "x" * 90, " word", "a\\\\b"])
def test_a_form_named_like_a_path_is_refused_by_line(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bed = written(tmp_path, form=form)
    assert main(["tasks", "validate", str(bed)]) == 2
    assert f"{bed}, line 7: the form" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["word:x", "s3:bucket", "file:", "http:x", b"caf\xe9".decode("utf-8", "surrogateescape")]
)
def test_any_folder_can_hold_a_run(name: str, model: Path, tmp_path: Path) -> None:
    """Libraries that take a path with a colon for an address, or for UTF-8, are never given it."""
    out = tmp_path / name
    try:
        out.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    bed = str(written(tmp_path))
    wanted = ["run", str(model), "--testbed", bed, "--measure", "gain,heads", "--out", str(out)]
    assert main(wanted) == 0
    assert main([*wanted, "--json"]) == 0
    assert main(["compare", str(out), str(out)]) == 0
    assert {p.name for p in out.iterdir()} >= {"result.json", "items.parquet", "heads.parquet"}


def test_a_model_is_opened_whatever_bytes_its_folders_name_has(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is written can be read back, and the numbers are those of the same model under another name."""
    strange = tmp_path / b"mod\xe8le-\xff".decode("utf-8", "surrogateescape")
    try:
        shutil.copytree(model, strange)
    except OSError:
        pytest.skip("this file system has no such names")
    bed = str(written(tmp_path))
    tables = []
    for name, opened in (("plain", model), ("strange", strange)):
        out = tmp_path / name
        asked = ["run", str(opened), "--testbed", bed, "--measure", "gain,heads,lens", "--out", str(out)]
        assert main(asked) == 0, capsys.readouterr().err
        assert main([*asked, "--json"]) == 0  # goes on from what is kept
        assert main(["report", str(out)]) == 0, capsys.readouterr().err
        tables.append(read_items(out / "items.parquet"))
    result = Result.model_validate_json((tmp_path / "strange" / "result.json").read_text(encoding="utf-8"))
    assert result.model.name == "mod\N{REPLACEMENT CHARACTER}le-\N{REPLACEMENT CHARACTER}"
    np.testing.assert_array_equal(tables[0].surprisal, tables[1].surprisal)
    for command in (["models", "check", str(strange)], ["compare", str(tmp_path / "plain"), str(tmp_path / "strange")]):
        assert main(command) == 0, capsys.readouterr().err


def test_a_tilde_is_the_home_folder(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").symlink_to(model)
    written(tmp_path)
    monkeypatch.setenv("GROUNDBENCH_RUN_OUT", "~/by-variable")
    wanted = ["run", "~/m", "--testbed", "~/bed.yaml", "--measure", "gain"]
    assert main(wanted) == 0
    assert (tmp_path / "by-variable" / "result.json").is_file()
    monkeypatch.delenv("GROUNDBENCH_RUN_OUT")
    assert main([*wanted, "--out=~/by-option"]) == 0
    assert (tmp_path / "by-option" / "result.json").is_file()
    assert main(["report", "~/by-option", "--out", "~/page.html"]) == 0
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize("seed", ["-1", "1.5", str(2**64)])
def test_a_seed_is_a_whole_number_from_0(seed: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), "--seed", seed]) == 2
    assert "--seed" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_output_takes_any_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    console.prepare_streams()
    console.say("·…🍎 ", console.bold("\udce9"))
    console.show_table(("é", "b"), [("🍎", "\udce9")], title="[/x] ·")
    console.show_json({"🍎": "\udce9"})
    sys.stdout.flush()
    assert "[/x]" in raw.getvalue().decode(encoding)


def python(code: str, shell: str) -> subprocess.CompletedProcess[bytes]:
    """Run code with a shell's redirection."""
    command = f'"{sys.executable}" -c "$CODE" {shell}'
    return subprocess.run(["sh", "-c", command], env={**os.environ, "CODE": code}, capture_output=True, timeout=120)


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_takes_nothing_and_no_file_takes_its_place(shell: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code = (
        "import os, sys\n"
        "from groundbench.cli import main\n"
        "code = main(['tasks', 'list'])\n"
        f"file = open({str(kept)!r}, 'wb')\n"
        "os.write(1, b'to nobody')\n"
        "sys.exit(code if file.fileno() > 2 else 9)\n"
    )
    done = python(code, shell)
    assert (done.returncode, kept.read_bytes()) == (0, b"")


def test_going_on_is_promised_only_where_something_was_kept(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "manifest.json").write_text("{}")
    for out, resumes, kept in ((None, True, False), (empty, True, False), (full, True, True), (full, False, False)):
        assert Session(resumes=resumes, out=out).kept == kept
    for kept in (True, False):
        found: Any = explain(MemoryError(), kept=kept)
        assert ("kept" in found.sentence) == kept
