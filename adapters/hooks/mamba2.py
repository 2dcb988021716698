"""Hooks of Mamba-2's scan (and of the hybrids that share it): the same data as attention's (protocol §8).

y_q = sum_k W_qk x_k + D x_q with W_qk = exp(sum_{k<j<=q} dt_j A) (C_q . B_k) dt_k; x after convolution and SiLU, dt
after bias, softplus and clamp. Traces hold y before gate and norm; edits act after the gated norm, before out_proj:
there, scaling one head leaves the others as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groundbench.adapters.hooks.session import Session, as_graph_root, current
from groundbench.api.adapter import Mixer
from groundbench.api.errors import UnsupportedModelError

SCAN = "mamba2_chunk_scan"
NEEDED = ("A_log", "num_heads", "head_dim", "conv1d", "out_proj")


def is_ssd(module: nn.Module) -> bool:
    """Return True if a module mixes tokens through transformers' Mamba-2 scan."""
    return all(hasattr(module, n) for n in NEEDED) and hasattr(sys.modules[type(module).__module__], SCAN)


@dataclass
class SSDTrace:
    """One scan. `values` are x; `skip` is D, the part of the output that is no mixing of tokens.

    `smear`: the short convolution spreads a token over this many later positions.
    """

    mixer: Mixer
    output: Tensor
    smear: int
    skip: Tensor | None
    values: Tensor
    decay: Tensor
    dt: Tensor
    b: Tensor
    c: Tensor
    site: Tensor
    sinks: bool = False
    bidirectional: bool = False

    @torch.no_grad()
    def weights(self, rows: slice, keys: int | None = None) -> Tensor:
        """Return [B, H, r, keys] fp32: W of some query rows over the first `keys` positions (default all)."""
        keys = self.values.shape[2] if keys is None else keys
        heads = self.mixer.n_heads
        # Sums of dt A over long prompts are large and their differences small: doubles until the exponential.
        total = (self.dt.double() * self.decay.double()).cumsum(1).transpose(1, 2)
        length = total.shape[-1]
        later = torch.arange(keys, device=total.device)[None] > torch.arange(length, device=total.device)[rows, None]
        exponent = (total[:, :, rows, None] - total[:, :, None, :keys]).masked_fill(later, -torch.inf)
        match = torch.einsum("bqgn,bkgn->bgqk", self.c[:, rows], self.b[:, :keys])
        match = match.repeat_interleave(heads // match.shape[1], dim=1)
        return exponent.exp().float() * match * self.dt[:, :keys].transpose(1, 2)[:, :, None]


class Recorder:
    """Hooks of one session on the SSD mixers of a model."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._running: tuple[nn.Module, int] | None = None
        self._scanned: SSDTrace | None = None

    @contextmanager
    def attach(self, mixers: Iterable[nn.Module]) -> Iterator[None]:
        """Attach hooks to the mixers and their modelling files' scan; everything is put back on leaving."""
        mixers = list(mixers)
        with ExitStack() as stack:
            for mixer in mixers:
                stack.callback(mixer.register_forward_pre_hook(self._enter).remove)
                projection: Any = mixer.out_proj
                stack.callback(projection.register_forward_pre_hook(self._project).remove)
            for name in {type(m).__module__ for m in mixers}:
                scan = getattr(sys.modules[name], SCAN)
                stack.callback(setattr, sys.modules[name], SCAN, scan)
                setattr(sys.modules[name], SCAN, self._recording(scan))
            yield

    def _enter(self, mixer: nn.Module, _: Any) -> None:
        index = self._session.claim(mixer, "ssd", int(mixer.num_heads), int(mixer.head_dim))  # type: ignore[arg-type]
        self._running = None if index is None else (mixer, index)
        self._scanned = None

    def _project(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Edit heads before out_proj, after the gated norm."""
        if self._running is None:
            return None
        mixer, index = self._running
        self._running = None
        if self._session.trace and self._scanned is None:
            raise UnsupportedModelError(
                f"{type(mixer).__name__}: going on from a cached state gives no weights over the cached tokens; "
                "trace the whole prompt instead"
            )
        if self._scanned is None and not self._session.changes(index):
            return None
        shape = self._session.sites[index].mixer
        heads = args[0].unflatten(-1, (shape.n_heads, shape.d_head)).transpose(1, 2)
        if self._scanned is not None:
            self._scanned.site = heads
            self._session.traces.append(self._scanned)
        return (self._session.edit(index, heads).transpose(1, 2).flatten(2), *args[1:])

    def _recording(self, scan: Callable[..., Any]) -> Callable[..., Any]:
        def record(
            hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int, **options: Any
        ) -> Any:
            # Another thread's model of the same family may run meanwhile: it is not in our context.
            if self._running is None or current() is not self._session:
                return scan(hidden_states, dt, A, B, C, chunk_size=chunk_size, **options)
            if hidden_states.device.type == "cpu":  # the plain path pads to whole chunks; the maths is the same
                chunk_size = min(chunk_size, hidden_states.shape[1])
            result = scan(hidden_states, dt, A, B, C, chunk_size=chunk_size, **options)
            if (cut := self._session.edges_cut(self._running[1])) is not None:
                result = self._without_edges(result, (hidden_states, dt, A, B, C), options, cut)
            if not self._session.trace or options.get("initial_states") is not None:
                return result  # with a state to go on from there is no trace: refused before out_proj
            output, *state = result if isinstance(result, tuple) else (result,)
            heads = as_graph_root(output, trace=True).transpose(1, 2)
            self._scanned = self._trace(heads, (hidden_states, dt, A, B, C), options)
            output = heads.transpose(1, 2).contiguous()
            return (output, *state) if state else output

        return record

    def _without_edges(
        self, result: Any, inputs: tuple[Tensor, ...], options: dict[str, Any], cut: tuple[Tensor, Tensor, Tensor]
    ) -> Any:
        """Return the scan's result without what flows along the cut edges: W_qk v_k is subtracted (protocol §15)."""
        output, *state = result if isinstance(result, tuple) else (result,)
        if options.get("initial_states") is not None:
            raise UnsupportedModelError("edges to tokens that stand in a cached state cannot be cut")
        heads, queries, keys = (t.to(output.device) for t in cut)
        length = output.shape[1]
        trace = self._trace(output.transpose(1, 2), inputs, options)
        keys = keys[:, :length]
        for step in range(1, trace.smear + 1):  # the short convolution has spread each token over the next ones
            keys = keys | (F.pad(cut[2].to(output.device), (step, 0))[:, :length] & ~queries[:, :length])
        output = output.clone()
        for row in queries[:, :length].any(0).nonzero()[:, 0].tolist():
            weights = trace.weights(slice(row, row + 1))[:, :, 0] * keys[:, None] * heads[:, :, None]
            flow = torch.einsum("bhk,bhkd->bhd", weights, trace.values) * queries[:, row, None, None]
            output[:, row] -= flow.to(output)
        return (output, *state) if state else output

    def _trace(self, heads: Tensor, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> SSDTrace:
        assert self._running is not None  # `_enter` has set it for this call
        mixer, index = self._running
        x, dt, a, b, c = (t.detach().float() for t in inputs)
        bias, skip = options.get("dt_bias"), options.get("D")
        if bias is not None:
            dt = dt + bias.detach().float()
        if options.get("dt_softplus"):
            dt = F.softplus(dt)
        return SSDTrace(
            mixer=self._session.sites[index].mixer,
            output=heads,
            site=heads,
            smear=int(cast(Any, mixer).conv1d.kernel_size[0]) - 1,
            skip=None if skip is None else skip.detach().float(),
            values=x.transpose(1, 2),
            decay=a,
            dt=dt.clamp(*options.get("dt_limit", (0.0, float("inf")))),
            b=b,
            c=c,
        )
