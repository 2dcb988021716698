"""The grammar of childworld, read from grammar.yaml and frames.yaml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import fsum
from typing import Any, TypeVar

import yaml

from groundbench.api.errors import BadInputError
from groundbench.tasks.childworld.patterns import Words, contains, expand
from groundbench.tasks.nouns import inventory

K = TypeVar("K")

TIERS = ("env", "env_pair", "say", "fill")
"""The four kinds of sentence: a tier that shows one object, one that shows two, an utterance with, without a noun."""


@dataclass(frozen=True)
class FrameText:
    """The wording of an evaluation frame: an ENV sentence with `{env}`, and an utterance up to the noun."""

    env: str
    say: str

    @property
    def wordings(self) -> tuple[Words, Words]:
        """The texts that training never contains: the ENV sentence with any noun in it, and the cut utterance."""
        return tuple(self.env.replace("{env}", "NOUN").split()), tuple(self.say.split())


@dataclass(frozen=True)
class Sentence:
    """One sentence template and its share among its kind."""

    words: Words
    weight: float


@dataclass(frozen=True)
class Grammar:
    """Everything that decides the corpus; all chances are in [0, 1].

    Attributes:
        sentences: for each of TIERS its templates; weights of a kind sum to 1.
        densities: for each density its ENV tiers per 1,000 utterances.
        frequency: for each noun of the inventory the chance that it is the object of a scene (sums to 1).
        relevance: for each noun the chance that a noun said while it is there is this noun.
    """

    version: str
    digest: str
    densities: Mapping[str, float]
    utterances: Mapping[int, float]
    second_object: float
    second_object_said: float
    fill_rate: float
    speakers: Mapping[str, float]
    classes: Mapping[str, Words]
    sentences: Mapping[str, tuple[Sentence, ...]]
    frequency: tuple[float, ...]
    relevance: tuple[float, ...]

    def chance_described(self, density: str) -> float:
        """Return the chance that a scene begins with an ENV tier."""
        per_scene = fsum(n * share for n, share in self.utterances.items())
        return self.densities[density] * per_scene / 1000


@cache
def frame_texts() -> dict[str, FrameText]:
    """Return the evaluation frames by id."""
    table = yaml.safe_load(_read("frames.yaml"))["frames"]
    return {name: FrameText(**row) for name, row in table.items()}


@cache
def grammar() -> Grammar:
    """Return the grammar that ships with the package, without the wordings of the evaluation frames."""
    raw: dict[str, Any] = yaml.safe_load(_read("grammar.yaml"))
    classes = {name: tuple(words) for name, words in raw["classes"].items()}
    held_out = [wording for frame in frame_texts().values() for wording in frame.wordings]
    words = [n.word for n in inventory()]
    key = raw["hash_key"]
    low, high = raw["relevance"]
    inverse = [1.0 / (rank + raw["rank_offset"]) for rank in _ranks(f"{key}:frequency", words)]
    total = fsum(inverse)
    return Grammar(
        version=raw["version"],
        digest=_digest(raw),
        densities=raw["densities"],
        utterances=_shares(raw["utterances"]),
        second_object=raw["second_object"],
        second_object_said=raw["second_object_said"],
        fill_rate=raw["fill_rate"],
        speakers=_shares(raw["speakers"]),
        classes=classes,
        sentences={tier: _sentences(raw[tier], raw["macros"], classes, held_out) for tier in TIERS},
        frequency=tuple(x / total for x in inverse),
        relevance=tuple(low + (high - low) * rank / (len(words) - 1) for rank in _ranks(f"{key}:relevance", words)),
    )


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(raw: dict[str, Any]) -> str:
    """Return a hash of what the files say (not of their comments): grammar, frames and nouns."""
    said = [raw, {k: f.wordings for k, f in frame_texts().items()}, [n.word for n in inventory()]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _ranks(key: str, words: list[str]) -> list[int]:
    """Return the place of each word (from 0) when all are ordered by a hash: fixed for ever, and blind to the word."""
    order = sorted(words, key=lambda w: hashlib.sha256(f"{key}:{w}".encode()).digest())
    return [order.index(w) for w in words]


def _shares(weights: Mapping[K, float]) -> dict[K, float]:
    total = fsum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


def _sentences(
    rows: list[dict[float, str]],
    macros: Mapping[str, str],
    classes: Mapping[str, Words],
    held_out: list[Words],
) -> tuple[Sentence, ...]:
    patterns = [(weight, pattern) for row in rows for weight, pattern in row.items()]
    total = fsum(weight for weight, _ in patterns)
    found: list[Sentence] = []
    for weight, pattern in patterns:
        kept = [
            words
            for words in expand(pattern, macros)
            if not any(contains(words, wording, classes) for wording in held_out)
        ]
        if not kept:
            raise BadInputError(f"grammar.yaml: every sentence of {pattern!r} is the wording of a frame")
        found += [Sentence(words, weight / total / len(kept)) for words in kept]
    return tuple(found)
