"""Interchange: some heads take their outputs from another prompt's run (protocol §15).

Donor and receiver run in one batch: each row takes the heads of its set from its donor's row, so that no head output is
kept between passes. The common beginning of the two prompts is run once and cached, since nothing differs there. Both
prompts are run untouched once, for the sets of both directions. A pass starts from a saved residual at the first layer
in which its sets differ from no head, or from every head: the heads of a ranking lie close together, and so do those
that a curve leaves. Sets with near starts share a pass and its donors. Surprisals are of first tokens, in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, Forward, HeadEdit, Prefix, StartsAtLayer
from groundbench.api.errors import NonFiniteLogitsError
from groundbench.engine import distributed
from groundbench.engine.batching import MAX_LOGITS, common_prefix, group_alike, prefill_once
from groundbench.engine.run_directory import Array, Stage, load_or_make
from groundbench.util.resource_errors import is_out_of_memory

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
GROUP = 16
"""Most interchanges that share their passes: enough to fill batches, few enough to lose little by an interruption."""
MIN_SHARED = 2
"""Tokens that two prompts begin with and that are worth a cache: it serves every set."""


@dataclass(frozen=True)
class Interchange:
    """A prompt that receives head outputs, the one that gives them (of equal length), and the tokens asked for."""

    receiver: Encoded
    donor: Encoded
    targets: tuple[int, ...]
    where: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """Everything that decides the numbers of an interchange but the heads."""
        images = list(map(str, self.receiver.images + self.donor.images))
        return self.receiver.ids, self.donor.ids, images, self.targets

    def with_first_targets(self, n: int) -> Interchange:
        """Return the same interchange with its first n targets only."""
        return replace(self, targets=self.targets[:n])

    def start(self, prefixes: bool) -> int:
        """Count the tokens that both begin with, which are run once; 0 where that saves little."""
        shared = common_prefix([self.receiver, self.donor]) if prefixes else 0
        return shared if shared >= MIN_SHARED else 0


def interchange_heads(
    adapter: Adapter,
    interchanges: Sequence[Interchange],
    sets: Bools,
    *,
    back: Bools | None = None,
    batch_tokens: int,
    stage: Stage | None = None,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [interchanges, sets, targets] surprisal (nats) of each target after the receiver with a set's donor heads.

    Args:
        sets: [sets, heads]; an empty set changes nothing.
        back: [sets] True where the donor's prompt takes the heads of the receiver's instead; by default nowhere.
        stage: where finished groups are kept.
        advance: is told how many interchanges each finished group had.

    Raises:
        NonFiniteLogitsError: names the prompt.
    """
    most = max((len(s.targets) for s in interchanges), default=0)
    found = np.full((len(interchanges), len(sets), most), np.nan)
    groups = _groups(adapter, interchanges, batch_tokens)
    plan = _plan(adapter, sets, np.zeros(len(sets), dtype=bool) if back is None else back)

    def run(number: int, group: list[int]) -> Floats:
        def make() -> Array:
            own = [interchanges[i] for i in group]
            return _with_halving(adapter, own, plan, batch_tokens, most).astype(np.float32)

        return load_or_make(stage, number, make).astype(np.float64)

    for group, values in zip(groups, distributed.current().map_batches(groups, run, advance=advance), strict=True):
        found[group] = values
    return found


