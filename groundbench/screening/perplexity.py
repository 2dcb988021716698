"""Ordinary text: what a change of heads costs where nothing is asked, as perplexity per token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from groundbench.api.adapter import Adapter, Encoded, HeadEdit
from groundbench.api.errors import BadInputError, GroundbenchError, UnencodableError
from groundbench.api.testbed import Prompt, TextSegment

SHIPPED = Path(__file__).with_name("perplexity_text.txt")
MOST_TOKENS = 128
UNKNOWN = 0.2
"""A tokenizer that does not know this share of a text's words does not read it, so that its perplexity says nothing."""


class UnreadableTextError(GroundbenchError):
    """The model's tokenizer does not know enough of a text's words, or the model gives no hidden states."""


def read_text(path: Path | None) -> tuple[str, ...]:
    """Return the paragraphs of a text; by default of the one that we ship. Raises BadInputError."""
    source = path or SHIPPED
    try:
        parts = [" ".join(part.split()) for part in source.read_text(encoding="utf-8").split("\n\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{source}: cannot be read as text: {error}") from None
    found = tuple(p for p in parts if p)
    if not found:
        raise BadInputError(f"{source}: holds no text; expected paragraphs parted by empty lines")
    return found


def text_rows(adapter: Adapter, paragraphs: Sequence[str]) -> list[Encoded]:
    """Return every paragraph as one row of at most 128 tokens.

    Raises:
        UnreadableTextError: perplexity cannot be measured on this model with this text; says why.
    """
    info = adapter.info
    if "hidden" not in info.capabilities:
        raise UnreadableTextError(f"{info.name}: {info.why_not('hidden')}")
    words = list(dict.fromkeys(w for p in paragraphs for w in p.split()[1:]))
    try:
        adapter.encode_targets(words, Prompt("text", "", "text", (TextSegment(paragraphs[0].split()[0]),)))
    except UnencodableError as error:
        if len(error.faults) > UNKNOWN * len(words):
            raise UnreadableTextError(
                f"{info.name}'s tokenizer does not know {len(error.faults)} of the text's {len(words)} words"
            ) from None
    try:
        rows = adapter.encode([Prompt(f"text-{i}", "", "text", (TextSegment(p),)) for i, p in enumerate(paragraphs, 1)])
    except BadInputError as error:  # a paragraph is longer than the model's context
        raise UnreadableTextError(str(error)) from None
    return [r.upto(min(len(r), MOST_TOKENS)) for r in rows]


@torch.no_grad()
def perplexity(adapter: Adapter, rows: Sequence[Encoded], edit: HeadEdit | None = None) -> float:
    """Compute exp of the mean surprisal (nats) of every token but each row's first."""
    last = adapter.info.n_layers
    total, count = 0.0, 0
    for row in rows:
        state = adapter.forward([row], edit=edit, hidden=[last]).hidden[last][:, :-1]
        log_p = adapter.unembed(state, normed=False).float().log_softmax(-1)
        ids = torch.tensor([row.ids[1:]], device=log_p.device)
        total -= float(log_p.gather(-1, ids[..., None]).sum())
        count += len(row) - 1
    return float(torch.tensor(total / count).exp())
