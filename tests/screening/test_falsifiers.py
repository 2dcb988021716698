"""Falsifiers of a screening of given answers: what must tell nothing tells nothing, over the whole card."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from helpers.simulated_levels import recorded
from helpers.small_models import tiny_llama
from helpers.word_model import copier

from groundbench.api.evidence_record import EvidenceRecord, RecordSet, end_of_prompt
from groundbench.results.risk_card import RiskCard
from groundbench.screening import screen_answers as module
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.screen_answers import screen_answers
from groundbench.tasks.questions.records.other_evidence import draw_others

WORDS = ("ada", "bob", "cid", "dot", "eve", "fay", "gus", "hal")
CARDS = 200


def records(n: int) -> RecordSet:
    """Answers of several tokens to passages of several lengths, two to a passage; half of them are labelled wrong."""
    rng = random.Random(1)
    found = []
    for i in range(n):
        evidence = f"{' '.join(random.Random(i // 2).choices(WORDS, k=6 + i // 2 % 5))} {i // 2}"
        before, after, join = end_of_prompt("\nanswer:", "say ")
        answer = " ".join(rng.choices(WORDS, k=2 + i % 3))
        wrong = rng.random() < 0.5
        found.append(
            EvidenceRecord(
                f"r{i}", "q", evidence, before, after, join, f"g{i // 2}", "ab"[i % 2], f"line {i}", answer=answer,
                wrong=wrong,
            )
        )  # fmt: skip
    return RecordSet("made", "B", tuple(found), other=draw_others(found))


def permuted_cards(monkeypatch: pytest.MonkeyPatch, n: int, cards: int) -> Iterator[RiskCard]:
    """Yield whole cards of permuted labels; the model is read once, since no reading depends on a label."""
    model, found = tiny_llama(), records(n)
    kept: dict[str, object] = {}

    def once(name: str) -> None:
        real = getattr(module, name)

        def cached(*args: object, **more: object) -> object:
            if name not in kept:
                kept[name] = real(*args, **more)
            return kept[name]

        monkeypatch.setattr(module, name, cached)

    for name in ("encode_set", "read_set", "induction_heads"):
        once(name)
    monkeypatch.setattr(module, "worst_answers", lambda *a: ())  # shown to people, judged by nobody
    wrong = np.array([r.wrong for r in found.records])
    for seed in range(cards):
        labels = np.random.default_rng(seed).permutation(wrong)
        relabelled = tuple(replace(r, wrong=bool(w)) for r, w in zip(found.records, labels, strict=True))
        given = module.encode_set(model, found, found.records)
        given.records[:] = relabelled
        yield screen_answers(model, replace(found, records=relabelled), ScreenOptions(seed=0), None).card


@pytest.mark.slow
def test_permuted_labels_leave_no_signal_above_chance_over_the_whole_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 200 cards every signal, fitted ones included, is called different from chance as often as its level says."""
    monkeypatch.setattr("groundbench.stats.grouped.RESAMPLES", 50)  # no p and no best signal comes from a resample
    p: dict[str, list[float]] = {}
    called = []
    for card in permuted_cards(monkeypatch, 160, CARDS):
        for s in card.signals:
            if s.p is not None:
                p.setdefault(s.name, []).append(s.p)
        called.append(any(s.p_holm is not None and s.p_holm < 0.05 for s in card.signals))
        assert set(card.predictors.above_chance) <= {s.name for s in card.signals if (s.p_holm or 1.0) < 0.05}
    assert len(p) >= 18
    assert {"lookback", "redeep", "heads-share", "gain", "length"} <= set(p)
    rejected = np.array([[x < 0.05 for x in values] for values in p.values()])
    share = recorded("AUROC of a card's signals", f"{CARDS} cards of permuted labels", rejected.ravel(), "rejects")
    assert 0.02 <= share <= 0.08
    for name, own in zip(p, rejected.mean(1), strict=True):
        assert own <= 0.12, name  # four standard errors of 200 cards above 5 %
    assert np.mean(called) <= 0.08  # Holm: any signal of a card


def shown(n: int, evidence: str) -> RecordSet:
    """Answers that name the colour of their passage; a third name another one.

    Args:
        evidence: `own`, or `strange`: in its place another passage, which says nothing of the answer.
    """
    rng, colours = random.Random(0), ("red", "blue", "green", "white", "black", "pink")
    found = []
    for i in range(n):
        told, other = rng.sample(colours, 2)
        wrong = i % 3 == 0
        own = f"thing is {told} , says note {i} ." if evidence == "own" else f"the tide comes at {i} , says the log ."
        answer = f"it was {other if wrong else told} then"
        before, after, join = end_of_prompt(" what colour ?", "look : ")
        found.append(
            EvidenceRecord(
                f"r{i}", "q", own, before, after, join, f"g{i}", "k", f"line {i}", answer=answer, wrong=wrong
            )
        )
    return RecordSet("made", "B", tuple(found), other=draw_others(found))


def test_evidence_replaced_by_other_evidence_leaves_gains_of_nothing() -> None:
    """The copy oracle gains from its own passage; from a passage that says nothing of the answer it gains nothing."""
    options = ScreenOptions(signals=("gain", "context-shift", "contrast"))
    own, strange = (screen_answers(copier(), shown(60, which), options, None).card for which in ("own", "strange"))
    assert {g.against: (g.gain.low or 0.0) > 1 for g in own.gains} == {"without": True, "mismatched": True}
    gains = {g.against: g.gain for g in strange.gains}
    assert gains["mismatched"].value == pytest.approx(0.0, abs=1e-6)
    assert gains["without"].value is not None
    assert gains["without"].value <= 0.0  # words that were shown in vain take their share from the answer's
    for name in ("gain", "gain-mismatched", "contrast"):
        told, untold = own.signal(name), strange.signal(name)
        assert told is not None
        assert untold is not None
        assert told.auroc is not None
        assert untold.auroc is not None
        assert told.auroc.value == 1.0, name
        assert untold.auroc.value == pytest.approx(0.5, abs=1e-6), name
    assert strange.predictors.above_chance == ()
