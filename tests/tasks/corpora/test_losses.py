"""Every file of a collection is read, counted as no input, or named as a fault."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from helpers.corpus_fixtures import chat
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora import import_childes
from groundbench.tasks.corpora.importing.faults import FaultError


def transcript(number: int) -> bytes:
    return chat(f"*CHI:\tthats number{number} .")


def zipped(members: dict[str, bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return found.getvalue()


PLACES = [
    "",
    "sub/",
    "sub/deeper/",
    ".git/",
    "a/.ipynb_checkpoints/",
    "__MACOSX/",
    "z.zip:",
    "z.zip:in/",
    "z.zip:y.zip:",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["cha", "wav", "cut cha"])), max_size=12))
def test_read_passed_over_or_named(files: list[tuple[str, str]]) -> None:
    """Generated collections: the three counts add up to the files that are there."""
    with tempfile.TemporaryDirectory() as home:
        top = Path(home) / "in"
        packed: dict[str, dict[str, bytes]] = {"z.zip:": {}, "z.zip:y.zip:": {}}
        expected = {"read": 2, "kinds": 0, "cut": 0}
        hidden: set[str] = set()
        top.mkdir()
        for i in range(2):
            (top / f"good{i}.cha").write_bytes(transcript(1000 + i))
        for i, (place, kind) in enumerate(files):
            data = transcript(i)[: -5 if kind == "cut cha" else None]
            name = f"f{i}.{'wav' if kind == 'wav' else 'cha'}"
            if place[:1] == "." or "/." in place or "MACOSX" in place:
                hidden.add(place)
            else:
                expected[{"cha": "read", "wav": "kinds", "cut cha": "cut"}[kind]] += 1
            box = next((b for b in ("z.zip:y.zip:", "z.zip:") if place.startswith(b)), None)
            if box is not None:
                packed[box][place.removeprefix(box) + name] = data
            else:
                (top / place).mkdir(parents=True, exist_ok=True)
                (top / place / name).write_bytes(data)
        outer = packed["z.zip:"]
        if packed["z.zip:y.zip:"]:
            outer["y.zip"] = zipped(packed["z.zip:y.zip:"])
        if outer:
            (top / "z.zip").write_bytes(zipped(outer))
        manifest = import_childes(top, Path(home) / "out", jobs=1, keep_going=True)
        assert manifest.totals.transcripts == expected["read"]
        assert manifest.passed_over.get(".wav", 0) == expected["kinds"]
        assert manifest.passed_over.get("hidden", 0) == len(hidden)  # a hidden folder counts once
        assert len(manifest.faults) == expected["cut"]


def test_a_folder_without_permission_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        (tmp_path / f"t{i}.cha").write_bytes(transcript(i))
    (tmp_path / "locked").mkdir()
    real = os.listdir

    def listdir(path: str | Path = ".") -> list[str]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(FaultError, match="locked: the folder cannot be read: Permission denied"):
        import_childes(tmp_path, tmp_path.parent / "out")
    manifest = import_childes(tmp_path, tmp_path.parent / "kept", keep_going=True)
    assert (manifest.totals.transcripts, len(manifest.faults)) == (3, 1)


def test_linked_folders_are_followed_once_and_never_round(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "real").mkdir()
    for i in range(2):
        (tmp_path / "in" / f"t{i}.cha").write_bytes(transcript(i))
        (tmp_path / "real" / f"r{i}.cha").write_bytes(transcript(10 + i))
    (tmp_path / "in/more").symlink_to(tmp_path / "real")
    (tmp_path / "in/again").symlink_to(tmp_path / "real")
    (tmp_path / "real/round").symlink_to(tmp_path / "in")
    manifest = import_childes(tmp_path / "in", tmp_path / "out")
    assert (manifest.totals.transcripts, manifest.duplicates) == (4, 0)
    (tmp_path / "in/gone.cha").symlink_to(tmp_path / "nowhere.cha")
    with pytest.raises(FaultError, match=r"gone\.cha: cannot be read: No such file"):
        import_childes(tmp_path / "in", tmp_path / "other")


def test_archives_in_archives(tmp_path: Path) -> None:
    data = zipped({f"t{i}.cha": transcript(i) for i in range(3)})
    (tmp_path / "two.zip").write_bytes(zipped({"a.zip": data, "b.cha": transcript(9)}))
    assert import_childes(tmp_path / "two.zip", tmp_path / "out").totals.transcripts == 4
    for _ in range(4):
        data = zipped({"in.zip": data})
    (tmp_path / "deep.zip").write_bytes(data)
    with pytest.raises(BadInputError, match="archives lie more than 3 deep in one another: unpack them"):
        import_childes(tmp_path / "deep.zip", tmp_path / "deep")
