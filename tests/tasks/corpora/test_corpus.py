"""The imported corpus as training and analysis read it: pure, cut by transcript, and its null."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus_fixtures import chat, decoded, small_corpus

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.evaluation.training_provenance import Trained
from groundbench.measures.gain.cooccurrence import count_cooccurrence
from groundbench.registry import load_testbed
from groundbench.tasks.corpora import ImportedCorpus, import_childes
from groundbench.tasks.corpora.chunks import cut_into_chunks
from groundbench.tasks.corpora.shuffle import shuffle
from groundbench.training.corpus import Corpus, load_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("corpus")
    import_childes(small_corpus(home / "in"), home / "out", heldout=0.25)
    return home / "out"


def rows_of(corpus: Corpus, step: int = 0, seed: int = 1, batch_size: int = 8, length: int = 40) -> list[list[str]]:
    words = corpus.words()  # type: ignore[attr-defined]
    batch = corpus.batch(step, seed=seed, batch_size=batch_size, length=length)
    return [[words[i] for i in row if i] for row in batch]


def splits(folder: Path) -> dict[str, set[str]]:
    rows = [line.split("\t") for line in (folder / "transcripts.tsv").read_text().splitlines()[1:]]
    return {kind: {Path(name).stem for name, *_, split in rows if split == kind} for kind in ("train", "heldout")}


def transcript_of(row: list[str]) -> str:
    """`number7:<LAN>` stands in t07's utterances, `scene7x3:<ENV>` in its tiers."""
    found = {w.split(":")[0].removeprefix("number") for w in row if w.startswith("number")}
    found |= {w.split("x")[0].removeprefix("scene") for w in row if w.startswith("scene")}
    assert len(found) == 1, "a row of several transcripts"
    return f"t{int(found.pop()):02}"


def test_it_is_a_corpus_by_folder(folder: Path) -> None:
    corpus = load_corpus(str(folder))
    assert corpus.name == "childes-core"
    assert corpus.identity()["shuffle_env"] is False
    assert load_corpus(f"{folder}:shuffled").identity()["shuffle_env"] is True
    assert load_corpus(str(folder), vocabulary=40).identity()["vocabulary"] == 40
    with pytest.raises(BadInputError, match="it has no option 'density'"):
        load_corpus(str(folder), density="dense")
    with pytest.raises(BadInputError, match="or a folder made by `groundbench tasks import`"):
        load_corpus("no-such-corpus")


def test_batches_are_a_pure_function(folder: Path) -> None:
    one, two = ImportedCorpus(folder), pickle.loads(pickle.dumps(ImportedCorpus(folder)))
    for step in (5, 0, 400):
        a = one.batch(step, seed=3, batch_size=4, length=32)
        assert a.shape == (4, 32)
        assert a.dtype == np.int64
        assert (a == two.batch(step, seed=3, batch_size=4, length=32)).all()
    assert (one.batch(0, seed=3, batch_size=4, length=32) != one.batch(0, seed=4, batch_size=4, length=32)).any()
    assert (one.batch(0, seed=3, batch_size=4, length=32) != one.batch(1, seed=3, batch_size=4, length=32)).any()


@pytest.mark.parametrize("length", [20, 40, 512])
def test_an_epoch_is_every_training_token_once(folder: Path, length: int) -> None:
    corpus = ImportedCorpus(folder)
    n = len(corpus._chunks(length, heldout=False))
    rows = [row for k in range(n) for row in rows_of(corpus, step=k, batch_size=1, length=length)]
    texts = [t for t in decoded(folder) if transcript_of(t) in splits(folder)["train"]]
    assert sorted(w for row in rows for w in row) == sorted(w for t in texts for w in t)
    assert {transcript_of(t) for t in texts} == splits(folder)["train"]


def test_rows_begin_with_a_tag_and_hold_one_transcript(folder: Path) -> None:
    for row in rows_of(ImportedCorpus(folder), batch_size=60):
        assert row[0] in ("<MOT>", "<CHI>")
        transcript_of(row)


def test_heldout_rows_are_of_heldout_transcripts(folder: Path) -> None:
    corpus = ImportedCorpus(folder)
    words = corpus.words()
    rows = corpus.heldout(rows=200, length=40)
    assert rows.shape == (200, 40)
    assert {transcript_of([words[i] for i in row if i]) for row in rows} == splits(folder)["heldout"]
    assert len(splits(folder)["heldout"]) == 3


