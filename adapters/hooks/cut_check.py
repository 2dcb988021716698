"""Check that a head can be cut alone: nothing may mix heads before their output projection.

A norm there (BitNet's sub-norm, DiffLlama's group norm) rescales the other heads when one is cut, so that what is
measured is not that head's part of the projection's input set to 0 (protocol §11). Factors of a head's own, as gates
are, change no other head.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from groundbench.adapters.hooks.output_projection import catch_inputs
from groundbench.api.adapter import HeadEdit

if TYPE_CHECKING:
    from groundbench.adapters.hooks.head_hooks import HeadHooks
    from groundbench.adapters.hooks.session import Site


class _ReachedError(Exception):
    """Ends a pass of which nothing more is needed."""


def _stop(*_: Any) -> None:
    raise _ReachedError


TOLERANCE_FP32, TOLERANCE_HALF = 1e-5, 2e-2


def mixed_heads(hooks: HeadHooks, call: Callable[[], Any], dtype: torch.dtype) -> str | None:
    """Cut one head of each class of attention and look at the input of its output projection.

    Args:
        call: runs the model on a short prompt.

    Returns:
        Why heads cannot be edited one by one; None where they can.
    """
    classes: dict[type, Site] = {}
    for site in hooks.sites:
        if site.mixer.kind == "attention":
            classes.setdefault(type(site.module), site)
    tolerance = TOLERANCE_FP32 if dtype == torch.float32 else TOLERANCE_HALF
    for site in classes.values():
        name, width = type(site.module).__name__, site.mixer.n_heads * site.mixer.d_head
        scale = torch.ones(1, hooks.sites[-1].columns.stop)
        whole = _projection_input(hooks, call, site, HeadEdit(scale.clone()), width)
        scale[0, site.columns.start] = 0.0
        cut = _projection_input(hooks, call, site, HeadEdit(scale), width)
        if whole is None or cut is None:
            return f"the output projection of {name} does not read one part for each head"
        before, after = (x.float().reshape(*x.shape[:2], site.mixer.n_heads, -1) for x in (whole, cut))
        scale_of = before.abs().max().clamp(min=1e-12)
        if (after[..., 0, :].abs().max() / scale_of) > tolerance:
            return f"what {name} projects of a head is not 0 when that head is cut"
        gap = float((after - before)[..., 1:, :].abs().max() / scale_of) if site.mixer.n_heads > 1 else 0.0
        if gap > tolerance:
            return (
                f"cutting one head of {name} changes the others' parts of the output projection's input by {gap:.0e} "
                "of the largest: a norm stands between"
            )
    return None


def _projection_input(
    hooks: HeadHooks, call: Callable[[], Any], site: Site, edit: HeadEdit, width: int
) -> Tensor | None:
    """Return [B, T, width]: the input of the output projection in the module's first call, the last matrix it calls."""
    with ExitStack() as stack:
        seen = stack.enter_context(catch_inputs(site.module, width))
        stack.callback(site.module.register_forward_hook(_stop).remove)
        for block in (torch.no_grad(), hooks.active(edit), suppress(_ReachedError)):
            stack.enter_context(block)
        call()
    rows = [x for _, x in seen if x.ndim == 3]
    return rows[-1] if rows else None
