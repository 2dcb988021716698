"""Falsifiers of a screening of given answers: what must tell nothing tells nothing."""

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

CARDS = 200
NAMES = ("ada", "bob", "cid", "dot", "eve", "fay", "gus", "hal")


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
    for end in (gains["mismatched"].low, gains["mismatched"].high):
        assert end == pytest.approx(0.0, abs=1e-6)  # in every answer, so that its ranking would be rounding alone
    for name in ("gain", "contrast"):
        told, untold = own.signal(name), strange.signal(name)
        assert told is not None
        assert untold is not None
        assert told.auroc is not None
        assert untold.auroc is not None
        assert told.auroc.value == 1.0, name
        assert untold.auroc.low is not None
        assert untold.auroc.high is not None
        assert untold.auroc.low <= 0.5 <= untold.auroc.high, name
    assert not {"gain", "contrast"} & set(strange.predictors.above_chance)


def of_names(n: int) -> RecordSet:
    """Answers of two to four names to passages of names, two to a passage; half of them are labelled wrong."""
    rng = random.Random(1)
    found = []
    for i in range(n):
        evidence = f"{' '.join(random.Random(i // 2).choices(NAMES, k=6 + i // 2 % 5))} {i // 2}"
        before, after, join = end_of_prompt("\nanswer:", "say ")
        answer, wrong = " ".join(rng.choices(NAMES, k=2 + i % 3)), rng.random() < 0.5
        found.append(
            EvidenceRecord(
                f"r{i}", "q", evidence, before, after, join, f"g{i // 2}", "ab"[i % 2], f"line {i}",
                answer=answer, wrong=wrong,
            )
        )  # fmt: skip
    return RecordSet("made", "B", tuple(found), other=draw_others(found))


def permuted_cards(monkeypatch: pytest.MonkeyPatch, n: int, cards: int) -> Iterator[RiskCard]:
    """Yield cards of answers whose labels are permuted; the model is read once, since no reading knows a label."""
    model, found = tiny_llama(), of_names(n)
    kept: dict[str, object] = {}

    def read_once(name: str) -> None:
        real = getattr(module, name)

        def first(*args: object, **more: object) -> object:
            if name not in kept:
                kept[name] = real(*args, **more)
            return kept[name]

        monkeypatch.setattr(module, name, first)

    for name in ("encode_set", "read_set", "induction_heads"):
        read_once(name)
    monkeypatch.setattr(module, "worst_answers", lambda *_: ())  # shown to people, judged by nobody
    wrong = np.array([r.wrong for r in found.records])
    for seed in range(cards):
        labels = np.random.default_rng(seed).permutation(wrong)
        relabelled = tuple(replace(r, wrong=bool(w)) for r, w in zip(found.records, labels, strict=True))
        module.encode_set(model, found, found.records).records[:] = relabelled
        yield screen_answers(model, replace(found, records=relabelled), ScreenOptions(seed=0), None).card


@pytest.mark.slow
def test_permuted_labels_leave_no_signal_above_chance_on_a_whole_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 200 cards every signal, fitted ones included, differs from chance as often as the test's level says."""
    monkeypatch.setattr("groundbench.stats.grouped.RESAMPLES", 50)  # of intervals, which decide no p
    p: dict[str, list[float | None]] = {}
    called = []
    for card in permuted_cards(monkeypatch, 160, CARDS):
        for s in card.signals:
            p.setdefault(s.name, []).append(s.p)
        called.append(any(s.p_holm is not None and s.p_holm < 0.05 for s in card.signals))
    tested = {name: values for name, values in p.items() if None not in values}
    assert len(tested) >= 18
    assert {"lookback", "redeep", "heads-share", "gain", "length"} <= set(tested)
    rejected = np.array(list(tested.values()), dtype=float) < 0.05
    assert 0.02 <= rejected.mean() <= 0.08
    assert rejected.mean(1).max() <= 0.12  # of any one signal: four standard errors of 200 cards above 5 %
    assert recorded("AUROC of any signal, by Holm", f"{CARDS} cards, labels permuted", called, "rejects") <= 0.08
