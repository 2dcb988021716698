"""From log-likelihoods of answers after three prompts to the metrics of a record (protocol §16); nats but for shares.

A metric that a record does not have (no usual answer, no other evidence, no wrong answer) is left out, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundbench.api.errors import NonFiniteLogitsError
from groundbench.integrations.lm_eval.evidence_task import PROMPTS
from groundbench.screening.answering import given_answers
from groundbench.screening.generation import read_answer
from groundbench.stats.error_ranking import auroc

RISKS = ("gain", "gain_mismatched", "logprob", "length")
"""Signals of the given answer of which an AUROC is computed; each rises with the risk."""


def of_record(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Compute a text document's metrics.

    `acc`, `acc_without`: the true candidate is likelier than each other one, with and without the evidence (of
    records with candidates). `says_usual`: the usual answer is the likeliest although the evidence contradicts it.
    `gain_right`, `gain_wrong`: log P(answer | evidence) - log P(answer | none), of right and of wrong answers;
    `gain_mismatched_*`: against other evidence. `auroc_*`: (risk, wrong) of the given answer, for `auroc_of_errors`;
    its sums are divided by its bytes, as lm-eval's acc_norm does.

    Raises:
        NonFiniteLogitsError: the backend returned NaN or an infinite log-likelihood.
    """
    asked = [name for name in PROMPTS if name == "prompt" or doc[name]]
    log_p = np.array([value for value, _ in results], dtype=np.float64).reshape(len(asked), -1)
    if not np.isfinite(log_p).all():
        raise NonFiniteLogitsError(f"{doc['where']}: the model returned NaN or an infinite log-likelihood")
    by = dict(zip(asked, log_p, strict=True))
    gold, n = int(doc["gold"]), len(doc["choices"])
    found: dict[str, Any] = {}
    if gold < 0:
        given, wrong = 0, bool(doc["wrong"])
        right_one = np.array([not wrong])
    else:
        right_one = np.arange(n) == gold
        given, wrong = _likeliest_answer(by["prompt"], right_one)
        found["acc"] = float(not wrong)
        if "without" in by:
            found["acc_without"] = float(not _likeliest_answer(by["without"], right_one)[1])
        if doc["usual"] not in (-1, gold):
            found["says_usual"] = float(given == doc["usual"])
    size = max(1, len(doc["choices"][given].strip().encode("utf-8", "surrogatepass")))
    risks = {"logprob": -by["prompt"][given] / size, "length": float(size)}
    for name, prompt in (("gain", "without"), ("gain_mismatched", "other")):
        if prompt in by:
            gain = by["prompt"] - by[prompt]
            risks[name] = -gain[given] / size
            for label, these in (("right", right_one), ("wrong", ~right_one)):
                if these.any():
                    found[f"{name}_{label}"] = float(gain[these].mean())
    return {**found, **{f"auroc_{name}": (float(risk), wrong) for name, risk in risks.items()}}


def _likeliest_answer(log_p: np.ndarray, right: np.ndarray) -> tuple[int, bool]:
    """Return the likeliest answer, and whether it is wrong; a tie of right and wrong is an error."""
    given = int(given_answers(-log_p[None], right[None])[0])
    return given, not bool(right[given])


def auroc_of_errors(pairs: Sequence[tuple[float, bool]]) -> float:
    """Aggregate (risk, wrong) pairs to the AUROC of errors; NaN where all are right, or all wrong."""
    risk, wrong = (np.array(x) for x in zip(*pairs, strict=True))
    found = auroc(risk.astype(np.float64), wrong.astype(bool))
    return math.nan if found is None else found


def of_image(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Compute an image document's metrics from the generated text: an answer that cannot be read is an error.

    `acc`; `unreadable`: it begins with none of the candidates; `says_yes` of yes/no questions.
    """
    choices = list(doc["choices"])
    said = read_answer(results[0], choices)
    found = {"acc": float(said == doc["gold"]), "unreadable": float(said < 0)}
    yes = [i for i, c in enumerate(choices) if c.casefold() == "yes"]
    return {**found, "says_yes": float(said == yes[0])} if yes and said >= 0 else found
