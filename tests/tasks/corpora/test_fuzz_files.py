"""Whatever a file, an archive or a JSON document holds, an import gives a corpus or one clear refusal."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.corpus_fixtures import FLAT, NATIVE, chat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora import ImportedCorpus, Manifest, import_childes, import_visdial

TRANSCRIPTS = {f"Made/{name}.cha": chat(f"*CHI:\tsee my {name} .", "%act:\tpoints") * 3 for name in "abcd"}
TRANSCRIPTS = {name: data[: data.index(b"@End") + 5] for name, data in TRANSCRIPTS.items()}


def zipped(kind: int) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", kind) as archive:
        for name, data in {**TRANSCRIPTS, "Made/README": b"Licence: as Ann says"}.items():
            archive.writestr(name, data)
    return found.getvalue()


def tarred(mode: str) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode=f"w:{mode}") as archive:
        for name, data in {**TRANSCRIPTS, "Made/README": b"Licence: as Ann says"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return found.getvalue()


ONE = TRANSCRIPTS["Made/a.cha"]
WHOLE = {
    "a.zip": zipped(zipfile.ZIP_DEFLATED),
    "b.zip": zipped(zipfile.ZIP_STORED),
    "a.tar": tarred(""),
    "a.tar.xz": tarred("xz"),
    "a.tar.gz": tarred("gz"),
    "a.tar.bz2": tarred("bz2"),
    "a.cha.xz": lzma.compress(ONE),
    "a.cha.gz": gzip.compress(ONE),
    "a.cha.bz2": bz2.compress(ONE),
    "README.gz": gzip.compress(b"Licence: as Ann says"),
}
NAMES = st.sampled_from(sorted(WHOLE))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file cut short, with bytes changed, with another end, or of bytes that are nothing."""
    name = draw(NAMES)
    data = bytearray(WHOLE[name])
    how = draw(st.sampled_from(["cut", "changed", "another end", "nothing"]))
    if how == "nothing":
        return name, draw(st.binary(max_size=600))
    at = draw(st.integers(0, len(data) - 1))
    if how == "changed":
        for place in (at, *draw(st.lists(st.integers(0, len(data) - 1), max_size=8))):
            data[place] = draw(st.integers(0, 255))
        return name, bytes(data)
    return name, bytes(data[:at]) + (draw(st.binary(max_size=600)) if how == "another end" else b"")


def imported(run: Callable[..., Manifest], name: str, data: bytes, *beside: tuple[str, bytes]) -> Manifest | None:
    """Import a folder with this file, keeping going; an import that does not gives the same or refuses."""
    with tempfile.TemporaryDirectory() as home:
        files = Path(home) / "in"
        files.mkdir()
        for other, content in (*beside, (name, data)):
            (files / other).write_bytes(content)
        try:
            found = run(files, Path(home) / "out", jobs=1, keep_going=True)
        except BadInputError:
            found = None
        else:
            corpus = ImportedCorpus(Path(home) / "out")
            assert corpus.batch(0, seed=1, batch_size=2, length=16).shape == (2, 16)
            assert len(corpus.tokenizer()) == found.types
        try:
            strict = run(files, Path(home) / "strict", jobs=1)
        except BadInputError:
            assert found is None or found.faults
            assert not (Path(home) / "strict").exists()
        else:
            assert found is not None
            assert not found.faults
            assert strict.digest == found.digest
    return found


@settings(max_examples=150, deadline=None)
@given(damaged())
@example(("a.cha.bz2", WHOLE["a.cha.bz2"][:-9]))  # bz2 has an error of its own for it
@example(("a.tar.gz", WHOLE["a.tar.gz"][:3]))
@example(("README.gz", WHOLE["README.gz"][:-9]))
def test_a_damaged_file_or_archive_never_costs_the_good_ones(file: tuple[str, bytes]) -> None:
    good = [("g.cha", chat("*MOT:\tyes .")), ("h.cha", chat("*MOT:\tno ."))]
    manifest = imported(import_childes, *file, *good)
    assert manifest is not None
    assert manifest.totals.transcripts >= 2


def test_every_file_is_read_whole() -> None:
    for name, data in WHOLE.items():
        good = [("g.cha", chat("*MOT:\tyes .")), ("h.cha", chat("*MOT:\tno ."))]
        manifest = imported(import_childes, name, data, *good)
        assert manifest is not None
        assert not manifest.faults
        expected = 2 if name == "README.gz" else 3 if ".cha." in name else 6
        assert manifest.totals.transcripts == expected
        assert list(manifest.notices.values()) == ["Licence: as Ann says"] * (".cha." not in name)


def test_names_that_are_no_text_are_written_as_text() -> None:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w", errors="surrogateescape") as archive:
        for name, data in (("\udcff.cha", ONE), ("x\ty\n.cha", chat("*MOT:\tno .")), ("\udcfe.xml", b"<x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    manifest = imported(import_childes, "a.tar", found.getvalue())
    assert manifest is not None
    assert manifest.totals.transcripts == 2
    assert [Path(f.file).name for f in manifest.faults] == ["\ufffd.xml"]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["\ud83d", "\udc00 dog", "a\tb\nc", "", "what? ", "?", "x" * 50])
    | st.just([])
    | st.just({})
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to everything in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(p for key, part in inside for p in places(part, (*here, key)))]


@st.composite
def nearly(draw: st.DrawFn, valid: Any) -> bytes:
    """A valid document with a few of its parts exchanged, left out, doubled or moved to another's place."""
    document = json.loads(json.dumps({"whole": valid}))
    for _ in range(draw(st.integers(1, 4))):
        *outer, last = draw(st.sampled_from([p for p in places(document) if p]))
        place = document
        for key in outer:
            place = place[key]
        how = draw(st.sampled_from(["exchange", "leave out", "double", "move"]))
        if how == "leave out" and outer:
            del place[last]
        elif how == "double" and isinstance(place, list):
            place.append(place[last])
        elif how == "move":
            other = document
            for key in draw(st.sampled_from(places(document))):
                other = other[key]
            place[last] = json.loads(json.dumps(other))
        else:
            place[last] = draw(VALUES)
    return json.dumps(document["whole"]).encode()


def with_bytes(document: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Also cut short, or with a byte of it changed."""

    def hurt(parts: tuple[bytes, int, int, bool]) -> bytes:
        data, place, byte, cut = parts
        place %= len(data)
        return data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :]

    several = st.tuples(document, st.integers(0, 2000), st.integers(0, 255), st.booleans())
    return document | several.map(hurt)


SOUND = json.dumps([{"img": "9", "dialog": ["two dogs", "are they big? no"]}, FLAT[1]]).encode()


@settings(max_examples=150, deadline=None)
@given(with_bytes(nearly(NATIVE)))
@example(json.dumps(NATIVE).replace("two cups", "two\\ud83d cups").encode())
def test_a_document_near_the_native_schema(data: bytes) -> None:
    imported(import_visdial, "v.json", data)
    beside = imported(import_visdial, "v.json", data, ("good.json", SOUND))
    assert beside is not None
    assert beside.totals.transcripts >= 2


@settings(max_examples=100, deadline=None)
@given(with_bytes(nearly(FLAT)))
@example(json.dumps(FLAT).replace("two cups", "two\\ud83d cups").encode())
@example(json.dumps(FLAT).replace("a/2.jpg", "a\\ud83d\\n\\t2.jpg").encode())
def test_a_document_near_the_flat_schema(data: bytes) -> None:
    beside = imported(import_visdial, "v.json", data, ("good.json", SOUND))
    assert beside is not None
    assert beside.totals.transcripts >= 2
