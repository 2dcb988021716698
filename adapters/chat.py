"""Prompts in a chat model's own template: the assistant's turn is the prompt, and the target goes on from it.

A user's turn asks for the continuation of a text and the assistant's turn has begun with the prompt, so that prompts,
targets and ENV spans are those of every other model; only what stands before them differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.errors import BadInputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REQUEST = "Continue the text."
PROBES = ("The text", "It was")
"""Two beginnings of an assistant's turn: what the template puts before them must not depend on them."""


def chat_opening(tokenizer: PreTrainedTokenizerFast, name: str) -> str:
    """What the tokenizer's chat template puts before the text of an assistant's turn that answers `REQUEST`.

    Raises:
        BadInputError: the tokenizer has no chat template, or one that changes what it is given.
    """
    if not tokenizer.chat_template:
        raise BadInputError(f"{name}: --chat was asked for, but its tokenizer has no chat template")
    openings = {_opening(tokenizer, name, probe) for probe in PROBES}
    if len(openings) != 1:
        raise BadInputError(f"{name}: what its chat template puts before the assistant's turn depends on the turn")
    return openings.pop()


def _opening(tokenizer: PreTrainedTokenizerFast, name: str, probe: str) -> str:
    turns = [{"role": "user", "content": REQUEST}, {"role": "assistant", "content": probe}]
    try:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False, continue_final_message=True)
    except Exception as error:  # a template is code of the model's makers: jinja2's errors, ValueError, TypeError ...
        raise BadInputError(f"{name}: its chat template cannot be used: {' '.join(str(error).split())}") from error
    if not str(rendered).endswith(probe):
        raise BadInputError(f"{name}: its chat template does not leave the assistant's turn as it is")
    return str(rendered).removesuffix(probe)
