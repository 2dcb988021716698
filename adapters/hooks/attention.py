"""Hooks of attention: one function on transformers' AttentionInterface, for all that dispatch through it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from groundbench.adapters.hooks.session import as_graph_root, current
from groundbench.api.adapter import Mixer
from groundbench.api.errors import UnsupportedModelError

NAME = "groundbench_tap"
# What torch's fused attention cannot do, by the keyword through which the families pass it.
BEYOND_SDPA = ("softcap", "s_aux")
SINK = "s_aux"
SCORES = "position_bias"
"""Keyword of a bias that some families add to the scores beside the mask: [B or 1, H or 1, Tq or 1, Tk]."""
CUT_ROWS = 64
"""Query rows whose weights are computed again at a time where edges are cut."""


def register() -> None:
    """Register the hooked attention with transformers, and its mask: without one there is no causal mask."""
    AttentionInterface.register(NAME, hooked_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def dispatches(module: nn.Module) -> bool:
    """Return True if a module's modelling file calls the interface at all."""
    return hasattr(sys.modules[type(module).__module__], "ALL_ATTENTION_FUNCTIONS")


def hooked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention as sdpa (or, where it cannot, the family's eager function) does, recorded and edited.

    Query [B, H, Tq, d], key and value [B, H_kv, Tk, d]; returns [B, Tq, H, D] and no weights.
    """
    session = current()
    attend = _attend_in_fp32 if session is not None and session.trace else _attend
    output = attend(module, query, key, value, attention_mask, scaling, dropout, kwargs)
    index = None if session is None else session.claim(module, "attention", query.shape[1], value.shape[-1])
    if session is None or index is None:
        return output, None
    if (cut := session.edges_cut(index)) is not None:
        output = without_edges(module, query, key, value, attention_mask, {"scaling": scaling, **kwargs}, output, cut)
    heads = as_graph_root(output, session.trace).transpose(1, 2)
    if session.trace:
        options = {"scaling": scaling, **kwargs}
        mixer = session.sites[index].mixer
        kept = (query.detach(), key.detach(), value.detach(), attention_mask)
        session.traces.append(AttentionTrace(mixer, heads, heads, module, *kept, options))
    return session.edit(index, heads).transpose(1, 2).contiguous(), None


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    dropout: float,
    options: dict[str, Any],
) -> Tensor:
    if all(options.get(name) is None for name in BEYOND_SDPA):
        output: Tensor
        output, _ = sdpa_attention_forward(module, query, key, value, mask, dropout=dropout, scaling=scaling, **options)
        return output
    added = additive_mask(mask, slice(0, query.shape[2]), query, key.shape[2], options, module)
    more = options if scaling is None else {"scaling": scaling, **options}
    result: Tensor = eager_function(module)(module, query, key, value, added, dropout=dropout, **more)[0]
    return result


def _attend_in_fp32(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *rest: Any
) -> Tensor:
    """Compute attention with products and softmax in fp32, whatever the weights: where heads are read (§8)."""
    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    return _attend(module, query.float(), key.float(), value.float(), mask, *rest).to(query.dtype)


def without_edges(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
    output: Tensor,
    cut: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Return the output [B, Tq, H, D] with some edges taken away before the softmax, for the edges' rows only.

    Args:
        cut: heads [R, H], queries [R, Tq] and keys [R, Tk], see `groundbench.api.adapter.EdgeCut`.
    """
    heads, queries, keys = (t.to(output.device) for t in cut)
    length, total = query.shape[2], key.shape[2]
    keys = keys[:, keys.shape[1] - total :]  # a sliding window's cache may not reach back to the first token
    rows = queries[:, -length:].any(0).nonzero()[:, 0].tolist()
    output = output.clone()
    attend = eager_function(module)
    for first, last in _runs(rows, CUT_ROWS):
        part = slice(first, last)
        added = additive_mask(mask, part, query, total, options, module)
        here = queries[:, -length:][:, part]
        edges = heads[:, :, None, None] & here[:, None, :, None] & keys[:, None, None, :]
        removed = torch.zeros(edges.shape, dtype=query.dtype, device=query.device)
        removed = removed.masked_fill(edges, torch.finfo(query.dtype).min)
        added = removed if added is None else (added + removed).clamp(min=torch.finfo(query.dtype).min)
        added = added.expand(query.shape[0], query.shape[1], -1, -1)
        more = options_of_rows(options, part, total)
        again = attend(module, query[:, :, part], key, value, added, dropout=0.0, **more)[0]
        chosen = (heads[:, None, :] & here[:, :, None])[..., None]
        output[:, part] = torch.where(chosen, again.to(output.dtype), output[:, part])
    return output


def _runs(rows: list[int], longest: int) -> list[tuple[int, int]]:
    """Return runs of consecutive numbers, half-open and at most so long."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and runs[-1][1] == row and row - runs[-1][0] < longest:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs


def eager_function(module: nn.Module) -> Callable[..., Any]:
    """Return the family's own attention in plain tensors: it has the soft-capping, the sinks and the scaling.

    Raises:
        UnsupportedModelError: the modelling file has none.
    """
    found = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if found is None:
        raise UnsupportedModelError(f"{type(module).__name__}: its modelling file has no eager_attention_forward")
    function: Callable[..., Any] = found
    return function


def additive_mask(
    mask: Tensor | None, rows: slice, query: Tensor, keys: int, options: dict[str, Any], module: nn.Module
) -> Tensor | None:
    """Return the mask of some query rows over the first `keys` keys, added to the scores: [B or 1, 1, r, keys] or None.

    sdpa's masks are boolean, or None where a causal one is implied; `query` [B, H, Tq, d] has all rows.
    """
    lowest = torch.finfo(query.dtype).min
    if mask is not None:
        part = mask[..., rows, :keys]
        if part.dtype != torch.bool:
            return part
        return torch.zeros(part.shape, dtype=query.dtype, device=part.device).masked_fill_(~part, lowest)
    is_causal = options.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    length = query.shape[2]
    if length == 1 or not causal:
        return None
    q = torch.arange(length, device=query.device)[rows, None]
    hidden = torch.arange(keys, device=query.device)[None] > q
    return torch.zeros(hidden.shape, dtype=query.dtype, device=query.device).masked_fill_(hidden, lowest)[None, None]


def options_of_rows(options: dict[str, Any], rows: slice, keys: int) -> dict[str, Any]:
    """Return the keywords of an eager call for some query rows over the first `keys` keys."""
    found = {k: v for k, v in options.items() if not (k == "scaling" and v is None)}
    if (added := found.get(SCORES)) is not None:
        found[SCORES] = (added if added.shape[-2] == 1 else added[..., rows, :])[..., :keys]
    return found


@dataclass
class AttentionTrace:
    """One attention call. The weights of chosen rows are computed again by the family's own eager function, in fp32.

    Keys are right-aligned: the last one is the newest token. A sliding window's cache may hold fewer than all.
    """

    mixer: Mixer
    output: Tensor
    site: Tensor
    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    options: dict[str, Any] = field(repr=False)
    skip: Tensor | None = None
    smear: int = 0

    @property
    def values(self) -> Tensor:
        """[B, H, Tk, D], key/value heads repeated for the heads that share them."""
        return self.value.repeat_interleave(self.mixer.n_heads // self.value.shape[1], dim=1)

    @property
    def sinks(self) -> bool:
        """True if rows may sum to less than 1."""
        return self.options.get(SINK) is not None

    @cached_property
    def bidirectional(self) -> bool:
        """True if the mask lets a token see later ones."""
        if self.mask is None or self.mask.shape[-2] == 1:
            return False
        seen = self.mask if self.mask.dtype == torch.bool else self.mask > torch.finfo(self.mask.dtype).min
        later = self.key.shape[2] - self.query.shape[2] + 1
        return bool(seen.triu(later).any())

    @torch.no_grad()
    def weights(self, rows: slice, keys: int | None = None) -> Tensor:
        """Return [B, H, r, keys] fp32: the weights of some query rows over the first `keys` keys (default all)."""
        keys = self.key.shape[2] if keys is None else keys
        query = self.query.float()
        mask = additive_mask(self.mask, rows, query, keys, self.options, self.module)
        if mask is None:  # some families' eager functions add the mask without asking whether there is one
            mask = query.new_zeros(1, 1, len(range(query.shape[2])[rows]), keys)
        # One value column is enough: only the weights are wanted, and the product with the values costs as much.
        _, weights = eager_function(self.module)(
            self.module,
            query[:, :, rows],
            self.key[:, :, :keys].float(),
            self.value[:, :, :keys, :1].float(),
            mask.float(),
            dropout=0.0,
            **options_of_rows(self.options, rows, keys),
        )
        result: Tensor = weights
        return result.float()
