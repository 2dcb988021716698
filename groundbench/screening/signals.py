"""Risk signals of an answer: numbers that rise with the chance that it is wrong, their sign fixed before any data.

Each is named with what it is and what it costs for one answer of k comparisons; a forward pass of the prompt, which
answering takes anyway, is counted too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.results.risk_card import Role
from groundbench.screening.answering import Answers, normalise
from groundbench.screening.heads import Activity
from groundbench.util.suggestions import did_you_mean

Floats = npt.NDArray[np.float64]
Need = Literal["without", "mismatched", "heads", "carriers", "hidden", "candidates", "answer"]
CONTRAST = 1.0
"""Step of contrastive decoding beyond the prompt, away from blank evidence (Leng et al. 2024)."""


@dataclass(frozen=True)
class Signal:
    """One risk signal: its name, the family it is asked for by, its role, what it needs and costs.

    `source`: where a published one comes from; `formula`: what is computed, where the description does not say.
    """

    name: str
    family: str
    role: Role
    description: str
    cost: str
    needs: Need
    source: str = ""
    formula: str = ""

    @property
    def fitted(self) -> bool:
        """True if it is a model that is fitted on the split `fit`: then it is judged on the split `test` alone."""
        return self.cost.endswith("fitted")


HEADS_COST = "1 forward + 1 backward through the last position"
SIGNALS: tuple[Signal, ...] = (
    Signal(
        "gain",
        "gain",
        "signal",
        "minus the grounding gain of the given answer: its surprisal without the evidence minus with it (nats)",
        "2 forwards",
        "without",
    ),
    Signal(
        "gain-mismatched",
        "gain",
        "signal",
        "the same against other evidence: the mean over k of them (nats)",
        "1 + k forwards",
        "mismatched",
    ),
    Signal(
        "heads-share",
        "heads",
        "signal",
        "minus the part of the detected heads' saliency that comes from the evidence",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "heads-attention",
        "heads",
        "signal",
        "minus the detected heads' mean attention to the evidence",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "heads-support",
        "heads",
        "signal",
        "minus what the evidence adds to the answer through the detected heads: log-probability, to first order (nats)",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "lens-entropy",
        "lens",
        "signal",
        "entropy of the logit lens at the middle layers (nats)",
        "1 forward + 1 unembedding for each layer",
        "hidden",
    ),
    Signal(
        "probability",
        "probability",
        "baseline",
        "1 minus the given answer's probability among the candidates",
        "1 forward",
        "candidates",
    ),
    Signal("entropy", "entropy", "baseline", "entropy over the candidates (nats)", "1 forward", "candidates"),
    Signal(
        "contrast",
        "contrast",
        "baseline",
        "1 minus the given answer's probability under contrastive decoding against blank evidence (strength 1)",
        "2 forwards",
        "without",
    ),
)
PUBLISHED: tuple[Signal, ...] = (
    Signal(
        "context-shift", "context-shift", "signal",
        "minus the Jensen-Shannon divergence of the next-token distributions with own and with other evidence (nats)",
        "2 forwards", "answer", "LUMINA's idea (Yeh et al. 2025) with another distance",
        "-JSD(p(. | own), p(. | other)), mean over tokens",
    ),
    Signal(
        "context-shift-mmd", "context-shift", "signal",
        "minus the squared maximum mean discrepancy of the same two distributions",
        "2 forwards", "answer", "LUMINA (Yeh et al. 2025)",
        "-|sum_i (p_i - q_i) e_i/|e_i||^2 over the 100 likeliest tokens of each, e: input embeddings",
    ),
    Signal(
        "ipr", "ipr", "signal", "information processing rate: how late the layers settle on the final token",
        "1 forward + 1 unembedding for each layer", "answer", "LUMINA (Yeh et al. 2025)",
        "sum_l l (1 - min(p_l(y^)/p(y^), 1)) / sum_l l/H_l * p(y)/p(y^) on the logit lens",
    ),
    Signal(
        "lookback", "lookback", "signal", "log-odds of an error by the heads' attention to evidence against own words",
        "1 forward; fitted", "answer", "Lookback Lens (Chuang et al. 2024)",
        "ridge-logistic on mean a(evidence) / (mean a(evidence) + mean a(earlier answer tokens)) of each head",
    ),
    Signal(
        "redeep", "redeep", "signal", "log-odds of an error by copy heads' external and feed-forward parametric scores",
        "1 forward + 1 unembedding for each of 10 layers; fitted", "answer", "ReDeEP (Sun et al. 2025)",
        "logistic on sum cos(state, mean state of the 10 % most attended evidence tokens), sum JSD(lens before, after)",
    ),
    Signal(
        "sink", "sink", "signal", "entropy gated by the induction heads' attention to the first token",
        "1 forward", "answer", "INTRYGUE (Bazarova et al. 2026)",
        "entropy * mean attention of induction heads to the first token",
    ),
    Signal(
        "rauq", "rauq", "signal", "recurrent attention-based uncertainty",
        "1 forward", "answer", "RAUQ (Vazhentsev et al. 2025)",
        "max over middle layers of mean -log c_i, c_i = 0.2 p_i + 0.8 a(i, i-1) c_(i-1)",
    ),
    Signal(
        "svar", "svar", "signal", "minus the middle layers' attention to image tokens",
        "1 forward", "answer", "SVAR (Jiang et al. 2025)", "-sum of attention to image tokens, mean over heads",
    ),
    Signal(
        "internal-confidence", "internal-confidence", "signal",
        "minus the token's largest lens probability at any image position and layer",
        "1 forward + 1 unembedding of all image tokens for each layer", "answer", "Jiang et al. 2025 (ICLR)",
        "-max over layers and image tokens of p_lens(y)",
    ),
    Signal(
        "glsim", "glsim", "signal",
        "minus the token's similarity with the prompt's end and with its likeliest image tokens",
        "1 forward + 1 unembedding of all image tokens", "answer", "GLSim (Park and Li 2025)",
        "-(0.6 cos(h_y, h_end) + 0.4 mean cos(h_y, h_v)), v: the 32 image tokens whose lens gives y most",
    ),
    Signal(
        "perplexity", "perplexity", "baseline", "mean surprisal of the answer's tokens (nats): log of the perplexity",
        "1 forward", "answer",
    ),
    Signal(
        "ln-entropy", "ln-entropy", "baseline", "length-normalised entropy: mean over the answer's tokens (nats)",
        "1 forward", "answer", "Malinin and Gales 2021",
    ),
    Signal("length", "length", "baseline", "tokens of the answer", "nothing", "answer"),
    Signal("position", "position", "baseline", "tokens before the answer", "nothing", "answer"),
)  # fmt: skip
CARRIERS: tuple[Signal, ...] = tuple(
    Signal(
        f"carriers-{name}", "carriers", "signal",
        f"{text} (heads ranked by contrast in a run with the measure causal)", HEADS_COST, "carriers",
    )
    for name, text in (
        ("share", "minus the part of the carriers' saliency that comes from the evidence"),
        ("attention", "minus the carriers' mean attention to the evidence"),
        ("support", "minus what the evidence adds to the answer through the carriers, to first order, in nats"),
    )
)  # fmt: skip
GIVEN_COST = "1 forward + 1 backward of the answer"
GIVEN: dict[str, tuple[str, str]] = {
    "gain": (
        "minus the answer's grounding gain: its tokens' mean surprisal without the evidence minus with it (nats)",
        "2 forwards",
    ),
    "gain-mismatched": ("the same against another record's evidence (nats)", "2 forwards"),
    "probability": ("minus the answer's log-probability, summed over its tokens (nats)", "1 forward"),
    "entropy": ("entropy of the distributions that the answer's tokens are drawn from, summed (nats)", "1 forward"),
    "contrast": (
        "mean surprisal of the answer's tokens under contrastive decoding against no evidence (strength 1; nats)",
        "2 forwards",
    ),
}
"""Description and cost of the signals that differ for given answers of many tokens."""
FAMILIES = tuple(dict.fromkeys(s.family for s in SIGNALS))
EVERY_SIGNAL = (*SIGNALS, *PUBLISHED, *CARRIERS)
"""All signals. Those of `SIGNALS` are measured by default on question sets; on users' own records, `PUBLISHED` too;
`CARRIERS` where a measured run names the heads."""


def choose(names: tuple[str, ...], *, records: bool = False) -> tuple[Signal, ...]:
    """Return the signals of these families or names, in the order of the table.

    `all` is every one but those of carriers, which need a run that names the heads.

    Args:
        records: of a user's own records, where every signal is measured if none is named.

    Raises:
        BadInputError: an unknown name.
    """
    families = tuple(dict.fromkeys(s.family for s in EVERY_SIGNAL))
    known = {*families, *(s.name for s in EVERY_SIGNAL), "all"}
    for name in names:
        if name not in known:
            raise BadInputError(
                f"unknown signal {name!r}: expected some of {', '.join(families)}, one of "
                f"{', '.join(s.name for s in EVERY_SIGNAL if s.name not in families)}, or all"
                f"{did_you_mean(name, known)}"
            )
    if not names:
        return (*SIGNALS, *PUBLISHED) if records else SIGNALS
    every = "all" in names
    return tuple(s for s in EVERY_SIGNAL if (every and s.needs != "carriers") or s.name in names or s.family in names)


def of_given_answers(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    """Return signals with the description and cost that they have for given answers of many tokens."""
    costs = {HEADS_COST: GIVEN_COST}
    found = []
    for s in signals:
        description, cost = GIVEN.get(s.name, (s.description, costs.get(s.cost, s.cost)))
        found.append(replace(s, description=description, cost=cost))
    return tuple(found)


def gains(answers: Answers, answer: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Compute [questions] an answer's gain (nats) against no and against other evidence; NaN unmeasured."""
    at = np.arange(len(answer))
    own = answers.shown[at, answer]
    others = np.take_along_axis(answers.mismatched, answer[:, None, None], axis=2)[:, :, 0]
    count = (~np.isnan(others)).sum(1)
    mean = np.divide(np.nansum(others, 1), count, out=np.full(len(at), np.nan), where=count > 0)
    return answers.without[at, answer] - own, mean - own


def behaviour(answers: Answers, given: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """Compute [questions] the risks that need surprisals only; NaN without what they compare with."""
    at = np.arange(len(given))
    p = answers.probabilities
    blank, other = gains(answers, given)
    contrast = normalise((1 + CONTRAST) * answers.shown - CONTRAST * answers.without)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(np.where(p > 0, p * np.log(p), 0.0), axis=1)
    return {
        "gain": -blank,
        "gain-mismatched": -other,
        "probability": 1 - p[at, given],
        "entropy": entropy,
        "contrast": 1 - contrast[at, given],
    }


def of_heads(found: Activity, family: Literal["heads", "carriers"] = "heads") -> dict[str, Floats]:
    """Return [questions] the risks that heads tell, under the names of their family."""
    parts = {"share": found.share, "attention": found.attention, "support": found.support}
    return {f"{family}-{name}": -values for name, values in parts.items()}
