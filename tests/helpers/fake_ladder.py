"""Ladder results with synthetic surprisals on the installed ladder, for tests only: no model gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.reference import TestbedReference, installed_references
from groundbench.measures.gain.ladder_score import ladder_score
from groundbench.measures.gain.measure import measure_gain
from groundbench.results.items import write_items
from groundbench.results.run import EnvironmentRecord, FormRecord, ModelRecord, Result, TestbedRecord
from helpers.submissions import CARD

FORMS = ("word", "gloss", "translation-fr", "translation-zh", "emoji")
RESAMPLES = 500


def ladder() -> TestbedReference:
    """The installed ladder."""
    return next(iter(installed_references("ladder", "1").values()))


def ladder_table(bed: TestbedReference, form: str, gain: float, seed: int) -> SurprisalTable:
    """A form's surprisals whose gain is about `gain` nats, with effects of nouns and frames."""
    about = bed.forms[form]
    n, k = len(about.nouns), len(about.frames)
    rng = np.random.default_rng([seed, list(bed.forms).index(form)])
    frame, env, target = (i.ravel() for i in np.indices((k, n, n)))
    noun = gain * (1 + 0.25 * rng.standard_normal(n))
    each = 0.08 * gain * rng.standard_normal(k)
    s = 9.5 + 0.3 * rng.standard_normal(n)[target] + 0.15 * rng.standard_normal(len(frame))
    s -= np.where(env == target, noun[target] + each[frame], 0.0)
    return SurprisalTable(
        form=form,
        frame_kind=bed.frames,
        nouns=about.nouns,
        categories=about.categories,
        frames=about.frames,
        frame_nouns=np.full(k, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=np.maximum(s, 0.01),
    )


def write_ladder(
    entries: Path, slug: str, gains: Mapping[str, float], seed: int = 0, size: int = 10**8, family: str = "llama"
) -> Path:
    """A submission of a ladder with its items; `gains` in nats by form, `word` first."""
    bed = ladder()
    tables = [ladder_table(bed, form, gain, seed) for form, gain in gains.items()]
    result = ladder_result(bed, tables, slug, seed, size, family)
    folder = entries / slug
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(CARD.format(name=slug.replace("-", " ").title()))
    result.save(folder / "ladder" / "result.json")
    write_items(folder / "ladder" / "items.parquet", tables, result)
    return folder


def ladder_result(
    bed: TestbedReference, tables: Sequence[SurprisalTable], name: str, seed: int, size: int, family: str
) -> Result:
    """The result that these tables give."""
    records = [
        FormRecord(
            env_form=t.form,
            n_nouns=len(t.nouns),
            n_items=len(t.nouns) * len(t.frames),
            gain=measure_gain(t, n_resamples=RESAMPLES),
        )
        for t in tables
    ]
    head = tables[0]
    missing = {f: "not measured" for f in FORMS if f not in [t.form for t in tables]}
    return Result(
        model=ModelRecord(
            name=name,
            family=family,
            architecture="LlamaForCausalLM",
            parameters=size,
            dtype="float32",
            fingerprint=f"sha256:{name}",
        ),
        testbed=TestbedRecord(
            name=bed.name,
            version=bed.version,
            hash=bed.hash,
            frames=bed.frames,
            env_form=head.form,
            n_nouns=len(head.nouns),
            n_items=len(head.nouns) * len(head.frames),
        ),
        forms=tuple(records),
        ladder_score=ladder_score(tables, unmeasured=missing, n_resamples=RESAMPLES),
        protocol={"mismatches": "all", "seed": 0},
        environment=EnvironmentRecord(versions={}, device="cpu", seeds=(0,)),
    )
