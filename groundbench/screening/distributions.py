"""Distances between next-token distributions (protocol §16): Jensen-Shannon, MMD^2, contrastive decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

TOP_TOKENS = 100
CONTRAST = 1.0


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return [T] Jensen-Shannon divergence in nats (0 to log 2) of distributions given as log-probabilities [T, V]."""
    middle = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0))
    left = (log_p.exp() * (log_p - middle)).sum(-1)
    right = (log_q.exp() * (log_q - middle)).sum(-1)
    return ((left + right) / 2).clamp_min(0.0)


def contrasted(log_p: Tensor, log_blank: Tensor) -> Tensor:
    """Return [T, V] log-probabilities of contrastive decoding against blank evidence (Leng et al. 2024; strength 1)."""
    return ((1 + CONTRAST) * log_p - CONTRAST * log_blank).log_softmax(-1)


def embedding_distance(log_p: Tensor, log_q: Tensor, embeddings: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Return [T] MMD^2 of the two distributions over their 100 likeliest tokens each, under the cosine kernel on input
    embeddings (LUMINA, Yeh et al. 2025): |sum_i (p_i - q_i) e_i / |e_i||^2, p and q normalised over these tokens."""
    most = min(TOP_TOKENS, log_p.shape[-1])
    found = []
    for p, q in zip(log_p, log_q, strict=True):
        mean = []
        for own in (p, q):
            values, index = own.topk(most)
            vectors = embeddings(index.tolist()).float()
            vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            mean.append(values.softmax(-1).to(vectors.device) @ vectors)
        found.append(((mean[0] - mean[1]) ** 2).sum())
    return torch.stack(found)
