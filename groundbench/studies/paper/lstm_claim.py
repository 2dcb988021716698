"""Does the LSTM ground? "Did not train" and "does not ground" are different verdicts (protocol §6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundbench.results.trajectory import MeanPoint
from groundbench.stats.significance import Estimate
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim, Verdict

SLACK = 0.1
"""Nats per token by which a held-out loss may be worse than the Transformer's and still count as matched."""
SMALL = 0.1
"""A gain below this part of the Transformer's at the nearest held-out loss counts as none."""
NO_GAIN = 0.1
"""Nats: an interval wholly below counts as no gain."""
MIN_RATES, MIN_DEPTHS = 3, 2
CLAIM = "Transformers and Mamba-2 ground, the LSTM does not"
CRITERION = (
    "by two yardsticks. A Transformer or Mamba-2 grounds if its gain's interval at its last checkpoint lies above 0, "
    "however small the gain. An LSTM grounds only if its interval at its last checkpoint lies above a tenth of the "
    "Transformer's gain at the checkpoint of the nearest held-out loss (of those that ground), and does not if it lies "
    "below that tenth: a gain above 0 can count as none. That checkpoint may be in the middle of the Transformer's "
    "schedule, with its learning rate still high. Reproduced: every Transformer and Mamba-2 grounds, and all LSTMs "
    "that trained do not, with at least three learning rates, two depths and a residual variant among them. Trained is "
    "what ends at a held-out loss at most 0.1 nats above one of a checkpoint of the Transformer that grounds. Not "
    "reproduced: an LSTM grounds, or a Transformer or Mamba-2 that trained has all of its interval below 0.1 nats"
)
Outcome = Literal["grounds", "does not ground", "undecided", "did not train"]


@dataclass(frozen=True)
class LstmVerdict:
    """One LSTM: its last loss and gain, the Transformer's gain at the checkpoint of the nearest loss, what follows."""

    measured: Measured
    loss: float | None
    gain: Estimate
    matched_step: int | None
    matched_gain: float | None
    verdict: Outcome


def lstm_verdicts(runs: Sequence[Measured]) -> list[LstmVerdict]:
    """Judge each LSTM beside the first Transformer (none if there is none)."""
    reference = _reference(runs)
    lstms = [m for m in runs if m.run.kind == "lstm" and not m.run.shuffled]
    return [] if reference is None else [_verdict(m, reference) for m in lstms]


def _reference(runs: Sequence[Measured]) -> Measured | None:
    return next((m for m in runs if m.run.kind == "transformer" and not m.run.shuffled), None)


def _grounding_points(reference: Measured) -> list[tuple[float, MeanPoint]]:
    """Return the Transformer's checkpoints that ground, with their held-out losses."""
    known = [(p.heldout_loss.mean, p) for p in reference.mean.points if p.heldout_loss and p.gain and p.step > 0]
    return [(loss, p) for loss, p in known if (ev.gain_interval(reference, p.step).ci_low or 0.0) > 0]


def why_untrained(measured: Measured, runs: Sequence[Measured]) -> str | None:
    """Return why a model with heads tells nothing: no gain, at a loss where the first Transformer has none either.

    "Did not train" and "does not ground" are different verdicts.
    """
    reference = _reference(runs)
    if reference is None or measured is reference or ev.no_gain(measured) is None or _has_trained(measured, reference):
        return None
    loss = measured.mean.last.heldout_loss
    return f"it did not train: held-out loss {ev.plain(None if loss is None else loss.mean)}"


def _has_trained(measured: Measured, reference: Measured) -> bool:
    """Return True if it ends at a loss at which the Transformer grounds, or near one."""
    loss = measured.mean.last.heldout_loss
    return loss is not None and any(loss.mean <= other + SLACK for other, _ in _grounding_points(reference))


def _verdict(lstm: Measured, reference: Measured) -> LstmVerdict:
    last = lstm.mean.last
    loss = None if last.heldout_loss is None else last.heldout_loss.mean
    gain = ev.gain_interval(lstm, last.step)
    if loss is None or not _has_trained(lstm, reference):
        return LstmVerdict(lstm, loss, gain, None, None, "did not train")
    _, near = min(_grounding_points(reference), key=lambda pair: abs(pair[0] - loss))
    other = near.gain.mean if near.gain else None
    return LstmVerdict(lstm, loss, gain, near.step, other, _outcome(gain, other))


def _outcome(gain: Estimate, other: float | None) -> Outcome:
    if gain.ci_low is None or gain.ci_high is None or other is None:
        return "undecided"
    if gain.ci_low > SMALL * other:
        return "grounds"
    return "does not ground" if gain.ci_high < SMALL * other else "undecided"


def missing_variants(lstms: Sequence[Measured]) -> str:
    """List the variants that a verdict on the architecture still needs; empty if none (protocol §6)."""
    rates, depths = {m.run.learning_rate for m in lstms}, {m.run.layers for m in lstms}
    wants = [
        f"{MIN_RATES} learning rates (has {len(rates)})" if len(rates) < MIN_RATES else "",
        f"{MIN_DEPTHS} depths (has {len(depths)})" if len(depths) < MIN_DEPTHS else "",
        "" if any(m.run.residual for m in lstms) else "a residual variant",
    ]
    return ", ".join(w for w in wants if w)


def lstm_claim(runs: Sequence[Measured]) -> Claim:
    """Return the claim about all architectures together."""
    verdict, because = _decide(runs)
    return Claim("architectures", CLAIM, "all", CRITERION, verdict, because)


def _decide(runs: Sequence[Measured]) -> tuple[Verdict, str]:
    others = [m for m in runs if m.run.kind in ("transformer", "mamba2") and not m.run.shuffled]
    lstms = [m for m in runs if m.run.kind == "lstm" and not m.run.shuffled]
    absent = [k for k in ("transformer", "mamba2") if all(m.run.kind != k for m in others)]
    if absent or not lstms:
        return "not testable", f"not trained: {', '.join([*absent, *([] if lstms else ['lstm'])])}"
    gains = {m.run.name: ev.gain_interval(m, m.mean.last.step) for m in others}
    each = lstm_verdicts(runs)
    why = "; ".join(
        [f"{m.run.name}: G {ev.text(gains[m.run.name])}{ev.over_nouns(m)}" for m in others]
        + [f"{v.measured.run.name}: G {ev.text(v.gain)}{ev.over_nouns(v.measured)}, {v.verdict}" for v in each]
    )
    reference = _reference(runs)
    without = {m.run.name: m for m in others if (gains[m.run.name].ci_low or 0.0) <= 0}
    idle = [n for n, m in without.items() if reference is not None and not _has_trained(m, reference)]
    flat = [n for n in without if n not in idle and (high := gains[n].ci_high) is not None and high < NO_GAIN]
    if flat or any(v.verdict == "grounds" for v in each):
        return "not reproduced", why
    if idle:
        return "not testable", f"{why}; did not train: {', '.join(idle)}"
    if without:
        return "not testable", f"{why}; no gain is shown or excluded: {', '.join(without)}"
    trained = [v for v in each if v.verdict != "did not train"]
    if not trained:
        return "not testable", f"{why}; no LSTM reached a loss at which a Transformer grounds"
    wants = missing_variants([v.measured for v in trained])
    if wants:
        return "not testable", f"{why}; a verdict on the LSTM needs, of those that trained, {wants}"
    return ("not testable" if any(v.verdict == "undecided" for v in trained) else "reproduced"), why
