"""Falsifiers of a screening of given answers: what must tell nothing tells nothing."""

from __future__ import annotations

import random

import pytest
from helpers.word_model import copier

from groundbench.api.evidence_record import EvidenceRecord, RecordSet, end_of_prompt
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.screen_answers import screen_answers
from groundbench.tasks.questions.records.other_evidence import draw_others


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
