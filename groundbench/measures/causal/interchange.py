"""Interchange: some heads take their outputs from another prompt's run (protocol §15).

Donor and receiver run in one batch: each row takes the heads of its set from its donor's row, so that nothing is kept
between passes. The common beginning of the two prompts is run once and cached, since nothing differs there. A pass
starts from a saved residual at the first layer in which its set differs from no head, or from every head: the heads of
a ranking lie close together, and so do those that a curve leaves. Surprisals are of first tokens, in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, Forward, HeadEdit, Prefix, StartsAtLayer
from groundbench.api.errors import NonFiniteLogitsError
from groundbench.engine import distributed as processes
from groundbench.engine.batching import MAX_LOGITS, MIN_PREFIX, common_prefix, group_alike
from groundbench.engine.run_directory import Array, Stage, load_or_make
from groundbench.util.scarcity import is_out_of_memory

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
GROUP = 24
"""Most swaps that share their passes: enough to fill batches, few enough that an interrupted run loses little."""


@dataclass(frozen=True)
class Swap:
    """A prompt that receives head outputs, the one that gives them (of equal length), and the tokens asked for."""

    receiver: Encoded
    donor: Encoded
    targets: tuple[int, ...]
    where: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """Everything that decides the numbers of an exchange but the heads."""
        images = list(map(str, self.receiver.images + self.donor.images))
        return self.receiver.ids, self.donor.ids, images, self.targets

    def start(self, prefixes: bool) -> int:
        """Count the tokens that both begin with, which are run once; 0 where that saves little."""
        shared = common_prefix([self.receiver, self.donor]) if prefixes else 0
        return shared if shared >= MIN_PREFIX else 0


def exchange(
    adapter: Adapter,
    swaps: Sequence[Swap],
    sets: Bools,
    *,
    batch_tokens: int,
    stage: Stage | None = None,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [swaps, sets, targets] surprisal (nats) of each target after the receiver with each set's heads exchanged.

    Args:
        sets: [sets, heads]; an empty set changes nothing.
        stage: where finished groups are kept.
        advance: is told how many swaps each finished group had.

    Raises:
        NonFiniteLogitsError: names the prompt.
    """
    most = max((len(s.targets) for s in swaps), default=0)
    found = np.full((len(swaps), len(sets), most), np.nan)
    groups = _groups(adapter, swaps, batch_tokens)
    starts = _starts(adapter, sets)

    def run(number: int, group: list[int]) -> Floats:
        def make() -> Array:
            own = [swaps[i] for i in group]
            return _with_halving(adapter, own, sets, starts, batch_tokens, most).astype(np.float32)

        return load_or_make(stage, number, make).astype(np.float64)

    for group, values in zip(groups, processes.current().map_batches(groups, run, advance=advance), strict=True):
        found[group] = values
    return found


