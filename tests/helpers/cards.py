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
    max_risk: float | None = None,
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
        verdict=Verdict(passed=passed, policy=None if max_risk is None else {"max_risk": max_risk}),
        records=None if mode is None else RecordsRecord(mode=mode, read=200),
        environment=EnvironmentRecord(versions={}, device="cpu"),
    )


def whole_card() -> RiskCard:
    """A made-up card in which every part is filled, so that any of them can be taken away."""
    e = {"value": 0.3, "low": 0.2, "high": 0.4, "n": 200}
    heads = {
        "heads": ((1, 0), (2, 3)),
        "selection": "magnitude",
        "threshold": 0.3,
        "min_rate": 0.5,
        "n_items": 40,
        "total": 8,
    }
    fits = ({"intercept": -1.0, "slope": 2.0}, {"risk": (0.1, 0.9), "error": (0.2, 0.7)})
    bins = ({"n": 40, "predicted": 0.2, "observed": 0.25}, {"n": 40, "predicted": 0.4, "observed": 0.35})
    fitted = {"n_fit": 60, "n_test": 80, "ece": 0.03, "ece_raw": 0.06, "ece_high": 0.1, "brier": 0.2, "bins": bins}
    signal = {
        "description": "d",
        "cost": "1 forward",
        "n": 200,
        **dict.fromkeys(("auroc", "auroc_within", "auroc_test", "aurc", "auprc", "prr"), e),
        **dict.fromkeys(("p", "p_holm", "p_within", "p_within_holm"), 0.01),
        "by_kind": ({"kind": "colour", "auroc": e}, {"kind": "place", "auroc": e}),
        "auroc_fit": 0.7,
        "curve": ({"coverage": 0.5, "error": 0.1, "low": 0.0, "high": 0.2}, {"coverage": 1.0, "error": 0.3}),
        "calibration": tuple(
            {"method": m, "fit": f, **fitted} for m, f in zip(("logistic", "isotonic"), fits, strict=True)
        ),
        "source": "s",
        "formula": "f",
        "aggregates": ({"how": "worst", "auroc": e}, {"how": "window", "auroc": e}),
        "tokens": {"n": 900, "wrong": 90, "auroc": e, "auprc": e},
    }
    control = {
        "factor": 1.5,
        "n_heads": 2,
        "tried": ({"factor": 1.5, "error": 0.2, "perplexity": 9.0},),
        **dict.fromkeys(("before", "after", "change"), e),
        "random": (0.3, 0.4),
        "p_rank": 0.3,
        "perplexity_before": 9.0,
        "perplexity_after": 9.5,
        "perplexity_random": (9.1, 9.2),
        "text": "a text",
        "note": "a note",
    }
    error = {"error": e, "n_groups": 100, "chance": 0.5, "constant": 0.45, "yes": e, "yes_true": 0.5, "usual": e}
    made = made_up_card(mode="A").model_dump()
    made |= {
        "errors": (error, {**error, "kind": "colour"}, {**error, "kind": "place"}, {**error, "form": "word"}),
        "mentions": {
            **dict.fromkeys(("absent", "without", "mismatched", "lowered", "any_absent"), e),
            **{"named": 3, "chance": 0.5, "candidates": 20.0, "there": 4.0},
        },
        "gains": ({"against": "without", "gain": e}, {"against": "mismatched", "gain": e}),
        "heads": heads,
        "carriers": {**heads, "selection": "contrast"},
        "signals": ({**signal, "name": "gain", "role": "signal"}, {**signal, "name": "length", "role": "baseline"}),
        "predictors": {
            **{"best": "gain", "best_signal": "gain", "best_baseline": "length"},
            **{"above_chance": ("gain",), "above_within": ("gain",)},
            "comparisons": ({"one": "gain", "other": "length", "gap": e, "within": e},),
        },
        "operating": {
            **{"signal": "gain", "max_risk": 0.1, "min_coverage": 0.5, "threshold": 0.4, "fit_coverage": 0.6},
            **{"fit_error": 0.1, "coverage": e, "error": e, "met": False, "why": "w"},
        },
        "generation": {
            **dict.fromkeys(("unparseable", "error", "yes", "agreement"), e),
            **{"n": 200, "tokens": 8, "examples": ("x",)},
        },
        "strengthen": control,
        "weaken": control,
        "verdict": {
            "policy": {"max_risk": 0.1},
            "checks": (
                {
                    **{"name": "max_risk", "wanted": "at most 0.1", "found": "0.3", "measured": True},
                    **{"passed": False, "reason": "r"},
                },
            ),
            "passed": False,
        },
        "thresholds": ({"threshold": 0.4, "flagged": 0.3, "caught": 0.6, "wrong_kept": 0.1},),
        "worst": (
            {
                **{"id": "r", "where": "line 1", "group": "g", "kind": "colour", "question": "q", "answer": "a b"},
                **{"wrong": True, "risk": 0.9, "probability": 0.8, "tokens": ("a", " b"), "shades": (0.1, 0.9)},
                **{"sentence": "s", "carried": 1.2},
            },
        ),
        "failures": ({"where": "line 2", "reason": "r"},),
    }
    made["questions"] |= {"kinds": ("colour", "place"), "limit": 200, "drawn_from": 400, "unasked": {"n": 3}}
    return RiskCard.model_validate(made)
