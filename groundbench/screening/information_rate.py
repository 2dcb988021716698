"""LUMINA's information processing rate on the logit lens (Yeh et al. 2025; protocol §16)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """Distributions [T, V] of one layer's logit lens, with what is asked of them more than once.

    Attributes:
        p: probabilities; entropy: [T] (nats); logits: [T, V]; log_sum: [T] log of the sum of their exponentials.
    """

    p: Tensor
    entropy: Tensor
    logits: Tensor
    log_sum: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> Lens:
        """Return the distributions of logits [T, V] fp32. Passes over the vocabulary cost more than the products."""
        most = logits.amax(-1, keepdim=True)
        p = (logits - most).exp_()
        total = p.sum(-1, keepdim=True)
        log_sum = (most + total.log())[:, 0]
        p /= total
        return cls(p, log_sum - torch.linalg.vecdot(p, logits), logits, log_sum)

    def log_p(self, tokens: Tensor) -> Tensor:
        """Return [T] the log-probability of one token in each row."""
        return self.logits.gather(-1, tokens[:, None])[:, 0] - self.log_sum

    def divergence(self, other: Lens) -> Tensor:
        """Return [T] Jensen-Shannon divergence (nats): the entropy of the middle minus the middle of the entropies."""
        middle = (self.p + other.p) / 2
        entropy = -torch.linalg.vecdot(middle, middle.clamp_min(1e-38).log_())
        found: Tensor = (entropy - (self.entropy + other.entropy) / 2).clamp_min(0.0)
        return found


class LensSums:
    """Sums over layers, added layer by layer so that only one layer's distribution is held.

    With y the answer's token, y^ the final distribution's likeliest token, p_l the lens at layer l and H_l its entropy:
    rate = sum_l l (1 - min(p_l(y^) / p(y^), 1)) / sum_l (l / H_l) * p(y) / p(y^).
    """

    def __init__(self, log_p: Tensor, target: Tensor) -> None:
        """Take `log_p`, [T, V] the final distribution, and `target`, [T] the answer's tokens."""
        self.best = log_p.argmax(-1)
        self.at = torch.arange(len(target), device=log_p.device)
        self.log_best = log_p[self.at, self.best]
        self.log_own = log_p[self.at, target]
        self.above = torch.zeros_like(self.log_best, dtype=torch.float64)
        self.below = torch.zeros_like(self.above)

    def add(self, layer: int, lens: Lens) -> None:
        """Add one layer's lens."""
        ratio = (lens.log_p(self.best) - self.log_best).exp().clamp_max(1.0)
        self.above += layer * (1 - ratio).double()
        self.below += layer / lens.entropy.double().clamp_min(1e-6)

    def rate(self) -> Tensor:
        """Return [T] the rate over all layers that were added."""
        return self.above / self.below * (self.log_own - self.log_best).double().exp()
