"""Adapters and testbeds by name: entry points of installed packages, ours registered the same way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.evidence_record import RecordSet
from groundbench.api.question import Question
from groundbench.api.testbed import Testbed
from groundbench.api.text_scorer import TextScorer
from groundbench.util.suggestions import did_you_mean
from groundbench.util.users_code import import_object

TASKS = "groundbench.tasks"
ADAPTERS = "groundbench.adapters"
QUESTIONS = "groundbench.questions"
SCORERS = "groundbench.scorers"
"""Openers of models known by log-probabilities of texts alone: `NAME:SPEC` is opened by `(SPEC) -> TextScorer`."""
DESCRIPTIONS = "groundbench.descriptions"
"""Openers that read no weights: `(model, **options) -> Adapter | None`, the adapter being `Estimated`."""


def testbed_names() -> list[str]:
    """List the names of all installed testbeds."""
    return sorted({e.name for e in entry_points(group=TASKS)})


def load_testbed(name: str, **options: Any) -> Testbed:
    """Load the testbed of that name, else of the path of a YAML file or an imported folder of photos.

    A folder that happens to have a testbed's name hides none.

    Raises:
        BadInputError: there is no such testbed, or its package does not load.
    """
    for entry in entry_points(group=TASKS):
        if entry.name == name:
            return cast(Testbed, _load(entry)(**options))
    path = Path(name).expanduser()
    if name.endswith((".yaml", ".yml")) or path.is_dir():
        return _users_own(path)
    known = testbed_names()
    raise BadInputError(
        f"unknown testbed {name!r}: expected one of {', '.join(known)} or a YAML file{did_you_mean(name, known)}"
    )


def _users_own(path: Path) -> Testbed:
    from groundbench.tasks.photos import PhotoTestbed, is_photo_folder
    from groundbench.tasks.yaml_testbed import load_yaml

    return PhotoTestbed(path) if is_photo_folder(path) else load_yaml(path)


def testbed_options(name: str) -> frozenset[str]:
    """Return the options of the testbed of that name; none for a YAML file or an unknown name."""
    for entry in entry_points(group=TASKS):
        if entry.name == name:
            return frozenset(inspect.signature(_load(entry)).parameters)
    return frozenset()


def testbed_digest(name: str, version: str) -> str | None:
    """Return the hash of an installed testbed of that name and version; None if it is not installed."""
    if name not in testbed_names():
        return None
    testbed = load_testbed(name)
    return testbed.digest() if testbed.version == version else None


def question_set_names() -> list[str]:
    """List the names of all installed question sets."""
    return sorted({e.name for e in entry_points(group=QUESTIONS)})


def load_questions(name: str, **options: Any) -> tuple[Question, ...]:
    """Load the questions of a set of that name, of a YAML file, or of `module:object` (questions, or their maker).

    Raises:
        BadInputError: there is no such set, its package does not load, or it gives no questions.
    """
    made: Any = next((_load(e)(**options) for e in entry_points(group=QUESTIONS) if e.name == name), None)
    if made is None and name.endswith((".yaml", ".yml")):
        from groundbench.tasks.questions import from_file  # reads users' own files

        path = Path(name).expanduser()
        made = record_questions(load_record_file(str(path))) if is_record_file(str(path)) else from_file(path)
    if made is None and ":" in name:
        made = import_object(name, **options)
    if made is None:
        known = question_set_names()
        raise BadInputError(
            f"unknown question set {name!r}: expected one of {', '.join(known)}, a file of records (.jsonl, .csv, "
            f".parquet), a YAML file or module:object{did_you_mean(name, known)}"
        )
    found = tuple(made)
    if not found or not all(isinstance(q, Question) for q in found):
        raise BadInputError(f"{name}: found no questions; expected groundbench.api.question.Question objects")
    return found


def is_record_file(name: str) -> bool:
    """Return True for a user's own file of records (JSON lines, CSV, Parquet, or a YAML that points to one)."""
    from groundbench.tasks.questions.records import is_records  # reads users' own files

    return is_records(name)


def load_record_file(name: str, **options: Any) -> RecordSet:
    """Return the records of a user's own file; options as `groundbench.tasks.questions.records.ReadOptions`.

    Raises:
        BadInputError: the file or a record of it cannot be used: file, line, what was found and expected.
    """
    from groundbench.tasks.questions.records import ReadOptions, load_records

    return load_records(name, ReadOptions(**options))


def public_set_source(name: str) -> str:
    """Return where the makers of a public set publish it, with its licence. Raises BadInputError for an unknown set."""
    from groundbench.tasks.questions.sets import SETS

    if name not in SETS:
        raise BadInputError(f"unknown set {name!r}: expected one of {', '.join(SETS)}")
    return f"{SETS[name].source} (licence: {SETS[name].licence})"


