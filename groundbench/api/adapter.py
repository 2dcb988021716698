"""The `Adapter` protocol: everything a model must be able to do to be measured, and the values passed.

Measurements import only this module, never transformers. Shapes: B rows of a batch, T positions,
V vocabulary, H heads of one mixer, D head width, d model width. Layers are numbered from 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from groundbench.api.testbed import Box, Prompt

if TYPE_CHECKING:
    from torch import Tensor

MixerKind = Literal["attention", "ssd"]
Positions = Literal["all", "last"]
Capability = Literal["prefix", "hidden", "hooks", "edit", "start_at_layer"]
EDGE = 1e-6
"""Of a patch: how far a box may reach into it by rounding alone."""
NO_REASON: dict[Capability, str] = {
    "prefix": "its adapter keeps no cache",
    "hidden": "its hidden states, unembedded, do not give its own logits",
    "hooks": "the model has no heads",
    "edit": "the model has no heads",
    "start_at_layer": "it cannot go on from a layer's saved residual",
}


@dataclass(frozen=True)
class Mixer:
    """One token-mixing module with heads: o_q = sum_k W_qk v_k (protocol §8).

    Attributes:
        first: the number of its first head in its layer. Where a layer has several mixers (attention beside a scan)
            their heads are counted on, in the order in which they are called, so that (layer, head) names one head.
    """

    layer: int
    kind: MixerKind
    n_heads: int
    d_head: int
    first: int = 0

    @property
    def heads(self) -> range:
        """The numbers of its heads in its layer."""
        return range(self.first, self.first + self.n_heads)


@dataclass(frozen=True)
class ModelInfo:
    """The facts about a model that are known before anything is measured.

    `mixers` is empty for a model without heads (an LSTM): its head results are null, never 0.
    `capabilities`: `prefix` (a shared prefix can be cached), `hidden` (hidden states), `hooks` (head traces),
    `edit` (head edits; a model with `hooks` has it unless `lacks` says why not),
    `start_at_layer` (see `StartsAtLayer`).
    `lacks` says why one is missing, see `why_not`.
    """

    name: str
    family: str
    architecture: str
    parameters: int
    dtype: str
    fingerprint: str
    tokenizer: str
    vocab_size: int
    max_length: int
    n_layers: int
    d_model: int
    mixers: tuple[Mixer, ...] = ()
    capabilities: frozenset[Capability] = frozenset()
    lacks: tuple[tuple[Capability, str], ...] = ()
    attention: str = ""
    bos: str = "none"
    """`added` where every context begins with BOS, `none`, or the tokens that are put first instead, e.g. `</s>`."""
    device: str = "cpu"
    step: int | None = None
    seed: int | None = None
    checkpoint: str | None = None
    folder: str | None = None
    """Where a checkpoint of ours lies, with its training.json."""
    notes: tuple[str, ...] = ()
    identity: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Everything besides weights and tokenizer that decides its numbers (config, libraries ...), as JSON values."""
    chat: str | None = None
    """The text that a chat template puts before every prompt; None where prompts stand alone."""
    chat_date: str | None = None
    """The day (2024-07-26) that a chat template was told it is; None where it does not ask."""
    unknown: int | None = None
    """The token that stands for words the tokenizer does not know; None where it can write every word."""
    cached_up_to: int | None = None
    """The longest row (tokens) that may go on from a cache; longer ones are run whole. None: no limit is known."""
    cached_why: str = ""
    """The finding beyond `cached_up_to`; empty where nothing longer was tried yet."""

    @property
    def can_edit(self) -> bool:
        """True if heads can be edited one by one."""
        return "hooks" in self.capabilities and "edit" not in dict(self.lacks)

    @property
    def longest_cached(self) -> int:
        """The longest row (tokens, a target's behind it included) that may go on from a cache; 0 where none may."""
        if "prefix" not in self.capabilities:
            return 0
        return sys.maxsize if self.cached_up_to is None else self.cached_up_to

    def __post_init__(self) -> None:
        if len(set(self.head_index)) < self.n_heads:
            raise ValueError(f"{self.name}: two of its mixers name the same head of a layer; see Mixer.first")

    def why_not(self, capability: Capability) -> str:
        """Return the reason for which the model lacks a capability, for messages."""
        return dict(self.lacks).get(capability, NO_REASON[capability])

    @property
    def n_heads(self) -> int:
        """Heads in all mixers together."""
        return sum(m.n_heads for m in self.mixers)

    @property
    def head_index(self) -> tuple[tuple[int, int], ...]:
        """(layer from 1, head from 0) of every head, in the order of a HeadEdit's columns; see `Mixer.first`."""
        return tuple((m.layer, h) for m in self.mixers for h in m.heads)


