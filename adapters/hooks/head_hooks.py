"""`attach`: find and check a model's mixers; `HeadHooks.active`: record and edit them during a model call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from groundbench.adapters.hooks import attention, self_check
from groundbench.adapters.hooks.cut_check import mixed_heads
from groundbench.adapters.hooks.discovery import Candidates, candidates, layers_counted
from groundbench.adapters.hooks.mamba2 import Recorder
from groundbench.adapters.hooks.own_attention import EagerRecorder
from groundbench.adapters.hooks.session import Session, Site, combine_edits, current, make_current
from groundbench.adapters.model_structure import input_device
from groundbench.api.adapter import HeadEdit, Mixer
from groundbench.api.errors import UnsupportedModelError

Route = Literal["interface", "eager"]


class HeadHooks:
    """The heads of one model. Outside `active` the model is exactly as it was loaded.

    Attributes:
        mixers: the token-mixing modules with heads, in the order of a HeadEdit's columns; empty for a model without.
        uncut: why heads can be read but not edited; None where they can.
    """

    def __init__(self, model: PreTrainedModel, found: Candidates, route: Route, sites: tuple[Site, ...]) -> None:
        self.mixers: tuple[Mixer, ...] = tuple(s.mixer for s in sites)
        self._model = model
        self._found = found
        self._route = route
        self._sites = sites
        self.uncut: str | None = None

    @property
    def sites(self) -> tuple[Site, ...]:
        """The calls of the mixers, in order."""
        return self._sites

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts about the reading of heads that a user should know."""
        if self._route == "eager":
            return ("heads are read from returned attention weights: memory grows with the square of the prompt",)
        return ()

    @contextmanager
    def active(
        self,
        edit: HeadEdit | None = None,
        trace: bool = False,
        start: int = 0,
        layer: int = 1,
        tail: int = 1,
        *,
        standing: bool = False,
    ) -> Iterator[Session]:
        """Apply an edit to, and keep the traces of, the model calls made inside.

        Yields an object whose `traces` (one for each mixer, in order) are those of the last call. While tracing, the
        parameters take no gradient: the graph starts at the first mixer's output.

        Args:
            start: how many tokens each call goes on from in a cache; an edit that differs by position counts them.
            layer: the first layer that the calls run (a pass restarted from a later layer's residual).
            tail: how many positions an edit of the last position changes: a context's last and those of a path.
            standing: other sessions may be opened inside; this one's edit is applied in them too.

        Raises:
            BadInputError: an edit under a standing one that cannot be applied together with it.
            ValueError: the edit has another number of heads, mixers or rows.
            UnsupportedModelError: the call cannot be traced (a scan that goes on from a cached state).
        """
        if edit is not None and self.uncut is not None:
            raise UnsupportedModelError(f"{self._model.config.model_type}: heads can be read, not edited: {self.uncut}")
        outer = current()
        if outer is not None and outer.standing:
            edit = combine_edits(outer.applied, edit)
        session = Session(self._sites, edit, trace, start, layer, tail, standing)
        with _running(self._model, self._found, self._route, session):
            yield session

    def try_on(self, inputs: Mapping[str, Any]) -> None:
        """Check on other inputs, a longer prompt, what `attach` checks.

        Raises:
            UnsupportedModelError: as `attach` does.
        """
        with torch.no_grad():
            untouched = self._model(**inputs, use_cache=False, return_dict=True).logits
        with self.active(trace=True) as session:
            logits = self._model(**inputs, use_cache=False, return_dict=True).logits
        self_check.check(self._model, self._found, session, untouched, logits.detach())


