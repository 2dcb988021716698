"""The testbed: prompts, the novelty of its frames, and the ideal observer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from groundbench.api.testbed import EnvSegment
from groundbench.registry import load_testbed
from groundbench.tasks.childworld import Childworld, corpus, ideal_gain
from groundbench.tasks.childworld.grammar import TIERS, frame_texts, grammar
from groundbench.tasks.childworld.patterns import contains
from groundbench.tasks.childworld.token_tables import compiled_grammar
from groundbench.tasks.nouns import inventory
from groundbench.tasks.validation import find_faults

WORDS = np.array(compiled_grammar().vocabulary)


def test_prompts_are_those_of_the_protocol() -> None:
    t = load_testbed("childworld")
    token, simple = t.forms
    book = t.noun("book")
    prompt = t.prompt(t.frames(token)[0], book, token)
    assert prompt.text == "<CHI> asked:<ENV> for:<ENV> the:<ENV> book:<ENV> <CHI> I:<LAN> love:<LAN> this:<LAN>"
    assert EnvSegment("book:<ENV>") in prompt.segments
    assert t.prompt(t.frames(simple)[0], book, simple).text == "<CHI> book:<ENV> <CHI> I:<LAN> love:<LAN> this:<LAN>"
    assert t.target(book) == "book:<LAN>"
    assert (t.frame_kind, t.natural_language, t.default_form) == ("shared", False, "token")


def test_thousand_distinct_prompts_without_unknown_words() -> None:
    t = Childworld()
    tokenizer = corpus().tokenizer()
    for form in t.forms:
        frames = t.frames(form)
        texts = [t.prompt(f, n, form).text for f in frames for n in t.nouns]
        assert len(frames) == 10
        assert len(set(texts)) == 1000
        assert not any(1 in ids for ids in tokenizer(texts)["input_ids"])
    assert not any(1 in ids for ids in tokenizer([t.target(n) for n in t.nouns])["input_ids"])


@pytest.fixture(scope="module")
def text() -> str:
    """Training text of three corpora, every noun written as NOUN."""
    token = np.array(WORDS, dtype=object)
    for noun in inventory():
        for suffix in (":<ENV>", ":<LAN>"):
            token[list(WORDS).index(noun.word + suffix)] = "NOUN" + suffix
    corpora = (corpus(), corpus("childes-like"), corpus(shuffle_env=True))
    rows = [row for c in corpora for row in c.batch(3, seed=11, batch_size=8000, length=64)]
    return "\n".join(" ".join(token[row[row > 0]]) for row in rows)


def wordings() -> list[str]:
    found = []
    for frame in frame_texts().values():
        for words, suffix in zip(frame.wordings, (":<ENV>", ":<LAN>"), strict=True):
            found.append(" ".join(w + suffix for w in words))
    return found


def test_no_wording_of_a_frame_occurs_in_training_text(text: str) -> None:
    assert len(set(wordings())) == 20
    for wording in wordings():
        assert wording not in text
    # The search can find: the same phrases with another determiner are there.
    assert "asked:<ENV> for:<ENV> her:<ENV> NOUN:<ENV>" in text
    assert "I:<LAN> love:<LAN> that:<LAN>" in text


def test_every_word_of_the_frames_is_frequent_in_training_in_its_tier(text: str) -> None:
    counts = Counter(text.split())
    for wording in wordings():
        for word in wording.split():
            assert counts[word] > 100, word


def test_no_sentence_of_the_grammar_can_be_worded_like_a_frame() -> None:
    g = grammar()
    held_out = [w for frame in frame_texts().values() for w in frame.wordings]
    for tier in TIERS:
        assert sum(s.weight for s in g.sentences[tier]) == pytest.approx(1)
        for sentence in g.sentences[tier]:
            assert not any(contains(sentence.words, w, g.classes) for w in held_out)


def test_ideal_gain_is_the_posterior_of_simulated_scenes() -> None:
    g = grammar()
    rng = np.random.default_rng(1)
    n, v = 400_000, 100
    there = rng.choice(v, n, p=g.frequency)
    said = np.where(rng.random(n) < np.array(g.relevance)[there], there, rng.choice(v, n, p=g.frequency))
    counts = np.zeros((v, v))
    np.add.at(counts, (there, said), 1)
    surprisal = -np.log((counts + 0.02) / (counts + 0.02).sum(1, keepdims=True))
    own = np.diag(surprisal)
    simulated = (surprisal.sum(0) - own) / (v - 1) - own
    closed = ideal_gain()
    assert closed.mean == pytest.approx(simulated.mean(), rel=0.1)
    assert np.corrcoef(simulated, [closed.by_noun[x.word] for x in inventory()])[0, 1] > 0.9


def test_ideal_gain_under_its_null_controls() -> None:
    assert ideal_gain(shuffle_env=True).mean == 0.0
    blind = replace(grammar(), relevance=(0.0,) * 100)
    assert ideal_gain(known=blind).mean == pytest.approx(0.0, abs=1e-12)
    g = ideal_gain()
    assert g.mean == pytest.approx(np.mean(list(g.by_noun.values())))
    assert Childworld().ideal_gain(Childworld().forms[0]) == g.mean


def test_noun_probabilities_in_the_corpus_are_the_ideal_observers() -> None:
    """The closed form against the stream itself: P(said | shown) in the utterance after a tier, pooled over nouns."""
    batch = np.concatenate([corpus().batch(s, seed=21, batch_size=2048, length=64) for s in range(4)])
    index = {n.word: i for i, n in enumerate(inventory())}
    g = grammar()
    r, q = np.array(g.relevance), np.array(g.frequency)
    predicted, hits = [], []
    for row in batch:
        shown: int | None = None
        for sentence in " ".join(WORDS[row[row > 0]]).split(" <"):
            words = sentence.split()[1:]
            nouns = [index[w.split(":")[0]] for w in words if w.split(":")[0] in index]
            if words[0].endswith(":<ENV>"):
                shown = nouns[0] if len(nouns) == 1 else None
            elif not nouns:
                shown = None
            elif shown is not None:
                predicted.append(r[shown] * (nouns[0] == shown) + (1 - r[shown]) * q[nouns[0]])
                hits.append(nouns[0] == shown)
                shown = None
    own = np.eye(100)
    p = r[:, None] * own + (1 - r[:, None]) * q
    entropy = float(-(q[:, None] * p * np.log(p)).sum())
    assert len(hits) > 10_000
    assert np.mean(-np.log(predicted)) == pytest.approx(entropy, rel=0.03)


def test_testbed_keeps_the_rules_of_the_protocol() -> None:
    assert find_faults(Childworld()) == []
