"""Measure one prompt in Python: `surprisal` of words, saliency of `heads`, and the model read layer by layer (`lens`).

These are the steps of `evaluate` for a text of your own instead of a testbed: the same engine, the same saliency, the
same lens, without statistics. Models are opened by `groundbench.open_model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from groundbench.api.adapter import Adapter, Readable
from groundbench.api.errors import BadInputError, NonFiniteLogitsError
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment
from groundbench.engine.contexts import of_prompts
from groundbench.engine.scoring import surprisals
from groundbench.measures.heads.heads import THRESHOLD, HeadRule, shares
from groundbench.measures.heads.saliency import Loss, SaliencyItem, SaliencyOptions, measure_saliency
from groundbench.measures.lens.training import require_hidden
from groundbench.measures.lens.tuned_lens import TunedLens
from groundbench.registry import open_model
from groundbench.results.run import Denominator

Floats = npt.NDArray[np.float64]


def surprisal(
    model: Any, context: str, words: str | Sequence[str], *, join: str = " ", load: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Measure how surprising words are after a context, in nats: -log P(word | context) (protocol §5).

    A word of several tokens has the sum of their surprisals; all words are read from one pass of the context.

    Args:
        model: anything that `groundbench.open_model` opens.
        context: the text before the word, without a space at its end.
        words: one word or several.
        join: the text between the context and each word.
        load: options of loading, see `groundbench.adapters.huggingface.open_causal`.

    Returns:
        The surprisal of each word, in the order of `words`.

    Raises:
        BadInputError: the context is empty, ends in a space or is too long, or the tokenizer merges a word with it.
        NonFiniteLogitsError: the model returned NaN.

    Example:
        >>> import groundbench
        >>> found = groundbench.surprisal(MODEL, "she drinks from the", ["cup", "dog"])
        >>> list(found)
        ['cup', 'dog']
        >>> all(nats > 0 for nats in found.values())
        True
    """
    adapter = open_model(model, **dict(load or {}))
    asked = [words] if isinstance(words, str) else list(words)
    if not asked:
        raise BadInputError("words is empty; expected at least one word")
    prompt = Prompt("context", "", "text", (TextSegment(_checked(context, join)),), join)
    (row,) = adapter.encode([prompt])
    targets = tuple(adapter.encode_targets(asked, prompt))
    found = surprisals(adapter, of_prompts([prompt], [row], [targets], ["context"]))
    return dict(zip(asked, found[0].tolist(), strict=True))


@dataclass(frozen=True)
class PromptHeads:
    """Saliency of every head for one prompt, on the way from the shown words to the predicted word (protocol §8, §10).

    Attributes:
        model, context, shown, word: what was asked.
        surprisal: of the word's first token after the context, in nats.
        layer, head: [H] the layer (from 1) and the number (from 0) of each head.
        edge: [H] saliency from the shown words to the prediction position, in nats.
        share: [H] `edge` as a part of the head's saliency (`denominator`); NaN where the head has none.
        lift: [H] share over the shown words' part of the prompt's tokens.
        threshold: the least share of an aggregate head.
    """

    model: str
    context: str
    shown: str
    word: str
    surprisal: float
    denominator: Denominator
    threshold: float
    layer: npt.NDArray[np.int64]
    head: npt.NDArray[np.int64]
    edge: Floats
    share: Floats
    lift: Floats

    @property
    def aggregate(self) -> list[tuple[int, int]]:
        """(layer, head) of the aggregate heads: those whose share reaches the threshold, the largest edge first."""
        return [self._name(i) for i in self._order() if self.share[i] >= self.threshold]

    def top(self, n: int = 10) -> list[tuple[int, int]]:
        """(layer, head) of the n heads with the largest edge, largest first."""
        return [self._name(i) for i in self._order()[:n]]

    def grid(self, values: str = "share") -> Floats:
        """[layers, heads] one of `share`, `edge`, `lift`; NaN where a layer has no such head."""
        grid = np.full((int(self.layer.max()), int(self.head.max()) + 1), np.nan)
        grid[self.layer - 1, self.head] = getattr(self, values)
        return grid

    def __str__(self) -> str:
        rows = [
            f"{self.model}: {self.shown!r} -> {self.word!r}, surprisal {self.surprisal:.2f} nats",
            "layer head share  edge",
        ]
        columns = (self.layer, self.head, self.share, self.edge)
        rows += ["{:5d} {:4d} {:5.2f}  {:.4f}".format(*(c[i] for c in columns)) for i in self._order()[:10]]
        return "\n".join(rows)

    def _order(self) -> list[int]:
        return [int(i) for i in np.argsort(-self.edge, kind="stable")]

    def _name(self, i: int) -> tuple[int, int]:
        return int(self.layer[i]), int(self.head[i])


