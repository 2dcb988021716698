"""Rarer families, and models whose code raises where it is asked too much: opened, checked and screened all the same.

A trial of an ability that fails is an ability that is not available, with its reason; it never ends the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.fake_models import scene_questions
from helpers.shrunk_models import shrunk
from helpers.small_models import Home, letters_tokenizer, tiny_llama
from helpers.tiny_models import tiny
from helpers.tolerances import nats
from torch import nn

from groundbench import evaluate, screen
from groundbench.adapters.huggingface import HFCausal
from groundbench.screening.screen import ScreenOptions

RARE = ("minimax", "modernbert-decoder", "lfm2")
"""Lightning attention with a cache of its own, windows beside a head of its own, short convolutions."""


def opened(model_type: str) -> HFCausal:
    tokenizer = letters_tokenizer()
    config = shrunk(model_type) | {"vocab_size": len(tokenizer)}
    if "max_position_embeddings" in config:
        config["max_position_embeddings"] = 512
    return HFCausal(tiny(model_type, config=config), tokenizer, name=model_type)


@pytest.mark.parametrize("model_type", RARE)
def test_a_rarer_family_is_measured_and_screened(model_type: str) -> None:
    adapter = opened(model_type)
    assert {name for name, _ in adapter.info.lacks}.isdisjoint(adapter.info.capabilities)
    assert all(why for _, why in adapter.info.lacks)
    card = screen(adapter, scene_questions(10), ScreenOptions(signals=("gain", "probability", "heads")))
    assert card.questions.n == 20
    assert {f.where for f in card.failures} <= {"heads"}  # none can be read, or none is detected, and that is said
    assert card.failures or "hooks" in adapter.info.capabilities
    assert all(e.error.value is not None for e in card.errors)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("a cache", TypeError),
        ("a cache", KeyError),
        ("a head", IndexError),
        ("a head", AssertionError),
        ("a residual", AttributeError),
        ("a residual", NotImplementedError),
    ],
)
def test_whatever_a_models_code_raises_is_the_reason(
    asked: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = tiny_llama().model
    raising: dict[str, Callable[[], None]] = {
        "a cache": lambda: _raise_for_a_cache(model, error, monkeypatch),
        "a head": lambda: _raise_in_a_layer(model, error, monkeypatch),
        "a residual": lambda: _raise_for_a_residual(error, monkeypatch),
    }
    raising[asked]()
    adapter = HFCausal(model, letters_tokenizer(), name="raises")
    lacks = dict(adapter.info.lacks)
    lost = {"a cache": "prefix", "a head": "hooks", "a residual": "start_at_layer"}[asked]
    assert "planted" in lacks[lost]
    assert error.__name__ in lacks[lost]
    a, b = (evaluate(x, Home(), measures=("gain",)).forms[0].gain for x in (tiny_llama(), adapter))
    assert a is not None
    assert b is not None
    assert (b.matched, b.mismatched) == (nats(a.matched), nats(a.mismatched))


def _raise_for_a_cache(model: nn.Module, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = model.forward

    def forward(*args: Any, past_key_values: Any = None, use_cache: bool = False, **more: Any) -> Any:
        if use_cache or past_key_values is not None:
            raise error("planted")
        return plain(*args, past_key_values=None, use_cache=False, **more)

    monkeypatch.setattr(model, "forward", forward)


def _raise_in_a_layer(model: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """As of code that dispatches on the names of the attention functions it knows."""
    layer = model.model.layers[1].self_attn
    plain = layer.forward

    def forward(*args: Any, **more: Any) -> Any:
        if layer.config._attn_implementation not in ("sdpa", "eager"):
            raise error("planted")
        return plain(*args, **more)

    monkeypatch.setattr(layer, "forward", forward)


def _raise_for_a_residual(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def start_at_layer(*args: Any, **more: Any) -> Any:
        raise error("planted")

    monkeypatch.setattr(HFCausal, "start_at_layer", start_at_layer)
