"""Head edits from sets of heads: zero, mean, resample, scale (protocol §11)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, HeadEdit, Positions
from groundbench.api.errors import BadInputError
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import group_alike
from groundbench.engine.contexts import FormContexts, Ints, matched_prompts

Mode = Literal["zero", "mean", "resample", "scale"]
Bools = npt.NDArray[np.bool_]
N_ROLES = 4
MAX_TARGET = 32
"""Tokens of the longest target that may follow a context."""


@dataclass(frozen=True)
class EditStyle:
    """The way in which detected heads are changed.

    Attributes:
        mode: `zero`; `mean` of that head at that role (before ENV, ENV, after it, last) over the fitting half's
            matched prompts; `resample`: its output on the same frame with a seeded other noun, at the last position;
            `scale` by `factor`.
        positions: every position, or the prediction position only.
        factor: of `scale`, and of no other mode; 1 changes nothing, 0 is `zero`.
    """

    mode: Mode = "zero"
    positions: Positions = "all"
    factor: float | None = None

    def __post_init__(self) -> None:
        if self.mode == "scale" and (self.factor is None or not math.isfinite(self.factor)):
            raise BadInputError(f"the edit 'scale' has the factor {self.factor}; expected a finite number")
        if self.mode != "scale" and self.factor is not None:
            raise BadInputError(f"the factor {self.factor} is of the edit 'scale', found the edit {self.mode!r}")
        if self.mode == "resample" and self.positions != "last":
            raise BadInputError(
                "resample needs positions 'last': the other noun's prompt may have another number of tokens"
            )


def constant_edit(chosen: Bools, style: EditStyle) -> HeadEdit:
    """Zero or scale these heads ([heads], or [rows, heads]) in every context alike."""
    factor = 0.0 if style.factor is None else style.factor
    rows = np.atleast_2d(chosen)
    return HeadEdit(torch.tensor(np.where(rows, factor, 1.0), dtype=torch.float32), None, style.positions)


def roles_of(row: Encoded) -> list[int]:
    """Return the role of each position: 0 before the ENV form, 1 ENV, 2 after it, 3 the last position."""
    env = row.env_positions
    first = env[0] if env else len(row)
    roles = [0 if p < first else 2 for p in range(len(row))]
    for p in env:
        roles[p] = 1
    roles[-1] = 3
    return roles


def mean_edit(chosen: Bools, means: Sequence[Tensor], rows: Sequence[Encoded], positions: Positions) -> HeadEdit:
    """Replace these heads ([heads]) in every context by their means at each position's role.

    Args:
        means: for each mixer [1, roles, H, D], see `mean_outputs`.
        rows: the contexts to be scored; positions after a context (a target's) take the last role.
    """
    longest = max(map(len, rows)) + MAX_TARGET
    roles = torch.full((len(rows), longest), N_ROLES - 1)
    for i, row in enumerate(rows):
        roles[i, : len(row)] = torch.tensor(roles_of(row))
    scale = torch.tensor(np.where(chosen, 0.0, 1.0), dtype=torch.float32)[None]
    return HeadEdit(scale, tuple(means), positions, roles)


def resample_edit(chosen: Bools, outputs: Sequence[Tensor]) -> HeadEdit:
    """Replace these heads ([heads]) at the last position by `outputs`, for each mixer [contexts, 1, H, D]."""
    scale = torch.tensor(np.where(chosen, 0.0, 1.0), dtype=torch.float32)[None]
    return HeadEdit(scale, tuple(outputs), "last")


def mean_outputs(adapter: Adapter, contexts: FormContexts, items: Ints, batch_tokens: int) -> list[Tensor]:
    """Compute for each mixer [1, roles, H, D]: each head's mean output at each role over matched prompts."""
    index, _ = matched_prompts(contexts)
    rows = [contexts.rows[i] for i in index[items]]
    sums = [torch.zeros(N_ROLES, m.n_heads, m.d_head, dtype=torch.float64) for m in adapter.info.mixers]
    count = torch.zeros(N_ROLES, dtype=torch.float64)
    for _, batch, outputs in _outputs(adapter, rows, batch_tokens):
        roles = torch.tensor([roles_of(r) for r in batch]).flatten()
        count.index_add_(0, roles, torch.ones(len(roles), dtype=torch.float64))
        for total, output in zip(sums, outputs, strict=True):
            total.index_add_(0, roles, output.double().flatten(0, 1))
    return [(s / count.clamp(min=1)[:, None, None])[None].float() for s in sums]


def resampled_outputs(adapter: Adapter, contexts: FormContexts, seed: int, batch_tokens: int) -> list[Tensor]:
    """Compute for each mixer [contexts, 1, H, D]: last-position outputs with a seeded other noun shown."""
    rng = np.random.default_rng(seed)
    partner = np.arange(len(contexts))
    for frame in np.unique(contexts.frame):
        members = np.flatnonzero(contexts.frame == frame)
        turn = int(rng.integers(1, len(members))) if len(members) > 1 else 0
        partner[members] = np.roll(members, turn)  # a rotation: nobody is its own partner
    per_mixer: list[list[Tensor]] = []
    order: list[int] = []
    for indices, _, outputs in _outputs(adapter, contexts.rows, batch_tokens):
        order += indices
        per_mixer.append([o[:, -1:] for o in outputs])
    back = torch.tensor(np.argsort(order))
    whole = [torch.cat(parts)[back] for parts in zip(*per_mixer, strict=True)]
    return [o[torch.tensor(partner)] for o in whole]


def _outputs(
    adapter: Adapter, rows: Sequence[Encoded], batch_tokens: int
) -> Iterator[tuple[list[int], list[Encoded], list[Tensor]]]:
    """Yield batches of one length: which rows, the rows, and for each mixer [B, T, H, D] on the CPU."""
    for part in group_alike([(len(row),) for row in rows], lambda key: batch_tokens // key[0]):
        yield from in_halves(lambda some: _outputs_of(adapter, rows, some), part, name="context {}".format)


def _outputs_of(
    adapter: Adapter, rows: Sequence[Encoded], some: Sequence[int]
) -> tuple[list[int], list[Encoded], list[Tensor]]:
    batch = [rows[i] for i in some]
    traces = adapter.forward(batch, trace=True).traces
    return list(some), batch, [t.site.detach().transpose(1, 2).cpu() for t in traces]