def heads(
    model: Any,
    context: str,
    shown: str,
    word: str,
    *,
    denominator: Denominator = "row",
    loss: Loss = "first",
    threshold: float = THRESHOLD,
    join: str = " ",
    load: Mapping[str, Any] | None = None,
) -> PromptHeads:
    """Measure the saliency of every head for one prompt: from the words that are shown to the predicted word.

    A share above the threshold is what the paper calls an aggregate head. In one prompt a share is not specific to the
    shown words: compare with other words of the same prompt, or measure a testbed (protocol §10).

    Args:
        model: anything that `groundbench.open_model` opens.
        context: the text before the word, without a space at its end.
        shown: the part of the context whose flow is measured; it must occur there exactly once.
        word: the word that is predicted.
        denominator: shares are taken of the prediction position's `row`, or of the head's `total` saliency.
        loss: on the word's `first` token, or summed over `all` of them.
        threshold: the least share of an aggregate head.
        join: the text between the context and the word.
        load: options of loading, see `groundbench.adapters.huggingface.open_causal`.

    Raises:
        BadInputError: the shown words are missing, occur twice or have no tokens of their own.
        UnsupportedModelError: the model has no heads that can be read.

    Example:
        >>> import groundbench
        >>> found = groundbench.heads(MODEL, "she sees a cup and drinks from the", "cup", "cup")
        >>> found.share.shape  # 2 layers of 4 heads
        (8,)
        >>> found.grid().shape
        (2, 4)
        >>> figure = groundbench.plots.heads(found)
    """
    adapter = open_model(model, **dict(load or {}))
    start, end = _place(shown, _checked(context, join))
    before, after = context[:start], context[end:]
    parts = (TextSegment(before), EnvSegment(shown), TextSegment(after))
    prompt = Prompt("context", shown, "text", tuple(p for p in parts if p.text), join)
    (row,) = adapter.encode([prompt])
    (target,) = adapter.encode_targets([word], prompt)
    item = SaliencyItem(row, target, word, "context")
    saliency = measure_saliency(adapter, [item], SaliencyOptions(denominator=denominator, loss=loss))
    found = shares(saliency, HeadRule(denominator=denominator, threshold=threshold))
    layer, head = zip(*adapter.info.head_index, strict=True)
    return PromptHeads(
        model=adapter.info.name,
        context=context,
        shown=shown,
        word=word,
        surprisal=float(saliency.surprisal[0]),
        denominator=denominator,
        threshold=threshold,
        layer=np.array(layer),
        head=np.array(head),
        edge=saliency.edge[0].astype(float),
        share=found.share[0],
        lift=found.lift[0],
    )


@dataclass(frozen=True)
class TextLens:
    """One text read by the lens at every layer: T tokens, L layers (protocol §9).

    Attributes:
        tokens: [T] the text's tokens.
        layers: [L] from 1; the last is the model itself.
        top: [L][T] the token that each layer expects next.
        surprisal: [L, T - 1] of token t + 1 at position t, in nats.
        entropy: [L, T] of the expectation, in nats.
        tuned: True if read through a tuned lens, False for the logit lens.
    """

    model: str
    tokens: tuple[str, ...]
    layers: tuple[int, ...]
    top: tuple[tuple[str, ...], ...]
    surprisal: Floats
    entropy: Floats
    tuned: bool

    def __str__(self) -> str:
        kind = "tuned lens" if self.tuned else "logit lens"
        rows = [f"{self.model}, {kind}: the expected next token after {self.tokens[-1]!r}"]
        rows += [f"layer {layer:3d}  {top[-1]!r}" for layer, top in zip(self.layers, self.top, strict=True)]
        return "\n".join(rows)


