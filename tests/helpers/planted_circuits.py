"""Models whose noun goes through circuits set by hand: relays, redundancy, self-repair (protocol §15).

`carriers` are the heads whose outputs differ between two nouns and matter; `still` are heads that the circuit needs but
whose outputs are the same whichever noun is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from helpers.planted import (
    ENV_FLAG,
    ENV_ID,
    GATHERED,
    NOUNS,
    RMS,
    SAID,
    SINK,
    VERB,
    WIDTH,
    Head,
    _aggregate,
    _background,
    _empty_head,
    _gpt2,
    _HeadWeights,
    vocabulary,
)
from helpers.tiny_models import word_tokenizer

COSINE, SINE = 30, 31
PERIOD = 32
ARTICLES = ("the:<ENV>", "big:<ENV>", "old:<ENV>", "the:<LAN>", "your:<LAN>", "that:<LAN>", "little:<LAN>")


@dataclass(frozen=True)
class Circuit:
    """A saved model; `zeroing_misleads`: cutting a carrier shows nothing although it carries the noun."""

    folder: Path
    carriers: frozenset[Head]
    still: frozenset[Head] = field(default_factory=frozenset)
    traffic: frozenset[Head] = field(default_factory=frozenset)
    zeroing_misleads: frozenset[Head] = field(default_factory=frozenset)


def copy(folder: Path) -> Circuit:
    """(a) Head (2, 1) moves the noun to the prediction."""
    model = _gpt2(layers=3)
    _background(model)
    _aggregate(model, layer=2, head=1, key=ENV_FLAG, score=20.0, write=1.0)
    return _saved(model, Circuit(folder, frozenset({(2, 1)})))


def traffic(folder: Path) -> Circuit:
    """(f) The same, and head (1, 3) reads the ENV noun just as hard, but writes only that there was one."""
    model = _gpt2(layers=3)
    _background(model)
    _aggregate(model, layer=2, head=1, key=ENV_FLAG, score=20.0, write=1.0)
    weights = _empty_head(model, 1, 3)
    weights.query_bias(0, 4.0)
    weights.key(ENV_FLAG, 0, 20.0)
    weights.move(ENV_FLAG, GATHERED, 0, 1.0)
    for noun in range(len(NOUNS)):
        weights.move(ENV_FLAG, SAID + noun, 0, 0.05)
    return _saved(model, Circuit(folder, frozenset({(2, 1)}), traffic=frozenset({(1, 3)})))


def induction(folder: Path) -> Circuit:
    """(c) Head (1, 1) marks what follows an article; head (2, 2), at an article, says what followed one before."""
    model = _gpt2(layers=2, marked=ARTICLES)
    _background(model)
    _positions(model)
    previous = _empty_head(model, 1, 1)
    _previous_token(previous)
    previous.move(VERB, GATHERED, 8, 1.0)
    reader = _empty_head(model, 2, 2)
    reader.query(VERB, 0, 4 * 20.0)
    reader.key(GATHERED, 0, 1.0)
    for noun in range(len(NOUNS)):
        reader.move(ENV_ID + noun, SAID + noun, noun, 1.0)
    return _saved(model, Circuit(folder, frozenset({(2, 2)}), still=frozenset({(1, 1)})))


def self_repair(folder: Path) -> Circuit:
    """(d) Head (2, 1) says the noun; head (3, 0) says it only if nobody has, so that zeroing (2, 1) shows nothing."""
    model = _gpt2(layers=3)
    _background(model)
    _aggregate(model, layer=2, head=1, key=ENV_FLAG, score=20.0, write=1.0)
    _aggregate(model, layer=3, head=0, key=ENV_FLAG, score=20.0, write=1.0)
    backup = _HeadWeights(model, 3, 0)
    for noun in range(len(NOUNS)):
        backup.query(SAID + noun, 0, -40.0)
    return _saved(model, Circuit(folder, frozenset({(2, 1)}), zeroing_misleads=frozenset({(2, 1)})))


def redundant(folder: Path) -> Circuit:
    """(e) Heads (2, 1) and (2, 2) each say half of it."""
    model = _gpt2(layers=3)
    _background(model)
    for head in (1, 2):
        _aggregate(model, layer=2, head=head, key=ENV_FLAG, score=20.0, write=0.5)
    return _saved(model, Circuit(folder, frozenset({(2, 1), (2, 2)})))


def relay(folder: Path) -> Circuit:
    """Head (1, 2) takes the noun to the second speaker's tag; head (2, 0) takes it from there to the prediction."""
    model = _gpt2(layers=2, marked=("<MOT>",))
    _background(model)
    first = _empty_head(model, 1, 2)
    first.query(VERB, 0, 4 * 20.0)
    first.key(ENV_FLAG, 0, 1.0)
    first.query_bias(1, 4 * 10.0)
    first.key(SINK, 1, 1.0)
    for noun in range(len(NOUNS)):
        first.move(ENV_ID + noun, ENV_ID + noun, 2 + noun, 1.0)
    _aggregate(model, layer=2, head=0, key=VERB, score=20.0, write=1.0)
    return _saved(model, Circuit(folder, frozenset({(1, 2), (2, 0)})))


def diluted(folder: Path) -> Circuit:
    """All eight heads of layers 2 and 3 say an eighth of it."""
    model = _gpt2(layers=3)
    _background(model)
    places = frozenset((layer, head) for layer in (2, 3) for head in range(4))
    for layer, head in places:
        _aggregate(model, layer=layer, head=head, key=ENV_FLAG, score=20.0, write=0.125)
    return _saved(model, Circuit(folder, places))


CIRCUITS: dict[str, Callable[[Path], Circuit]] = {
    f.__name__: f for f in (copy, induction, self_repair, redundant, traffic, relay, diluted)
}


@torch.no_grad()
def _positions(model: torch.nn.Module) -> None:
    """Each position as an angle, in two coordinates and their mirror."""
    for p in range(PERIOD):
        half = torch.zeros(WIDTH // 2)
        half[COSINE], half[SINE] = math.cos(2 * math.pi * p / PERIOD), math.sin(2 * math.pi * p / PERIOD)
        model.transformer.wpe.weight[p] = torch.cat([half, -half])


def _previous_token(weights: _HeadWeights) -> None:
    """Attend to the position before: its angle, turned by one step, is the query."""
    step, sharp = 2 * math.pi / PERIOD, 60.0
    for source, to_cosine, to_sine in (
        (COSINE, math.cos(step), -math.sin(step)),
        (SINE, math.sin(step), math.cos(step)),
    ):
        weights.query(source, 0, sharp * to_cosine)
        weights.query(source, 1, sharp * to_sine)
    weights.key(COSINE, 0, sharp)
    weights.key(SINE, 1, sharp)


def _saved(model: torch.nn.Module, circuit: Circuit) -> Circuit:
    model.save_pretrained(circuit.folder)
    word_tokenizer(vocabulary()).save_pretrained(circuit.folder)
    return circuit


__all__ = ["CIRCUITS", "RMS", "Circuit"]