def _groups(adapter: Adapter, swaps: Sequence[Swap], batch_tokens: int) -> list[list[int]]:
    prefixes = "prefix" in adapter.info.capabilities
    shapes = [(len(swap.receiver), swap.start(prefixes)) for swap in swaps]
    # donors and receivers run side by side
    return group_alike(shapes, lambda shape: min(GROUP, batch_tokens // (2 * shape[0])))


def _with_halving(
    adapter: Adapter, swaps: Sequence[Swap], sets: Bools, starts: Sequence[_Start], batch_tokens: int, most: int
) -> Floats:
    try:
        return _run(adapter, swaps, sets, starts, batch_tokens, most)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or (len(swaps) == 1 and batch_tokens <= len(swaps[0].receiver)):
            raise
    half = max(1, len(swaps) // 2)
    parts = [p for p in (swaps[:half], swaps[half:]) if p]
    return np.concatenate([_with_halving(adapter, p, sets, starts, batch_tokens // 2, most) for p in parts])


def _run(
    adapter: Adapter, swaps: Sequence[Swap], sets: Bools, starts: Sequence[_Start], batch_tokens: int, most: int
) -> Floats:
    """Return one group, whose swaps have one length and one common beginning."""
    n = len(swaps)
    start = swaps[0].start("prefix" in adapter.info.capabilities)
    receivers, donors = [s.receiver for s in swaps], [s.donor for s in swaps]
    prefix = adapter.prefill([r.upto(start) for r in receivers]) if start else None
    rows = [r.after(start) for r in receivers]
    given = [d.after(start) for d in donors]
    targets = torch.zeros(n, most, dtype=torch.long)
    asked = torch.zeros(n, most, dtype=torch.bool)
    for i, swap in enumerate(swaps):
        targets[i, : len(swap.targets)] = torch.tensor(swap.targets)
        asked[i, : len(swap.targets)] = True
    asked_of_all = asked.numpy()[:, None].repeat(len(sets), 1)
    untouched = _residuals(adapter, rows, given, prefix, starts, everything=False)
    swapped = _residuals(adapter, rows, given, prefix, starts, everything=True)
    result = np.full((n, len(sets), most), np.nan)
    room = max(2, min(batch_tokens // (len(rows[0]) - start), MAX_LOGITS // adapter.info.vocab_size))
    width = max(1, room // n - 1)
    for begin in dict.fromkeys(starts):
        members = np.array([k for k, s in enumerate(starts) if s == begin])
        base = swapped if begin.everything else untouched
        if begin.layer is None:
            assert base is not None
            result[:, members] = _surprisal(base.logits[n:], targets, swaps).numpy()[:, None]
            continue
        for a in range(0, len(members), width):
            part = members[a : a + width]
            residual = None if base is None or not _restarts(adapter) else base.hidden[begin.layer - 1]
            logits = _patched(adapter, rows, given, prefix, sets[part], residual, begin.layer)
            for k, own in zip(part, logits.reshape(len(part), n, -1).unbind(), strict=True):
                result[:, k] = _surprisal(own, targets, swaps).numpy()
    result[~asked_of_all] = np.nan
    return result


@dataclass(frozen=True)
class _Start:
    """The start of a set's pass: the first layer that differs from a pass in which no head, or every head, was
    exchanged (`everything`); None where none differs."""

    everything: bool
    layer: int | None


def _restarts(adapter: Adapter) -> bool:
    """Return True if a pass can start from a saved residual."""
    return isinstance(adapter, StartsAtLayer) and {"start_at_layer", "hidden"} <= adapter.info.capabilities


def _starts(adapter: Adapter, sets: Bools) -> list[_Start]:
    """Return the start of every set's pass; the first layer where no pass can start from a residual."""
    if not _restarts(adapter):
        return [_Start(False, 1 if chosen.any() else None) for chosen in sets]
    layer = np.array([layer for layer, _ in adapter.info.head_index])
    return [_start(layer, chosen) for chosen in sets]


def _start(layer: Ints, chosen: Bools) -> _Start:
    """Return the later of the two starts that a set allows; `layer` is [heads]."""
    patched, kept = (int(layer[m].min()) if m.any() else None for m in (chosen, ~chosen))
    if patched is None or kept is None:
        return _Start(kept is None, None)
    return _Start(kept > patched, max(patched, kept))


def _residuals(
    adapter: Adapter,
    rows: Sequence[Encoded],
    donors: Sequence[Encoded],
    prefix: Prefix | None,
    starts: Sequence[_Start],
    *,
    everything: bool,
) -> Forward | None:
    """Return a pass of donors and receivers with the states at which sets start; None where no set needs it."""
    own = [s for s in starts if s.everything == everything]
    layers = sorted({s.layer - 1 for s in own if s.layer is not None})
    restarts = _restarts(adapter)
    if not own or (not restarts and all(s.layer is not None for s in own)):
        return None
    n = len(rows)
    both = None if prefix is None else prefix.select([*range(n), *range(n)])
    edit = None
    if everything:
        scale = torch.ones(2 * n, adapter.info.n_heads)
        scale[n:] = 0.0
        edit = HeadEdit(scale, donors=torch.arange(n).repeat(2))
    return adapter.forward([*donors, *rows], prefix=both, edit=edit, hidden=layers if restarts else ())


def _patched(
    adapter: Adapter,
    rows: Sequence[Encoded],
    donors: Sequence[Encoded],
    prefix: Prefix | None,
    sets: Bools,
    residual: Tensor | None,
    layer: int,
) -> Tensor:
    """Return [sets * rows, V] logits of the rows under each set, donors beside them; from a residual if given."""
    n, k = len(rows), len(sets)
    scale = torch.ones(n * (1 + k), sets.shape[1])
    scale[n:] = torch.tensor(~sets, dtype=torch.float32).repeat_interleave(n, 0)
    edit = HeadEdit(scale, donors=torch.arange(n).repeat(1 + k))
    batch = [*donors, *(list(rows) * k)]
    cached = None if prefix is None else prefix.select(list(range(n)) * (1 + k))
    if residual is None:
        return adapter.forward(batch, prefix=cached, edit=edit).logits[n:]
    assert isinstance(adapter, StartsAtLayer)
    entering = torch.cat([residual[:n], residual[n:].repeat(k, 1, 1)])
    return adapter.start_at_layer(batch, entering, layer, prefix=cached, edit=edit)[n:]


def _surprisal(logits: Tensor, targets: Tensor, swaps: Sequence[Swap]) -> Tensor:
    """Return [rows, targets] nats on the CPU. Raises NonFiniteLogitsError."""
    found = torch.logsumexp(logits, -1, keepdim=True) - logits.gather(1, targets.to(logits.device))
    finite = torch.isfinite(found).all(-1)
    if not bool(finite.all()):
        where = swaps[int((~finite).nonzero()[0])].where
        raise NonFiniteLogitsError(f"{where}: the model returned NaN or infinite logits with exchanged heads")
    return found.double().cpu()
