"""The recording and the edit of one model call; bound to a context, so that nothing leaks out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from groundbench.api.adapter import HeadEdit, Mixer, MixerKind, Trace
from groundbench.api.errors import BadInputError, UnsupportedModelError


@dataclass(frozen=True)
class Site:
    """A call of a mixer in one forward pass; `columns` are its heads among the columns of a HeadEdit."""

    module: nn.Module
    mixer: Mixer
    columns: slice


class Session:
    """One `active` block: the edit that is applied, and whether traces are kept.

    `start` tokens are in a cache already, and calls begin at `layer`. An edit of the last position changes the `tail`
    last ones. A `standing` session may hold others.

    Calls are matched to sites by their order in the forward pass, so that a module that is called in several layers
    (Zamba2's shared attention) has a site in each. While discovering, `sites` grows instead.
    """

    def __init__(
        self,
        sites: Sequence[Site] | None,
        edit: HeadEdit | None = None,
        trace: bool = False,
        start: int = 0,
        layer: int = 1,
        tail: int = 1,
        standing: bool = False,
    ) -> None:
        self.discovering = sites is None
        self.sites: list[Site] = list(sites or ())
        self.trace = trace
        self.standing = standing
        self.traces: list[Trace] = []
        self.layer: int | None = None
        self._edit = edit
        self._start = start
        self._tail = tail
        self._modules = {id(s.module) for s in self.sites}
        self._first = next((i for i, s in enumerate(self.sites) if s.mixer.layer >= layer), len(self.sites))
        self._next = self._first
        self._edited = self._columns_that_change(edit)

    def claim(self, module: nn.Module, kind: MixerKind, n_heads: int, d_head: int) -> int | None:
        """Return the index of this call's site; None if the module is not hooked (a vision tower's), or if another
        session was opened inside this one and does the work."""
        if self.discovering:
            self._discover(module, kind, n_heads, d_head)
            return len(self.sites) - 1
        if id(module) not in self._modules or _current.get() is not self:
            return None
        if self._next == len(self.sites):
            self._next, self.traces = self._first, []
        index = self._next
        site = self.sites[index]
        if site.module is not module or (site.mixer.n_heads, site.mixer.d_head) != (n_heads, d_head):
            raise UnsupportedModelError(
                f"{type(module).__name__}: the mixers of this forward pass are not called in the order found on attach"
            )
        self._next += 1
        return index

    def restart(self) -> None:
        """Begin a new call of the model, also where the last one broke off."""
        self._next = self._first

    @property
    def applied(self) -> HeadEdit | None:
        """The edit of this session."""
        return self._edit

    def changes(self, index: int) -> bool:
        """Return True if the edit changes any head of this site."""
        return self._edit is not None and (self._edited[index] or self.edges_cut(index) is not None)

    def edges_cut(self, index: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the edges cut at a site: heads [R, H], queries [R, T new] and keys [R, T]; None where none are."""
        cut = None if self._edit is None else self._edit.cut
        if cut is None:
            return None
        heads = cut.heads[:, self.sites[index].columns]
        return (heads, cut.queries[:, self._start :], cut.keys) if bool(heads.any()) else None

    def edit(self, index: int, output: Tensor) -> Tensor:
        """Return the edited head outputs of a site: [B, H, T, D] to the same shape."""
        if self._edit is None or not self._edited[index]:
            return output
        scale = self._edit.scale[:, self.sites[index].columns].to(output)[:, :, None, None]
        if scale.shape[0] not in (1, output.shape[0]):
            raise ValueError(f"the edit has {scale.shape[0]} rows, expected 1 or the batch's {output.shape[0]}")
        last_only = self._edit.positions == "last"
        first = output.shape[2] - self._tail if last_only else 0
        before, part = output[:, :, :first], output[:, :, first:]
        new = part * scale
        if self._edit.replace is not None:
            other = self._replacement(self._edit, self._edit.replace[index], output.shape[2], part.shape[2])
            new = new + (1 - scale) * other.to(output).transpose(1, 2)
        if self._edit.donors is not None:
            new = new + (1 - scale) * part[self._edit.donors.to(output.device)]
        return torch.cat([before, new], dim=2) if last_only else new

    def _replacement(self, edit: HeadEdit, replace: Tensor, new: int, width: int) -> Tensor:
        """Return [R, 1 or width, H, D]: a site's replacement for the last `width` of this call's `new` positions."""
        end = self._start + new
        if edit.roles is not None:
            part = edit.roles.to(replace.device)[:, end - width : end]
            if part.shape[1] != width:
                raise ValueError(f"the edit's roles cover {edit.roles.shape[1]} positions, expected at least {end}")
            if replace.shape[0] == 1:
                return replace[0, part]
            return replace[torch.arange(replace.shape[0], device=replace.device)[:, None], part]
        length = replace.shape[1]
        if edit.positions == "last":
            return replace[:, -1:]
        if length == 1:
            return replace
        if length == end:
            return replace[:, end - width :]
        raise ValueError(f"the replacement covers {length} positions, expected 1 or {end}")

    def _columns_that_change(self, edit: HeadEdit | None) -> list[bool]:
        if edit is None:
            return [False] * len(self.sites)
        heads = sum(s.mixer.n_heads for s in self.sites)
        if edit.scale.ndim != 2 or edit.scale.shape[1] != heads:
            raise ValueError(f"the edit's scale has shape {tuple(edit.scale.shape)}, expected [rows, {heads}]")
        if edit.replace is not None and len(edit.replace) != len(self.sites):
            raise ValueError(f"the edit replaces {len(edit.replace)} mixers, expected {len(self.sites)}")
        changed = (edit.scale != 1).any(dim=0).tolist()
        return [any(changed[s.columns]) for s in self.sites]

    def _discover(self, module: nn.Module, kind: MixerKind, n_heads: int, d_head: int) -> None:
        layer = self.layer
        if layer is None:
            layer = int(getattr(module, "layer_idx", len(self.sites))) + 1
        start = self.sites[-1].columns.stop if self.sites else 0
        first = sum(s.mixer.n_heads for s in self.sites if s.mixer.layer == layer)
        self.sites.append(Site(module, Mixer(layer, kind, n_heads, d_head, first), slice(start, start + n_heads)))
        self._edited.append(False)


