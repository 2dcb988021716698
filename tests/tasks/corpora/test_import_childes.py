"""Files, folders and archives become one corpus folder, the same whatever way they are read; faults are named."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus_fixtures import chat, decoded, small_corpus, xml

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.tasks.corpora import ImportedCorpus, Manifest, import_childes, load_manifest, select_nouns
from groundbench.tasks.corpora.importing import parallel
from groundbench.tasks.corpora.importing.faults import FaultError
from groundbench.tasks.inventories import load_inventory

ARRAYS = (
    "counts.npy",
    "kinds.npy",
    "segments.npy",
    "tokens.npy",
    "transcripts.npy",
    "utterances.npy",
    "vocabulary.txt",
)


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ARRAYS}


def pack(folder: Path, out: Path, kind: str) -> Path:
    """The folder's files in an archive, with what archives also hold."""
    files = sorted(folder.iterdir())
    if kind == "zip":
        with zipfile.ZipFile(out / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, f"Made/{path.name}")
            archive.writestr("__MACOSX/Made/._t00.cha", b"\x00\x05")
            archive.writestr("Made/0metadata.cdc", "Licence: as Ann says")
        return out / "all.zip"
    with tarfile.open(out / f"all.{kind}", "w:" + kind.removeprefix("tar").removeprefix(".")) as archive:
        for path in files:
            archive.add(path, f"Made/{path.name}")
        notice = tarfile.TarInfo("Made/0metadata.cdc")
        notice.size = 20
        archive.addfile(notice, io.BytesIO(b"Licence: as Ann says"))
    return out / f"all.{kind}"


def test_the_tokens_of_a_transcript(tmp_path: Path) -> None:
    body = ("*MOT:\tlook Ann !", "%act:\tpoints to a ball", "*CHI:\tbo@c ball .", "*CHI:\t0 .", "%com:\tno")
    (tmp_path / "a.cha").write_bytes(chat(*body))
    (tmp_path / "b.cha").write_bytes(chat("*MOT:\tyes ."))
    import_childes([tmp_path / "a.cha", tmp_path / "b.cha"], tmp_path / "out")
    assert [" ".join(t) for t in decoded(tmp_path / "out")] == [
        "<MOT> points:<ENV> to:<ENV> a:<ENV> ball:<ENV> <MOT> look:<LAN> Ann:<LAN> <CHI> <unk> ball:<LAN> <CHI> <0>",
        "<MOT> yes:<LAN>",
    ]
    kinds = np.load(tmp_path / "out/kinds.npy").tolist()
    assert kinds == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.xz", "tar.gz", "tar.bz2"])
def test_archives_read_as_their_folder_does(tmp_path: Path, kind: str) -> None:
    folder = small_corpus(tmp_path / "in")
    plain = import_childes(folder, tmp_path / "plain")
    packed = import_childes(pack(folder, tmp_path, kind), tmp_path / "packed")
    assert content(tmp_path / "packed") == content(tmp_path / "plain")
    assert packed.digest == plain.digest
    assert packed.inputs[0].sha256 == plain.inputs[0].sha256
    assert list(packed.notices.values()) == ["Licence: as Ann says"]


def test_compressed_single_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.cha.xz").write_bytes(lzma.compress(chat(f"*CHI:\t{name} .")))
    import_childes(tmp_path, tmp_path / "out")
    assert decoded(tmp_path / "out") == [["<CHI>", "a:<LAN>"], ["<CHI>", "b:<LAN>"]]


def test_several_processes_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_corpus(tmp_path / "in")
    one = import_childes(folder, tmp_path / "one", jobs=1)
    monkeypatch.setattr(parallel, "BATCH_BYTES", 4096)
    two = import_childes(folder, tmp_path / "two", jobs=2)
    assert two == one
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_the_same_file_counts_once(tmp_path: Path) -> None:
    folder = small_corpus(tmp_path / "in", files=4)
    (folder / "copy.cha").write_bytes((folder / "t00.cha").read_bytes())
    manifest = import_childes([folder, folder / "t01.cha"], tmp_path / "out")
    assert (manifest.totals.transcripts, manifest.duplicates) == (4, 1)
    assert manifest.inputs[0].files == 5