def test_the_split_does_not_depend_on_the_order_of_files(tmp_path: Path, folder: Path) -> None:
    source = small_corpus(tmp_path / "in")
    import_childes(sorted(source.iterdir(), reverse=True), tmp_path / "out", heldout=0.25)
    assert splits(tmp_path / "out") == splits(folder)


def test_a_smaller_vocabulary_keeps_tags_and_nouns(folder: Path) -> None:
    whole, small = ImportedCorpus(folder), ImportedCorpus(folder, vocabulary=30)
    assert small.words() == whole.words()[:30]
    a = whole.batch(0, seed=1, batch_size=8, length=40)
    assert (small.batch(0, seed=1, batch_size=8, length=40) == np.where(a < 30, a, 1)).all()
    with pytest.raises(BadInputError, match="a vocabulary of 5 cannot hold the 17 special tokens"):
        ImportedCorpus(folder, vocabulary=5)


def test_the_tokenizer_reads_back_what_it_says(folder: Path) -> None:
    corpus = ImportedCorpus(folder)
    tokenizer = corpus.tokenizer()
    row = corpus.batch(0, seed=1, batch_size=1, length=40)[0]
    text = " ".join(corpus.words()[i] for i in row if i)
    assert tokenizer(text)["input_ids"] == [i for i in row.tolist() if i]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (0, 1)
    assert tokenizer("no-such-word")["input_ids"] == [1]


def shown_and_said(rows: list[list[str]]) -> set[tuple[str, str]]:
    """(transcript of an ENV tier, transcript of the utterance after it)"""
    found = set()
    for row in rows:
        shown = None
        for word in row:
            if word.startswith("scene"):
                shown = word.removeprefix("scene").split("x")[0]
            elif word.startswith("number") and shown is not None:
                found.add((shown, word.removeprefix("number").split(":")[0]))
    return found


def test_the_null_shuffles_env_between_transcripts(folder: Path) -> None:
    plain, null = ImportedCorpus(folder), ImportedCorpus(folder, shuffle_env=True)
    rows = rows_of(null, batch_size=300, length=64)
    pairs = shown_and_said(rows)
    assert len(pairs) > 20
    assert all(shown != said for shown, said in pairs)
    assert all(shown == said for shown, said in shown_and_said(rows_of(plain, batch_size=300, length=64)))
    train = {s.removeprefix("t").lstrip("0") or "0" for s in splits(folder)["train"]}
    assert {shown for shown, _ in pairs} <= train, "a held-out tier is trained on"


@pytest.mark.parametrize("heldout", [False, True])
def test_the_null_has_the_same_words_and_the_same_speech(folder: Path, heldout: bool) -> None:
    def all_rows(corpus: ImportedCorpus) -> np.ndarray:
        n = len(corpus._chunks(512, heldout=heldout))
        if heldout:
            return corpus.heldout(rows=n, length=512)
        return corpus.batch(0, seed=1, batch_size=n, length=512)

    plain, null = (all_rows(ImportedCorpus(folder, shuffle_env=s)) for s in (False, True))
    n = len(ImportedCorpus(folder).words())
    assert (np.bincount(plain[plain > 0], minlength=n) == np.bincount(null[null > 0], minlength=n)).all()
    said = [i for i, w in enumerate(ImportedCorpus(folder).words()) if w.endswith(":<LAN>")]
    speech = [sorted(tuple(row[np.isin(row, said)]) for row in rows) for rows in (plain, null)]
    said_in = [sorted(token for row in rows for token in row) for rows in speech]
    assert said_in[0]
    assert said_in[0] == said_in[1]


def test_shuffling_is_a_permutation_without_own() -> None:
    rng = np.random.default_rng(0)
    for sizes in ([1, 1], [2, 1, 1], [5, 5], [50, 30, 20], list(rng.integers(1, 40, size=30))):
        owner = np.repeat(np.arange(len(sizes)), sizes)
        order = shuffle(owner, "x")
        assert sorted(order) == list(range(len(owner)))
        assert (owner[order] != owner).all()
    with pytest.raises(BadInputError, match="x: one transcript holds more than half of the 4 ENV segments"):
        shuffle(np.array([0, 0, 0, 1]), "x")


