"""Measure one prompt in Python: `surprisal` of words, saliency of `heads`, and the model read layer by layer (`lens`).

These are the steps of `evaluate` for a text of your own instead of a testbed: the same engine, the same saliency, the
same lens, without statistics. Models are opened by `groundbench.open_model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from groundbench.api.errors import BadInputError, NonFiniteLogitsError
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment
from groundbench.engine.contexts import of_prompts
from groundbench.engine.scoring import surprisals
from groundbench.measures.heads.flow_maps import shown_tokens
from groundbench.measures.heads.heads import THRESHOLD, HeadRule, shares
from groundbench.measures.heads.saliency import Loss, SaliencyItem, SaliencyOptions, measure_saliency
from groundbench.measures.lens.reading import lens_logits
from groundbench.measures.lens.training import require_hidden
from groundbench.measures.lens.tuned_lens import TunedLens
from groundbench.registry import open_model
from groundbench.results.run import Denominator
from groundbench.results.single_prompts import PromptHeads, TextLens


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
    prompt = Prompt("context", "", "text", (TextSegment(_check_context(context, join)),), join)
    (row,) = adapter.encode([prompt])
    targets = tuple(adapter.encode_targets(asked, prompt))
    found = surprisals(adapter, of_prompts([prompt], [row], [targets], ["context"]))
    return dict(zip(asked, found[0].tolist(), strict=True))


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
    start, end = _place(shown, _check_context(context, join))
    before, after = context[:start], context[end:]
    parts = (TextSegment(before), EnvSegment(shown), TextSegment(after))
    prompt = Prompt("context", shown, "text", tuple(p for p in parts if p.text), join)
    (row,) = adapter.encode([prompt])
    (target,) = adapter.encode_targets([word], prompt)
    item = SaliencyItem(row, target, label="the context")
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
    (row,) = adapter.encode([Prompt("text", "", "text", (TextSegment(_check_context(text, "")),))])
    if len(row) < 2:
        raise BadInputError(f"{text!r} has one token; expected at least two")
    layers = tuple(range(1, info.n_layers + 1)) if tuned is None else (*tuned.layers, info.n_layers)
    states = adapter.forward([row], hidden=layers).hidden
    following = torch.tensor(row.ids[1:], device=states[layers[0]].device)[:, None]
    top, nats, entropy = [], [], []
    for layer in layers:
        through = None if layer == info.n_layers else tuned
        log_p = lens_logits(adapter, through, layer, states[layer][0]).log_softmax(-1)
        if not bool(torch.isfinite(log_p).all()):
            raise NonFiniteLogitsError(
                f"{info.name} gives NaN or infinite logits at layer {layer}; try dtype='float32'"
            )
        top.append(shown_tokens(adapter, log_p.argmax(-1).tolist()))
        nats.append(-log_p[:-1].gather(1, following)[:, 0].double().cpu().numpy())
        entropy.append(-(log_p.exp() * log_p).sum(-1).double().cpu().numpy())
    return TextLens(
        info.name,
        shown_tokens(adapter, row.ids),
        layers,
        tuple(top),
        np.stack(nats),
        np.stack(entropy),
        tuned is not None,
    )


def _check_context(context: str, join: str) -> str:
    """Return the context itself. Raises BadInputError where a word cannot be put after it."""
    if not context.strip():
        raise BadInputError("the context is empty; expected the text before the word")
    if join and context != context.rstrip():
        raise BadInputError(
            f"the context ends in a space ({context[-20:]!r}); leave it out: {join!r} is put before the word (`join`)"
        )
    return context


def _place(shown: str, context: str) -> tuple[int, int]:
    """Return the characters of the shown words in the context: as whole words, or inside words where they are none."""
    whole = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(shown)}(?!\w)", context)] if shown else []
    found = whole or ([m.span() for m in re.finditer(re.escape(shown), context)] if shown else [])
    if len(found) != 1:
        raise BadInputError(f"shown is {shown!r}, found {len(found)} times in the context; expected exactly once")
    return found[0]
