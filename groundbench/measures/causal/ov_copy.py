"""The OV-copy score, from the weights: how often a head that reads a token's embedding raises this token (§15)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from groundbench.api.adapter import Adapter, EmbeddingWritable, SomeTokensUnembeddable

Floats = npt.NDArray[np.float64]
TOKENS = 100


@torch.no_grad()
def ov_copy(adapter: Adapter, *, seed: int = 0) -> Floats | None:
    """Return [heads] the share of sampled tokens that each head raises above all other sampled ones; NaN unmeasured.

    The head's values of a token's input embedding go through its output projection and the unembedding, nothing else:
    no position, no other head, no feed-forward part. Chance is one over the number of tokens.

    Returns:
        None where the adapter does not show what its heads write.
    """
    info = adapter.info
    if not isinstance(adapter, EmbeddingWritable) or not {"start_at_layer", "hooks"} <= info.capabilities:
        return None
    n = min(TOKENS, info.vocab_size, info.max_length)
    ids = np.random.default_rng([seed, 51]).choice(info.vocab_size, n, replace=False).tolist()
    columns, truth = torch.tensor(ids, device=info.device), torch.arange(n, device=info.device)
    found = []
    for mixer, writes in zip(info.mixers, adapter.embedding_writes(ids), strict=True):
        if writes is None:
            found += [float("nan")] * mixer.n_heads
            continue
        for of_head in writes:  # one head at a time: logits of a large vocabulary are large
            if isinstance(adapter, SomeTokensUnembeddable):
                logits = adapter.unembed_tokens(of_head, ids)
            else:
                logits = adapter.unembed(of_head, normed=False)[:, columns]
            found.append(float((logits.argmax(-1) == truth).double().mean()))
    return np.array(found)
