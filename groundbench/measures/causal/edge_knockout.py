"""Edge knockout: what is lost of the gain when edges between tokens are cut (protocol §15).

`direct` cuts prediction position <- ENV form; in two steps, `write` cuts later tokens <- ENV form and `read` cuts
prediction position <- those later tokens. In the headline's heads, and in all heads of sliding windows of layers. Cuts
are made in both prompts of a pair, and lost is 1 - gain under the cut / gain. Edges into the prediction position change
its own row only, so that one token is run on the cached prompt. Passes start from a saved residual at the first layer
with a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from groundbench.api.adapter import Adapter, EdgeCut, Encoded, HeadEdit, StartsAtLayer
from groundbench.engine import distributed
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import MIN_PREFIX, group_alike, prefill_once
from groundbench.engine.subject import require_value
from groundbench.measures.causal.curve import ratio
from groundbench.measures.causal.interchange import can_restart, share_passes
from groundbench.measures.causal.setting import Setting
from groundbench.measures.heads.saliency_flow import finite_loss
from groundbench.results.causal import KnockoutRecord
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Step = Literal["direct", "read", "write"]
STEPS: tuple[Step, ...] = ("direct", "write", "read")
GROUP = 8
"""Most prompts that share their passes."""


@dataclass(frozen=True)
class Cut:
    """Edges of one kind, cut in some heads [heads]."""

    step: Step
    heads: Bools


@dataclass(frozen=True)
class Asked:
    """A prompt and the token whose surprisal is read after it; `where` names the prompt in messages."""

    row: Encoded
    target: int
    where: str


def windows(layers: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return (first, last) of sliding windows a quarter of the depth wide, over layers with heads; about `most`."""
    layers = sorted(set(layers))
    width = max(1, round(len(layers) / 4))
    starts = range(len(layers) - width + 1)
    step = max(1, -(-len(starts) // most))
    chosen = sorted({*starts[::step], starts[-1]})
    return [(layers[a], layers[a + width - 1]) for a in chosen]


def knock_out(adapter: Adapter, asked: Sequence[Asked], cuts: Sequence[Cut], batch_tokens: int) -> Floats:
    """Return [prompts, cuts] surprisal (nats) of each target with each cut.

    Raises:
        UnsupportedModelError: the model computes its attention by itself.
    """
    found = np.full((len(asked), len(cuts)), np.nan)
    for last_only in (True, False):
        columns = [k for k, c in enumerate(cuts) if (c.step != "write") == last_only]
        starts = [_start(adapter, item.row, last_only) for item in asked]
        shapes = [(len(item.row), start) for item, start in zip(asked, starts, strict=True)]
        groups = group_alike(shapes, lambda shape: min(GROUP, batch_tokens // shape[0]))

        def run(_: int, members: list[int], columns: list[int] = columns, starts: list[int] = starts) -> Floats:
            own, start = [asked[i] for i in members], starts[members[0]]
            return _run(adapter, own, [cuts[k] for k in columns], start, batch_tokens)

        if columns:
            for members, values in zip(groups, distributed.current().map_batches(groups, run), strict=True):
                found[np.ix_(members, columns)] = values
    return found


def _start(adapter: Adapter, row: Encoded, last_only: bool) -> int:
    """Count the cached tokens: all before the first whose row changes; none where a scan holds the tokens' state."""
    info = adapter.info
    if "prefix" not in info.capabilities or any(m.kind != "attention" for m in info.mixers):
        return 0
    start = len(row) - 1 if last_only else min(row.env_positions)
    for begin, end in row.image_spans:
        if begin < start < end:
            start = begin
    return start if start >= MIN_PREFIX else 0


def _run(adapter: Adapter, asked: Sequence[Asked], cuts: Sequence[Cut], start: int, batch_tokens: int) -> Floats:
    rows = [a.row.after(start) for a in asked]
    n, length, info = len(rows), len(rows[0]), adapter.info
    prefix = prefill_once(adapter, [a.row.upto(start) for a in asked]) if start else None
    layer_of = np.array([layer for layer, _ in info.head_index])
    first = [int(layer_of[c.heads].min(initial=info.n_layers)) for c in cuts]
    entering: dict[int, torch.Tensor] = {}
    if can_restart(adapter):  # nothing changes below the first layer with a cut
        entering = adapter.forward(rows, prefix=prefix, hidden=sorted({layer - 1 for layer in first})).hidden

    def under(part: Sequence[int]) -> Floats:
        """Return [cuts, prompts] surprisal."""
        ends = [[_ends(item.row, cuts[k].step) for item in asked] for k in part]
        queries = torch.stack([q for own in ends for q, _ in own])
        keys = torch.stack([k for own in ends for _, k in own])
        heads = torch.tensor(np.repeat(np.array([cuts[k].heads for k in part]), n, axis=0))
        edit = HeadEdit(torch.ones(1, info.n_heads), cut=EdgeCut(heads, queries, keys))
        cached = None if prefix is None else prefix.select(list(range(n)) * len(part))
        if entering and isinstance(adapter, StartsAtLayer):
            layer = min(first[k] for k in part)
            residual = entering[layer - 1].repeat(len(part), 1, 1)
            logits = adapter.start_at_layer(rows * len(part), residual, layer, prefix=cached, edit=edit)
        else:
            logits = adapter.forward(rows * len(part), prefix=cached, edit=edit).logits
        loss = finite_loss(logits, [a.target for a in asked] * len(part), lambda i: asked[i % n].where)
        return loss.view(len(part), n).double().cpu().numpy()

    width = max(1, batch_tokens // (n * max(1, length - start)))
    found = np.full((n, len(cuts)), np.nan)
    for group in share_passes(first if entering else [1] * len(cuts), info.n_layers, width):
        found[:, group] = np.concatenate(in_halves(under, group, name=lambda _: asked[0].where)).T
    return found


def _ends(row: Encoded, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
    """Return [T] which positions read, and which are read from."""
    length, env = len(row), row.env_positions
    at_env, later, last = (torch.zeros(length, dtype=torch.bool) for _ in range(3))
    at_env[[p for p in env if p < length - 1]] = True
    later[max(env) + 1 : length - 1] = True
    last[-1] = True
    if step == "write":
        return later, at_env
    return last, at_env if step == "direct" else later


def cuts_of(lists: Bools, layer: Ints, most: int) -> list[tuple[Cut, tuple[int, int] | None]]:
    """Return the headline's heads, then every window of layers, one step and two; None marks the headline."""
    made: list[tuple[Cut, tuple[int, int] | None]] = [(Cut("direct", lists), None)]
    for step in STEPS:
        for first, last in windows(layer.tolist(), most):
            made.append((Cut(step, (layer >= first) & (layer <= last)), (first, last)))
    return made


def knockout_records(setting: Setting, lists: Sequence[Bools], gains: Floats) -> tuple[KnockoutRecord, ...]:
    """Measure the loss from cutting edges, on a seeded sample of the pairs of each cell.

    Args:
        gains: [pairs] corrupt minus clean surprisal of the untouched prompts.
    """
    contexts, seed, options = setting.subject.contexts, setting.subject.seed, setting.options
    n_windows = require_value(options.windows, "windows")
    sample = setting.sample(options.most("knockout_pairs"), 99)
    kept, values = [], []
    with Progress(f"{setting.subject.adapter.info.name}: edges of {contexts.form.name}", len(setting.noun)) as bar:
        for number, cell in enumerate(setting.cells):
            part = setting.parts[number]
            chosen = sample[(sample >= part.start) & (sample < part.stop)] - part.start
            asked = [
                Asked(contexts.rows[at], cell.pairs[i].target, contexts.prompts[at].where)
                for i in chosen.tolist()
                for at in (cell.pairs[i].clean, cell.pairs[i].corrupt)
            ]
            cuts = cuts_of(lists[number], setting.layer, n_windows)
            found = knock_out(setting.subject.adapter, asked, [c for c, _ in cuts], setting.subject.batch_tokens)
            kept += (chosen + part.start).tolist()
            values.append(found[1::2] - found[::2])
            bar.advance(len(cell.pairs))
    under = np.concatenate(values)
    gain = gains[kept]
    made = []
    for k, (cut, window) in enumerate(cuts):
        layers = setting.layer[np.any(lists, axis=0)] if window is None else np.array(window)
        made.append(
            KnockoutRecord(
                step=cut.step,
                heads="headline" if window is None else "all",
                first_layer=int(layers.min()),
                last_layer=int(layers.max()),
                lost=ratio(setting.noun[kept], gain - under[:, k], gain, seed),
            )
        )
    return tuple(made)