def test_cut_at_utterances() -> None:
    utterances = np.array([0, 3, 6, 20, 22, 25, 25])
    transcripts = np.array([0, 4, 6])
    start, end, owner = cut_into_chunks(utterances, transcripts, 8)
    assert list(zip(start.tolist(), end.tolist(), owner.tolist(), strict=True)) == [
        (0, 6, 0),
        (6, 14, 0),
        (14, 22, 0),
        (22, 25, 1),
    ]
    rng = np.random.default_rng(0)
    utterances = np.concatenate([[0], np.cumsum(rng.integers(0, 12, size=500))])
    transcripts = np.array([0, 0, 100, 350, 500])
    for length in (1, 5, 16, 10_000):
        start, end, _ = cut_into_chunks(utterances, transcripts, length)
        assert start[0] == 0
        assert end[-1] == utterances[-1]
        assert (start[1:] == end[:-1]).all()
        assert (end - start).max() <= length
        assert not any(a < b < c for a, c in zip(start, end, strict=True) for b in utterances[transcripts].tolist())


def test_cooccurrence_falls_in_the_null(folder: Path) -> None:
    def matched_share(corpus: ImportedCorpus) -> float:
        words = corpus.words()
        nouns = ("ball", "book", "cup", "dog", "hat", "shoe")
        env, lan = ([words.index(n + mark) for n in nouns] for mark in (":<ENV>", ":<LAN>"))
        tags = [i for i, w in enumerate(words) if w.startswith("<") and w[1].isupper()]
        scene = [i for i, w in enumerate(words) if w.endswith(":<ENV>")]
        rows = [corpus.batch(0, seed=1, batch_size=64, length=64)]
        counts = count_cooccurrence(rows, env, lan, tags, "utterances", scene_ids=scene).counts
        return float(np.trace(counts) / counts.sum())

    assert matched_share(ImportedCorpus(folder)) == 1.0
    assert matched_share(ImportedCorpus(folder, shuffle_env=True)) < 0.4


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    import_childes(small_corpus(tmp_path / "in"), tmp_path / "out")
    corpus = ImportedCorpus(tmp_path / "out")
    (tmp_path / "out/segments.npy").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"segments\.npy: cannot be read"):
        corpus.heldout(rows=1, length=8)


def test_transcripts_without_text(tmp_path: Path) -> None:
    for name, line in (("a", "&=laughs ."), ("b", "yes ."), ("c", "no .")):
        (tmp_path / f"{name}.cha").write_bytes(chat(f"*CHI:\t{line}"))
    manifest = import_childes(tmp_path, tmp_path / "out")
    assert (manifest.totals.transcripts, manifest.totals.utterances) == (3, 2)
    rows = [len(t) for t in decoded(tmp_path / "out")]
    assert rows == [0, 2, 2]


def test_train_twenty_steps_and_find_the_corpus_again(folder: Path, tmp_path: Path) -> None:
    words = ["train", "gpt2-mini", "--corpus", f"{folder}:shuffled", "--vocabulary", "60", "--steps", "20"]
    small = ["--length", "16", "--batch-size", "4", "--set", "config.n_embd=16", "--set", "config.n_layer=1"]
    assert main([*words, *small, "--device", "cpu", "--out", str(tmp_path / "run")]) == 0
    training = json.loads((tmp_path / "run/seed-42/step-000020/training.json").read_text())
    testbed = load_testbed("childworld")
    found = Trained(training).corpus(testbed)
    assert isinstance(found, ImportedCorpus)
    assert found.identity() == training["corpus"]
    moved = {"corpus": {**training["corpus"], "folder": str(tmp_path)}}
    assert Trained(moved).corpus(testbed) is None
    assert "does not lie in" in str(Trained(moved).missing)
    again = Trained(moved, folder).corpus(testbed)
    assert again.identity() == training["corpus"]
    with pytest.raises(BadInputError, match="its digest is"):
        Trained({"corpus": {**training["corpus"], "digest": "0" * 64}}, folder).corpus(testbed)
    with pytest.raises(BadInputError, match="no imported corpus"):
        Trained(moved, tmp_path)
