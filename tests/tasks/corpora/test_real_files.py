"""The readers on real transcripts and dialogues, where the shared data is at hand."""

from __future__ import annotations

import io
import json
import lzma
import re
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from helpers import naive_reader
from helpers.corpus_fixtures import decoded

from groundbench.tasks.corpora import (
    Manifest,
    import_childes,
    import_coco,
    import_visdial,
    load_manifest,
    select_nouns,
)
from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml
from groundbench.tasks.nouns import inventory

CHAT = ("chat_en_na_nomor.tar.xz", "chat_bates_bernstein_nomor.tar.xz")
XML = "xml_kg_envrich_nomor.tar.xz"
FULL = "chat_samples_full_mor.tar.xz"


def members(archive: Path, which: slice) -> list[tuple[str, bytes]]:
    with tarfile.open(archive, "r:*") as tar:  # in one pass: going back means to decompress all of it again
        files = islice((m for m in tar if m.isfile()), which.start, which.stop, which.step)
        return [(m.name, (tar.extractfile(m) or io.BytesIO()).read()) for m in files]


@pytest.fixture(scope="module")
def sample(shared_data: Path) -> list[tuple[str, bytes]]:
    """20 transcripts: two untouched ones of every tier, and eighteen spread over the corpora."""
    childes = shared_data / "childes"
    return [
        *members(childes / FULL, slice(0, 18, 9)),
        *members(childes / CHAT[1], slice(0, 167, 56)),
        *members(childes / CHAT[0], slice(0, 3565, 240)),
    ]


@pytest.mark.parametrize("tiers", ["strict", "core"])
def test_twenty_files_word_for_word(sample: list[tuple[str, bytes]], tiers: str, tmp_path: Path) -> None:
    assert len(sample) == 20
    for i, (name, data) in enumerate(sample):
        (tmp_path / f"{i:02}-{Path(name).name}").write_bytes(data)
    import_childes(tmp_path, tmp_path / "out", tiers=tiers, jobs=1)
    ours = decoded(tmp_path / "out")
    shown = naive_reader.CORE if tiers == "core" else naive_reader.STRICT
    for tokens, (name, data) in zip(ours, sample, strict=True):
        expected = naive_reader.read(data.decode("utf-8"), shown, comments=tiers == "core")
        assert tokens == expected, f"{name}: {first_difference(tokens, expected)}"
    assert sum(map(len, ours)) > 60_000


def test_all_untouched_samples_are_imported(shared_data: Path, tmp_path: Path) -> None:
    """Files with every tier, from eight corpora: counted line by line with nothing of ours."""
    archive = shared_data / "childes" / FULL
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    files = members(archive, slice(None))
    text = "".join(data.decode("utf-8") for _, data in files)
    lines = Counter(
        "*" if line[0] == "*" else line[: line.index(":")] for line in text.splitlines() if line[:1] in ("*", "%")
    )
    for tiers in ("core", "strict"):
        manifest = import_childes(archive, tmp_path / tiers, tiers=tiers, jobs=1)
        assert manifest.faults == ()
        assert (manifest.totals.transcripts, manifest.duplicates, len(files)) == (18, 0, 18)
        assert {k: n for k, n in manifest.lines.items() if k[0] in "*%"} == lines
        corpora = {name: c.transcripts for name, c in manifest.corpora.items()}
        assert corpora == {
            "bloom73": 1,
            "braunwald": 2,
            "brown": 1,
            "hslld": 6,
            "post": 2,
            "providence": 2,
            "sachs": 2,
            "suppes": 2,
        }
        assert all(2 < c.lan_words / c.utterances < 5 for c in manifest.corpora.values())
        assert 0.8 < manifest.totals.utterances / lines["*"] <= 1
    core, strict = (load_manifest(tmp_path / tiers) for tiers in ("core", "strict"))
    assert core.totals.lan_words == strict.totals.lan_words
    assert core.totals.env_words > strict.totals.env_words > 0