def _groups(adapter: Adapter, interchanges: Sequence[Interchange], batch_tokens: int) -> list[list[int]]:
    prefixes = "prefix" in adapter.info.capabilities
    shapes = [(len(s.receiver), s.start(prefixes)) for s in interchanges]
    # donors and receivers run side by side
    return group_alike(shapes, lambda shape: min(GROUP, batch_tokens // (2 * shape[0])))


def _with_halving(
    adapter: Adapter, interchanges: Sequence[Interchange], plan: Sequence[_Planned], batch_tokens: int, most: int
) -> Floats:
    try:
        return _Group.of(adapter, interchanges, plan, batch_tokens).run(plan, batch_tokens, most)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or (len(interchanges) == 1 and batch_tokens <= len(interchanges[0].receiver)):
            raise
    half = max(1, len(interchanges) // 2)
    parts = [p for p in (interchanges[:half], interchanges[half:]) if p]
    return np.concatenate([_with_halving(adapter, p, plan, batch_tokens // 2, most) for p in parts])


Base = tuple[bool, bool]
"""A pass from which sets start: whether every head was interchanged, and whether into the donor's prompt."""


@dataclass(frozen=True)
class _Planned:
    """A set and the start of its pass.

    Attributes:
        heads: [heads] in the set.
        base: whose residual it starts from.
        layer: the first layer that differs from its base; None where none does.
    """

    number: int
    heads: Bools
    base: Base
    layer: int | None

    @property
    def back(self) -> bool:
        """True if the donor's prompt takes the receiver's heads."""
        return self.base[1]


def can_restart(adapter: Adapter) -> bool:
    """Return True if a pass can start from a saved residual."""
    return isinstance(adapter, StartsAtLayer) and {"start_at_layer", "hidden"} <= adapter.info.capabilities


def _plan(adapter: Adapter, sets: Bools, back: Bools) -> list[_Planned]:
    """Return the start of every set's pass; the first layer where no pass can start from a residual."""
    layer = np.array([layer for layer, _ in adapter.info.head_index])
    found = []
    for number, (chosen, other) in enumerate(zip(sets, back.tolist(), strict=True)):
        everything, first = _start(layer, chosen) if can_restart(adapter) else (False, 1 if chosen.any() else None)
        found.append(_Planned(number, chosen, (everything, other), first))
    return found


def _start(layer: Ints, chosen: Bools) -> tuple[bool, int | None]:
    """Return the later of the two starts that a set allows, from a pass in which no head, or every head (True), was
    interchanged; `layer` is [heads]."""
    patched, kept = (int(layer[m].min()) if m.any() else None for m in (chosen, ~chosen))
    if patched is None or kept is None:
        return kept is None, None
    return kept > patched, max(patched, kept)


def share_passes(starts: Sequence[int], n_layers: int, most: int) -> list[list[int]]:
    """Return which sets run together: a pass costs its donors' rows too, and its layers from the lowest start on.

    Args:
        starts: each set's first layer, from 1.
        most: sets of one pass.

    Returns:
        Groups of places in `starts`, at the least cost in rows times layers.
    """
    order = sorted(range(len(starts)), key=lambda i: -starts[i])
    cost: list[float] = [0.0]
    cut: list[int] = [0]
    for end in range(1, len(order) + 1):
        layers = n_layers - starts[order[end - 1]] + 1
        options = ((cost[begin] + layers * (end - begin + 1), begin) for begin in range(max(0, end - most), end))
        least, begin = min(options)
        cost.append(least)
        cut.append(begin)
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[cut[end] : end])
        end = cut[end]
    return groups[::-1]


@dataclass(frozen=True)
class _Group:
    """Interchanges of one length and one common beginning, which is cached, and the passes that their sets start from.

    Attributes:
        prompts: the tokens after the beginning: of the receivers, and (True) of the donors.
        kinds: the base of each block of `passed`, whose rows are as many as there are interchanges.
    """

    adapter: Adapter
    interchanges: tuple[Interchange, ...]
    prefix: Prefix | None
    prompts: dict[bool, list[Encoded]]
    kinds: tuple[Base, ...]
    passed: Forward | None

    @classmethod
    def of(
        cls, adapter: Adapter, interchanges: Sequence[Interchange], plan: Sequence[_Planned], batch_tokens: int
    ) -> _Group:
        """Run the prompts untouched, and with every head interchanged where sets start from that."""
        start = interchanges[0].start("prefix" in adapter.info.capabilities)
        prefix = prefill_once(adapter, [s.receiver.upto(start) for s in interchanges]) if start else None
        prompts = {
            False: [s.receiver.after(start) for s in interchanges],
            True: [s.donor.after(start) for s in interchanges],
        }
        kinds: list[Base] = [(False, False), (False, True)]
        kinds += sorted({p.base for p in plan if p.base[0]})
        group = cls(adapter, tuple(interchanges), prefix, prompts, tuple(kinds), None)
        restarts = can_restart(adapter)
        if not restarts and all(p.layer is not None for p in plan):
            return group
        layers = sorted({p.layer - 1 for p in plan if p.layer is not None}) if restarts else []
        if len(kinds) * len(interchanges) * (len(interchanges[0].receiver) - start) <= batch_tokens:
            return replace(group, passed=group._base_passes(kinds, layers))
        parts = [group._base_passes(kinds[:2], layers)]
        for base in kinds[2:]:  # beside the prompts that give its heads
            both = group._base_passes([(False, not base[1]), base], layers)
            hidden = {layer: state[len(interchanges) :] for layer, state in both.hidden.items()}
            parts.append(Forward(both.logits[len(interchanges) :], hidden))
        hidden = {layer: torch.cat([part.hidden[layer] for part in parts]) for layer in layers}
        return replace(group, passed=Forward(torch.cat([part.logits for part in parts]), hidden))

    def _base_passes(self, kinds: Sequence[Base], layers: Sequence[int]) -> Forward:
        """Return one pass of these blocks of rows; those with every head interchanged take it from an untouched one."""
        n, edit = len(self.interchanges), None
        if any(everything for everything, _ in kinds):
            scale = torch.tensor([[0.0 if everything else 1.0] for everything, _ in kinds]).repeat_interleave(n, 0)
            givers = [kinds.index((False, not back)) if all_ else i for i, (all_, back) in enumerate(kinds)]
            donors = torch.cat([torch.arange(n) + n * giver for giver in givers])
            edit = HeadEdit(scale.repeat(1, self.adapter.info.n_heads), donors=donors)
        batch = [row for _, back in kinds for row in self.prompts[back]]
        return self.adapter.forward(batch, prefix=self._prefix_for(len(kinds)), edit=edit, hidden=layers)

    def _prefix_for(self, blocks: int) -> Prefix | None:
        """Return the common beginnings for so many blocks of rows."""
        return None if self.prefix is None else self.prefix.select(list(range(len(self.interchanges))) * blocks)

    def _block(self, values: Tensor, base: Base) -> Tensor:
        """Return the rows [interchanges, ...] of a block."""
        n, place = len(self.interchanges), self.kinds.index(base)
        return values[place * n : (place + 1) * n]

    def run(self, plan: Sequence[_Planned], batch_tokens: int, most: int) -> Floats:
        """Return [interchanges, sets, targets] nats."""
        n, info = len(self.interchanges), self.adapter.info
        targets = torch.zeros(n, most, dtype=torch.long)
        asked = np.zeros((n, most), dtype=bool)
        for i, one in enumerate(self.interchanges):
            targets[i, : len(one.targets)] = torch.tensor(one.targets)
            asked[i, : len(one.targets)] = True
        result = np.full((n, len(plan), most), np.nan)
        for p in plan:
            if p.layer is None:
                assert self.passed is not None
                own = self._block(self.passed.logits, p.base)
                result[:, p.number] = _surprisal(own, targets, self.interchanges).numpy()
        moved = [p for p in plan if p.layer is not None]
        length = len(self.prompts[False][0]) - self.prompts[False][0].start
        room = max(2, min(batch_tokens // length, MAX_LOGITS // info.vocab_size))
        width = max(1, room // n - len({p.back for p in moved}))
        for members in share_passes([p.layer or 1 for p in moved], info.n_layers, width):
            part = [moved[k] for k in members]
            for p, own in zip(part, self._patched_logits(part).view(len(part), n, -1).unbind(), strict=True):
                result[:, p.number] = _surprisal(own, targets, self.interchanges).numpy()
        result[~asked[:, None].repeat(len(plan), 1)] = np.nan
        return result

    def _patched_logits(self, part: Sequence[_Planned]) -> Tensor:
        """Return [sets * interchanges, V] logits under each set, the prompts that give heads beside them."""
        n = len(self.interchanges)
        givers = sorted({not p.back for p in part})
        heads = torch.tensor(np.stack([p.heads for p in part]))
        scale = torch.ones(n * (len(givers) + len(part)), heads.shape[1])
        scale[n * len(givers) :] = (~heads).float().repeat_interleave(n, 0)
        blocks = [*range(len(givers)), *(givers.index(not p.back) for p in part)]
        edit = HeadEdit(scale, donors=torch.cat([torch.arange(n) + n * block for block in blocks]))
        batch = [row for back in (*givers, *(p.back for p in part)) for row in self.prompts[back]]
        cached, skipped = self._prefix_for(len(blocks)), n * len(givers)
        if self.passed is None or not can_restart(self.adapter):
            return self.adapter.forward(batch, prefix=cached, edit=edit).logits[skipped:]
        assert isinstance(self.adapter, StartsAtLayer)
        layer = min(p.layer for p in part if p.layer is not None)
        states = self.passed.hidden[layer - 1]
        entering = torch.cat(
            [self._block(states, base) for base in [(False, b) for b in givers] + [p.base for p in part]]
        )
        return self.adapter.start_at_layer(batch, entering, layer, prefix=cached, edit=edit)[skipped:]


def _surprisal(logits: Tensor, targets: Tensor, interchanges: Sequence[Interchange]) -> Tensor:
    """Return [rows, targets] nats on the CPU. Raises NonFiniteLogitsError."""
    found = torch.logsumexp(logits, -1, keepdim=True) - logits.gather(1, targets.to(logits.device))
    finite = torch.isfinite(found).all(-1)
    if not bool(finite.all()):
        where = interchanges[int((~finite).nonzero()[0])].where
        raise NonFiniteLogitsError(f"{where}: the model returned NaN or infinite logits with interchanged heads")
    return found.double().cpu()