def as_graph_root(output: Tensor, trace: bool) -> Tensor:
    """Return the output if it is in a graph, else a leaf that starts one: nothing earlier needs a graph."""
    if not trace or output.requires_grad:
        return output
    if torch.is_inference_mode_enabled():
        raise RuntimeError("heads cannot be traced under torch.inference_mode: it keeps no graph")
    return output.detach().requires_grad_(torch.is_grad_enabled())


def combine_edits(outer: HeadEdit | None, inner: HeadEdit | None) -> HeadEdit | None:
    """Combine two edits: the outer one, which replaces nothing, scales its heads under the inner one.

    Raises:
        BadInputError: both change heads, and the outer one replaces outputs or is not for all positions.
    """
    if outer is None or inner is None:
        return inner if outer is None else outer
    if (
        outer.replace is not None
        or outer.donors is not None
        or outer.cut is not None
        or outer.positions != "all"
        or (inner.positions == "last" and (outer.scale != 1).any())
    ):
        raise BadInputError("heads are edited already, in a way that cannot be combined with another edit")
    if inner.replace is None and inner.donors is None:
        return replace(inner, scale=inner.scale * outer.scale.to(inner.scale))
    # o' = outer * (scale * o + (1 - scale) * replace): what replaces a head's output is scaled as well.
    raise BadInputError("heads are edited already; expected an inner edit that replaces no outputs")


_current: ContextVar[Session | None] = ContextVar("groundbench_hook_session", default=None)


def current() -> Session | None:
    """Return the session of this context, if any."""
    return _current.get()


@contextmanager
def make_current(session: Session) -> Iterator[Session]:
    """Make a session the current one. Raises RuntimeError if another is active that is not `standing`."""
    outer = _current.get()
    if outer is not None and not outer.standing:
        raise RuntimeError("hooks are already active in this context")
    token = _current.set(session)
    try:
        yield session
    finally:
        _current.reset(token)
