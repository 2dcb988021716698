"""Risk signals of given answers of many tokens: one function each, from a reading of the answer (protocol §16).

A function gives one risk for each token (aggregated over the answer: the mean is the headline, beside it the worst
token and the worst run of tokens), or one for the whole answer. Every sign is fixed here, before any data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import ModelInfo
from groundbench.screening.answer_reading import Reading
from groundbench.screening.lens_entropy import middle_layers

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
WINDOW = 5
"""Tokens of the worst run."""
RECURRENCE = 0.2
"""RAUQ's weight of the token's own probability."""
MIN_SINK = 0.01
"""Below this mean attention to the first token there is no sink, so a gate made of it says nothing."""


@dataclass(frozen=True)
class Watched:
    """The heads that signals look at, as masks over the model's heads.

    Attributes:
        info: the model.
        detected: its aggregate heads, detected in the split `detect`; none if there are none.
        induction: its induction heads, found in random repeated tokens; none if there are none.
        carriers: heads that carry the gain in another run (measure `causal`); None where no run names them.
    """

    info: ModelInfo
    detected: Bools
    induction: Bools
    carriers: Bools | None = None


Values = Callable[[Reading, Watched], Floats | None]


def _wide(values: npt.NDArray[np.float32] | None) -> Floats | None:
    return None if values is None else values.astype(np.float64)


def surprisal(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] -log p of each token: its mean is the logarithm of the perplexity."""
    return _wide(reading.surprisal)


def entropy(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] entropy of the distribution that each token is drawn from: its mean is length-normalised."""
    return _wide(reading.entropy)


def gain(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] log p(token | no evidence) - log p(token | evidence): minus the grounding gain."""
    return None if reading.without is None else -(reading.without - reading.surprisal).astype(np.float64)


