"""No recording stands on both sides of the split, however often and in whatever format a collection has it."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from helpers.corpus_fixtures import HEAD, chat, decoded, xml
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.tasks.corpora import Manifest, import_childes
from groundbench.tasks.corpora.importing.fingerprint import likeness, sketch, word_hash

WORDS = [f"{a}{b}" for a in ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "so", "tu") for b in ("ck", "g", "m", "p")]


def recording(number: int, lines: int = 12) -> list[list[str]]:
    """The utterances of one recording: like no other's."""
    draw = random.Random(number)
    return [[draw.choice(WORDS) for _ in range(6)] for _ in range(lines)]


def as_chat(said: list[list[str]], pid: str = "") -> bytes:
    found = chat(*(f"*CHI:\t{' '.join(words)} ." for words in said))
    return found.replace(b"@Begin", f"@PID:\t{pid}\n@Begin".encode()) if pid else found


def as_xml(said: list[list[str]], pid: str = "") -> bytes:
    found = xml(*('<u who="CHI">' + "".join(f"<w>{w}</w>" for w in words) + "</u>" for words in said))
    return found.replace(b"<CHAT ", f'<CHAT PID="{pid}" '.encode()) if pid else found


def edited(said: list[list[str]], number: int) -> list[list[str]]:
    """One word in one utterance changed."""
    found = [list(words) for words in said]
    found[number % len(found)][0] = "corrected"
    return found


def sides(folder: Path, name: str) -> set[str]:
    """The splits in which files whose name begins so stand."""
    rows = [line.split("\t") for line in (folder / "transcripts.tsv").read_text().splitlines()[1:]]
    return {row[3] for row in rows if Path(row[0]).name.startswith(name)}


def run(files: dict[str, bytes], home: Path) -> Manifest:
    (home / "in").mkdir()
    for name, data in files.items():
        (home / "in" / name).write_bytes(data)
    return import_childes(home / "in", home / "out", heldout=0.3, jobs=1)


KINDS = ["again", "xml", "xml with another word", "edited", "edited, without identifier", "upper case"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(KINDS), max_size=3), min_size=4, max_size=8), st.booleans())
def test_every_recording_stands_on_one_side(copies: list[list[str]], identified: bool) -> None:
    files: dict[str, bytes] = {}
    for i, kinds in enumerate(copies):
        said, pid = recording(i), f"11312/x-{i}" if identified else ""
        files[f"r{i}-0.cha"] = as_chat(said, pid)
        for k, kind in enumerate(kinds, 1):
            files[f"r{i}-{k}.{'xml' if kind.startswith('xml') else 'cha'}"] = {
                "again": as_chat(said, pid),
                "xml": as_xml(said, pid),
                "xml with another word": as_xml(edited(said, k), pid),
                "edited": as_chat(edited(said, k), pid),
                "edited, without identifier": as_chat(edited(said, k)),
                "upper case": as_chat([[w.upper() for w in words] for words in said], pid),
            }[kind]
    with tempfile.TemporaryDirectory() as home:
        manifest = run(files, Path(home))
        for i in range(len(copies)):
            assert len(sides(Path(home) / "out", f"r{i}-")) == 1
        assert manifest.totals.transcripts + manifest.duplicates == len(files)  # all are accounted for
        assert len(manifest.second_readings) == manifest.duplicates
        assert 0 < manifest.heldout_transcripts < manifest.totals.transcripts
        if identified and not any("without" in kind for kinds in copies for kind in kinds):
            assert manifest.totals.transcripts == len(copies)  # one reading of each


def test_both_formats_of_a_transcript_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"t{i}.cha": as_chat(recording(i), f"p{i}") for i in range(3)}
    files |= {f"t{i}.xml": as_xml(recording(i), f"p{i}") for i in range(3)}
    manifest = run(files, tmp_path)
    assert (manifest.totals.transcripts, manifest.duplicates) == (3, 3)
    first = manifest.second_readings[0]
    assert (Path(first.first).name, Path(first.file).name, first.why) == ("t0.cha", "t0.xml", "the same words")
    assert len(decoded(tmp_path / "out")) == 3
    assert main(["tasks", "import", "childes", str(tmp_path / "in"), "--out", str(tmp_path / "again")]) == 0
    assert "3 transcripts were there twice" in capsys.readouterr().out


def test_an_identifier_copied_into_every_file_costs_no_transcript(tmp_path: Path) -> None:
    same = {f"t{i}.cha": as_chat(recording(i), "11312/x") for i in range(3)}
    manifest = run({**same, "other.cha": as_chat(recording(9))}, tmp_path)
    assert (manifest.totals.transcripts, manifest.duplicates, manifest.grouped) == (4, 0, 3)
    assert len(sides(tmp_path / "out", "t")) == 1


def test_one_recording_alone_cannot_be_split(tmp_path: Path) -> None:
    said = recording(0, lines=40)
    with pytest.raises(BadInputError, match="all 3 transcripts are readings of one recording"):
        run({f"t{i}.cha": as_chat(edited(said, i)) for i in range(3)}, tmp_path)


def test_short_exchanges_with_the_same_words_are_not_taken_for_one(tmp_path: Path) -> None:
    files = {f"{c}.cha": (HEAD.format(corpus=c) + "*CHI:\tyes .\n@End\n").encode() for c in ("brown", "sachs", "post")}
    assert run(files, tmp_path).totals.transcripts == 3


def test_likeness_estimates_the_share_of_common_runs() -> None:
    import numpy as np

    draw = random.Random(1)
    words = [draw.choice(WORDS) for _ in range(4000)]
    hashes = np.array([word_hash(w) for w in words], dtype=np.uint64)
    half = np.concatenate([hashes[:2000], np.array([word_hash(f"x{i}") for i in range(2000)], dtype=np.uint64)])
    assert likeness(sketch(hashes), sketch(hashes)) == 1.0
    assert 0.15 < likeness(sketch(hashes), sketch(half)) < 0.5  # a third of their union
    assert likeness(sketch(hashes), sketch(hashes[:5])) == 0.0
