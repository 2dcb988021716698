"""`groundbench cache list|clear`: sizes, what, where; and what is removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind, name, about in (
        ("gguf", "a" * 32, {"of": "/models/one.gguf"}),
        ("gguf", ".unfinished-x", None),
        ("pictures", "b" * 16, {"encoder": "dinov2"}),
    ):
        folder = tmp_path / "cache" / kind / name
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(bytes(1_500_000))
        if about is not None:
            (folder / "about.json").write_text(json.dumps(about))
    monkeypatch.setenv("GROUNDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_list_says_what_where_and_how_much(cache: Path, say) -> None:
    code, out, _ = say("cache", "list")
    assert code == 0
    assert str(cache) in out
    assert "4.5 MB" in out
    assert "/models/one.gguf" in out
    assert "dinov2" in out
    assert "never read" in out
    found = json.loads(say("cache", "list", "--json")[1])
    assert [e["whole"] for e in found["entries"] if e["kind"] == "gguf"].count(True) == 1
    assert sum(e["bytes"] for e in found["entries"]) == sum(p.stat().st_size for p in cache.rglob("*") if p.is_file())


def test_clear_one_kind_then_all(cache: Path, say) -> None:
    code, out, _ = say("cache", "clear", "gguf")
    assert (code, "removed 2" in out) == (0, True)
    assert not list((cache / "gguf").iterdir())
    assert list((cache / "pictures").iterdir())
    assert "removed 1" in say("cache", "clear")[1]
    assert "is empty" in say("cache", "list")[1]


def test_an_unknown_kind_removes_nothing(cache: Path, say) -> None:
    code, _, err = say("cache", "clear", "lens")
    assert code == 2
    assert "expected one of gguf, pictures" in err
    assert len(list(cache.rglob("data"))) == 3


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [("/c", "/x", "/c"), (None, "/x", "/x/groundbench"), (None, None, "/folk/me/.cache/groundbench")],
)
def test_where_it_lies(monkeypatch, own: str | None, xdg: str | None, expected: str) -> None:
    from groundbench.util.cache_folder import cache_folder

    monkeypatch.setenv("HOME", "/folk/me")
    for name, value in (("GROUNDBENCH_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