@dataclass(frozen=True)
class ImageGrid:
    """The places of an image's patches among a row's tokens, row by row, and the part of the image they cover.

    Attributes:
        start: the position of the first patch, in the row or among the image's own tokens.
        rows, columns: patches (or pooled patches) down and across.
        pitch: tokens from the first patch of one row to that of the next; some families end a row with a token.
        region: what the whole grid covers, in fractions of the image: a crop covers less, padding reaches beyond.
        image: the number of the image in the prompt, from 0.
    """

    start: int
    rows: int
    columns: int
    pitch: int = 0
    region: Box = (0.0, 0.0, 1.0, 1.0)
    image: int = 0

    def __post_init__(self) -> None:
        if not self.pitch:
            object.__setattr__(self, "pitch", self.columns)

    def patches_touching(self, box: Box) -> tuple[range, range]:
        """Return the rows and columns of the patches that a box (fractions of the image) touches; empty outside."""
        left, top, right, bottom = self.region
        down = _cells_touching(box[1], box[3], top, bottom, self.rows)
        across = _cells_touching(box[0], box[2], left, right, self.columns)
        return down, across

    def spans(self, down: range, across: range) -> tuple[tuple[int, int], ...]:
        """Return the half-open token spans of some rows and columns of patches."""
        if not across:
            return ()
        begins = [self.start + row * self.pitch for row in down]
        return tuple((b + across.start, b + across.stop) for b in begins)


def _cells_touching(low: float, high: float, first: float, last: float, n: int) -> range:
    """Return the cells of n equal ones from `first` to `last` that [low, high] touches; an edge alone is no touch."""
    scale = n / (last - first)
    start, stop = math.floor((low - first) * scale + EDGE), math.ceil((high - first) * scale - EDGE)
    return range(min(max(start, 0), n), max(min(stop, n), 0))


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model reads it.

    `env`: half-open token spans of the ENV form. `start`: how many tokens of `ids` a shared prefix already covers (0
    without one). Of image prompts, for each image in order: `images`, its handle (equal content, equal handle);
    `boxes`, where the noun's object is in it (None: nowhere in particular); `image_spans`, the half-open token span
    of it and of what the family puts around and between its patches, which is never cut. `grids`: where the patches
    stand; an image may have several (tiles, a small version of the whole) or none that is known.
    """

    ids: tuple[int, ...]
    env: tuple[tuple[int, int], ...] = ()
    images: tuple[Any, ...] = ()
    boxes: tuple[Box | None, ...] = ()
    start: int = 0
    image_spans: tuple[tuple[int, int], ...] = ()
    grids: tuple[ImageGrid, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def env_positions(self) -> tuple[int, ...]:
        """Every token position of the ENV form."""
        return tuple(p for a, b in self.env for p in range(a, b))

    def after(self, start: int) -> Encoded:
        """Return the same row for a model that holds its first `start` tokens as a prefix."""
        return replace(self, start=start)

    def upto(self, length: int) -> Encoded:
        """Return the row's first `length` tokens with the images among them, as a prefix without an ENV form."""
        kept = sum(begin < length for begin, _ in self.image_spans)
        return Encoded(self.ids[:length], images=self.images[:kept], image_spans=self.image_spans[:kept])


class Prefix(Protocol):
    """The cached state of a shared prefix: `length` tokens; valid only under the edit it was made with."""

    @property
    def length(self) -> int:
        """Tokens in the prefix."""
        ...

    @property
    def logits(self) -> Tensor:
        """[rows, V] fp32 logits at the prefix' last position, one row for each encoded row of the prefill."""
        ...

    def select(self, rows: Sequence[int]) -> Prefix:
        """Return a prefix of these rows, in this order; a row may come several times."""
        ...


