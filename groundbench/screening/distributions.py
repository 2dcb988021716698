"""Distances between next-token distributions (protocol §16): Jensen-Shannon, MMD^2, contrastive decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

TOP_TOKENS = 100
CONTRAST = 1.0


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return [T] Jensen-Shannon divergence in nats (0 to log 2) of distributions given as log-probabilities [T, V]."""
    middle = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0))
    left = (log_p.exp() * (log_p - middle)).sum(-1)
    right = (log_q.exp() * (log_q - middle)).sum(-1)
    return ((left + right) / 2).clamp_min(0.0)


def contrastive_decoding(log_p: Tensor, log_blank: Tensor) -> Tensor:
    """Return [T, V] log-probabilities of contrastive decoding against blank evidence (Leng et al. 2024; strength 1)."""
    return ((1 + CONTRAST) * log_p - CONTRAST * log_blank).log_softmax(-1)


def embedding_distance(log_p: Tensor, log_q: Tensor, embeddings: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Return [T] MMD^2 of the two distributions over their 100 likeliest tokens each, under the cosine kernel on input
    embeddings (LUMINA, Yeh et al. 2025): |sum_i (p_i - q_i) e_i / |e_i||^2, p and q normalised over these tokens."""
    most = min(TOP_TOKENS, log_p.shape[-1])
    means = [_mean_embeddings(log_p, most, embeddings), _mean_embeddings(log_q, most, embeddings)]
    return ((means[0] - means[1]) ** 2).sum(-1)


def _mean_embeddings(log_p: Tensor, most: int, embeddings: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Return [T, d] the mean direction of each distribution's likeliest tokens; each token is looked up once."""
    values, index = log_p.topk(most, dim=-1)
    ids, place = torch.unique(index, return_inverse=True)
    vectors = embeddings(ids.tolist()).float()
    vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    weights = values.softmax(-1).to(vectors.device)
    return embedding_bag(place.to(vectors.device), vectors, per_sample_weights=weights, mode="sum")
