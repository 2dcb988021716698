"""The corpus: pure, the same on every machine, and with the statistics the grammar states."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from groundbench.api.errors import BadInputError
from groundbench.tasks.childworld import corpus
from groundbench.tasks.childworld.grammar import grammar
from groundbench.tasks.childworld.token_tables import compiled_grammar
from groundbench.tasks.nouns import inventory
from groundbench.training.corpus import Corpus

WORDS = np.array(compiled_grammar().vocabulary)
NOUNS = [n.word for n in inventory()]


def digest(batch: np.ndarray) -> str:
    return hashlib.sha256(batch.astype("<i8").tobytes()).hexdigest()[:16]


def sentences(row: np.ndarray) -> list[list[str]]:
    """The sentences of a row, each led by its speaker tag."""
    found: list[list[str]] = []
    for word in WORDS[row[row > 0]]:
        if word.startswith("<"):
            found.append([])
        found[-1].append(word)
    return found


def is_tier(sentence: list[str]) -> bool:
    return sentence[1].endswith(":<ENV>")


def nouns_in(sentence: list[str]) -> list[str]:
    return [w.split(":")[0] for w in sentence if w.split(":")[0] in NOUNS]


def scenes(batch: np.ndarray) -> list[tuple[list[str], list[list[str]]]]:
    """For each tier its nouns, and those of each utterance up to the next one (the first is surely of its scene)."""
    found: list[tuple[list[str], list[list[str]]]] = []
    for row in batch:
        for k, sentence in enumerate(sentences(row)):
            if is_tier(sentence):
                found.append((nouns_in(sentence), []))
            elif k > 0 and found:
                found[-1][1].append(nouns_in(sentence))
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "ac0c5445bacbe6a3"),
        ({"shuffle_env": True}, "617c6c710c8d3254"),
        ({"density": "childes-like"}, "9bb4e9d10bba83fa"),
    ],
)
def test_same_bytes_on_every_machine(options: dict[str, object], expected: str) -> None:
    assert digest(corpus(**options).batch(7, seed=42, batch_size=16, length=64)) == expected


def test_is_a_corpus() -> None:
    c: Corpus = corpus()
    assert c.name == "childworld"
    assert c.batch(0, seed=1, batch_size=3, length=20).dtype == np.int64
    assert c.identity() == corpus().identity() != corpus(shuffle_env=True).identity()


def test_unknown_density_is_refused() -> None:
    with pytest.raises(BadInputError, match="unknown density 'thin', expected one of dense"):
        corpus("thin")


@settings(max_examples=20, deadline=None)
@given(step=st.integers(0, 10**6), seed=st.integers(0, 10**9), length=st.integers(2, 300), shuffle=st.booleans())
def test_batch_is_pure_and_rows_begin_alike_at_any_length(step: int, seed: int, length: int, shuffle: bool) -> None:
    c = corpus(shuffle_env=shuffle)
    short = c.batch(step, seed=seed, batch_size=4, length=length)
    long = corpus(shuffle_env=shuffle).batch(step, seed=seed, batch_size=4, length=length + 37)
    assert short.shape == (4, length)
    for a, b in zip(short, long, strict=True):
        text = a[a > 0]
        assert (a[len(text) :] == 0).all()
        assert (b[: len(text)] == text).all()


def test_rows_do_not_depend_on_the_batch_size() -> None:
    c = corpus()
    eight = c.batch(5, seed=3, batch_size=8, length=64)
    four = np.concatenate([c.batch(k, seed=3, batch_size=4, length=64) for k in (10, 11)])
    assert (eight == four).all()


def test_rows_are_filled_with_whole_sentences() -> None:
    batch = corpus().batch(0, seed=1, batch_size=256, length=64)
    assert (batch == 0).mean() < 0.08
    ends = {(len(s), s[-1].startswith("<")) for row in batch for s in sentences(row)}
    assert all(n > 1 and not tag_only for n, tag_only in ends)


def test_seeds_steps_and_heldout_differ() -> None:
    c = corpus()
    first = c.batch(0, seed=1, batch_size=8, length=64)
    assert (first != c.batch(1, seed=1, batch_size=8, length=64)).any()
    assert (first != c.batch(0, seed=2, batch_size=8, length=64)).any()
    seen = {row.tobytes() for step in range(200) for row in c.batch(step, seed=1, batch_size=16, length=64)}
    assert not seen & {row.tobytes() for row in c.heldout(rows=64, length=64)}
    assert len(seen) == 3200


def test_tokenizer_round_trips(tmp_path: Path) -> None:
    c = corpus()
    c.tokenizer().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    row = c.batch(0, seed=1, batch_size=1, length=64)[0]
    text = " ".join(WORDS[row[row > 0]])
    for tokenizer in (c.tokenizer(), again):
        assert tokenizer(text)["input_ids"] == list(row[row > 0])
        assert tokenizer.decode(row[row > 0]) == text
        assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token) == (0, 1, None)
        assert tokenizer("zebra:<LAN>")["input_ids"] == [1]
    assert len(again) == len(WORDS) <= 700


def test_every_word_carries_its_tier_and_a_tier_is_led_by_the_next_speaker() -> None:
    for row in corpus().batch(0, seed=1, batch_size=64, length=64):
        found = sentences(row)
        for k, sentence in enumerate(found):
            endings = {w[w.index(":") :] for w in sentence[1:]}
            assert endings in ({":<ENV>"}, {":<LAN>"})
            if is_tier(sentence) and k + 1 < len(found):
                assert found[k + 1][0] == sentence[0]
                assert not is_tier(found[k + 1])


def test_no_article_gives_away_how_a_noun_begins(dense: np.ndarray) -> None:
    text = "\n".join(" ".join(WORDS[row[row > 0]]) for row in dense[:4000])
    before = set(re.findall(r"(\S+):<(?:ENV|LAN)> (?:" + "|".join(NOUNS) + r"):<", text))
    assert {"the", "this", "another", "my", "big"} <= before
    assert not before & {"a", "an"}


@pytest.mark.parametrize(("density", "rate"), [("dense", 470), ("childes-like", 80), ("childes-like-strict", 37)])
def test_densities(density: str, rate: float) -> None:
    batch = corpus(density).batch(0, seed=5, batch_size=500, length=512)
    found = [s for row in batch for s in sentences(row)]
    tiers = sum(map(is_tier, found))
    assert 1000 * tiers / (len(found) - tiers) == pytest.approx(rate, rel=0.05)


def test_vocabulary_is_all_in_use() -> None:
    used = np.unique(np.concatenate([corpus().batch(s, seed=2, batch_size=512, length=128) for s in range(8)]))
    assert set(range(len(WORDS))) - set(used.tolist()) <= {1}


@pytest.fixture(scope="module")
def dense() -> np.ndarray:
    return np.concatenate([corpus().batch(s, seed=9, batch_size=1024, length=64) for s in range(12)])


def test_every_noun_is_frequent_enough_and_follows_its_frequency(dense: np.ndarray) -> None:
    g = grammar()
    shown = np.array([WORDS.tolist().index(f"{w}:<ENV>") for w in NOUNS])
    counts = np.bincount(dense.ravel(), minlength=len(WORDS))[shown]
    share = counts / counts.sum()
    assert min(g.frequency) > 0.0025
    assert max(g.frequency) / min(g.frequency) > 10
    assert np.corrcoef(share, g.frequency)[0, 1] > 0.97


def test_relevance_varies_by_noun_and_is_blind_to_frequency_and_category() -> None:
    g = grammar()
    frequency, relevance = np.array(g.frequency), np.array(g.relevance)
    assert np.ptp(relevance) > 0.3
    ranks = np.corrcoef(np.argsort(np.argsort(frequency)), np.argsort(np.argsort(relevance)))[0, 1]
    assert abs(ranks) < 0.1


def test_a_noun_said_is_the_one_there_with_its_relevance(dense: np.ndarray) -> None:
    g = grammar()
    hits, all_said, expected = np.zeros(100), np.zeros(100), np.zeros(100)
    for shown, utterances in scenes(dense):
        if len(shown) != 1:
            continue
        v = NOUNS.index(shown[0])
        said = [n for u in utterances[:1] for n in u]
        all_said[v] += len(said)
        hits[v] += said.count(shown[0])
        expected[v] += len(said) * (g.relevance[v] + (1 - g.relevance[v]) * g.frequency[v])
    z = (hits - expected) / np.sqrt(expected * (1 - expected / all_said))
    assert all_said.min() > 80
    assert abs(z).max() < 4.5
    assert 0.8 < z.std() < 1.25


def test_shuffling_keeps_what_is_shown_and_said_but_not_together(dense: np.ndarray) -> None:
    null = np.concatenate([corpus(shuffle_env=True).batch(s, seed=9, batch_size=1024, length=64) for s in range(12)])
    count = [np.bincount(x.ravel(), minlength=len(WORDS)) for x in (dense, null)]
    for suffix in (":<ENV>", ":<LAN>"):
        of = [i for i, w in enumerate(WORDS) if w.endswith(suffix) and w.split(":")[0] in NOUNS]
        a, b = count[0][of], count[1][of]
        assert (abs(a - b) < 6 * np.sqrt(a + b)).all()
    together = [
        np.mean([s[0] in u for s, rest in scenes(x) if len(s) == 1 for u in rest[:1] if u]) for x in (dense, null)
    ]
    chance = float(np.square(grammar().frequency).sum())
    assert together[0] > 0.6
    assert abs(together[1] - chance) < 0.004


def test_shuffling_moves_tiers_between_two_transcripts() -> None:
    plain, null = (corpus(shuffle_env=s).batch(0, seed=4, batch_size=32, length=400) for s in (False, True))

    def split(row: np.ndarray) -> tuple[list[list[str]], list[list[str]]]:
        found = sentences(row)[:40]
        return [s[1:] for s in found if is_tier(s)], [s for s in found if not is_tier(s)]

    for i in range(32):
        tiers, said = split(null[i])
        partner, _ = split(plain[i ^ 1])
        _, own = split(plain[i])
        assert len(tiers) > 8
        n = min(len(tiers), len(partner))
        assert tiers[:n] == partner[:n]
        m = min(len(said), len(own))
        assert said[:m] == own[:m]


def test_first_scenes_noun_is_repeated_without_a_new_tier(dense: np.ndarray) -> None:
    repeats = [sum(shown[0] in u for u in rest) for shown, rest in scenes(dense) if len(shown) == 1]
    assert np.mean(np.array(repeats) >= 2) > 0.3
