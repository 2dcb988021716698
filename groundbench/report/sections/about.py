"""The sections that make a number citable: model, testbed, protocol, environment, failures."""

from __future__ import annotations

import json

from pydantic import JsonValue

from groundbench.report.elements import Cell, Facts, Section, Table
from groundbench.results.run import EnvironmentRecord, ModelRecord, Result, TestbedRecord
from groundbench.results.text.numbers import count, number, parameters
from groundbench.results.unknown_words import KEY as UNKNOWN
from groundbench.results.unknown_words import unknown_words

SHOWN_FAILURES = 50


def model_facts(model: ModelRecord) -> Facts:
    """List the facts about the model."""
    heads = sum(m.n_heads for m in model.mixers)
    mixers = f"{heads} in {len(model.mixers)} {'layers' if len(model.mixers) != 1 else 'layer'}" if heads else "none"
    rows: tuple[tuple[str, Cell], ...] = (
        ("Model", model.name),
        ("Family", model.family),
        ("Architecture", model.architecture),
        ("Parameters", parameters(model.parameters)),
        ("Heads", mixers),
        ("Numeric type", model.dtype),
        ("Fingerprint", model.fingerprint),
        ("Step", count(model.step)),
        ("Seed", None if model.seed is None else str(model.seed)),
        ("Checkpoint", model.checkpoint),
    )
    return Facts("Model", tuple(r for r in rows if r[1] is not None))


def testbed_facts(testbed: TestbedRecord) -> Facts:
    """List the facts about the testbed."""
    rows: tuple[tuple[str, Cell], ...] = (
        ("Testbed", f"{testbed.name} {testbed.version}"),
        ("Hash", testbed.hash),
        ("Frames", testbed.frames),
        ("Form shown", testbed.env_form),
        ("Nouns", count(testbed.n_nouns)),
        ("Items", count(testbed.n_items)),
        ("Nouns left out", count(len(testbed.excluded))),
    )
    return Facts("Testbed", rows)


def environment_facts(env: EnvironmentRecord) -> Facts:
    """List hardware and software."""
    versions = tuple((k, v) for k, v in sorted(env.versions.items()))
    seconds = None if env.seconds is None else f"{number(env.seconds, 1)} s"
    rows: tuple[tuple[str, Cell], ...] = (
        ("Device", env.device),
        ("Seeds", ", ".join(map(str, env.seeds)) or None),
        ("Time", seconds),
        ("Commit", env.git),
        *versions,
    )
    return Facts("Environment", tuple(r for r in rows if r[1] is not None))


def protocol_facts(protocol: dict[str, JsonValue]) -> Facts:
    """Return every choice of the run, as its result records it."""
    unknown = unknown_words(protocol)
    rows = ((k, _value_text(v)) for k, v in protocol.items() if not (k == UNKNOWN and unknown))
    return Facts("Protocol", (*rows, *((f"words, {name}", u.describe()) for name, u in unknown.items())))


def _value_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def failures_section(result: Result) -> Section:
    """List the failures: an error is never a score."""
    if not result.failures:
        return Section("failures", "Failures", "No measurement failed.")
    rows = tuple((f.where, f.reason) for f in result.failures[:SHOWN_FAILURES])
    more = len(result.failures) - len(rows)
    table = Table("Failed items and measurements", ("Where", "Why"), rows, frozenset({0, 1}))
    notes = (f"{count(more)} more are in result.json.",) if more else ()
    n = len(result.failures)
    return Section(
        "failures", "Failures", f"{count(n)} failed; none is counted as a score.", tables=(table,), notes=notes
    )


def excluded_table(testbed: TestbedRecord) -> tuple[Table, ...]:
    """Return the nouns left out, with the reasons."""
    if not testbed.excluded:
        return ()
    rows = tuple((e.noun, e.reason) for e in testbed.excluded)
    return (Table("Nouns left out", ("Noun", "Why"), rows, frozenset({0, 1})),)
