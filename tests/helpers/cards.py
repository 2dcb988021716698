"""What tests ask of a risk card."""

from __future__ import annotations

from groundbench.results.risk_card import Check, RiskCard


def checks(card: RiskCard) -> dict[str, Check]:
    return {c.name: c for c in card.verdict.checks}
