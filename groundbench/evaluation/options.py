"""What is measured of which model on which testbed: the options of a run, and what stands in where one is not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from groundbench.api.adapter import Adapter, Untrainable
from groundbench.api.errors import BadInputError, UnencodableError, UnsupportedModelError
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine.contexts import Contexts
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.evaluation.mechanism import MechanismOptions
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.evaluation.training_provenance import Trained, training_record
from groundbench.registry import open_model

MEASURES = ("gain", "heads", "ablation", "lens", "image")


@dataclass(frozen=True)
class Options:
    """What to measure and how.

    Attributes:
        forms: names of ENV forms, `("all",)`, or empty for the testbed's default: a ladder's whole, else one form.
        measures: among gain, heads, ablation, lens, image; gain is always measured. None for the testbed's default:
            gain and heads, of a ladder the ablation too, and of forms that show pictures where the heads read in them.
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
    *,
    folder: str | Path | None = None,
    at_least: int | None = None,
) -> tuple[Adapter, Testbed]:
    """The model and the testbed that are asked for, each in place of its falsifier's where that is asked for.

    Args:
        folder, at_least: of the imported corpus that a checkpoint was trained on, see `choose_testbed`.

    Raises:
        BadInputError: one of them is unknown, or the model cannot be made with random weights.
    """
    adapter = open_model(model, **(load or {}))
    bed = choose_testbed(adapter, testbed, folder=folder, at_least=at_least)
    if random_weights:
        if not isinstance(adapter, Untrainable):
            raise UnsupportedModelError(f"{adapter.info.name}: its adapter cannot make it with random weights")
        adapter = adapter.untrained(seed)
    return adapter, ShuffledForms(bed, seed) if shuffle_forms else bed


def choose_testbed(
    adapter: Adapter,
    testbed: str | Testbed | None,
    *,
    folder: str | Path | None = None,
    at_least: int | None = None,
) -> Testbed:
    """The testbed asked for, or that of what the model was trained on, else the ladder.

    Args:
        folder: where the imported corpus that a checkpoint was trained on lies now, if not where it lay.
        at_least: keep the nouns that it shows and says so often; by default the published threshold (protocol §3).

    Raises:
        BadInputError: no such testbed; or its nouns are chosen by the corpus, which is missing or another one.
    """
    trained = Trained(training_record(adapter.info), None if folder is None else Path(folder), at_least)
    if testbed is None:
        ours = "childworld" if adapter.info.checkpoint is not None else "ladder"
        testbed = trained.testbed_name() or ours
    return trained.testbed(testbed) if isinstance(testbed, str) else testbed


def refuse_split_marks(adapter: Adapter, testbed: Testbed, contexts: Contexts) -> None:
    """Marked words (`book:<LAN>`) are tokens of their own to the models they are for, and strings to all others.

    Raises:
        BadInputError: the model's tokenizer splits the marked word of a testbed that is not natural language.
    """
    form = contexts.form
    marked = [n for n in contexts.nouns if testbed.target_in(n, form) != n.word]
    if testbed.natural_language or not marked or all(len(t) == 1 for ts in contexts.targets for t in ts):
        return
    plain = [f.name for f in testbed.forms if testbed.target_in(marked[0], f) == marked[0].word]
    hint = (
        f"; try --env-form {plain[0]}" if plain else f"; testbed {testbed.name!r} is for models trained on its corpus"
    )
    raise BadInputError(
        f"{adapter.info.name}: its vocabulary has no token {testbed.target_in(marked[0], form)!r}, which the form "
        f"{form.name!r} of {testbed.name!r} asks for{hint}"
    )


def choose_forms(testbed: Testbed, names: Sequence[str], adapter: Adapter) -> list[EnvForm]:
    """The forms asked for: the testbed's default where none is named, all for `all`.

    Where a whole ladder, or `all`, is asked for, the forms that joined it are among them if the model reads them.
    """
    if names and "all" not in names:
        return [testbed.form(name) for name in dict.fromkeys(names)]
    chosen = testbed.forms if names else testbed.default_forms
    if not (names or testbed.ladder):
        return list(chosen)
    return [*chosen, *(f for f in testbed.joined if unread(adapter, testbed, f) is None)]


def unread(adapter: Adapter, testbed: Testbed, form: EnvForm) -> str | None:
    """Why the model does not read a form's prompts at all; None if it reads its first."""
    frame, noun = testbed.frames(form)[0], testbed.nouns_of(form)[0]
    try:
        adapter.encode([testbed.prompt(frame, noun, form)])
    except UnencodableError:
        return None  # it reads the form, but not this noun in it
    except (BadInputError, UnsupportedModelError) as error:
        return str(error)
    return None


def choose_measures(testbed: Testbed, names: Sequence[str] | None) -> tuple[str, ...]:
    """The measures asked for; by default gain and heads, of a ladder the ablation too, and of pictures `image`."""
    if names is not None:
        return tuple(names)
    pictured = ("image",) if any(f.modality == "image" for f in (*testbed.forms, *testbed.joined)) else ()
    return ("gain", "heads", *(("ablation",) if testbed.ladder else ()), *pictured)


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
