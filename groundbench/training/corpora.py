"""Corpora by name or folder: a testbed's package offers one as a function `corpus`; imported ones lie in folders."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from groundbench.api.errors import BadInputError
from groundbench.registry import TASKS
from groundbench.tasks.corpora import ImportedCorpus, is_corpus
from groundbench.training.corpus import Corpus, ImageCorpus
from groundbench.training.presets import Preset

SHUFFLED = "shuffled"


def default_corpus(preset: Preset) -> str:
    """Return the name of the corpus that a preset is trained on unless told."""
    return preset.corpus or "childworld"


def load_corpus(name: str, **options: Any) -> Corpus | ImageCorpus:
    """Return the training corpus of the testbed of that name, or the imported corpus in that folder.

    `NAME:shuffled` is short for `shuffle_env=True`: the null corpus, in which what is shown says nothing of what is
    said (protocol §14 B). Options that are None are left at the corpus' default.

    Raises:
        BadInputError: no such testbed or folder, a testbed without a corpus, or an option its corpus does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if is_corpus(Path(name)):
        return _made(ImportedCorpus, name, given, folder=name)
    name, colon, variant = name.partition(":")
    if colon and variant != SHUFFLED:
        raise BadInputError(f"corpus {name}:{variant}: expected {name} or {name}:{SHUFFLED}")
    if variant:
        given["shuffle_env"] = True
    if is_corpus(Path(name)):
        return _made(ImportedCorpus, name, given, folder=name)
    modules = {entry.name: entry.module for entry in entry_points(group=TASKS)}
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInputError(
            f"unknown corpus {name!r}: expected the name of a testbed with a training corpus, or a folder made by "
            f"`groundbench tasks import`{hint}"
        )
    make = getattr(import_module(modules[name]), "corpus", None)
    if make is None:
        raise BadInputError(f"the testbed {name!r} has no training corpus: it is for evaluation only")
    return _made(make, name, given)


def _made(make: Callable[..., Any], name: str, options: dict[str, Any], **fixed: Any) -> Corpus | ImageCorpus:
    for key in options:
        if key in fixed or key not in inspect.signature(make).parameters:
            raise BadInputError(f"corpus {name}: it has no option {key!r}")
    return cast(Corpus | ImageCorpus, make(**fixed, **options))
