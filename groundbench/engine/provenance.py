"""Model, testbed and environment as they are written into a result."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from groundbench.api.adapter import ModelInfo
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine.contexts import FormContexts, matched_prompts
from groundbench.results.run import EnvironmentRecord, Excluded, MixerRecord, ModelRecord, TestbedRecord
from groundbench.results.unknown_words import UnknownWords
from groundbench.util.packages import installed_versions

PACKAGES = ("groundbench", "torch", "transformers", "tokenizers", "numpy", "scipy", "accelerate")


def model_record(info: ModelInfo) -> ModelRecord:
    """Return the model's part of a result."""
    return ModelRecord(
        name=info.name,
        family=info.family,
        architecture=info.architecture,
        parameters=info.parameters,
        dtype=info.dtype,
        fingerprint=info.fingerprint,
        mixers=tuple(MixerRecord(layer=m.layer, kind=m.kind, n_heads=m.n_heads, d_head=m.d_head) for m in info.mixers),
        step=info.step,
        seed=info.seed,
        checkpoint=info.checkpoint,
    )


def excluded_nouns(testbed: Testbed, form: EnvForm, left_out: Mapping[str, str]) -> tuple[Excluded, ...]:
    """Return the nouns that a form leaves out and those that the tokenizer does not set apart in it, with reasons."""
    return tuple(Excluded(noun=n, reason=r) for n, r in sorted({**testbed.excluded(form), **left_out}.items()))


def testbed_record(testbed: Testbed, contexts: FormContexts) -> TestbedRecord:
    """Return the testbed's part of a result; an item is a noun in a frame."""
    shared = testbed.frame_kind == "shared"
    return TestbedRecord(
        name=testbed.name,
        version=testbed.version,
        hash=testbed.digest(),
        frames=testbed.frame_kind,
        env_form=contexts.form.name,
        n_nouns=len(contexts.nouns),
        n_items=len(contexts.frames) * (len(contexts.nouns) if shared else 1),
        excluded=excluded_nouns(testbed, contexts.form, contexts.left_out),
    )


def unknown_record(info: ModelInfo, contexts: FormContexts) -> UnknownWords | None:
    """Count a form's prompt words that the tokenizer does not know; None where it knows every word."""
    if info.unknown is None:
        return None
    index = matched_prompts(contexts)[0].tolist()
    prompts = words = of_words = 0
    for row in (contexts.rows[i] for i in index):
        found = row.ids.count(info.unknown)
        prompts += found > 0
        words += found
        of_words += len(row) - sum(b - a for a, b in row.image_spans)
    return UnknownWords(prompts=prompts, of_prompts=len(index), words=words, of_words=of_words)


def environment_record(device: str, seeds: tuple[int, ...], seconds: float | None) -> EnvironmentRecord:
    """Return versions, device, seeds and time; the commit where the package runs from a git checkout."""
    versions = {"python": platform.python_version(), **installed_versions(PACKAGES)}
    return EnvironmentRecord(versions=versions, device=device, seeds=seeds, seconds=seconds, git=_commit())


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