@dataclass(frozen=True)
class EdgeCut:
    """Edges between tokens that some heads may not use: the weights of a row are normalised without them (§15).

    For a state-space mixer, whose weights are not normalised, what flows along the edges is subtracted; the positions
    over which its short convolution spreads a key count as that key, unless they are queries themselves.

    Attributes:
        heads: [R, heads] in which heads; R = 1 (the same for every row) or one for each row of the batch.
        queries, keys: [R, T] the two ends: no chosen query position reads from a chosen key position. Every query
            must be left at least one key that it may see.
    """

    heads: Tensor
    queries: Tensor
    keys: Tensor


@dataclass(frozen=True)
class HeadEdit:
    """A change of head outputs: o' = scale * o + (1 - scale) * replace (replace is 0 where None).

    Zero ablation: scale 0. Mean and resample: scale 0 with `replace`. Strengthening: scale > 1 without. Interchange:
    scale 0 with `donors`.

    Attributes:
        scale: [R, heads] with R = 1 (the same for every row) or one row for each row of the batch.
        replace: for each mixer [R, P, H, D], or None; P is 1, the row's length T, or the number of roles.
        positions: every position, or only the last one (the place of the prediction).
        roles: [R, T] which of the P replacements each position takes; None where P is 1 or T. Rows may be longer
            than the prompt: what lies beyond it is not read.
        donors: [B] for each row of the batch the number of the row of the same batch whose own, unedited outputs take
            the place of `replace`, position by position; nothing is stored between passes.
        cut: edges that are taken away before anything else.
    """

    scale: Tensor
    replace: tuple[Tensor, ...] | None = None
    positions: Positions = "all"
    roles: Tensor | None = None
    donors: Tensor | None = None
    cut: EdgeCut | None = None

    def rows(self, part: slice) -> HeadEdit:
        """Return the edit of some rows of the batch, so that a batch halved for memory keeps its edits."""
        return self.pick(range(*part.indices(max(t.shape[0] for t in self._tensors()))))

    def pick(self, rows: Sequence[int]) -> HeadEdit:
        """Return the edit of the rows with these numbers; what is the same for every row stays as it is.

        Raises:
            ValueError: a row's donor is not among them.
        """
        index = list(rows)

        def rows_of(tensor: Tensor) -> Tensor:
            return tensor if tensor.shape[0] == 1 else tensor[index]

        return HeadEdit(
            rows_of(self.scale),
            None if self.replace is None else tuple(rows_of(r) for r in self.replace),
            self.positions,
            None if self.roles is None else rows_of(self.roles),
            None if self.donors is None else self._donors_among(index),
            None
            if self.cut is None
            else EdgeCut(rows_of(self.cut.heads), rows_of(self.cut.queries), rows_of(self.cut.keys)),
        )

    def _donors_among(self, rows: list[int]) -> Tensor:
        assert self.donors is not None
        place = {row: i for i, row in enumerate(rows)}
        wanted = self.donors[rows]
        missing = [int(d) for d in wanted if int(d) not in place]
        if missing:
            raise ValueError(f"row {missing[0]} gives its head outputs to another row, but is not picked with it")
        return wanted.new_tensor([place[int(d)] for d in wanted])

    @property
    def per_row(self) -> bool:
        """Return True if rows differ in any part of the edit."""
        return any(t.shape[0] > 1 for t in self._tensors())

    def _tensors(self) -> list[Tensor]:
        found = [self.scale, *(self.replace or ())]
        found += [t for t in (self.roles, self.donors) if t is not None]
        return found if self.cut is None else [*found, self.cut.heads, self.cut.queries, self.cut.keys]


