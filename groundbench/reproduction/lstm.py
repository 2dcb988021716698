"""Does the LSTM ground? "Did not train" and "does not ground" are different verdicts (protocol §6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundbench.reproduction import evidence as ev
from groundbench.reproduction.measure import Measured
from groundbench.reproduction.verdict import Claim, Verdict
from groundbench.stats import Estimate

SLACK = 0.1
"""Nats per token by which a held-out loss may be worse than the Transformer's and still count as matched."""
SMALL = 0.1
"""A gain below this part of the Transformer's at the same held-out loss counts as none."""
MIN_RATES, MIN_DEPTHS = 3, 2
CLAIM = "Transformers and Mamba-2 ground, the LSTM does not"
CRITERION = (
    "every Transformer and Mamba-2 has its gain's interval above 0; of the LSTMs (at least three learning rates, two "
    "depths and a residual variant) those whose held-out loss comes within 0.1 nats of a Transformer's checkpoint that "
    "grounds have at most a tenth of its gain"
)


@dataclass(frozen=True)
class LstmVerdict:
    """One LSTM: its last loss and gain, the Transformer's gain at the checkpoint of the nearest loss, what follows."""

    measured: Measured
    loss: float | None
    gain: Estimate
    matched_step: int | None
    matched_gain: float | None
    verdict: Literal["grounds", "does not ground", "did not train"]


def lstm_verdicts(runs: Sequence[Measured]) -> list[LstmVerdict]:
    """What is to be said of each LSTM, beside the Transformer (none if there is no Transformer)."""
    reference = next((m for m in runs if m.run.kind == "transformer" and not m.run.shuffled), None)
    lstms = [m for m in runs if m.run.kind == "lstm" and not m.run.shuffled]
    return [] if reference is None else [_verdict(m, reference) for m in lstms]


def _verdict(lstm: Measured, reference: Measured) -> LstmVerdict:
    last = lstm.mean.last
    loss = None if last.heldout_loss is None else last.heldout_loss.mean
    gain = ev.gain_interval(lstm, last.step)
    known = [p for p in reference.mean.points if p.heldout_loss is not None and p.gain is not None]
    grounded = [p for p in known if p.step > 0 and (at := ev.gain_interval(reference, p.step)).low and at.low > 0]
    if loss is None or not grounded or loss > max(p.heldout_loss.mean for p in grounded if p.heldout_loss) + SLACK:
        return LstmVerdict(lstm, loss, gain, None, None, "did not train")
    near = min(grounded, key=lambda p: abs(p.heldout_loss.mean - loss) if p.heldout_loss else 0.0)
    other = near.gain.mean if near.gain else 0.0
    small = (gain.value or 0.0) <= SMALL * other
    return LstmVerdict(lstm, loss, gain, near.step, other, "does not ground" if small else "grounds")


def missing_variants(lstms: Sequence[Measured]) -> str:
    """What a verdict on the architecture still needs; empty if nothing (protocol §6)."""
    rates, depths = {m.run.learning_rate for m in lstms}, {m.run.layers for m in lstms}
    wants = [
        f"{MIN_RATES} learning rates (has {len(rates)})" if len(rates) < MIN_RATES else "",
        f"{MIN_DEPTHS} depths (has {len(depths)})" if len(depths) < MIN_DEPTHS else "",
        "" if any(m.run.residual for m in lstms) else "a residual variant",
    ]
    return ", ".join(w for w in wants if w)


def lstm_claim(runs: Sequence[Measured]) -> Claim:
    """The claim about all architectures together."""
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
        [f"{name}: G {ev.said(g)}" for name, g in gains.items()]
        + [f"{v.measured.run.name}: G {ev.said(v.gain)}, {v.verdict}" for v in each]
    )
    if any(g.low is None or g.low <= 0 for g in gains.values()):
        return "not reproduced", why
    trained = [v for v in each if v.verdict != "did not train"]
    if any(v.verdict == "grounds" for v in trained):
        return "not reproduced", why
    wants = missing_variants(lstms)
    if wants:
        return "not testable", f"{why}; a verdict on the LSTM needs {wants}"
    if not trained:
        return "not testable", f"{why}; no LSTM reached a loss at which a Transformer grounds"
    return "reproduced", why
