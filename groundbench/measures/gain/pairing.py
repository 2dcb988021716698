"""Two SurprisalTables on the same rows, so that differences between them are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable

Ints = npt.NDArray[np.int64]


def pair_rows(a: SurprisalTable, b: SurprisalTable) -> tuple[SurprisalTable, SurprisalTable]:
    """Return both tables cut to the (frame, env, target) rows that both hold, in one order and under `a`'s names.

    Nouns and frames are matched by name. A row that failed in one table is set to NaN in both: a gain is never
    taken over other mismatches on one side than on the other.
    """
    frame_of = _positions(b.frames, a.frames)
    noun_of = _positions(b.nouns, a.nouns)
    frame, env, target = frame_of[b.frame], noun_of[b.env], noun_of[b.target]
    known = np.flatnonzero((frame >= 0) & (env >= 0) & (target >= 0))
    n = len(a.nouns)
    keys_a = (a.frame * n + a.env) * n + a.target
    keys_b = ((frame * n + env) * n + target)[known]
    _, rows_a, rows_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    one, two = a.surprisal[rows_a], b.surprisal[known[rows_b]]
    failed = np.isnan(one) | np.isnan(two)
    kept = replace(
        a,
        frame=a.frame[rows_a],
        env=a.env[rows_a],
        target=a.target[rows_a],
        surprisal=np.where(failed, np.nan, one),
    )
    return kept, replace(kept, surprisal=np.where(failed, np.nan, two))


def _positions(names: tuple[str, ...], among: tuple[str, ...]) -> Ints:
    """Return the position of each name among others; -1 if it is none."""
    where = {name: i for i, name in enumerate(among)}
    return np.array([where.get(name, -1) for name in names], dtype=np.int64)
