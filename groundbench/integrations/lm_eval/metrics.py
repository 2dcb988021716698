"""From a document's log-likelihoods to its metrics, all in nats but `acc`; lm-eval averages them over documents.

A metric that was not measured on a document is left out of its dictionary, never 0.
"""

from __future__ import annotations

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


def of_item(doc: Mapping[str, Any], results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return a full task's metrics, as the probe measured them."""
    return dict(results[0])