@runtime_checkable
class Trace(Protocol):
    """The record of one mixer in a traced forward pass.

    Keys are right-aligned: the last of the Tk is the newest token (a sliding window's cache may hold fewer than all).

    Attributes:
        output: [B, H, Tq, D], in the autograd graph: o_q = sum_k W_qk v_k (+ skip * v_q).
        values: [B, H, Tk, D]; heads that share key/value heads have them repeated.
        site: [B, H, Tq, D], in the autograd graph: what an edit acts on. For attention the output; for Mamba-2 the
            heads after the gated norm.
        skip: [H], Mamba-2's D, or None.
        smear: over how many later positions a short convolution spreads a token before it is mixed (0 without one).
        sinks: whether rows may sum to less than 1.
        bidirectional: whether a row may have weight on later tokens (the patches of one image, in some families).
    """

    @property
    def mixer(self) -> Mixer: ...  # noqa: D102
    @property
    def output(self) -> Tensor: ...  # noqa: D102
    @property
    def values(self) -> Tensor: ...  # noqa: D102
    @property
    def site(self) -> Tensor: ...  # noqa: D102
    @property
    def skip(self) -> Tensor | None: ...  # noqa: D102
    @property
    def smear(self) -> int: ...  # noqa: D102
    @property
    def sinks(self) -> bool: ...  # noqa: D102
    @property
    def bidirectional(self) -> bool: ...  # noqa: D102

    def weights(self, rows: slice, keys: int | None = None) -> Tensor:
        """Return [B, H, r, keys], the mixing weights of some query rows over the first `keys` keys (default all Tk).

        `keys` must reach the last of the rows. Computed on demand, a fresh tensor each time; nothing T x T is kept.
        """
        ...


@dataclass(frozen=True)
class Forward:
    """The outcome of one forward pass: last-position logits [B, V] in fp32, and what was asked for besides.

    `hidden` maps a layer (0 = embeddings, n_layers = last, before the final norm) to [B, T, d].
    """

    logits: Tensor
    hidden: dict[int, Tensor] = field(default_factory=dict)
    traces: tuple[Trace, ...] = ()


class Adapter(Protocol):
    """A model that can be measured."""

    @property
    def info(self) -> ModelInfo:
        """The facts about the model."""
        ...

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids and ENV spans. Raises BadInputError: a prompt too long, a token across the ENV span."""
        ...

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Return the tokens of each word after a prompt. Raises BadInputError where a token crosses the join."""
        ...

    def prefill(self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None) -> Prefix:
        """Run rows of one length without a graph and keep their state. Needs the capability `prefix`.

        With `prefix`, only each row's tokens after `row.start` are run; it must have been made under the same edit.
        """
        ...

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        """Return the logits at each row's last position.

        With `prefix`, each row's tokens after `row.start` go on from the prefix' rows (one prefix row for all,
        or one for each). `trace` keeps the autograd graph; otherwise no graph is built.
        """
        ...

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> Tensor:
        """Return [B, paths, V] fp32 logits after each path of tokens that continues each row.

        An empty path is the row's end.

        `prefix` holds the rows' states (one prefix row for each); None where the model has no cache, or is not known to
        go on from it at this length. Then rows are run whole, and a path is read from the pass of the longest that
        begins with it. An edit is applied at every position of a path, since each predicts a token of a target.
        """
        ...

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        """Return logits [..., V] of hidden states [..., d]; `normed`: the final norm was already applied."""
        ...


@runtime_checkable
class Untrainable(Protocol):
    """An adapter that can make the same architecture with random weights: a reference for head counts (§10)."""

    def untrained(self, seed: int) -> Adapter:
        """Return the same architecture, tokenizer and dtype with seeded random weights."""
        ...


@runtime_checkable
class Estimated(Protocol):
    """A model that is described and not opened: it encodes prompts, and nothing of it can be run."""

    @property
    def seconds_per_token(self) -> float:
        """The estimated time of a forward pass, for each token."""
        ...

    @property
    def weights(self) -> str:
        """A remark on the weights that were not read."""
        ...


@runtime_checkable
class StartsAtLayer(Protocol):
    """An adapter that can go on from a layer's saved residual: single-head sweeps then skip the layers before.

    Whether the model bears it is its capability `start_at_layer`.
    """

    def start_at_layer(
        self, rows: Sequence[Encoded], residual: Tensor, layer: int, *, prefix: Prefix | None, edit: HeadEdit | None
    ) -> Tensor:
        """Return last-position logits [B, V] in fp32 of layers `layer` (from 1) to the last.

        Args:
            residual: [B, T, d], the state that enters `layer` (`Forward.hidden[layer - 1]`) for each row's new tokens.
        """
        ...


