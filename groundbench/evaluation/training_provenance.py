"""The training of a checkpoint of ours: its record, its corpus wherever that is now, the testbed that fits."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundbench.api.adapter import ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed, Trainable
from groundbench.registry import load_testbed, testbed_names, testbed_options
from groundbench.tasks.corpora import ImportedCorpus, is_corpus

OF_SOURCE = {"childes": "childes", "visdial": "caption-dialogue", "coco": "caption-dialogue"}
"""The testbed for models trained on a corpus imported from each source."""


@dataclass(frozen=True)
class Trained:
    """The facts about a model's training; empty if it is no checkpoint of ours.

    Attributes:
        training: what its training.json says.
        folder: where the imported corpus that it names lies now, if not where it lay.
        at_least: how often that corpus must show and say a noun that is asked for; None for the published threshold,
            0 for all nouns.
    """

    training: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    at_least: int | None = None

    def __post_init__(self) -> None:
        if self.folder is not None and not is_corpus(self.folder):
            raise BadInputError(f"{self.folder}: no imported corpus; expected the folder that the model was trained on")
        if self.at_least is not None and self.at_least < 0:
            raise BadInputError(f"at_least is {self.at_least}, expected at least 0")

    @property
    def identity(self) -> Mapping[str, Any]:
        """The corpus as training.json names it; empty where it names none."""
        found = self.training.get("corpus")
        return found if isinstance(found, Mapping) else {}

    @property
    def imported(self) -> bool:
        """True if the model was trained on an imported corpus."""
        return "folder" in self.identity

    def testbed_name(self) -> str | None:
        """Return the testbed of what it was trained on; None where that is not known."""
        name = str(self.identity.get("name", ""))
        if self.imported:
            return OF_SOURCE.get(name.split("-")[0])
        return name if name in testbed_names() else None

    def corpus(self, testbed: Testbed) -> Any | None:
        """Return the corpus (a `groundbench.training.corpus.Corpus`).

        None where nothing is named, the testbed has no corpus, or an imported corpus does not lie in its folder any
        more; then `missing` says so.

        Raises:
            BadInputError: another corpus lies there.
        """
        if self.imported:
            return self._open_corpus()
        return _with_known(testbed.corpus, self.identity) if self.identity and isinstance(testbed, Trainable) else None

    @property
    def missing(self) -> str | None:
        """Return one sentence if the folder of an imported corpus is gone, else None."""
        if not self.imported or self._find_corpus() is not None:
            return None
        return (
            f"the corpus {self.identity['name']} does not lie in {self.identity['folder']} any more; give --corpus DIR"
        )

    def testbed(self, name: str) -> Testbed:
        """Return the testbed of that name; with contexts for an imported corpus, the nouns that it has.

        Raises:
            BadInputError: no such testbed; or its nouns are chosen by the corpus, which is missing or another one.
        """
        if "at_least" not in testbed_options(name):
            if self.at_least is not None:
                raise BadInputError(f"testbed {name!r}: its nouns are not chosen by a threshold; leave out --at-least")
            return load_testbed(name)
        if self.at_least == 0 or not (self.imported or self.folder or self.at_least):
            return load_testbed(name)
        if not self.imported and self.folder is None:
            raise BadInputError(
                f"testbed {name!r}: --at-least {self.at_least} counts in a corpus, and the model is no checkpoint "
                "trained on one; give --corpus DIR"
            )
        if self.missing:
            raise BadInputError(f"testbed {name!r}: {self.missing} (or --at-least 0 for all nouns, however rare)")
        opened = self._open_corpus() if self.imported else None  # compares the digest
        folder = self.folder if opened is None else opened.folder
        threshold = {} if self.at_least is None else {"at_least": self.at_least}
        return load_testbed(name, corpus=folder, **threshold)

    def _open_corpus(self) -> ImportedCorpus | None:
        found = self._find_corpus()
        if found is None:
            return None
        corpus: ImportedCorpus = _with_known(ImportedCorpus, {**self.identity, "folder": found})
        return corpus

    def _find_corpus(self) -> Path | None:
        folder = self.folder or Path(self.identity["folder"])
        return folder if is_corpus(folder) else None


def training_record(info: ModelInfo) -> dict[str, Any]:
    """Return the training.json beside a checkpoint of ours; empty for any other model.

    Raises:
        BadInputError: it is not JSON.
    """
    path = None if info.folder is None else Path(info.folder) / "training.json"
    if path is None or not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInputError(f"{path}: not JSON ({error})") from None
    return found


def _with_known(make: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    known = inspect.signature(make).parameters
    return make(**{key: value for key, value in options.items() if key in known})