def test_counts_of_the_manifest(tmp_path: Path) -> None:
    manifest = import_childes(small_corpus(tmp_path / "in"), tmp_path / "out")
    assert manifest == load_manifest(tmp_path / "out")
    total = manifest.totals
    assert (total.transcripts, total.utterances, total.env_segments) == (12, 720, 360)
    assert (total.env_words, total.lan_words) == (360 * 5, 360 * 5 + 360 * 3)
    assert total.tokens == sum(map(len, decoded(tmp_path / "out")))
    assert manifest.lines["*"] == 720
    assert manifest.lines["%act"] == 360
    assert {name: c.transcripts for name, c in manifest.corpora.items()} == {"even": 6, "odd": 6}
    tokens = [t for row in decoded(tmp_path / "out") for t in row]
    assert all(
        n == (tokens.count(f"{noun}:<ENV>"), tokens.count(f"{noun}:<LAN>")) for noun, n in manifest.nouns.items()
    )
    assert "CC BY-NC-SA" in manifest.licence
    assert any("MacWhinney" in c for c in manifest.cite)
    assert any("corpus odd" in c for c in manifest.cite)


def test_what_files_say_of_their_origin_is_carried_along(tmp_path: Path) -> None:
    plain = import_childes(small_corpus(tmp_path / "in", files=4), tmp_path / "plain")
    assert plain.transcribers == {}
    folder = tmp_path / "in"
    for name, who in (("t00", "Ann  B"), ("t02", "Ann B"), ("t01", "Carl")):
        data = (folder / f"{name}.cha").read_bytes()
        said = f"@UTF8\n@PID:\t11312/c-{name}\n@Transcriber:\t{who}\n".encode()
        (folder / f"{name}.cha").write_bytes(data.replace(b"@UTF8\n", said))
    (folder / "x.xml").write_bytes(
        xml('<comment type="Transcriber">Dora</comment>', "<u who='CHI'><w>yes</w></u>").replace(
            b"<CHAT ", b'<CHAT PID="11312/c-x" '
        )
    )
    manifest = import_childes(folder, tmp_path / "named")
    assert manifest.transcribers == {"even": ("Ann B",), "odd": ("Carl",), "made": ("Dora",)}
    assert load_manifest(tmp_path / "named") == manifest
    rows = [line.split("\t") for line in (tmp_path / "named" / "transcripts.tsv").read_text().splitlines()]
    assert rows[0] == ["name", "corpus", "pid", "split"]
    pids = {Path(name).stem: pid for name, _, pid, _ in rows[1:]}
    assert pids == {"t00": "11312/c-t00", "t01": "11312/c-t01", "t02": "11312/c-t02", "t03": "", "x": "11312/c-x"}


