"""Saliency of matched prompts, head by head (protocol §8): batches of one length, one backward pass each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, Forward, Prefix, Trace
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.engine import distributed
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import group_alike, prefill_once
from groundbench.engine.contexts import FormContexts, matched_prompts
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.saliency_flow import finite_loss, flow_matrix, gradients, row_flow, total_flow
from groundbench.measures.heads.spans import env_mask, image_mask, null_mask
from groundbench.results.run import Denominator

Floats32 = npt.NDArray[np.float32]
Loss = Literal["first", "all"]

DEFAULT_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class SaliencyItem:
    """A prompt and its target's tokens.

    Attributes:
        noun, frame: of a testbed's item, the noun that is shown and the frame's id.
        label: of any other prompt, its name in messages, such as a question's id.
    """

    row: Encoded
    target: tuple[int, ...]
    noun: str = ""
    frame: str = ""
    label: str = ""

    @property
    def where(self) -> str:
        """A name for messages."""
        return self.label or f"frame {self.frame!r} with {self.noun!r} shown"


@dataclass(frozen=True)
class SaliencyOptions:
    """The options of a saliency measurement.

    Attributes:
        denominator: `row` measures the prediction position's row only, on a cached prefix where the model allows it;
            `total` (the paper's) the whole of every head as well, which needs the whole prompt's graph.
        loss: on the target's `first` token, or summed over `all` of them.
        skip_on_diagonal: count Mamba-2's D x as flow from a token to itself.
        attention: also the prediction position's weights on the ENV form.
    """

    denominator: Denominator = "row"
    loss: Loss = "first"
    skip_on_diagonal: bool = False
    attention: bool = False


def measure_saliency(
    adapter: Adapter,
    items: Sequence[SaliencyItem],
    options: SaliencyOptions | None = None,
    *,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    advance: Callable[[int], None] | None = None,
) -> HeadSaliency:
    """Return the saliency of every head for every item, in the items' order.

    Args:
        seed: of the choice of null spans.
        batch_tokens: most tokens of a batch; halved when memory runs out.
        advance: called with the number of items of each finished batch.

    Raises:
        UnsupportedModelError: the model has no heads that can be read.
        BadInputError: there is no item, or a prompt has no ENV token.
        NonFiniteLogitsError: names the prompt.
    """
    options = options or SaliencyOptions()
    if not adapter.info.mixers:
        raise UnsupportedModelError(f"{adapter.info.name}: it has no heads whose saliency could be measured")
    if not items:
        raise BadInputError("no items: saliency needs at least one matched prompt")
    batches = _batches(items, options, batch_tokens)

    def measure_batch(_: int, batch: list[int]) -> HeadSaliency:
        return HeadSaliency.concat(
            in_halves(
                lambda some: _measure(adapter, some, options, seed),
                [items[i] for i in batch],
                name=lambda item: item.where,
            )
        )

    parts = distributed.current().map_batches(batches, measure_batch, advance=advance)
    return HeadSaliency.concat(parts).select(np.argsort([i for batch in batches for i in batch]))


def flow_matrices(adapter: Adapter, item: SaliencyItem, loss: Loss = "first") -> tuple[list[tuple[int, Tensor]], float]:
    """Return the flow matrices of one prompt (protocol §8), for plots, and its target's first surprisal in nats.

    Returns:
        (layer, I [T, T]) for each mixer, where I[q, k] flows into q from k.
    """
    traces, grads, surprisal = _backward(adapter, [item], SaliencyOptions(denominator="total", loss=loss))
    found = [(t.mixer.layer, flow_matrix(t, g)[0]) for t, g in zip(traces, grads, strict=True)]
    return found, float(surprisal[0].detach())


def _batches(items: Sequence[SaliencyItem], options: SaliencyOptions, batch_tokens: int) -> list[list[int]]:
    """Group items of one length (and, for the loss over all tokens, one number of them) under the token budget."""
    shapes = [(len(item.row), _n_tokens(item, options)) for item in items]
    return group_alike(shapes, lambda shape: batch_tokens // sum(shape))


def _n_tokens(item: SaliencyItem, options: SaliencyOptions) -> int:
    return 1 if options.loss == "first" else len(item.target)


def _measure(adapter: Adapter, items: Sequence[SaliencyItem], options: SaliencyOptions, seed: int) -> HeadSaliency:
    traces, grads, surprisal = _backward(adapter, items, options)
    rows = [item.row for item in items]
    smears = {t.smear for t in traces}
    masks = {s: (env_mask(rows, s), null_mask(rows, s, seed), image_mask(rows, s)) for s in smears}
    columns: dict[str, list[Tensor]] = {}
    for trace, gradient in zip(traces, grads, strict=True):
        env, null, image = (m.to(gradient.device) for m in masks[trace.smear])
        found = _reduce(trace, gradient, env, null, options)
        if rows[0].images:
            found |= _reduce_image(trace, gradient, image, options)
        for name, values in found.items():
            columns.setdefault(name, []).append(values.cpu())
    per_mixer = ("span", "image_span", "layer_edge", "layer_row", "layer_total", "layer_gathered")
    arrays: dict[str, Any] = {
        name: (torch.stack(v, 1) if name in per_mixer else torch.cat(v, 1)).numpy() for name, v in columns.items()
    }
    return HeadSaliency(
        mixers=tuple(t.mixer for t in traces),
        nouns=tuple(i.noun for i in items),
        frames=tuple(i.frame for i in items),
        length=np.array([len(r) for r in rows], np.int32),
        surprisal=surprisal.detach().float().cpu().numpy(),
        **arrays,
    )


def _reduce(trace: Trace, gradient: Tensor, env: Tensor, null: Tensor, options: SaliencyOptions) -> dict[str, Tensor]:
    """Reduce one mixer to [B, heads], or [B] for the sums of a layer's matrix."""
    skip = options.skip_on_diagonal
    flow = row_flow(trace, gradient, gradient.shape[2] - 1, skip_on_diagonal=skip)
    # A sliding window's cache ends at the newest token but may not reach back to the first.
    kept, kept_null = (m[:, None, -flow.shape[2] :].to(flow) for m in (env, null))
    size, layer = flow.abs(), flow.sum(1).abs()
    null_edge = (size * kept_null).sum(2).masked_fill(~null.any(1)[:, None], torch.nan)
    kept_of = {
        "span": env.sum(1).int(),
        "edge": (size * kept).sum(2),
        "null_edge": null_edge,
        "row_sum": size.sum(2),
        "row_offdiagonal": size[:, :, :-1].sum(2),
        "signed_edge": (flow * kept).sum(2),
        "signed_row": flow.sum(2),
        "layer_edge": (layer * kept[:, 0]).sum(1),
        "layer_row": layer.sum(1),
    }
    if options.attention:
        weights = _last_weights(trace, gradient.shape[2]).abs()
        kept_of["attention"] = (weights * env[:, None, -weights.shape[2] :].to(weights)).sum(2)
    if options.denominator == "total":
        whole = total_flow(trace, gradient, env, null, skip_on_diagonal=skip)
        no_null = ~null.any(1)[:, None]
        kept_of |= {
            "total_sum": whole.total,
            "total_offdiagonal": whole.offdiagonal,
            "gathered": whole.gathered,
            "null_gathered": whole.null_gathered.masked_fill(no_null, torch.nan),
            "even_gathered": whole.even_gathered,
            "even_total": whole.even_total,
            "layer_total": whole.layer_total,
            "layer_gathered": whole.layer_gathered,
        }
    return kept_of


def _reduce_image(trace: Trace, gradient: Tensor, image: Tensor, options: SaliencyOptions) -> dict[str, Tensor]:
    """Sum the flow from all patches to the prediction position, and count them: [B, heads] and [B]."""
    flow = row_flow(trace, gradient, gradient.shape[2] - 1, skip_on_diagonal=options.skip_on_diagonal)
    kept = image[:, None, -flow.shape[2] :].to(flow)
    return {"image_edge": (flow.abs() * kept).sum(2), "image_span": image.sum(1).int()}


def prediction_row(adapter: Adapter, item: SaliencyItem, options: SaliencyOptions) -> Floats32:
    """Return [heads, T]: what flows from every token to the prediction position in each head, without sign (nats)."""
    traces, grads, _ = _backward(adapter, [item], options)
    rows = np.zeros((sum(t.mixer.n_heads for t in traces), len(item.row)), np.float32)
    first = 0
    for trace, gradient in zip(traces, grads, strict=True):
        flow = row_flow(trace, gradient, gradient.shape[2] - 1, skip_on_diagonal=options.skip_on_diagonal)[0].abs()
        rows[first : first + len(flow), -flow.shape[1] :] = flow.cpu().numpy()  # a sliding window's cache ends here
        first += len(flow)
    return rows


@torch.no_grad()
def _last_weights(trace: Trace, length: int) -> Tensor:
    """Return [B, H, Tk]: a mixer's weights of the last of `length` query positions."""
    return trace.weights(slice(length - 1, length))[:, :, 0].float()


def _backward(
    adapter: Adapter, items: Sequence[SaliencyItem], options: SaliencyOptions
) -> tuple[Sequence[Trace], list[Tensor], Tensor]:
    """Traces, dL/do over the prompt's own positions, and the first token's surprisal [B]."""
    rows = [item.row for item in items]
    prefix, start = _prefix(adapter, rows, options)
    first = adapter.forward([r.after(start) for r in rows], prefix=prefix, trace=True)
    loss = _loss(first, items, 0)
    grads = gradients(loss.sum(), first.traces)
    for more in range(1, _n_tokens(items[0], options)):
        longer = [replace(i.row, ids=(*i.row.ids, *i.target[:more]), start=start) for i in items]
        out = adapter.forward(longer, prefix=prefix, trace=True)
        extra = gradients(_loss(out, items, more).sum(), out.traces)
        grads = [g + e[:, :, : g.shape[2]] for g, e in zip(grads, extra, strict=True)]
    return first.traces, grads, loss


def _prefix(adapter: Adapter, rows: Sequence[Encoded], options: SaliencyOptions) -> tuple[Prefix | None, int]:
    """For `row`: everything before the prediction position, run without a graph.

    The row is the same: in a causal model the last position's outputs reach the loss through the last position only.
    """
    length = len(rows[0])
    if options.denominator != "row" or length < 2 or not rows_can_be_cached(adapter):
        return None, 0
    return prefill_once(adapter, [r.upto(length - 1) for r in rows]), length - 1


def rows_can_be_cached(adapter: Adapter) -> bool:
    """Return True if every layer is attention with a cache.

    A state-space layer's cache has no weights over the tokens it holds, and is written in place, which breaks the
    graph: there the whole prompt is run.
    """
    info = adapter.info
    attention = {m.layer for m in info.mixers if m.kind == "attention"}
    others = any(m.kind != "attention" for m in info.mixers)
    return "prefix" in info.capabilities and not others and len(attention) == info.n_layers


def _loss(out: Forward, items: Sequence[SaliencyItem], token: int) -> Tensor:
    return finite_loss(out.logits, [item.target[token] for item in items], lambda i: items[i].where)


def matched_items(contexts: FormContexts) -> list[SaliencyItem]:
    """Return every matched prompt with its own noun's tokens for target."""
    index, noun = matched_prompts(contexts)
    return [_item(contexts, i, v) for i, v in zip(index.tolist(), noun.tolist(), strict=True)]


def _item(contexts: FormContexts, context: int, noun: int) -> SaliencyItem:
    """Return a context (index) as an item whose target is a noun (index)."""
    c = contexts[context]
    return SaliencyItem(c.row, c.targets.of_noun(noun), contexts.nouns[noun].word, contexts.frames[c.frame].id)


def mismatched_items(contexts: FormContexts, chosen: Sequence[int], seed: int) -> list[SaliencyItem | None]:
    """For some of `matched_items`, by their places, one prompt of the same frame that shows another noun.

    The target stays; the noun shown is drawn by the seed among the mismatches that the table holds. None for an item
    without any.
    """
    index, noun = matched_prompts(contexts)
    keys = np.random.default_rng(seed).random(len(index))
    items: list[SaliencyItem | None] = []
    for k in chosen:
        frame, v = int(contexts.frame[index[k]]), int(noun[k])
        others = [
            i
            for i in np.flatnonzero((contexts.frame == frame) & (contexts.env != v)).tolist()
            if contexts.keep is None or contexts.keep[frame, contexts.env[i], v]
        ]
        items.append(_item(contexts, others[int(keys[k] * len(others))], v) if others else None)
    return items
