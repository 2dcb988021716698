"""Prompts in a chat model's own template: the assistant's turn is the prompt, and the target goes on from it.

A user's turn asks for the continuation of a text and the assistant's turn has begun with the prompt, so that prompts,
targets and ENV spans are those of every other model; only what stands before them differs.
"""

from __future__ import annotations

from typing import Any, Protocol

from groundbench.api.errors import BadInputError

Content = str | list[dict[str, str]]
REQUEST = "Continue the text."
PROBES = ("The text", "It was")
"""Two beginnings of an assistant's turn: what the template puts before them must not depend on them."""


class Templated(Protocol):
    """A tokenizer or a processor."""

    chat_template: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """The conversation as text."""
        ...


def chat_opening(templated: Templated, name: str, images: int | None = None) -> str:
    """What a chat template puts before the text of an assistant's turn that answers `REQUEST`.

    Args:
        templated: a tokenizer, or the processor of a model that reads images.
        images: how many images stand before the request, for a processor; None for a tokenizer.

    Raises:
        BadInputError: there is no chat template, or one that changes what it is given.
    """
    if not templated.chat_template:
        kind = "tokenizer" if images is None else "processor"
        raise BadInputError(f"{name}: --chat was asked for, but its {kind} has no chat template")
    openings = {_opening(templated, name, probe, images) for probe in PROBES}
    if len(openings) != 1:
        raise BadInputError(f"{name}: what its chat template puts before the assistant's turn depends on the turn")
    return openings.pop()


def _opening(templated: Templated, name: str, probe: str, images: int | None) -> str:
    request: Content = REQUEST
    answer: Content = probe
    if images is not None:
        request = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": REQUEST}]
        answer = [{"type": "text", "text": probe}]
    turns = [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    try:
        rendered = templated.apply_chat_template(turns, tokenize=False, continue_final_message=True)
    except Exception as error:  # a template is code of the model's makers: jinja2's errors, ValueError, TypeError ...
        raise BadInputError(f"{name}: its chat template cannot be used: {' '.join(str(error).split())}") from error
    if not str(rendered).endswith(probe):
        raise BadInputError(f"{name}: its chat template does not leave the assistant's turn as it is")
    return str(rendered).removesuffix(probe)
