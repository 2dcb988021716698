"""Attribution patching and interchange in TransformerLens, as it is used for them: one pair, and one set, at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.measures.causal.interchange import Interchange

Floats = npt.NDArray[np.float64]


def bridged(model: Any, tokenizer: Any, name: str) -> Any:
    """Return a model of transformers behind TransformerLens; the package must be installed (extra `oracle`)."""
    from transformer_lens.model_bridge import TransformerBridge

    model.config.architectures = [type(model).__name__]
    return TransformerBridge.boot_transformers(name, hf_model=model, tokenizer=tokenizer)


def _hooks(layers: int) -> list[str]:
    return [f"blocks.{layer}.attn.hook_z" for layer in range(layers)]


def _ids(ids: Sequence[int]) -> Tensor:
    return torch.tensor([list(ids)])


def contrast(theirs: Any, interchanges: Sequence[Interchange], layers: int) -> Floats:
    """Return [interchanges, heads]: the clean minus the corrupt head outputs times the gradient at the corrupt run."""
    found = []
    names = _hooks(layers)
    for one in interchanges:
        with torch.no_grad():
            _, clean = theirs.run_with_cache(_ids(one.donor.ids), names_filter=lambda name: name in names)
        kept: dict[str, Tensor] = {}

        hooks = [(name, partial(_keep, kept, name)) for name in names]
        logits = theirs.run_with_hooks(_ids(one.receiver.ids), fwd_hooks=hooks)
        logits[0, -1].log_softmax(-1)[one.targets[0]].backward()
        parts = []
        for name in names:
            own, gradient = kept[name], kept[name].grad
            assert gradient is not None
            parts.append(((clean[name] - own.detach()) * gradient).sum((0, 1, 3)).double())
        found.append(torch.cat(parts).numpy())
    return np.array(found)


def interchanged(theirs: Any, interchanges: Sequence[Interchange], sets: npt.NDArray[np.bool_], layers: int) -> Floats:
    """Return [interchanges, sets] surprisal (nats) of the first target after the receiver with a set's donor heads."""
    names = _hooks(layers)
    found = np.zeros((len(interchanges), len(sets)))
    with torch.no_grad():
        for i, one in enumerate(interchanges):
            _, donor = theirs.run_with_cache(_ids(one.donor.ids), names_filter=lambda name: name in names)
            for k, chosen in enumerate(torch.tensor(sets).view(len(sets), layers, -1)):
                hooks = [(name, partial(_put_in, own, donor[name])) for name, own in zip(names, chosen, strict=True)]
                logits = theirs.run_with_hooks(_ids(one.receiver.ids), fwd_hooks=hooks)
                found[i, k] = -logits[0, -1].log_softmax(-1)[one.targets[0]]
    return found


def _keep(kept: dict[str, Tensor], name: str, value: Tensor, hook: Any) -> Tensor:
    value.retain_grad()
    kept[name] = value
    return value


def _put_in(heads: Tensor, donor: Tensor, value: Tensor, hook: Any) -> Tensor:
    value = value.clone()
    value[:, :, heads] = donor[:, :, heads]
    return value
