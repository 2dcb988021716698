"""What is measured of which model on which testbed: the options of a run, and what stands in where one is not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from groundbench.adapter import Adapter, Untrainable
from groundbench.errors import BadInputError, UnsupportedModelError
from groundbench.mechanism import MechanismOptions
from groundbench.registry import load_testbed, open_model
from groundbench.scoring import DEFAULT_BATCH_TOKENS
from groundbench.shuffled import ShuffledForms
from groundbench.testbed import EnvForm, Testbed

MEASURES = ("gain", "heads", "ablation", "lens")


@dataclass(frozen=True)
class Options:
    """What to measure and how.

    Attributes:
        forms: names of ENV forms, `("all",)`, or empty for the testbed's default: a ladder's whole, else one form.
        measures: among gain, heads, ablation, lens; gain is always measured. None for the testbed's default: gain and
            heads, and of a ladder the ablation too.
        limit: only this many nouns, drawn by the seed; forms share them as far as they have them.
        mismatches: a seeded sample of this many other nouns for each item; all by default (protocol §5).
        seed: of every sample, bootstrap and draw.
        batch_tokens: token budget of one batch; changes no number.
        mechanism: how heads, ablation and lens are measured.
        corpus: whose held-out text the tuned lens is trained on.
    """

    forms: tuple[str, ...] = ()
    measures: tuple[str, ...] | None = None
    limit: int | None = None
    mismatches: int | None = None
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
    mechanism: MechanismOptions = field(default_factory=MechanismOptions)
    corpus: Any = None

    def __post_init__(self) -> None:
        for measure in self.measures or ():
            if measure not in MEASURES:
                raise BadInputError(f"unknown measure {measure!r}: expected some of {', '.join(MEASURES)}")
        for name, low in (("limit", 2), ("mismatches", 1), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise BadInputError(f"{name} is {value}; expected at least {low}")


def subject_of(
    model: str | Adapter,
    testbed: str | Testbed | None,
    load: dict[str, Any] | None,
    seed: int,
    shuffle_forms: bool,
    random_weights: bool,
) -> tuple[Adapter, Testbed]:
    """The model and the testbed that are asked for, each in place of its falsifier's where that is asked for.

    Raises:
        BadInputError: one of them is unknown, or the model cannot be made with random weights.
    """
    adapter = open_model(model, **(load or {})) if isinstance(model, str) else model
    bed = choose_testbed(adapter, testbed)
    if random_weights:
        if not isinstance(adapter, Untrainable):
            raise UnsupportedModelError(f"{adapter.info.name}: its adapter cannot make it with random weights")
        adapter = adapter.untrained(seed)
    return adapter, ShuffledForms(bed, seed) if shuffle_forms else bed


def choose_testbed(adapter: Adapter, testbed: str | Testbed | None) -> Testbed:
    """The testbed asked for, or the one that fits the model."""
    if testbed is None:
        testbed = "childworld" if adapter.info.checkpoint is not None else "ladder"
    return load_testbed(testbed) if isinstance(testbed, str) else testbed


def choose_forms(testbed: Testbed, names: Sequence[str]) -> list[EnvForm]:
    """The forms asked for: the testbed's default where none is named, all for `all`."""
    if not names:
        return list(testbed.default_forms)
    if "all" in names:
        return list(testbed.forms)
    return [testbed.form(name) for name in dict.fromkeys(names)]


def choose_measures(testbed: Testbed, names: Sequence[str] | None) -> tuple[str, ...]:
    """The measures asked for; by default gain and heads, and of a ladder the ablation too."""
    if names is not None:
        return tuple(names)
    return ("gain", "heads", "ablation") if testbed.ladder else ("gain", "heads")


def limited_nouns(testbed: Testbed, form: EnvForm, options: Options) -> list[str] | None:
    """The seeded sample of nouns that a limit leaves, in the testbed's order.

    All forms draw from one order of the testbed's nouns, so that they share as many as they can.
    """
    words = {n.word for n in testbed.nouns_of(form)}
    if options.limit is None or options.limit >= len(words):
        return None
    order = np.random.default_rng(options.seed).permutation(len(testbed.nouns)).tolist()
    picked = [i for i in order if testbed.nouns[i].word in words][: options.limit]
    return [testbed.nouns[i].word for i in sorted(picked)]
