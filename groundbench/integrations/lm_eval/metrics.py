"""From a document's log-likelihoods to its metrics, all in nats but `acc`; lm-eval averages them over documents.

A metric that was not measured on a document is left out of its dictionary, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundbench.api.errors import NonFiniteLogitsError


def of_context(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Compute gain, surprisals and accuracy of one context (protocol §5; the algebra is in `documents`).

    `acc` says whether the noun shown is the most probable of its mismatches; `same_category_gain` takes only
    candidates of its own category and is left out where there is none.

    Raises:
        NonFiniteLogitsError: the backend returned NaN or an infinite log-likelihood.
    """
    surprisal = -np.array([log_likelihood for log_likelihood, _ in results], dtype=np.float64)
    if not np.isfinite(surprisal).all():
        raise NonFiniteLogitsError(
            f"frame {doc['frame']!r} with {doc['shown']!r} shown: the model returned NaN or an infinite log-likelihood"
        )
    own, weights = int(doc["gold"]), np.array(doc["weights"])
    matched, mismatched = float(surprisal[own]), float(weights @ surprisal)
    found = {
        "grounding_gain": mismatched - matched,
        "matched_surprisal": matched,
        "mismatched_surprisal": mismatched,
        "acc": float(matched < surprisal[weights > 0].min()),
    }
    if doc["same_category_weights"]:
        found["same_category_gain"] = float(np.array(doc["same_category_weights"]) @ surprisal) - matched
    return found


def of_ladder(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Return one context of a ladder for `ladder_score`: its document with the log-likelihood of every noun.

    Raises:
        NonFiniteLogitsError: as `of_context`.
    """
    of_context(doc, results)
    kept = ("form", "frame", "shown", "category", "gold", "weights", "choices")
    sample = {"doc": {k: doc[k] for k in kept}, "filtered_resps": [[float(value)] for value, _ in results]}
    return {"ladder_score": sample}


def ladder_score(samples: Sequence[Mapping[str, Any]]) -> float:
    """Aggregate the contexts of all forms to the ladder score (concepts §15); NaN where it has none.

    It is the number of `groundbench run`: the ratios of same-category gains, on the nouns that both forms have. Where
    `word` is not told from 0, or was not measured, there is no score.
    """
    from groundbench.integrations.lm_eval.convert import table_of
    from groundbench.measures.gain.ladder_score import ladder_score as score

    by_form: dict[str, list[Mapping[str, Any]]] = {}
    for i, sample in enumerate(samples):
        by_form.setdefault(str(sample["doc"]["form"]), []).append({**sample, "doc_id": i})
    found = score([table_of(form, rows) for form, rows in by_form.items()])
    return math.nan if found is None or found.score is None else found.score


def of_item(doc: Mapping[str, Any], results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return a full task's metrics, as the probe measured them."""
    return dict(results[0])
