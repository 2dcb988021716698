"""Prompts and targets as token ids: ENV spans by character offsets, the join of context and target checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

from groundbench.adapters.chat_template import chat_opening
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Offsets = list[tuple[int, int]]
BosPolicy = Literal["auto", "yes", "no"]
RARE = "\U00012000"
"""A cuneiform sign: in no vocabulary of words, while a tokenizer that goes down to bytes writes it."""


class NotApartError(BadInputError):
    """The ENV form has no tokens of its own."""


@dataclass(frozen=True)
class Rendered:
    """A prompt as the text that is tokenized, and for each segment the characters it stands on."""

    text: str
    spans: tuple[tuple[int, int], ...]


class PromptEncoder:
    """Tokenizes prompts and targets for one model; never truncates.

    Args:
        bos: `auto` does what the tokenizer itself does (with `chat`: what its template does); `yes` and `no` force it.
        max_length: the model's context in tokens.
        chat: put prompts into the tokenizer's chat template (see `groundbench.adapters.chat_template`).

    Attributes:
        opening: what stands before every prompt: nothing, or what the chat template puts there.
        adds_bos: whether a BOS token is put before `opening`.
        unknown: the token that words the tokenizer does not know become; None where there are none.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        name: str,
        bos: BosPolicy = "auto",
        chat: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.name = name
        self.bos, self.chat = bos, chat
        self._joins: dict[tuple[str, str], tuple[int, ...]] = {}
        self._not_apart: dict[tuple[str, str], str] = {}
        if bos == "yes" and tokenizer.bos_token_id is None:
            raise BadInputError(f"{name}: BOS was asked for, but its tokenizer has no BOS token")
        own = tokenizer("a")["input_ids"]
        by_itself = not chat and bool(own) and own[0] == tokenizer.bos_token_id
        self.adds_bos = bos == "yes" or (bos == "auto" and by_itself)
        # A tokenizer may name an unknown token that it never gives (GPT-2 names its end of text): so one word is tried.
        unknown = tokenizer.unk_token_id
        given = unknown is not None and unknown in tokenizer(RARE, add_special_tokens=False)["input_ids"]
        self.unknown = int(unknown) if unknown is not None and given else None
        self.opening = self._with_bos_as_asked(self._chat_opening()) if chat else ""

    def _chat_opening(self) -> str:
        return chat_opening(self.tokenizer, self.name)

    def _with_bos_as_asked(self, opening: str) -> str:
        bos = self.tokenizer.bos_token
        return opening if self.bos == "auto" or not bos else opening.removeprefix(bos)

    @property
    def begins_with_bos(self) -> bool:
        """Whether every context begins with BOS, put there by us or by the chat template."""
        bos = self.tokenizer.bos_token
        return self.adds_bos or bool(bos and self.opening.startswith(bos))

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Token ids with ENV spans.

        Raises:
            BadInputError: a prompt holds an image, or is longer than the model's context (nothing is ever cut off).
            UnencodableError: in some prompts a token covers both ENV and other text.
        """
        if not prompts:
            return []
        shown = [self.render(p) for p in prompts]
        batch = self.tokenizer(
            [s.text for s in shown],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        rows: list[Encoded] = []
        faults: dict[int, str] = {}
        for i, (prompt, ids, offsets) in enumerate(
            zip(prompts, batch["input_ids"], batch["offset_mapping"], strict=True)
        ):
            try:
                rows.append(self._encoded(prompt, shown[i], ids, offsets))
            except NotApartError as error:
                faults[i] = str(error)
        if faults:
            raise UnencodableError(faults)
        return rows

    def render(self, prompt: Prompt) -> Rendered:
        """The text of a prompt, after the opening. Raises BadInputError for a prompt with an image."""
        if any(isinstance(s, ImageSegment) for s in prompt.segments):
            raise BadInputError(f"{self.name} reads text only, but {prompt.where} holds an image")
        return joined(self.opening, [s.text for s in prompt.segments if not isinstance(s, ImageSegment)])

    def _encoded(self, prompt: Prompt, shown: Rendered, ids: list[int], offsets: Offsets) -> Encoded:
        shift = int(self.adds_bos)
        if len(ids) + shift >= self.max_length:
            raise BadInputError(
                f"{prompt.where}: {len(ids) + shift} tokens do not fit {self.name}'s context of {self.max_length} "
                "with a target; nothing is truncated, since ENV could be lost"
            )
        if not ids:
            raise BadInputError(f"{prompt.where}: the prompt is empty after tokenization by {self.name}")
        spans = []
        for segment, (start, end) in zip(prompt.segments, shown.spans, strict=True):
            if isinstance(segment, EnvSegment):
                a, b = self._span(prompt, shown.text, offsets, start, end)
                spans.append((a + shift, b + shift))
        bos = (int(self.tokenizer.bos_token_id),) if self.adds_bos else ()
        return Encoded(bos + tuple(ids), tuple(spans))

    def _span(self, prompt: Prompt, text: str, offsets: Offsets, start: int, end: int) -> tuple[int, int]:
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
        if not inside:
            raise NotApartError(f"{prompt.where}: {self.name}'s tokenizer gives the ENV form no token")
        for i in (inside[0], inside[-1]):
            a, b = offsets[i]
            if text[a:start].strip() or text[end:b].strip():
                raise NotApartError(
                    f"{prompt.where}: the tokenizer merges ENV with its surroundings in {text[a:b]!r}; "
                    "set the ENV form apart by a space"
                )
        return inside[0], inside[-1] + 1

    def targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """The tokens of each word after `after`, cached by the prompt's last words.

        Raises:
            UnencodableError: the tokenizer merges across the join (text and tokens are shown), or does not know a word.
        """
        tail = after.text[-48:] + after.join
        missing = [w for w in dict.fromkeys(words) if (tail, w) not in self._joins]
        if missing:
            self._join(missing, after, tail)
        faults = {i: self._not_apart[tail, w] for i, w in enumerate(words) if (tail, w) in self._not_apart}
        if faults:
            raise UnencodableError(faults)
        return [self._joins[tail, w] for w in words]

    def _join(self, words: list[str], after: Prompt, tail: str) -> None:
        text = self.opening + after.text
        texts = [text, *(text + after.join + w for w in words)]
        context, *joined = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]
        for word, ids in zip(words, joined, strict=True):
            target = tuple(ids[len(context) :])
            if ids[: len(context)] != context or not target:
                shown = self.tokenizer.convert_ids_to_tokens(ids[max(0, len(context) - 2) :])
                self._not_apart[tail, word] = (
                    f"{after.where}: the tokenizer merges the context's end {after.text[-12:]!r} with the target "
                    f"{word!r} (tokens {shown}); a target must begin a token of its own"
                )
            elif self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id in target:
                self._not_apart[tail, word] = (
                    f"{after.where}: the target {word!r} is unknown to {self.name}'s tokenizer; "
                    "does the testbed fit the model?"
                )
            else:
                self._joins[tail, word] = target


def joined(opening: str, parts: Sequence[str]) -> Rendered:
    """Parts of a text after an opening, with the characters that each stands on."""
    ends = list(accumulate(map(len, parts), initial=len(opening)))
    return Rendered(opening + "".join(parts), tuple(pairwise(ends)))
