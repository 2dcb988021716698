"""Patches without correlation: gradients follow variance, and what tells things apart is a small part of it.

Whitening is an affine map, so it can be folded into the linear layer that reads the patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-2
"""Of the mean variance, added to each: directions with less than this are noise and are not blown up."""


def whitening(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return [D] mean of samples [n, D] and [D, D]: times it they are uncorrelated, the widest direction last."""
    samples = samples.double()
    variance, axes = torch.linalg.eigh(torch.cov(samples.T))
    shrunk = (variance + FLOOR * variance.mean()).rsqrt()
    return samples.mean(0).float(), (axes * shrunk).float()
