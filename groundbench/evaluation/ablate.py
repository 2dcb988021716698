"""Switch attention heads off in a model, for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from groundbench.api.adapter import Adapter, Editable, HeadEdit
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.registry import open_model


@contextmanager
def ablate(
    model: Any, heads: Iterable[tuple[int, int]], *, scale: float = 0.0, load: Mapping[str, Any] | None = None
) -> Iterator[Adapter]:
    """Multiply the output of some heads by `scale` (0: switch them off) in every call of the model inside the block.

    Everything inside sees the edited model: `groundbench.surprisal`, `groundbench.evaluate`, and the transformers
    model itself (`model(...)`, `model.generate(...)`) where one was given. The hooks are removed when the block ends,
    also by an error.

    Args:
        model: anything that `groundbench.open_model` opens.
        heads: (layer, head) pairs; layers are numbered from 1, heads from 0, as in every result. In a layer
            with two mixers (attention beside a scan) the heads of the second are counted on from those of the first.
        scale: 0 switches heads off, 1 changes nothing, more than 1 strengthens them (protocol §11).
        load: options of loading, see `groundbench.adapters.huggingface.open_causal`.

    Yields:
        The model as an Adapter, with a name and a fingerprint of its own, so that no cache takes it for the model.

    Raises:
        BadInputError: the model has no such head.
        UnsupportedModelError: the model's heads cannot be edited.

    Example:
        >>> import groundbench
        >>> whole = groundbench.surprisal(MODEL, "she drinks from the", "cup")
        >>> with groundbench.ablate(MODEL, [(1, 0), (2, 3)]) as model:
        ...     cut = groundbench.surprisal(model, "she drinks from the", "cup")
        >>> whole == cut, whole == groundbench.surprisal(MODEL, "she drinks from the", "cup")
        (False, True)
    """
    adapter = open_model(model, **dict(load or {}))
    if not isinstance(adapter, Editable):
        raise UnsupportedModelError(f"{adapter.info.name}: its adapter cannot hold an edit of heads over a block")
    chosen = sorted({(int(layer), int(head)) for layer, head in heads})
    index = adapter.info.head_index
    if not index:
        raise UnsupportedModelError(f"{adapter.info.name}: heads cannot be edited: {adapter.info.why_not('hooks')}")
    if missing := [name for name in chosen if name not in index]:
        layer, head = missing[0]
        known = f"{adapter.info.n_layers} layers (from 1), at most {max(h for _, h in index) + 1} heads each (from 0)"
        raise BadInputError(f"{adapter.info.name} has no head {head} in layer {layer}; it has {known}")
    factors = torch.tensor([[scale if name in chosen else 1.0 for name in index]])
    shown = ", ".join(f"{layer}.{head}" for layer, head in chosen) or "none"
    with adapter.editing(HeadEdit(factors), f"heads {shown} times {scale:g}"):
        yield adapter
