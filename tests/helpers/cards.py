"""Risk cards for tests: what is asked of them, and made-up ones that no model gave."""

from __future__ import annotations

from typing import Literal

from groundbench.results.risk_card import (
    Check,
    ErrorRecord,
    Estimated,
    QuestionsRecord,
    RiskCard,
    SignalRecord,
    Verdict,
)
from groundbench.results.risk_card_answers import RecordsRecord
from groundbench.results.run import EnvironmentRecord, ModelRecord


def checks(card: RiskCard) -> dict[str, Check]:
    return {c.name: c for c in card.verdict.checks}


def made_up_card(
    error: float = 0.3,
    fingerprint: str = "sha256:x",
    passed: bool | None = None,
    mode: Literal["A", "B", "C"] | None = None,
) -> RiskCard:
    """A card on 200 questions about 100 scenes, with one signal."""
    rate = Estimated(value=error, low=max(0.0, error - 0.06), high=min(1.0, error + 0.07), n=200)
    auroc = Estimated(value=0.71, low=0.64, high=0.78, n=200)
    given = mode in ("B", "C")
    return RiskCard(
        model=ModelRecord(
            name="m", family="llama", architecture="L", parameters=10**8, dtype="float32", fingerprint=fingerprint
        ),
        questions=QuestionsRecord(
            sets=("scenes",),
            hash="0123456789abcdef",
            n=200,
            n_groups=100,
            kinds=("colour",),
            forms=("word",),
            splits={"detect": 60, "fit": 60, "test": 80},
        ),
        errors=(
            ErrorRecord(error=rate, n_groups=100, chance=None if given else 0.5, constant=None if given else 0.45),
        ),
        signals=(
            SignalRecord(
                name="gain", role="signal", description="d", cost="1 forward", auroc=auroc, auroc_within=auroc
            ),
        ),
        verdict=Verdict(passed=passed),
        records=None if mode is None else RecordsRecord(mode=mode, read=200),
        environment=EnvironmentRecord(versions={}, device="cpu"),
    )
