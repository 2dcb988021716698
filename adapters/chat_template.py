"""Prompts in a chat model's own template: the prompt begins the assistant's turn, the target continues it.

A user's turn asks for the continuation of a text and the assistant's turn has begun with the prompt, so that prompts,
targets and ENV spans are those of every other model; only what stands before them differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any, Protocol

from transformers.utils import chat_template_utils

from groundbench.api.errors import BadInputError

Content = str | list[dict[str, str]]
REQUEST = "Continue the text."
PROBES = ("The text", "It was")
"""Two beginnings of an assistant's turn: what the template puts before them must not depend on them."""

DATE = datetime(2024, 7, 26)
"""The day that every template is told it is, so that a prompt does not depend on the day of the run: Llama's own
default, where it is asked for no other."""


class Templated(Protocol):
    """A tokenizer or a processor."""

    chat_template: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Return the conversation as text."""
        ...


def chat_opening(templated: Templated, name: str, images: int | None = None, date: datetime = DATE) -> str:
    """Return the text that a chat template puts before an assistant's turn that answers `REQUEST`.

    Args:
        templated: a tokenizer, or the processor of a model that reads images.
        images: how many images stand before the request, for a processor; None for a tokenizer.
        date: the day that the template is told it is (`strftime_now`, `date_string`).

    Raises:
        BadInputError: there is no chat template, or it changes what it is given, or renders it otherwise each time.
    """
    if not templated.chat_template:
        kind = "tokenizer" if images is None else "processor"
        raise BadInputError(f"{name}: --chat was asked for, but its {kind} has no chat template")
    first, again = (_opening(templated, name, PROBES[0], images, date) for _ in range(2))
    if first != again:
        raise BadInputError(f"{name}: its chat template renders the same turns otherwise each time")
    openings = {first, *(_opening(templated, name, probe, images, date) for probe in PROBES[1:])}
    if len(openings) != 1:
        raise BadInputError(f"{name}: what its chat template puts before the assistant's turn depends on the turn")
    return openings.pop()


def date_in_template(templated: Templated, name: str, images: int | None = None) -> str | None:
    """Return the date that the template writes, as `2024-07-26`; None where it writes none."""
    other = chat_opening(templated, name, images, DATE.replace(year=DATE.year - 7, month=2, day=3))
    return None if chat_opening(templated, name, images) == other else f"{DATE:%Y-%m-%d}"


@contextmanager
def _clock_at(date: datetime) -> Iterator[None]:
    """Stop the clock that templates read by `strftime_now`; transformers takes no other function in its place."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return date

    clock: Any = chat_template_utils
    before = clock.datetime
    clock.datetime = Stopped
    try:
        yield
    finally:
        clock.datetime = before


def _opening(templated: Templated, name: str, probe: str, images: int | None, date: datetime) -> str:
    request: Content = REQUEST
    answer: Content = probe
    if images is not None:
        request = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": REQUEST}]
        answer = [{"type": "text", "text": probe}]
    turns = [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
    try:
        with _clock_at(date):
            rendered = templated.apply_chat_template(
                turns, tokenize=False, continue_final_message=True, date_string=f"{date:%d %b %Y}"
            )
    except Exception as error:  # a template is code of the model's makers: jinja2's errors, ValueError, TypeError ...
        raise BadInputError(f"{name}: its chat template cannot be used: {' '.join(str(error).split())}") from error
    if not str(rendered).endswith(probe):
        raise BadInputError(f"{name}: its chat template does not leave the assistant's turn as it is")
    return str(rendered).removesuffix(probe)
