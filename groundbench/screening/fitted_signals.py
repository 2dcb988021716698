"""Signals that are fitted: lookback and ReDeEP (protocol §16). Never scored on answers that they were fitted on.

Answers of the split `test` are scored by a model fitted on all of `fit`: those alone judge the signal. Answers of `fit`
are scored by models fitted on its other fifths, parted by group, for the choice of the best signal only: such scores
of several models are not independent of the labels taken together (under permuted labels they call a difference in
one of seven runs where one of twenty is meant). Heads and layers of ReDeEP are chosen on `detect` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from groundbench.screening.answer_reading import Reading
from groundbench.screening.splits import Splits
from groundbench.stats.error_ranking import auroc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
RIDGE = 1.0
FOLDS = 5
FEWEST_EACH = 5
"""Wrong and right answers that a fit needs at least."""
COPY_HEADS, LAYERS = 10, 3
"""Heads and layers that ReDeEP takes."""


@dataclass(frozen=True)
class RidgeLogistic:
    """P(error) = sigmoid(intercept + weights . (x - mean) / scale), ridge-penalised."""

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float

    @classmethod
    def fit(cls, features: Floats, error: Bools, ridge: float = RIDGE) -> RidgeLogistic:
        """Fit on [answers, features]; constant features have weight 0."""
        mean, scale = features.mean(0), features.std(0)
        x = (features - mean) / np.where(scale > 0, scale, 1.0)
        y = error.astype(np.float64)

        def loss(w: Floats) -> tuple[float, Floats]:
            z = w[0] + x @ w[1:]
            residual = special.expit(z) - y
            value = float(np.logaddexp(0, z).sum() - y @ z + ridge / 2 * w[1:] @ w[1:])
            return value, np.concatenate([[residual.sum()], x.T @ residual + ridge * w[1:]])

        w = optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
        return cls(mean, np.where(scale > 0, scale, 1.0), w[1:], float(w[0]))

    def scores(self, features: Floats) -> Floats:
        """Return [answers] log-odds of an error."""
        found: Floats = self.intercept + ((features - self.mean) / self.scale) @ self.weights
        return found


def lookback_features(reading: Reading) -> Floats | None:
    """Compute [T, H] per head: attention to an evidence token over that plus attention to an earlier token.

    Chuang et al. 2024. The first token has no earlier answer token: NaN. None for answers of one token.
    """
    if reading.evidence is None or reading.answer is None or reading.tokens < 2 or not reading.size[1]:
        return None
    count = np.arange(reading.tokens, dtype=np.float64)[:, None]
    shown = reading.evidence.astype(np.float64) / float(reading.size[1])
    said = np.divide(reading.answer, count, out=np.full(reading.answer.shape, np.nan), where=count > 0)
    total = shown + said
    found: Floats = np.divide(shown, total, out=np.full(total.shape, np.nan), where=total > 0)
    found[1:][np.isnan(found[1:])] = 0.5
    return found


def lookback(readings: Sequence[Reading | None], error: Bools, group: Ints, splits: Splits) -> list[Floats | None]:
    """Compute [answers] each a [T] risk: the log-odds of an error by ridge-logistic regression on the ratios."""
    features = [None if r is None else lookback_features(r) for r in readings]
    return _score_held_out(features, error, group, splits)


def redeep(readings: Sequence[Reading | None], error: Bools, group: Ints, splits: Splits) -> list[Floats | None]:
    """Compute [answers] each a [T] risk (Sun et al. 2025): log-odds of an error by external-context scores of
    copy heads and the sum of the parametric-knowledge scores of layers.

    Copy heads and layers are those of `detect` whose scores tell errors best (low external, high parametric).
    """
    chosen = _chosen_parts(readings, error, splits.detect)
    if chosen is None:
        return [None] * len(readings)
    heads, layers = chosen

    def features(reading: Reading | None) -> Floats | None:
        if reading is None or reading.external is None or reading.parametric is None:
            return None
        external = reading.external[:, heads].astype(np.float64).sum(1)
        return np.stack([external, reading.parametric[:, layers].astype(np.float64).sum(1)], 1)

    return _score_held_out([features(r) for r in readings], error, group, splits)


def _chosen_parts(readings: Sequence[Reading | None], error: Bools, detect: Ints) -> tuple[Ints, Ints] | None:
    known = [i for i in detect.tolist() if _has_parts(readings[i])]
    wrong = error[known]
    if min(wrong.sum(), (~wrong).sum()) < FEWEST_EACH:
        return None
    external, parametric = [], []
    for i in known:
        reading = readings[i]
        if reading is None or reading.external is None or reading.parametric is None:
            continue
        external.append(reading.external.mean(0))
        parametric.append(reading.parametric.mean(0))
    of_heads = np.array([auroc(-column, wrong) or 0.5 for column in np.array(external, np.float64).T])
    of_layers = np.array([auroc(column, wrong) or 0.5 for column in np.array(parametric, np.float64).T])
    return np.argsort(-of_heads, kind="stable")[:COPY_HEADS], np.argsort(-of_layers, kind="stable")[:LAYERS]


def _has_parts(reading: Reading | None) -> bool:
    return reading is not None and reading.external is not None and reading.parametric is not None


def _score_held_out(
    features: Sequence[Floats | None], error: Bools, group: Ints, splits: Splits
) -> list[Floats | None]:
    """Return each answer's tokens scored by a model that has not seen its group; None where nothing could be fitted."""
    found: list[Floats | None] = [None] * len(features)
    means = [None if f is None else np.nanmean(f, axis=0) for f in features]
    whole = _fit(means, error, splits.fit)
    for part, model in [(splits.test, whole), *_folds(means, error, group, splits.fit)]:
        for i in part.tolist():
            own = features[i]
            if model is not None and own is not None:
                found[i] = model.scores(own)
    return found


def _folds(
    means: Sequence[Floats | None], error: Bools, group: Ints, fit: Ints
) -> list[tuple[Ints, RidgeLogistic | None]]:
    groups = np.unique(group[fit])
    fold_of = {int(g): k % FOLDS for k, g in enumerate(groups)}
    fold = np.array([fold_of[int(g)] for g in group[fit]], dtype=np.int64)
    return [(fit[fold == k], _fit(means, error, fit[fold != k])) for k in range(FOLDS)]


def _fit(means: Sequence[Floats | None], error: Bools, part: Ints) -> RidgeLogistic | None:
    known = [(means[i], error[i]) for i in part.tolist() if means[i] is not None]
    wrong = np.array([e for _, e in known], dtype=bool)
    if min(wrong.sum(), (~wrong).sum()) < FEWEST_EACH:
        return None
    return RidgeLogistic.fit(np.array([m for m, _ in known]), wrong)


FITTED: dict[str, Callable[[Sequence[Reading | None], Bools, Ints, Splits], list[Floats | None]]] = {
    "lookback": lookback,
    "redeep": redeep,
}
