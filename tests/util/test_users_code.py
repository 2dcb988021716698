"""`module:object`: found in the working folder, its faults told as the user's, with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from groundbench.api.errors import BadInputError
from groundbench.util.users_code import import_object

MODULE = """\
from groundbench.api.errors import BadInputError
value = 3
def make(): return [value]
def lost(): raise FileNotFoundError("weights.pt")
def zero(): return 1 / 0
def deep(): return int("x" * 3, base=10)
def own(): raise BadInputError("my own sentence")
def hungry(): raise MemoryError
class Kit:
    @staticmethod
    def make(): return "made"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that is on no path, with modules of a user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    for name in ("mine_a", "mine_b", "mine_c", "mine_d"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine_a.py").write_text(MODULE)
    (tmp_path / "mine_b.py").write_text("x = (\n")
    (tmp_path / "mine_c.py").write_text("\nimport not_a_package_at_all\n")
    (tmp_path / "mine_d.py").write_text("import mine_a\ny = mine_a.zero()\n")
    return tmp_path


@pytest.mark.parametrize(("spec", "made"), [("mine_a:make", [3]), ("mine_a:value", 3), ("mine_a:Kit.make", "made")])
def test_the_working_folder_is_looked_into(spec: str, made: object) -> None:
    assert import_object(spec) == made


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mine_a:lost", ("mine_a.py, line 4", "FileNotFoundError: weights.pt")),
        ("mine_a:zero", ("mine_a.py, line 5", "ZeroDivisionError")),
        ("mine_a:deep", ("mine_a.py, line 6", "ValueError")),
        ("mine_b:x", ("mine_b.py, line 1", "SyntaxError")),
        ("mine_c:x", ("mine_c.py, line 2", "not_a_package_at_all")),
        ("mine_d:y", ("mine_a.py, line 5", "ZeroDivisionError")),
        ("mine_a:nothing", ("cannot import 'nothing' from 'mine_a'",)),
        ("nowhere_at_all:x", ("there is no module 'nowhere_at_all'", "working folder")),
        ("mine_a:", ("expected module:object",)),
        (":x", ("expected module:object",)),
        ("a b:c", ("expected module:object",)),
    ],
)
def test_faults_are_told_as_the_users(spec: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInputError) as caught:
        import_object(spec)
    said = str(caught.value)
    assert said.startswith(f"{spec}: ")
    assert [w for w in words if w not in said] == [], said


def test_what_is_nobodys_fault_stays_as_it_is() -> None:
    with pytest.raises(BadInputError, match=r"^my own sentence$"):
        import_object("mine_a:own")
    with pytest.raises(MemoryError):
        import_object("mine_a:hungry")