@runtime_checkable
class EmbeddingInput(Protocol):
    """An adapter whose passes can start from given embeddings: for gradients averaged between two prompts (§15)."""

    def forward_from(self, rows: Sequence[Encoded], embedded: Tensor, *, prefix: Prefix | None) -> Forward:
        """As `forward` with `trace`, but with `embedded` [B, T, d] entering the first layer for the new tokens.

        Needs the capability `start_at_layer`.
        """
        ...


@runtime_checkable
class EmbeddingWritable(Protocol):
    """An adapter that shows what its heads write when they read a token's input embedding (§15, OV-copy score)."""

    def embedding_writes(self, ids: Sequence[int]) -> Iterator[Tensor | None]:
        """Yield for each mixer [H, ids, d], what each head adds to the residual stream for each token read alone.

        None where that cannot be told: a state-space mixer, or no output projection that reads one part for each head.
        Needs the capabilities `hooks` and `start_at_layer`.
        """
        ...


@runtime_checkable
class SomeTokensUnembeddable(Protocol):
    """An adapter that unembeds for some tokens of the vocabulary alone, at their part of the cost."""

    def unembed_tokens(self, hidden: Tensor, ids: Sequence[int]) -> Tensor:
        """Return [..., ids], the columns of `Adapter.unembed` (before the final norm) that belong to these tokens."""
        ...


@runtime_checkable
class Editable(Protocol):
    """An adapter that can hold an edit of heads over every call of its model (`groundbench.ablate`)."""

    def editing(self, edit: HeadEdit, note: str) -> AbstractContextManager[None]:
        """Edit heads in every call of the model made inside the block, and remove the edit however the block ends.

        Inside it `info` has another name (with `note`) and fingerprint, so that no cache takes the edited model for
        the model. Raises UnsupportedModelError where heads cannot be edited.
        """
        ...


@runtime_checkable
class Readable(Protocol):
    """An adapter that can show token ids as text, for plots."""

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return each token as text, spaces included."""
        ...


@runtime_checkable
class ImagePatchable(Adapter, Protocol):
    """An adapter of images that can give a row some of another row's patches: as the language model receives them."""

    def patch_images(self, row: Encoded, donor: Encoded, positions: Sequence[int]) -> Encoded:
        """Return the row with the donor's patches at these positions; both rows' patches have the same places."""
        ...


@runtime_checkable
class Embedded(Protocol):
    """An adapter that shows its input embeddings: distances between distributions over tokens use them (§16)."""

    def token_embeddings(self, ids: Sequence[int]) -> Tensor:
        """Return [ids, d] the input embeddings of tokens, without positions."""
        ...


@runtime_checkable
class FeedForwardReadable(Protocol):
    """An adapter that shows what each layer's feed-forward part adds to the residual stream (§16, `redeep`)."""

    def forward_with_mlp(
        self, rows: Sequence[Encoded], hidden: Sequence[int], trace: bool, prefix: Prefix | None = None
    ) -> tuple[Forward, dict[int, Tensor]]:
        """Return a pass as `Adapter.forward`, and by layer (from 1) [B, T, d], what the feed-forward part added.

        Layers whose feed-forward part is not found are left out. The logits may be empty, [B, 0].
        """
        ...


@runtime_checkable
class HiddenReadable(Protocol):
    """An adapter whose passes can leave out the unembedding (§16), which reads a large matrix for one row."""

    def hidden_states(
        self, rows: Sequence[Encoded], hidden: Sequence[int], *, prefix: Prefix | None = None
    ) -> dict[int, Tensor]:
        """Return the hidden states of `Adapter.forward`, by layer [B, T, d], without a graph."""
        ...


@runtime_checkable
class PrefixReadable(Protocol):
    """An adapter that returns the hidden states of a prefix' own pass (§16), so that a later pass has a short graph."""

    def prefill_with_hidden(
        self, rows: Sequence[Encoded], hidden: Sequence[int], prefix: Prefix | None = None
    ) -> tuple[Prefix, dict[int, Tensor]]:
        """Return `Adapter.prefill`, whose logits may be empty, and by layer [B, T, d] the hidden states of its pass.

        With `prefix`, of each row's tokens after `row.start`, or of all where the rows had to be run whole.
        """
        ...
