"""SurprisalTables and results with known properties."""

from __future__ import annotations

import numpy as np

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.results.run import EnvironmentRecord, FormRecord, ModelRecord, Result, TestbedRecord


def shared_table(s: np.ndarray, categories: tuple[str, ...] | None = None, form: str = "word") -> SurprisalTable:
    """A table of shared frames from S[n, u, v]; every row present."""
    n, v, _ = s.shape
    frame, env, target = (i.ravel() for i in np.indices(s.shape))
    return SurprisalTable(
        form=form,
        frame_kind="shared",
        nouns=tuple(f"noun{i}" for i in range(v)),
        categories=categories or tuple(f"cat{i % 3}" for i in range(v)),
        frames=tuple(f"frame{i}" for i in range(n)),
        frame_nouns=np.full(n, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=s.ravel().astype(np.float64),
    )


def per_noun_table(s: np.ndarray, owners: np.ndarray, form: str = "token") -> SurprisalTable:
    """A table of per-noun frames from S[f, u]: the surprisal of the frame's own noun when u is shown."""
    frame, env = (i.ravel() for i in np.indices(s.shape))
    v = s.shape[1]
    return SurprisalTable(
        form=form,
        frame_kind="per-noun",
        nouns=tuple(f"noun{i}" for i in range(v)),
        categories=tuple(f"cat{i % 3}" for i in range(v)),
        frames=tuple(f"frame{i}" for i in range(len(owners))),
        frame_nouns=np.asarray(owners),
        frame=frame,
        env=env,
        target=np.asarray(owners)[frame],
        surprisal=s.ravel().astype(np.float64),
    )


def random_surprisals(rng: np.random.Generator, n: int, v: int, gain: float = 1.0) -> np.ndarray:
    """S[n, u, v] with noun and frame variance, whose matched entries are lower by about `gain`."""
    s = 8 + rng.normal(size=(n, v, v)) + rng.normal(size=(n, 1, v))
    seen = np.arange(v)
    s[:, seen, seen] -= gain + 0.5 * rng.normal(size=v) + 0.2 * rng.normal(size=(n, 1))
    return s


def result_of(table: SurprisalTable, *, hash_: str = "00ff", model: str = "planted", step: int | None = 3) -> Result:
    """The least result.json that a run of this table has."""
    return Result(
        model=ModelRecord(
            name=model, family="none", architecture="none", parameters=0, dtype="float32", fingerprint="f", step=step
        ),
        testbed=TestbedRecord(
            name="planted",
            version="1",
            hash=hash_,
            frames=table.frame_kind,
            env_form=table.form,
            n_nouns=len(table.nouns),
            n_items=len(table.nouns) * len(table.frames),
        ),
        forms=(
            FormRecord(env_form=table.form, n_nouns=len(table.nouns), n_items=len(table.nouns) * len(table.frames)),
        ),
        environment=EnvironmentRecord(versions={}, device="cpu"),
    )
