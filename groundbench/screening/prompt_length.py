"""Lengths of prompts: one that does not fit the model's context is refused, never cut; the longest is tried first."""

from __future__ import annotations

from collections.abc import Iterable

from groundbench.api.adapter import Adapter, Encoded
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Prompt
from groundbench.engine.trials import encode_untried, try_at_length

CHARACTERS_A_TOKEN = 32
"""A text of more characters than this for each token of the context cannot fit, and is not even tokenized."""
CUT_EVIDENCE = "--max-evidence cuts evidence at sentence borders"
"""The way out where the evidence comes from a file of records."""


def require_possible_length(adapter: Adapter, prompt: Prompt, advice: str = "") -> None:
    """Refuse a text that is far too long before it is tokenized. Raises BadInputError, which ends in `advice`."""
    most = adapter.info.max_length
    if len(prompt.text) > CHARACTERS_A_TOKEN * most:
        raise BadInputError(
            f"{len(prompt.text):,} characters do not fit {adapter.info.name}'s context of {most} tokens{_then(advice)}"
        )


def encode_fitting(adapter: Adapter, prompt: Prompt, answer_tokens: int = 0, advice: str = "") -> Encoded:
    """Encode a prompt that leaves room for an answer of so many tokens.

    Raises:
        BadInputError: prompt and answer do not fit the model's context; it ends in `advice`.
    """
    require_possible_length(adapter, prompt, advice)
    (row,) = adapter.encode([prompt])
    if len(row) + answer_tokens > adapter.info.max_length:
        raise BadInputError(
            f"{len(row)} tokens and {answer_tokens} of the answer do not fit {adapter.info.name}'s context of "
            f"{adapter.info.max_length}; nothing is cut silently{_then(advice)}"
        )
    return row


def encode_longest(adapter: Adapter, prompts: Iterable[Prompt]) -> None:
    """Encode the longest prompt that the model can read, so that what it can do is tried once, at that length.

    An adapter tries its abilities at every length that is longer than all before it.
    """
    for prompt in sorted(prompts, key=lambda p: -len(p.text)):
        try:
            (row,) = encode_untried(adapter, [prompt])
        except BadInputError:
            continue
        try_at_length(adapter, len(row))
        return


def _then(advice: str) -> str:
    return f"; {advice}" if advice else ""
