"""The output of each layer's feed-forward part to the residual stream, caught during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

LAST_NORMS = ("post_feedforward_layernorm", "post_mlp_layernorm")
"""Norms after the feed-forward part and before its output is added, in families that have one."""
PARTS = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "moe")


def feed_forward_part(layer: nn.Module) -> nn.Module | None:
    """Return the module whose output a decoder layer adds to its residual as the feed-forward part.

    None if not found.
    """
    for name in (*LAST_NORMS, *PARTS):
        found = getattr(layer, name, None)
        if isinstance(found, nn.Module):
            return found
    return None


@contextmanager
def caught_feed_forward(layers: Sequence[nn.Module]) -> Iterator[dict[int, Tensor]]:
    """Catch, in the call made inside, what each layer (from 1) adds to the residual in its feed-forward part."""
    found: dict[int, Tensor] = {}

    def keep(number: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            found[number] = output[0] if isinstance(output, tuple) else output

        return hook

    parts = [(i, feed_forward_part(layer)) for i, layer in enumerate(layers, 1)]
    handles = [part.register_forward_hook(keep(i)) for i, part in parts if part is not None]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
