"""Screenings of given answers with their files: the run directory, the card, answers.parquet and flagged.jsonl."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from groundbench._version import __version__
from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import RecordSet
from groundbench.api.text_scorer import TextScorer
from groundbench.engine import distributed
from groundbench.engine.run_directory import RunStore
from groundbench.results.risk_card import FILE_NAME, OpenedRecord, RiskCard
from groundbench.screening.answers_table import write_flagged, write_given
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.screen_answers import AnswerScreen, screen_answers
from groundbench.screening.screen_texts import screen_texts

WRITTEN = (FILE_NAME, "card.md", "card.html", "card.xml", "answers.parquet", "flagged.jsonl", "manifest.json")


def given_answers_of(
    adapter: Adapter,
    found: RecordSet,
    options: ScreenOptions,
    out: Path | None,
    force: bool,
    opened: OpenedRecord | None,
) -> RiskCard:
    """Return a screening of given answers, with its files."""
    calibrated_by = _calibrating_card(options, adapter.info.name, adapter.info.fingerprint)
    store = store_of(adapter, found.digest(), options, out, force)
    return _write_screening(screen_answers(adapter, found, options, store, calibrated_by=calibrated_by), out, opened)


def records_for(scorer: TextScorer, found: RecordSet | None) -> RecordSet:
    """Return the records; raises BadInputError where question sets were named, which texts alone cannot answer."""
    if found is None:
        raise BadInputError(
            f"{scorer.info.name}: {scorer.info.backend} gives log-probabilities of given answers: name a file of them "
            "with --questions FILE"
        )
    return found


def texts_of(
    scorer: TextScorer,
    found: RecordSet,
    options: ScreenOptions,
    out: Path | None,
    force: bool,
) -> RiskCard:
    """Return a screening of given answers by a model known by log-probabilities of texts alone, with its files.

    The card does not keep what the model was opened from: the arguments may hold a key to the server.
    """
    info = scorer.info
    calibrated_by = _calibrating_card(options, info.name, info.fingerprint)
    key = {"model": info.name, "weights": info.fingerprint, "questions": found.digest(), "limit": options.limit}
    store = _made_store(out, force, {**key, "seed": options.seed, "groundbench": __version__})
    return _write_screening(screen_texts(scorer, found, options, store, calibrated_by=calibrated_by), out, None)


def _calibrating_card(options: ScreenOptions, name: str, fingerprint: str) -> RiskCard | None:
    """Return the card whose fits are used; raises BadInputError where it is of another model."""
    said = options.records.calibrate
    card = None if said is None else RiskCard.load(said)
    if card is not None and card.model.fingerprint != fingerprint:
        raise BadInputError(f"{said}: the card is of {card.model.name}, not of {name}")
    return card


def _write_screening(made: AnswerScreen, out: Path | None, opened: OpenedRecord | None) -> RiskCard:
    """Write a screening of given answers and return its card."""
    made = replace(made, card=made.card.model_copy(update={"opened": opened}))
    if out is not None and distributed.current().first:
        write_given(out / "answers.parquet", made)
        write_flagged(out / "flagged.jsonl", made)
        made.card.save(out / FILE_NAME)
    return made.card


def store_of(
    adapter: Adapter, questions: str, options: ScreenOptions, out: Path | None, force: bool
) -> RunStore | None:
    """Return the run directory under this screening's key."""
    info = adapter.info
    key: dict[str, object] = {
        "model": info.name,
        "weights": info.fingerprint,
        "questions": questions,
        "limit": options.limit,
    }
    key |= info.identity
    key |= {name: getattr(info, name) for name in ("tokenizer", "dtype", "attention", "bos", "chat")}
    key |= {"compares": options.compares, "seed": options.seed, "groundbench": __version__}
    return _made_store(out, force, key)


def _made_store(out: Path | None, force: bool, key: Mapping[str, object]) -> RunStore | None:
    if out is None:
        return None
    if force:
        distributed.current().from_first(lambda: _clear(out))
    return RunStore(out, dict(key))


def _clear(out: Path) -> None:
    """Remove what a screening wrote, and nothing else; a folder without a manifest is left as it is."""
    if not (out / "manifest.json").exists():
        return
    shutil.rmtree(out / "parts", ignore_errors=True)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