def test_an_older_manifest_still_loads(tmp_path: Path) -> None:
    manifest = import_childes(small_corpus(tmp_path / "in", files=4), tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    old = {k: v for k, v in json.loads(path.read_text()).items() if k != "transcribers"}
    path.write_text(json.dumps(old))
    assert load_manifest(tmp_path / "out") == manifest


def test_the_corpus_of_a_file_that_does_not_name_it(tmp_path: Path) -> None:
    for name, corpus in (("Brown", ""), ("Sachs", "change_me_later")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.cha").write_bytes(chat("*CHI:\tyes .", corpus=corpus))
    assert set(import_childes(tmp_path, tmp_path / "out").corpora) == {"brown", "sachs"}


def test_vocabulary_order(tmp_path: Path) -> None:
    import_childes(small_corpus(tmp_path / "in"), tmp_path / "out")
    words = (tmp_path / "out/vocabulary.txt").read_text().split()
    protected = load_manifest(tmp_path / "out").protected
    assert words[:5] == ["<pad>", "<unk>", "<0>", "<MOT>", "<CHI>"]
    assert {w.split(":")[0] for w in words[5:protected]} == {"ball", "book", "cup", "dog", "hat", "shoe"}
    counts = np.load(tmp_path / "out/counts.npy")
    assert (np.diff(counts[protected:]) <= 0).all()


def broken_folder(tmp_path: Path) -> Path:
    """Good files among broken ones of every kind."""
    folder = small_corpus(tmp_path / "in", files=4)
    (folder / "a-bytes.cha").write_bytes(b"@UTF8\n@Begin\n*CHI:\tcaf\xe9 .\n@End\n")
    (folder / "b-bracket.cha").write_bytes(chat("*CHI:\tthe [= dog"))
    (folder / "c-end.cha").write_bytes(chat("*CHI:\tyes .", end=False))
    (folder / "d-tier.cha").write_bytes(chat("%act:\tjumps"))
    (folder / "e-bomb.xml").write_bytes(xml("<u who='CHI'/>", head='<!DOCTYPE x [<!ENTITY a "b">]>\n'))
    (folder / "f-xz.cha.xz").write_bytes(lzma.compress(chat("*CHI:\tyes ."))[:-20])
    pack(small_corpus(tmp_path / "more", files=6), folder, "zip")
    whole = (folder / "all.zip").read_bytes()
    (folder / "all.zip").write_bytes(whole[: len(whole) // 2])
    return folder


def test_the_first_fault_is_named_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"a-bytes\.cha, line 3: not UTF-8: byte 0xe9"):
        import_childes(broken_folder(tmp_path), tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_keep_going_lists_all_faults_and_keeps_the_good_files(tmp_path: Path) -> None:
    manifest = import_childes(broken_folder(tmp_path), tmp_path / "out", keep_going=True)
    assert manifest.totals.transcripts == 4
    found = {Path(f.file).name: (f.line, f.reason) for f in manifest.faults}
    assert found.pop("f-xz.cha.xz")[1].startswith("cannot be read: ")
    assert found.pop("all.zip")[1].startswith("damaged archive: ")
    assert found == {
        "a-bytes.cha": (3, "not UTF-8: byte 0xe9"),
        "b-bracket.cha": (7, "'[' is not closed in the utterance of CHI"),
        "c-end.cha": (7, "the file ends without @End: is it cut short?"),
        "d-tier.cha": (7, "the tier %act annotates no utterance: none stands before it"),
        "e-bomb.xml": (2, "a document type or entity is declared; TalkBank XML needs none, and none is read"),
    }


def test_a_cut_zip_is_named_and_the_other_files_are_kept(tmp_path: Path) -> None:
    packed = pack(small_corpus(tmp_path / "in", files=6), tmp_path, "zip")
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(FaultError, match=r"damaged archive: .*Download it again"):
        import_childes(packed, tmp_path / "other")
    manifest = import_childes([packed, tmp_path / "in"], tmp_path / "out", keep_going=True)
    assert manifest.totals.transcripts == 6
    (fault,) = manifest.faults
    assert fault.reason == "damaged archive: File is not a zip file; is it cut? Download it again"


def test_a_damaged_notice_is_a_fault_like_any_other(tmp_path: Path) -> None:
    folder = small_corpus(tmp_path / "in", files=4)
    (folder / "README.gz").write_bytes(gzip.compress(b"Licence: as Ann says")[:-9])
    (folder / "licence.txt").write_bytes(b"as Ann says")
    with pytest.raises(FaultError, match=r"README\.gz: cannot be read: Compressed file ended"):
        import_childes(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    manifest = import_childes(folder, tmp_path / "out", keep_going=True)
    assert manifest.totals.transcripts == 4
    assert [Path(f.file).name for f in manifest.faults] == ["README.gz"]
    assert {Path(name).name: text for name, text in manifest.notices.items()} == {"licence.txt": "as Ann says"}


@pytest.mark.parametrize("good", [0, 2])
def test_every_fault_is_listed_however_many(tmp_path: Path, capsys: pytest.CaptureFixture[str], good: int) -> None:
    folder = small_corpus(tmp_path / "in", files=good)
    for i in range(45):
        (folder / f"broken{i:02}.cha").write_bytes(chat("*CHI:\tthe [= dog"))
    out = str(tmp_path / "out")
    code = main(["tasks", "import", "childes", str(folder), "--out", out, "--keep-going"])
    assert code == (0 if good else 2)
    said = capsys.readouterr().err
    assert all(f"broken{i:02}.cha, line 7: '[' is not closed" in said for i in range(45))
    assert "more" not in said


@pytest.mark.parametrize("kind", ["tar", "tar.xz", "tar.gz"])
def test_a_cut_tar_gives_what_stands_before_the_cut(tmp_path: Path, kind: str) -> None:
    archive = pack(small_corpus(tmp_path / "in", files=40, scenes=100), tmp_path, kind)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(FaultError, match="damaged archive"):
        import_childes(archive, tmp_path / "out", jobs=1)
    if kind != "tar.xz":  # its one block decompresses to nothing where it is cut
        manifest = import_childes(archive, tmp_path / "out", keep_going=True, jobs=1)
        assert 2 <= manifest.totals.transcripts < 40
        assert len(manifest.faults) == 1


def test_a_damaged_zip_member_costs_that_member(tmp_path: Path) -> None:
    archive = pack(small_corpus(tmp_path / "in", files=4), tmp_path, "zip")
    data = bytearray(archive.read_bytes())
    data[200:210] = bytes(10)
    archive.write_bytes(data)
    manifest = import_childes(archive, tmp_path / "out", keep_going=True)
    assert manifest.totals.transcripts == 3
    assert [Path(f.file).name for f in manifest.faults] == ["t00.cha"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiers": "wide"}, "unknown tier set 'wide': expected strict or core"),
        ({"heldout": 0}, "heldout: expected a share between 0 and 1, found 0"),
        ({"jobs": 0}, "jobs: expected at least 1, found 0"),
        ({"files": "nowhere"}, "nowhere: no such file or folder"),
        ({"files": "empty"}, "no .cha or .xml file; expected at least two"),
        ({"files": "in/t00.cha"}, "1 transcripts were read; expected at least 2, since one is held out"),
        ({"files": "note.doc"}, "note.doc: expected .cha, .xml, a folder, a zip or a tar archive"),
        ({"out": "in"}, "exists already; expected a new or empty folder"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, options: dict[str, object], message: str) -> None:
    small_corpus(tmp_path / "in", files=2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.doc").write_text("no transcript")
    files = tmp_path / str(options.pop("files", "in"))
    out = tmp_path / str(options.pop("out", "out"))
    with pytest.raises(BadInputError) as caught:
        import_childes(files, out, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_selection(tmp_path: Path) -> None:
    import_childes(small_corpus(tmp_path / "in"), tmp_path / "out")
    found = select_nouns(tmp_path / "out", 60, ["ball", "cup", "dog", "tray"])
    assert [(v.noun, v.env, v.lan, v.stays) for v in found.verdicts] == [
        ("ball", 60, 120, True),
        ("cup", 60, 120, True),
        ("dog", 60, 120, True),
        ("tray", 0, 0, False),
    ]
    assert found.verdicts[3].why_not == "shown 0 times and said 0 times, fewer than 60"
    above = select_nouns(tmp_path / "out", 61)
    assert above.kept == ()
    assert {v.why_not for v in above.verdicts if v.noun == "ball"} == {"shown 60 times, fewer than 61"}
    assert above.describe() == "0 of 100 nouns occur at least 61 times in both forms, core tiers"
    beyond = select_nouns(tmp_path / "out", 60, ["whale", "number0", "ball"])
    assert [(v.noun, v.env, v.lan) for v in beyond.verdicts] == [("whale", 0, 0), ("number0", 0, 30), ("ball", 60, 120)]


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = str(broken_folder(tmp_path)), str(tmp_path / "out")
    assert main(["tasks", "import", "childes", folder, "--out", out]) == 2
    assert capsys.readouterr().err.endswith("a-bytes.cha, line 3: not UTF-8: byte 0xe9\n")
    assert main(["tasks", "import", "childes", folder, "--out", out, "--keep-going", "--tiers", "strict"]) == 0
    said = capsys.readouterr()
    assert "of 100 nouns occur at least 100 times in both forms, strict tiers" in said.out
    assert "7 left out:" in said.err
    assert "b-bracket.cha, line 7: '[' is not closed" in said.err
    assert main(["tasks", "select-nouns", out, "--at-least", "30", "--json"]) == 0
    verdicts = {v["noun"]: v for v in json.loads(capsys.readouterr().out)["nouns"]}
    assert verdicts["ball"] == {"noun": "ball", "env": 30, "lan": 60, "stays": True, "why_not": None}
    assert main(["tasks", "select-nouns", str(tmp_path)]) == 2
    assert "expected a corpus made by `groundbench tasks import`" in capsys.readouterr().err


@pytest.mark.parametrize("nouns", ["cdi-es", "own.yaml", "inventory"])
def test_an_import_says_for_which_nouns_of_an_inventory_it_suffices(
    nouns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.yaml").write_text("language: en\nnouns:\n  ball: [toys, a, balls]\n  dog: [animals, a, dogs]\n")
    folder = small_corpus(tmp_path / "in")
    asked = str(tmp_path / nouns) if nouns.endswith(".yaml") else nouns
    command = ["tasks", "import", "childes", str(folder), "--out", str(tmp_path / "out"), "--nouns", asked]
    assert main(command) == 0, capsys.readouterr().err
    of = len(load_inventory(asked).nouns)
    assert f"of {of} nouns occur at least 100 times" in capsys.readouterr().out


def test_an_unknown_inventory_is_said_before_the_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_corpus(tmp_path / "in")
    out = tmp_path / "out"
    assert main(["tasks", "import", "childes", str(folder), "--out", str(out), "--nouns", "cdi-xx"]) == 2
    assert "'cdi-xx' is neither a file nor one of inventory, cdi-en, cdi-es" in capsys.readouterr().err
    assert not out.exists()


def test_a_manifest_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BadInputError, match="not a manifest"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(BadInputError, match=r"format: .*; expected groundbench-corpus version 1"):
        load_manifest(tmp_path)
    assert Manifest.model_config["extra"] == "forbid"


def rich_and_poor(folder: Path) -> Path:
    """Twelve transcripts of which half the words are ENV, and three of which a hundredth is."""
    small_corpus(folder)
    for i in range(3):
        lines = [f"*MOT:\twe talk of many things today number{i} ." for _ in range(14)]
        (folder / f"z{i}.cha").write_bytes(chat(*lines, "%act:\tnods", corpus="poor"))
    return folder


def test_only_transcripts_rich_in_env_are_kept_and_the_manifest_says_so(tmp_path: Path) -> None:
    folder = rich_and_poor(tmp_path / "in")
    every = import_childes(folder, tmp_path / "all")
    rich = import_childes(folder, tmp_path / "rich", min_env_share=0.1)
    assert (every.totals.transcripts, every.min_env_share, every.poor_transcripts) == (15, None, 0)
    assert (rich.totals.transcripts, rich.min_env_share, rich.poor_transcripts) == (12, 0.1, 3)
    assert {*every.corpora} - {*rich.corpora} == {"poor"}
    alone = import_childes(small_corpus(tmp_path / "only"), tmp_path / "alone")
    assert (rich.digest, rich.lines) == (alone.digest, alone.lines)  # nothing of the others is left
    assert ImportedCorpus(tmp_path / "rich").identity()["min_env_share"] == 0.1


def test_the_share_is_of_words_and_the_bound_is_kept(tmp_path: Path) -> None:
    for name in "abcd":  # 2 of 8 words are ENV
        (tmp_path / f"{name}.cha").write_bytes(chat(f"*MOT:\tone two three four five {name} .", "%act:\tpoints up"))
    assert import_childes(tmp_path, tmp_path / "at", min_env_share=0.25).totals.transcripts == 4
    with pytest.raises(BadInputError, match=r"0 transcripts were read and 4 have fewer ENV words than 0\.26"):
        import_childes(tmp_path, tmp_path / "above", min_env_share=0.26)
    with pytest.raises(BadInputError, match="min_env_share: expected a share above 0"):
        import_childes(tmp_path, tmp_path / "none", min_env_share=0.0)


def test_the_command_prints_how_many_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = rich_and_poor(tmp_path / "in")
    assert (
        main(["tasks", "import", "childes", str(folder), "--min-env-share", "0.1", "--out", str(tmp_path / "o")]) == 0
    )
    assert "3 transcripts left out: less than 0.1 of their words is ENV" in capsys.readouterr().out
