"""Prompts and targets as token ids: ENV spans by character offsets, the join of context and target checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING, Literal, get_args

from groundbench.adapters.chat_template import chat_opening, date_in_template
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Offsets = list[tuple[int, int]]
BosPolicy = Literal["auto", "yes", "no"]
RARE = "\U00012000"
"""A cuneiform sign: in no vocabulary of words, while a tokenizer that goes down to bytes writes it."""
MOST_JOINS = 20_000
"""Words behind ends of prompts that are remembered at once: those of some hundred frames, which other forms share."""


class NotApartError(BadInputError):
    """The ENV form has no tokens of its own."""


@dataclass(frozen=True)
class Rendered:
    """A prompt as the text that is tokenized, and each segment's characters in it."""

    text: str
    spans: tuple[tuple[int, int], ...]


class PromptEncoder:
    """Tokenizes prompts and targets for one model; never truncates.

    Args:
        bos: `auto` puts first what the tokenizer itself puts first, whole (with `chat`: what its template does); `yes`
            forces a BOS token, `no` nothing.
        max_length: the model's context in tokens.
        chat: put prompts into the tokenizer's chat template (see `groundbench.adapters.chat_template`).
        embeddings: how many tokens the model has embeddings for; a tokenizer may have more.

    Attributes:
        opening: text that stands before every prompt: nothing, or what the chat template puts there.
        prefix: token ids that are put before `opening`: none, BOS, or whatever the tokenizer begins a text with.
        chat_date: the day that the chat template was told it is; None where it does not ask.
        unknown: the token that words the tokenizer does not know become; None where there are none.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        name: str,
        bos: BosPolicy = "auto",
        chat: bool = False,
        embeddings: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.embeddings = embeddings
        self.name = name
        self.bos, self.chat = bos, chat
        self._joins: dict[str, dict[str, tuple[int, ...] | str]] = {}
        self._n_joins = 0
        if bos not in get_args(BosPolicy):
            raise BadInputError(f"{name}: bos is {bos!r}, expected {' or '.join(get_args(BosPolicy))}")
        if bos == "yes" and tokenizer.bos_token_id is None:
            raise BadInputError(f"{name}: BOS was asked for, but its tokenizer has no BOS token")
        self.prefix = self._prefix()
        # A tokenizer may name an unknown token that it never gives (GPT-2 names its end of text): so one word is tried.
        unknown = tokenizer.unk_token_id
        given = unknown is not None and unknown in tokenizer(RARE, add_special_tokens=False)["input_ids"]
        self.unknown = int(unknown) if unknown is not None and given else None
        self.opening = self._with_bos_as_asked(self._chat_opening()) if chat else ""
        self.chat_date = self._chat_date() if chat else None
        self._require_embeddings()

    def _prefix(self) -> tuple[int, ...]:
        own = () if self.chat else put_first(self.tokenizer)
        if self.bos == "auto":
            return own
        bos = self.tokenizer.bos_token_id
        return () if self.bos == "no" else own if bos in own[:1] else (int(bos),)

    def _require_embeddings(self) -> None:
        """Raise BadInputError for a tokenizer whose ordinary or first tokens the model lacks.

        Added tokens that no prompt holds may lie beyond: Gemma's, which stands for an image, does.
        """
        size = self.tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False)
        if self.embeddings is not None and size > self.embeddings:
            raise BadInputError(
                f"{self.name}: its tokenizer has {size:,} tokens, but the model embeddings for {self.embeddings:,}; "
                "expected a tokenizer that belongs to the model"
            )
        opening = self.tokenizer(self.opening, add_special_tokens=False, verbose=False)["input_ids"]
        self._require_known((*self.prefix, *opening), "what begins every prompt")

    def _require_known(self, ids: Sequence[int], where: str) -> None:
        if self.embeddings is None or not ids or max(ids) < self.embeddings:
            return
        token = max(ids)
        text = self.tokenizer.convert_ids_to_tokens(token)
        raise BadInputError(
            f"{self.name}: {where} holds {text!r} (token {token}), but the model has embeddings for "
            f"{self.embeddings:,} tokens only; resize them, or use the tokenizer it was trained with"
        )

    def _chat_date(self) -> str | None:
        return date_in_template(self.tokenizer, self.name)

    def _chat_opening(self) -> str:
        return chat_opening(self.tokenizer, self.name)

    def _with_bos_as_asked(self, opening: str) -> str:
        bos = self.tokenizer.bos_token
        return opening if self.bos == "auto" or not bos else opening.removeprefix(bos)

    @property
    def adds_bos(self) -> bool:
        """True where the tokens put first begin with BOS."""
        return bool(self.prefix) and self.prefix[0] == self.tokenizer.bos_token_id

    @property
    def begins_with_bos(self) -> bool:
        """True where every context begins with BOS, put there by us or by the chat template."""
        bos = self.tokenizer.bos_token
        return self.adds_bos or bool(bos and self.opening.startswith(bos))

    @property
    def begins_with(self) -> str:
        """`added` for a BOS token, `none`, or the tokens themselves where others are put first, e.g. `</s>`."""
        if self.prefix and self.prefix != (self.tokenizer.bos_token_id,):
            return "".join(self.tokenizer.convert_ids_to_tokens(list(self.prefix)))
        return "added" if self.begins_with_bos else "none"

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids with ENV spans.

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
                rows.append(self._encode_prompt(prompt, shown[i], ids, offsets))
            except NotApartError as error:
                faults[i] = str(error)
        if faults:
            raise UnencodableError(faults)
        return rows

    def render(self, prompt: Prompt) -> Rendered:
        """Return the text of a prompt, after the opening. Raises BadInputError for a prompt with an image."""
        if any(isinstance(s, ImageSegment) for s in prompt.segments):
            raise BadInputError(f"{self.name} reads text only, but {prompt.where} holds an image")
        return join_parts(self.opening, [s.text for s in prompt.segments if not isinstance(s, ImageSegment)])

    def _encode_prompt(self, prompt: Prompt, shown: Rendered, ids: list[int], offsets: Offsets) -> Encoded:
        shift = len(self.prefix)
        self._require_known(ids, prompt.where)
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
        return Encoded(self.prefix + tuple(ids), tuple(spans))

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
        """Return the tokens of each word after `after`, cached by the prompt's last words.

        Raises:
            UnencodableError: the tokenizer merges across the join (text and tokens are shown), or does not know a word.
        """
        tail = after.text[-48:] + after.join
        known = self._joins.get(tail, {})
        missing = [w for w in dict.fromkeys(words) if w not in known]
        if missing:
            new = self._join(missing, after)
            if self._n_joins + len(new) > MOST_JOINS:
                new |= {w: known[w] for w in words if w in known}
                self._joins, self._n_joins = {}, 0
            known = self._joins.setdefault(tail, {})
            known.update(new)
            self._n_joins += len(new)
        found = [known[w] for w in words]
        faults = {i: why for i, why in enumerate(found) if isinstance(why, str)}
        if faults:
            raise UnencodableError(faults)
        return [ids for ids in found if not isinstance(ids, str)]

    def _join(self, words: list[str], after: Prompt) -> dict[str, tuple[int, ...] | str]:
        """Return the tokens of each word after a prompt, or the fault."""
        joins: dict[str, tuple[int, ...] | str] = {}
        text = self.opening + after.text
        texts = [text, *(text + after.join + w for w in words)]
        context, *joined = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]
        for word, ids in zip(words, joined, strict=True):
            target = tuple(ids[len(context) :])
            if ids[: len(context)] != context or not target:
                shown = self.tokenizer.convert_ids_to_tokens(ids[max(0, len(context) - 2) :])
                joins[word] = (
                    f"{after.where}: the tokenizer merges the context's end {after.text[-12:]!r} with the target "
                    f"{word!r} (tokens {shown}); a target must begin a token of its own"
                )
            elif self.tokenizer.unk_token_id is not None and self.tokenizer.unk_token_id in target:
                joins[word] = (
                    f"{after.where}: the target {word!r} is unknown to {self.name}'s tokenizer; "
                    "does the testbed fit the model?"
                )
            else:
                self._require_known(target, f"{after.where}: the target {word!r}")
                joins[word] = target
        return joins


def put_first(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Return the token ids that a tokenizer puts before a text by itself, whatever and however many they are."""
    whole, plain = (tokenizer("a", add_special_tokens=add, verbose=False)["input_ids"] for add in (True, False))
    for i in range(len(whole) - len(plain) + 1):
        if plain and whole[i : i + len(plain)] == plain:
            return tuple(whole[:i])
    return tuple(takewhile(lambda i: i in set(tokenizer.all_special_ids), whole))


def join_parts(opening: str, parts: Sequence[str]) -> Rendered:
    """Join parts of a text after an opening; return it with each part's characters."""
    ends = list(accumulate(map(len, parts), initial=len(opening)))
    return Rendered(opening + "".join(parts), tuple(pairwise(ends)))
