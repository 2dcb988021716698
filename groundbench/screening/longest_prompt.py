"""The longest prompt first: an adapter tries its abilities at every length that is longer than all before it."""

from __future__ import annotations

from collections.abc import Iterable

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Prompt


def encode_longest(adapter: Adapter, prompts: Iterable[Prompt]) -> None:
    """Encode the longest prompt that the model can read, so that what it can do is tried once, at that length."""
    for prompt in sorted(prompts, key=lambda p: -len(p.text)):
        try:
            adapter.encode([prompt])
        except BadInputError:
            continue
        return
