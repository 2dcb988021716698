"""Text scenes as they ship, put to models whose answers are known: who passes, who fails, for which reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from helpers.cards import checks
from helpers.fake_models import FakeModel

from groundbench import screen
from groundbench.api.adapter import Encoded, Forward
from groundbench.api.question import Question
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment
from groundbench.results.risk_card import RiskCard
from groundbench.screening.policy import Policy, WantedPoint
from groundbench.screening.screen import ScreenOptions
from groundbench.tasks.questions import text_scenes

QUESTIONS = text_scenes()
STRICT = Policy(
    max_risk=0.0,
    max_risk_by_kind=dict.fromkeys({q.kind for q in QUESTIONS}, 0.0),
    max_usual=0.0,
    max_yes_bias=0.0,
    min_gain=1.0,
    min_auroc=0.99,
    max_ece=0.02,
    operating_point=WantedPoint(max_risk=0.0, min_coverage=1.0),
    min_questions=600,
)


class Says(FakeModel):
    """Says one word, of whatever it reads; where it says none, all words are equally likely to it."""

    def __init__(self, word: Callable[[str], str | None], name: str) -> None:
        super().__init__(lambda text: 0.0, name)
        self.info = replace(self.info, vocab_size=1 << 13)
        self.word = word
        self.texts: dict[tuple[int, ...], str] = {}

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        rows = []
        for p in prompts:
            ids: tuple[int, ...] = ()
            spans = []
            for s in p.segments:
                assert isinstance(s, TextSegment | EnvSegment)
                own = self._ids(s.text)
                if isinstance(s, EnvSegment):
                    spans.append((len(ids), len(ids) + len(own)))
                ids += own
            self.texts[ids] = p.text
            rows.append(Encoded(ids, tuple(spans)))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        return [self._ids(w) for w in words]

    def forward(self, rows: Sequence[Encoded], **options: object) -> Forward:  # type: ignore[override]
        logits = torch.zeros((len(rows), self.info.vocab_size))
        for own, row in zip(logits, rows, strict=True):
            said = self.word(self.texts[row.ids])
            if said is not None:
                own[self._ids(said)[0]] = 40.0
        return Forward(logits)


def card_of(model: Says) -> RiskCard:
    return screen(model, QUESTIONS, ScreenOptions(policy=STRICT, signals=("gain", "probability", "entropy")))


def test_a_perfect_oracle_passes() -> None:
    right = {q.prompt.text: q.right for q in QUESTIONS}
    card = card_of(Says(right.get, "oracle"))
    assert [c.reason for c in card.verdict.checks if not c.passed] == []
    assert card.verdict.passed is True
    assert "no error to predict" in checks(card)["min_auroc"].reason
    assert {e.error.value for e in card.errors} == {0.0}


def test_one_that_always_says_yes_fails_where_the_answer_is_no() -> None:
    card = card_of(Says(lambda text: "Yes", "always-yes"))
    found = checks(card)
    assert card.verdict.passed is False
    for kind in ("presence-random", "presence-popular", "presence-adversarial"):
        check = found[f"max_risk_by_kind.{kind}"]
        assert (check.found, check.passed) == ("0.500", False)
        assert "the answer is always yes" in check.reason
    assert found["max_yes_bias"].found == "0.500"
    assert "the model does not see the evidence" in found["min_gain.without"].reason


def test_one_that_reads_the_question_only_is_told_that_it_does_not_see() -> None:
    def by_question(q: Question) -> str:
        return "".join(s.text for s in q.prompt.segments if isinstance(s, TextSegment)).strip()

    usual = {by_question(q)[-30:]: q.choices[q.prior_answer if q.prior_answer is not None else 0] for q in QUESTIONS}
    card = card_of(Says(lambda text: usual.get(text.strip()[-30:]), "blind"))
    assert card.verdict.passed is False
    assert [g.gain.value for g in card.gains] == [pytest.approx(0.0, abs=1e-12)] * 2
    for against in ("without", "mismatched"):
        assert "the model does not see the evidence" in checks(card)[f"min_gain.{against}"].reason