def gain_mismatched(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the grounding gain against another record's evidence."""
    return None if reading.other is None else -(reading.other - reading.surprisal).astype(np.float64)


def contrast(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] surprisal under contrastive decoding against the prompt without evidence."""
    return _wide(reading.contrast)


def context_shift(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the Jensen-Shannon divergence of the distributions with own and with other evidence."""
    return None if reading.divergence is None else -reading.divergence.astype(np.float64)


def context_shift_mmd(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus LUMINA's MMD^2 of the same two distributions."""
    return None if reading.mmd is None else -reading.mmd.astype(np.float64)


def ipr(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] LUMINA's information processing rate: late layers decide what the evidence did not."""
    return _wide(reading.rate)


def lens_entropy(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] entropy of the logit lens at the middle layers."""
    return _wide(reading.lens_entropy)


def _share(reading: Reading, heads: Bools | None) -> Floats | None:
    if reading.edge is None or reading.row_sum is None or heads is None or not heads.any():
        return None
    edge: Floats = reading.edge[:, heads].astype(np.float64).sum(1)
    row: Floats = reading.row_sum[:, heads].astype(np.float64).sum(1)
    share: Floats = np.divide(edge, row, out=np.full(len(row), np.nan), where=row > 0)
    return -share


def _attention(reading: Reading, heads: Bools | None) -> Floats | None:
    if reading.evidence is None or heads is None or not heads.any():
        return None
    mean: Floats = reading.evidence[:, heads].astype(np.float64).mean(1)
    return -mean


def _support(reading: Reading, heads: Bools | None) -> Floats | None:
    if reading.support is None or heads is None or not heads.any():
        return None
    total: Floats = reading.support[:, heads].astype(np.float64).sum(1)
    return -total


def heads_share(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the part of the detected heads' saliency that comes from the evidence."""
    return _share(reading, watched.detected)


def heads_attention(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the detected heads' mean attention to the evidence."""
    return _attention(reading, watched.detected)


def heads_support(reading: Reading, watched: Watched) -> Floats | None:
    """Compute [T] minus what evidence adds to the log-probability through detected heads, to first order."""
    return _support(reading, watched.detected)


def carriers_share(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the part of the carriers' saliency that comes from the evidence."""
    return _share(reading, watched.carriers)


def carriers_attention(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] minus the carriers' mean attention to the evidence."""
    return _attention(reading, watched.carriers)


def carriers_support(reading: Reading, watched: Watched) -> Floats | None:
    """Compute [T] minus what evidence adds to the log-probability through the carriers, to first order."""
    return _support(reading, watched.carriers)


def sink(reading: Reading, watched: Watched) -> Floats | None:
    """Return [T] INTRYGUE: entropy times the induction heads' mean attention to the first token (their sink rate).

    None where it degenerates: no induction head, or heads that have no sink.
    """
    if reading.first is None or not watched.induction.any():
        return None
    rate: Floats = reading.first[:, watched.induction].astype(np.float64).mean(1)
    return None if rate.mean() < MIN_SINK else reading.entropy.astype(np.float64) * rate


def rauq(reading: Reading, watched: Watched) -> Floats | None:
    """Return [1] recurrent attention-based uncertainty (Vazhentsev et al. 2025).

    In each middle layer the head that attends most to the token before (mean over the answer's tokens from the second
    on); c_1 = p(y_1), c_i = a p(y_i) + (1 - a) A(i, i-1) c_{i-1} with a = 0.2; the largest of the layers' means of
    -log c_i.
    """
    if reading.previous is None:
        return None
    p = np.exp(-reading.surprisal.astype(np.float64))
    layers = np.array([layer for layer, _ in watched.info.head_index])
    found = []
    for layer in middle_layers(watched.info):
        own = reading.previous[:, layers == layer].astype(np.float64)
        if not own.shape[1]:
            continue
        follows = own[:, int(own[1:].mean(0).argmax())] if len(p) > 1 else own[:, 0]
        c = np.empty(len(p))
        c[0] = p[0]
        for i in range(1, len(p)):
            c[i] = RECURRENCE * p[i] + (1 - RECURRENCE) * follows[i] * c[i - 1]
        found.append(float(-np.log(np.maximum(c, 1e-300)).mean()))
    return np.array([max(found)]) if found else None


def probability(reading: Reading, watched: Watched) -> Floats | None:
    """Return [1] minus the answer's log-probability, summed over its tokens."""
    return np.array([float(reading.surprisal.astype(np.float64).sum())])


def total_entropy(reading: Reading, watched: Watched) -> Floats | None:
    """Return [1] entropies of the answer's tokens, summed."""
    return np.array([float(reading.entropy.astype(np.float64).sum())])


def length(reading: Reading, watched: Watched) -> Floats | None:
    """Return [1] tokens of the answer: long answers hold more that can be wrong."""
    return np.array([float(reading.tokens)])


def position(reading: Reading, watched: Watched) -> Floats | None:
    """Return [1] where the answer begins: tokens of the prompt."""
    return np.array([float(reading.size[0])])


def svar(reading: Reading, watched: Watched) -> Floats | None:
    """Compute [T] minus attention to image tokens, summed, mean over heads of the middle layers (SVAR)."""
    if reading.evidence is None or reading.image_lens is None:
        return None
    chosen = np.isin([layer for layer, _ in watched.info.head_index], middle_layers(watched.info))
    mean: Floats = reading.evidence[:, chosen].astype(np.float64).mean(1)
    return -mean if chosen.any() else None


def internal_confidence(reading: Reading, watched: Watched) -> Floats | None:
    """Compute [T] minus the token's largest lens probability at image positions (Jiang et al. 2025)."""
    return None if reading.image_lens is None else -reading.image_lens.astype(np.float64)


def glsim(reading: Reading, watched: Watched) -> Floats | None:
    """Compute [T] minus GLSim: 0.6 cos(token, end of prompt) + 0.4 mean cos(token, 32 image positions)."""
    return None if reading.image_similarity is None else -reading.image_similarity.astype(np.float64)


def aggregate(values: Floats) -> tuple[float, float, float]:
    """Aggregate tokens: mean, worst token and worst run of `WINDOW`; NaN is left out, NaN where none is left."""
    known = values[~np.isnan(values)]
    if not len(known):
        return (float("nan"),) * 3
    width = min(WINDOW, len(known))
    runs = np.convolve(known, np.ones(width) / width, mode="valid")
    return float(known.mean()), float(known.max()), float(runs.max())


FUNCTIONS: dict[str, Values] = {
    "gain": gain,
    "gain-mismatched": gain_mismatched,
    "heads-share": heads_share,
    "heads-attention": heads_attention,
    "heads-support": heads_support,
    "carriers-share": carriers_share,
    "carriers-attention": carriers_attention,
    "carriers-support": carriers_support,
    "lens-entropy": lens_entropy,
    "context-shift": context_shift,
    "context-shift-mmd": context_shift_mmd,
    "ipr": ipr,
    "sink": sink,
    "rauq": rauq,
    "svar": svar,
    "internal-confidence": internal_confidence,
    "glsim": glsim,
    "probability": probability,
    "entropy": total_entropy,
    "ln-entropy": entropy,
    "perplexity": surprisal,
    "contrast": contrast,
    "length": length,
    "position": position,
}
"""By name, every signal that needs no fitting; `lookback` and `redeep` are fitted (see `fitted_signals`)."""