@torch.no_grad()
def lens(model: Any, text: str, *, tuned: TunedLens | None = None, load: Mapping[str, Any] | None = None) -> TextLens:
    """Read a text layer by layer: what each layer expects next, and how surprising the next token is to it.

    By default the logit lens: each layer's hidden state is unembedded as it is. Early layers are better read through a
    tuned lens, which `evaluate(..., measures=("lens",))` trains (protocol §9).

    Args:
        model: anything that `groundbench.open_model` opens.
        text: a text of at least two tokens.
        tuned: a tuned lens that was trained for this model.
        load: options of loading, see `groundbench.adapters.huggingface.open_causal`.

    Raises:
        BadInputError: the text is empty, has one token or is too long, or the lens belongs to another model.
        UnsupportedModelError: the model's hidden states cannot be read.
        NonFiniteLogitsError: the model returned NaN.

    Example:
        >>> import groundbench
        >>> read = groundbench.lens(MODEL, "she drinks from the cup")
        >>> read.layers, read.surprisal.shape == (2, len(read.tokens) - 1)
        ((1, 2), True)
        >>> figure = groundbench.plots.lens(read)
    """
    adapter = open_model(model, **dict(load or {}))
    require_hidden(adapter)
    info = adapter.info
    if tuned is not None and tuned.fingerprint != info.fingerprint:
        raise BadInputError(
            f"the tuned lens was trained for weights {tuned.fingerprint}, the model has {info.fingerprint}"
        )
    (row,) = adapter.encode([Prompt("text", "", "text", (TextSegment(_checked(text, "")),))])
    if len(row) < 2:
        raise BadInputError(f"{text!r} has one token; expected at least two")
    layers = tuple(range(1, info.n_layers + 1)) if tuned is None else (*tuned.layers, info.n_layers)
    states = adapter.forward([row], hidden=layers).hidden
    following = torch.tensor(row.ids[1:], device=states[layers[0]].device)[:, None]
    top, nats, entropy = [], [], []
    for layer in layers:
        state = states[layer][0]
        if tuned is not None and layer != info.n_layers:
            state = tuned.translate(layer, state).to(state.dtype)
        log_p = adapter.unembed(state, normed=False).float().log_softmax(-1)
        if not bool(torch.isfinite(log_p).all()):
            raise NonFiniteLogitsError(
                f"{info.name} gives NaN or infinite logits at layer {layer}; try dtype='float32'"
            )
        top.append(_texts(adapter, log_p.argmax(-1).tolist()))
        nats.append(-log_p[:-1].gather(1, following)[:, 0].double().cpu().numpy())
        entropy.append(-(log_p.exp() * log_p).sum(-1).double().cpu().numpy())
    return TextLens(
        info.name, _texts(adapter, row.ids), layers, tuple(top), np.stack(nats), np.stack(entropy), tuned is not None
    )


def _checked(context: str, join: str) -> str:
    """The context itself. Raises BadInputError where a word cannot be put after it."""
    if not context.strip():
        raise BadInputError("the context is empty; expected the text before the word")
    if join and context != context.rstrip():
        raise BadInputError(
            f"the context ends in a space ({context[-20:]!r}); leave it out: {join!r} is put before the word (`join`)"
        )
    return context


def _place(shown: str, context: str) -> tuple[int, int]:
    """The characters of the shown words in the context: as whole words, or inside words where they are none."""
    whole = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(shown)}(?!\w)", context)] if shown else []
    found = whole or ([m.span() for m in re.finditer(re.escape(shown), context)] if shown else [])
    if len(found) != 1:
        raise BadInputError(f"shown is {shown!r}, found {len(found)} times in the context; expected exactly once")
    return found[0]


def _texts(adapter: Adapter, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(adapter.token_texts(ids)) if isinstance(adapter, Readable) else tuple(map(str, ids))