def record_questions(found: RecordSet) -> tuple[Question, ...]:
    """Return records with candidates as questions."""
    from groundbench.tasks.questions.records import as_questions

    return as_questions(found)


def open_model(model: Any, **options: Any) -> Adapter:
    """Open a model for measuring.

    Each registered opener is asked in turn (third parties first) and returns None where the model is not its own.

    Args:
        model: a hub id, a folder, a `.gguf` file, `module:object`, a model of transformers (alone, if its tokenizer
            is where it was loaded from, or as a pair with its tokenizer or processor), or an Adapter, which is
            returned as it is.
        options: of loading (dtype, device, ...); see `groundbench.adapters.huggingface.open_causal`.

    Raises:
        BadInputError: no adapter knows the model, or an option.

    Example:
        >>> import groundbench
        >>> adapter = groundbench.open_model((TRANSFORMER, TOKENIZER))  # a model and a tokenizer of transformers
        >>> adapter.info.n_layers
        2
    """
    if isinstance(model, Path):
        model = str(model)
    if hasattr(model, "info") and hasattr(model, "forward"):
        return cast(Adapter, model)
    if _scorer(model) is not None:
        raise UnsupportedModelError(
            f"{model}: gives log-probabilities of texts alone, which `groundbench screen --questions FILE` reads; all "
            "else needs a model's own logits"
        )
    known: set[str] = set()
    adapter = _open_first(_openers(), model, options, known)
    if adapter is not None:
        return adapter
    for option in options.keys() - known:
        names = ", ".join(sorted(known - {"model"}))
        raise BadInputError(
            f"unknown option of loading {option!r}: expected one of {names}{did_you_mean(option, known)}"
        )
    shown = model if isinstance(model, str) else f"an object of type {type(model).__name__}"
    raise BadInputError(
        f"{shown}: not a model any adapter knows; expected a hub id, a folder with config.json, a .gguf file, "
        "module:object, or in Python a model of transformers with its tokenizer, or an Adapter"
    )


def open_scorer(model: Any, **options: Any) -> TextScorer | None:
    """Open a model known by log-probabilities of texts alone; None for any other.

    Args:
        model: `lm-eval:BACKEND,key=value,...`, or `NAME:SPEC` of another package's; or a TextScorer, returned as it is.
        options: of loading: none is taken, since they stand in the spec.

    Raises:
        BadInputError: it cannot be opened, or an option is given.
    """
    if isinstance(model, TextScorer):
        return model
    entry = _scorer(model)
    if entry is None:
        return None
    if options:
        raise BadInputError(
            f"{model}: the option of loading {next(iter(options))!r} is not read here; say it in the backend's own "
            f"arguments, {entry.name}:BACKEND,key=value"
        )
    return cast(TextScorer, _load(entry)(str(model).partition(":")[2]))


def _scorer(model: Any) -> EntryPoint | None:
    name, mark, _ = model.partition(":") if isinstance(model, str) else ("", "", "")
    return next((e for e in entry_points(group=SCORERS) if mark and e.name == name), None)


def describe_model(model: Any, **options: Any) -> Adapter:
    """Return a model as a plan needs it: described by its config and headers where its weights need not be read.

    Small models, and those of which only opening tells anything, are opened; so is what a plugin knows. A description
    is `Estimated` and cannot be run.

    Args:
        model, options: as `open_model`.

    Raises:
        BadInputError: as `open_model`.
    """
    if isinstance(model, str | Path):
        theirs = [e for e in _openers() if not _is_own(e)]
        describers = list(entry_points(group=DESCRIPTIONS))
        found = _open_first([*theirs, *describers], str(model), options, set())
        if found is not None:
            return found
    return open_model(model, **options)


def _openers() -> list[EntryPoint]:
    return sorted(entry_points(group=ADAPTERS), key=lambda e: (_is_own(e), e.name))


def _is_own(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == "groundbench"


def _open_first(
    entries: Sequence[EntryPoint], model: Any, options: Mapping[str, Any], known: set[str]
) -> Adapter | None:
    """Return the first adapter that one of these openers gives; `known` gathers the options that any of them takes."""
    for entry in entries:
        if not isinstance(model, str) and not _is_own(entry):
            continue  # other packages' openers are promised a name
        opener = _load(entry)
        taken = inspect.signature(opener).parameters
        known.update(taken)
        if not any(p.kind is p.VAR_KEYWORD for p in taken.values()) and not options.keys() <= taken.keys():
            continue
        adapter = opener(model, **options)
        if adapter is not None:
            return cast(Adapter, adapter)
    return None


def _load(entry: EntryPoint) -> Callable[..., Any]:
    try:
        return cast(Callable[..., Any], entry.load())
    except (ImportError, AttributeError) as error:
        raise BadInputError(f"the plugin {entry.name!r} ({entry.value}) does not load: {error}") from error
