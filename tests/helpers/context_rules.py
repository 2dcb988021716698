"""The rules that every testbed of written contexts must keep, whatever its layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundbench.tasks.written_contexts import ContextTestbed


def check_plain_prompts_end_tokens(bed: ContextTestbed, shared_data: Path) -> None:
    """In the form `plain` a real tokenizer ends a token where the prompt ends, and the noun begins the next."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(shared_data / "models/tokenizers/gpt2/tokenizer.json"))
    form = bed.form("plain")
    frames = {f.id: f for f in bed.frames(form)}
    for context in bed.contexts:
        text = bed.prompt(frames[context.id], bed.noun(context.noun), form).text
        ids = tokenizer.encode(text).ids
        assert len(ids) <= 50
        assert tokenizer.encode(f"{text} {context.noun}").ids[: len(ids)] == ids