def first_difference(ours: list[str], expected: list[str]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ours, expected, strict=False)) if a != b), 0)
    return f"token {at}: {ours[max(0, at - 8) : at + 4]} against {expected[max(0, at - 8) : at + 4]}"


def test_turns_and_tiers_are_those_of_pylangacq(sample: list[tuple[str, bytes]], tmp_path: Path) -> None:
    """Speakers, main lines and tiers, character for character. (It removes retracings and fillers, which we keep.)"""
    pylangacq = pytest.importorskip("pylangacq")
    for name, data in sample:
        path = tmp_path / "file.cha"
        path.write_bytes(data)
        theirs = [u for u in pylangacq.read_chat(str(path), strict=False).utterances() if u.participant]
        ours = read_chat(data, name).turns
        assert [t.speaker for t in ours] == [u.participant for u in theirs], name
        for turn, u in zip(ours, theirs, strict=True):
            tiers = dict(u.tiers)
            assert squeezed(turn.main) == squeezed(tiers.pop(turn.speaker)), (name, turn.line)
            assert {k: squeezed(v) for k, v in turn.tiers} == {k.strip("%"): squeezed(v) for k, v in tiers.items()}


def squeezed(text: str) -> str:
    """Without spaces and time marks, which it may drop."""
    return re.sub(r"\s|\x15[^\x15]*\x15", "", text)


def test_plain_utterances_have_the_words_of_pylangacq(sample: list[tuple[str, bytes]], tmp_path: Path) -> None:
    from groundbench.tasks.corpora.formats.chat_main_line import read_main

    pylangacq = pytest.importorskip("pylangacq")
    compared = 0
    for name, data in sample:
        path = tmp_path / "file.cha"
        path.write_bytes(data)
        theirs = pylangacq.read_chat(str(path), strict=False).utterances()
        theirs = [u for u in theirs if u.participant]
        for turn, u in zip(read_chat(data, name).turns, theirs, strict=True):
            if re.search(r"\[/|&|@|xx|yyy|www|[:^ˈ]|(?<!\w)0|\[: |\[::|\+[^.]|\x15", turn.main):
                continue  # what the two treat differently by design
            words = [t.word for t in u.tokens or () if re.search(r"\w", t.word)]
            assert read_main(turn.main).words == words, (name, turn.line)
            compared += 1
    assert compared > 5_000


def test_xml_utterances_against_a_plain_scan(shared_data: Path) -> None:
    for name, data in members(shared_data / "childes" / XML, slice(0, 931, 90)):
        text = data.decode("utf-8")
        found = read_xml(data, name)
        assert [t.speaker for t in found.turns] == re.findall(r'<u who="([^"]*)"', text)
        tiers = Counter(f"%{k}" for t in found.turns for k, _ in t.tiers)
        assert tiers["%act"] == text.count('<a type="actions"')
        assert tiers["%gpx"] == text.count('<a type="gesture"')
        said = [w for w in re.findall(r"<w>([A-Za-z']+)</w>", text) if w not in ("xxx", "yyy", "www")]
        assert Counter(said).keys() <= set(re.findall(r"[^\s<>\[\]]+", " ".join(t.main for t in found.turns)))


