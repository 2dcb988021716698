"""What tests ask of a risk card."""

from __future__ import annotations

from groundbench.result_screening import Check, RiskCard


def checks(card: RiskCard) -> dict[str, Check]:
    return {c.name: c for c in card.verdict.checks}
