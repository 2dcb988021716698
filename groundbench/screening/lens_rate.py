"""LUMINA's information processing rate on the logit lens (Yeh et al. 2025; protocol §16)."""

from __future__ import annotations

import torch
from torch import Tensor


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

    def add(self, layer: int, lens: Tensor) -> Tensor:
        """Add one layer's lens, log-probabilities [T, V]; returns its entropy [T] (nats)."""
        entropy = -(lens.exp() * lens).sum(-1)
        ratio = (lens[self.at, self.best] - self.log_best).exp().clamp_max(1.0)
        self.above += layer * (1 - ratio).double()
        self.below += layer / entropy.double().clamp_min(1e-6)
        return entropy

    def rate(self) -> Tensor:
        """Return [T] the rate over all layers that were added."""
        return self.above / self.below * (self.log_own - self.log_best).double().exp()