@pytest.fixture(scope="module")
def whole(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    out = tmp_path_factory.mktemp("childes") / "out"
    return import_childes([shared_data / "childes" / name for name in CHAT], out), out


@pytest.mark.slow
def test_every_chat_file_is_read_and_every_line_counted(whole: tuple[Manifest, Path]) -> None:
    manifest, _ = whole
    assert manifest.faults == ()
    assert [Path(r.file).name for r in manifest.second_readings] == ["lea.cha"]  # one line, the same as in grc.cha
    assert manifest.totals.transcripts == manifest.lines["@End"] == 3732 - 1
    expected = {"*": 2_372_026 - 1, "%act": 33_993, "%sit": 41_460, "%gpx": 6_653}
    expected |= {"%exp": 6_375, "%par": 7_979, "%com": 86_695}
    assert {k: manifest.lines[k] for k in expected} == expected


@pytest.mark.slow
def test_nouns_of_the_chat_files(whole: tuple[Manifest, Path], shared_data: Path) -> None:
    """A plain match of words in the raw lines finds 74 and 91 (62 and 84 strict); ours counts exact tokens."""
    naive = raw_matches(shared_data)
    found = {
        (tiers, k): sum(naive[tiers][n.word] >= k and naive["said"][n.word] >= k for n in inventory())
        for tiers in ("strict", "core")
        for k in (100, 50)
    }
    assert found == {("strict", 100): 62, ("strict", 50): 84, ("core", 100): 74, ("core", 50): 91}
    ours = select_nouns(whole[1], 100)
    assert len(ours.kept) == 72
    # A plain match also finds `Big_Bird` and `Duck`; ours also `(re)frigerator` and `fridge [: refrigerator]`.
    assert all(v.env <= naive["core"][v.noun] for v in ours.verdicts)
    for form, naive_counts in (("env", naive["core"]), ("lan", naive["said"])):
        exact = sum(getattr(v, form) for v in ours.verdicts)
        assert 0.9 < exact / sum(naive_counts[v.noun] for v in ours.verdicts) < 1.0


def raw_matches(shared_data: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {"strict": Counter(), "core": Counter(), "said": Counter()}
    words = re.compile("[a-z']+")
    strict, core = (r"%(?:act|sit|gpx):", r"%(?:act|sit|gpx|exp|par):|@(?:Situation|Activities):")
    for archive in CHAT:
        for _, data in members(shared_data / "childes" / archive, slice(None)):
            for line in data.decode("utf-8").lower().replace("\n\t", " ").split("\n"):
                if line.startswith("*"):
                    found["core"].update(
                        w for c in re.findall(r"\[(?:=!?|%) ([^\]]*)\]", line) for w in words.findall(c)
                    )
                    found["said"].update(words.findall(re.sub(r"\[[^\]]*\]", " ", line.partition(":")[2])))
                elif re.match(core.lower(), line):
                    shown = words.findall(line.partition(":")[2])
                    found["core"].update(shown)
                    if re.match(strict, line):
                        found["strict"].update(shown)
    return found


@pytest.mark.slow
def test_every_xml_file_is_read(shared_data: Path, tmp_path: Path) -> None:
    manifest = import_childes(shared_data / "childes" / XML, tmp_path / "out")
    assert manifest.faults == ()
    assert manifest.totals.transcripts == 931
    assert manifest.lines["*"] == 424_617
    assert (manifest.lines["%act"], manifest.lines["%gpx"], manifest.lines["%sit"]) == (58_001, 37_310, 8_203)


def test_every_dialogue_is_read_and_both_schemas_agree(shared_data: Path, tmp_path: Path) -> None:
    flat = next((shared_data / "visdial").glob("chatir*"))
    manifest = import_visdial(flat, tmp_path / "flat")
    assert (manifest.totals.transcripts, manifest.totals.env_segments) == (2064, 2064)
    assert sum(len(d["dialog"]) - 1 for d in json.loads(lzma.decompress(flat.read_bytes()))) == 20_640
    # 97 + 76 + 50 native dialogues are of the flat file's, to the letter; 50 of the test split are not
    both = import_visdial(shared_data / "visdial", tmp_path / "both")
    assert (both.totals.transcripts, both.duplicates, both.faults) == (2064 + 50, 97 + 76 + 50, ())


def test_every_caption_is_read(shared_data: Path, tmp_path: Path) -> None:
    manifest = import_coco(shared_data / "captions", tmp_path / "out")
    assert manifest.faults == ()
    assert manifest.totals.transcripts == 5000
    # five captions an image, six or seven of a few: two pairs each, three of those with more
    assert manifest.totals.env_segments == manifest.totals.utterances == 10_013
