"""Answers of a completions server, checked before lm-eval sums them.

lm-eval takes the log-probabilities from the answer's first token to the one before the last. Of a server that does not
echo the prompt, or counts its tokens otherwise, that slice is empty or shifted, and the sum a plausible wrong number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Parse = Callable[..., list[tuple[float, bool]]]


class Unanswered(Exception):
    """The reason for which a server's answer holds no usable log-probabilities, in one clause."""


def with_check(parse: Parse) -> Parse:
    """Return lm-eval's `parse_logprobs` behind a check of what the server sent."""

    def check_and_parse(
        outputs: Any, tokens: Sequence[Any] | None = None, ctxlens: Sequence[int] | None = None, **more: Any
    ) -> list[tuple[float, bool]]:
        lengths = list(ctxlens or ())
        choices = [c for out in (outputs if isinstance(outputs, list) else [outputs]) for c in _choices(out)]
        if len(choices) != len(lengths):
            raise Unanswered(f"the server sent {len(choices)} choices for {len(lengths)} prompts")
        for place, choice in enumerate(choices):
            own = None if tokens is None else tokens[place]
            _require(choice, len(own) if isinstance(own, list | tuple) else None)
        return parse(outputs=outputs, tokens=tokens, ctxlens=ctxlens, **more)

    return check_and_parse


def _choices(out: Any) -> list[dict[str, Any]]:
    found = out.get("choices") if isinstance(out, dict) else None
    if not isinstance(found, list) or not all(isinstance(c, dict) and "index" in c for c in found):
        raise Unanswered("the server's answer has no choices; expected that of the completions API")
    return sorted(found, key=lambda c: int(c["index"]))


def _require(choice: dict[str, Any], n: int | None) -> None:
    """Check a choice for log-probabilities of all its n tokens and of the one generated behind them."""
    held = choice.get("logprobs")
    values = held.get("token_logprobs") if isinstance(held, dict) else None
    if not isinstance(held, dict) or not values:
        raise Unanswered("the server sent no log-probabilities; it must answer echo=true with logprobs=1")
    if n is not None and len(values) != n + 1:
        raise Unanswered(
            f"the server sent {len(values)} log-probabilities for a text of {n} tokens and one more; it must echo the "
            "prompt (echo=true) and read the tokens of this tokenizer (argument tokenizer)"
        )
    if any(value is None for value in values[1:]):
        raise Unanswered("the server left log-probabilities of tokens out")
    if not held.get("top_logprobs"):  # read only for whether an answer is the greedy one
        held["top_logprobs"] = [{"": value} for value in values]