def attach(model: PreTrainedModel, inputs: Mapping[str, Any] | None = None) -> HeadHooks:
    """Find the mixers of a loaded model and check that what is hooked is what the model computes.

    Returns hooks with no mixers for a model that has no heads (an LSTM).

    Args:
        inputs: what the model is called with to try it; by default the ids of `probe_ids`.

    Raises:
        UnsupportedModelError: names the model type and what failed; behaviour can still be scored.
    """
    attention.register()
    found = candidates(model)
    if not found:
        return HeadHooks(model, found, "interface", ())
    inputs = inputs or {"input_ids": probe_ids(model)}
    with torch.no_grad():
        untouched = model(**inputs, use_cache=False, return_dict=True).logits
    route: Route = "interface" if all(attention.dispatches(m) for m in found.attention) else "eager"
    session, logits = _probe(model, found, route, inputs)
    self_check.check(model, found, session, untouched, logits)
    hooks = HeadHooks(model, found, route, tuple(session.sites))
    if route == "interface":  # elsewhere edits act on the projection's input itself
        hooks.uncut = mixed_heads(hooks, lambda: model(**inputs, use_cache=False, return_dict=True), model.dtype)
    return hooks


def probe_ids(model: PreTrainedModel, length: int = 7) -> Tensor:
    """Return a short prompt of ordinary token ids, [1, length], without image, pad and end tokens."""
    text = model.config.get_text_config()
    named = {**vars(model.config), **vars(text)}.items()
    special = {v for k, v in named if k.endswith(("_token_id", "_token_index")) and isinstance(v, int)}
    ordinary = [i for i in range(min(text.vocab_size, 64)) if i not in special] or [0]
    ids = [ordinary[(2 + i) % len(ordinary)] for i in range(length)]
    return torch.tensor([ids], device=input_device(model))


def _probe(
    model: PreTrainedModel, found: Candidates, route: Route, inputs: Mapping[str, Any]
) -> tuple[Session, Tensor]:
    """Return one traced call, in which the sites are found."""
    session = Session(None, trace=True)
    try:
        with layers_counted(found.layers, session), _running(model, found, route, session):
            return session, model(**inputs, use_cache=False, return_dict=True).logits
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{model.config.model_type}: {error}") from error


@contextmanager
def _running(model: PreTrainedModel, found: Candidates, route: Route, session: Session) -> Iterator[Session]:
    with ExitStack() as stack:
        if session.trace:
            stack.enter_context(_parameters_frozen(model))
        if found.attention and route == "interface":
            stack.enter_context(_reroute_attention(found.owner))
        elif found.attention:
            stack.enter_context(_by_itself(found.owner, session.trace))
            stack.enter_context(EagerRecorder(session).attach(model, found.attention))
        if session.standing:
            begin = model.register_forward_pre_hook(lambda *_: session.restart())
            stack.callback(begin.remove)
        if found.ssd:
            stack.enter_context(Recorder(session).attach(found.ssd))
        yield stack.enter_context(make_current(session))


@contextmanager
def _reroute_attention(owner: PreTrainedModel) -> Iterator[None]:
    """Send the owner's attention through the hooks, and back; a sub-model inside it (a vision tower) is left alone."""
    config = owner.config
    before: dict[str, Any] = {"": config._attn_implementation}
    for name in config.sub_configs:
        if getattr(config, name, None) is not None:
            before[name] = getattr(config, name)._attn_implementation
    text = {n: attention.NAME for n in before if n and getattr(config, n) is config.get_text_config()}
    owner.set_attn_implementation({**before, "": attention.NAME, **text})
    try:
        yield
    finally:
        owner.set_attn_implementation(before)


@contextmanager
def _by_itself(owner: PreTrainedModel, trace: bool) -> Iterator[None]:
    """Compute attention in plain tensors with an explicit mask while tracing: Falcon drops the mask under sdpa."""
    before = owner.config._attn_implementation
    if trace:
        owner.config._attn_implementation = "eager"
    try:
        yield
    finally:
        owner.config._attn_implementation = before


@contextmanager
def _parameters_frozen(model: PreTrainedModel) -> Iterator[None]:
    """Take no gradient for parameters: activations that only they need are then not kept."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)
