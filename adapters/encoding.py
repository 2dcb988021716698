"""Prompts and targets as token ids: ENV spans by character offsets, the join of context and target checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from groundbench.adapter import Encoded
from groundbench.errors import BadInputError
from groundbench.testbed import EnvSegment, ImageSegment, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BosPolicy = Literal["auto", "yes", "no"]


class PromptEncoder:
    """Tokenizes prompts and targets for one model; never truncates.

    Args:
        bos: `auto` does what the tokenizer itself does; `yes` and `no` force it. The outcome is `adds_bos`.
        max_length: the model's context in tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_length: int, name: str, bos: BosPolicy = "auto") -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.name = name
        self._joins: dict[tuple[str, str], tuple[int, ...]] = {}
        own = tokenizer("a")["input_ids"]
        self.adds_bos = bos == "yes" or (bos == "auto" and bool(own) and own[0] == tokenizer.bos_token_id)
        if self.adds_bos and tokenizer.bos_token_id is None:
            raise BadInputError(f"{name}: BOS was asked for, but its tokenizer has no BOS token")

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Token ids with ENV spans.

        Raises:
            BadInputError: a prompt holds an image, is longer than the model's context (nothing is ever cut off),
                or a token covers both ENV and other text.
        """
        if not prompts:
            return []
        for prompt in prompts:
            if any(isinstance(s, ImageSegment) for s in prompt.segments):
                raise BadInputError(f"{self.name} reads text only, but {prompt.where} holds an image")
        batch = self.tokenizer(
            [p.text for p in prompts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [
            self._encoded(p, ids, offsets)
            for p, ids, offsets in zip(prompts, batch["input_ids"], batch["offset_mapping"], strict=True)
        ]

    def _encoded(self, prompt: Prompt, ids: list[int], offsets: list[tuple[int, int]]) -> Encoded:
        shift = 1 if self.adds_bos else 0
        if len(ids) + shift >= self.max_length:
            raise BadInputError(
                f"{prompt.where}: {len(ids) + shift} tokens do not fit {self.name}'s context of {self.max_length} "
                "with a target; nothing is truncated, since ENV could be lost"
            )
        if not ids:
            raise BadInputError(f"{prompt.where}: the prompt is empty after tokenization by {self.name}")
        spans = []
        at = 0
        for segment in prompt.segments:
            if isinstance(segment, ImageSegment):
                continue
            end = at + len(segment.text)
            if isinstance(segment, EnvSegment):
                a, b = self._span(prompt, offsets, at, end)
                spans.append((a + shift, b + shift))
            at = end
        bos = (int(self.tokenizer.bos_token_id),) if self.adds_bos else ()
        return Encoded(bos + tuple(ids), tuple(spans))

    def _span(self, prompt: Prompt, offsets: list[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
        if not inside:
            raise BadInputError(f"{prompt.where}: {self.name}'s tokenizer gives the ENV form no token")
        text = prompt.text
        for i in (inside[0], inside[-1]):
            a, b = offsets[i]
            if text[a:start].strip() or text[end:b].strip():
                raise BadInputError(
                    f"{prompt.where}: the tokenizer merges ENV with its surroundings in {text[a:b]!r}; "
                    "set the ENV form apart by a space"
                )
        return inside[0], inside[-1] + 1

    def targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """The tokens of each word after `after`, cached by the prompt's last words.

        Raises:
            BadInputError: the tokenizer merges across the join (text and tokens are shown), or does not know the word.
        """
        tail = after.text[-48:] + after.join
        missing = [w for w in dict.fromkeys(words) if (tail, w) not in self._joins]
        if missing:
            self._join(missing, after, tail)
        return [self._joins[tail, w] for w in words]

    def _join(self, words: list[str], after: Prompt, tail: str) -> None:
        texts = [after.text, *(after.text + after.join + w for w in words)]
        context, *joined = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]
        for word, ids in zip(words, joined, strict=True):
            target = tuple(ids[len(context) :])
            if ids[: len(context)] != context or not target:
                shown = self.tokenizer.convert_ids_to_tokens(ids[max(0, len(context) - 2) :])
                raise BadInputError(
                    f"{after.where}: the tokenizer merges the context's end {after.text[-12:]!r} with the target "
                    f"{word!r} (tokens {shown}); a target must begin a token of its own"
                )
            if self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id in target:
                raise BadInputError(
                    f"{after.where}: the target {word!r} is unknown to {self.name}'s tokenizer; "
                    "does the testbed fit the model?"
                )
            self._joins[tail, word] = target
