"""Signals against length and entropy on the same answers: the paired test by brute force, its level, its power."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import special

from groundbench.screening.paired_signals import against_baselines, best_of
from groundbench.stats.error_ranking import auroc, auroc_gap_p


def delong(one: np.ndarray, other: np.ndarray, error: np.ndarray) -> float:
    """The textbook's covariance of placement values, pair by pair."""
    placed = []
    for risk in (one, other):
        wrong, right = risk[error][:, None], risk[~error][None]
        above = (wrong > right) + 0.5 * (wrong == right)
        placed.append((above.mean(1), above.mean(0), above.mean()))
    (a, b, first), (c, d, second) = placed
    variance = (a - c).var(ddof=1) / len(a) + (b - d).var(ddof=1) / len(b)
    return float(2 * special.stdtr(min(len(a), len(b)) - 1, -abs(first - second) / variance**0.5))


def test_the_paired_test_is_delongs_without_groups() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        error = rng.random(300) < 0.4
        one, other = (rng.normal(size=300) + k * error for k in (0.8, 0.5))
        assert auroc_gap_p(one, other, error, np.arange(300)) == pytest.approx(delong(one, other, error), rel=0.05)
    assert auroc_gap_p(one, one, error, np.arange(300)) == 1.0
    assert auroc_gap_p(one, other, np.zeros(300, bool), np.arange(300)) is None


def test_the_paired_test_keeps_its_level_in_grouped_answers() -> None:
    """Both risks are as good as each other, and share a part that a whole group has."""
    rng, group = np.random.default_rng(1), np.repeat(np.arange(60), 4)
    fired = []
    for _ in range(600):
        shared = rng.normal(size=60)[group]
        error = rng.normal(size=60)[group] + rng.normal(size=240) > 0
        one, other = (0.5 * error + shared + rng.normal(size=60)[group] + rng.normal(size=240) for _ in range(2))
        fired.append(auroc_gap_p(one, other, error, group) < 0.05)  # type: ignore[operator]
    assert 0.02 <= np.mean(fired) <= 0.08


def written(path: Path, seed: int, *, permuted: bool = False) -> Path:
    """Answers whose `ipr` finds errors, whose `sink` does not, and whose length is one number throughout."""
    rng = np.random.default_rng(seed)
    n = 240
    error = rng.random(n) < 0.5
    told = rng.permutation(error) if permuted else error
    columns = {
        "group": [f"g{i // 2}" for i in range(n)],
        "kind": ["even" if i % 2 else "odd" for i in range(n)],
        "split": [("detect", "fit", "fit", "test", "test")[i // 2 % 5] for i in range(n)],
        "wrong": told.tolist(),
        "risk_ipr": (2.0 * error + rng.normal(size=n)).tolist(),
        "risk_sink": rng.normal(size=n).tolist(),
        "risk_lookback": [None if i % 7 == 0 else float(3 * e + rng.normal()) for i, e in enumerate(error)],
        "risk_entropy": rng.normal(size=n).tolist(),
        "risk_length": [1.0] * n,
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_a_planted_signal_beats_entropy_and_noise_does_not(tmp_path: Path) -> None:
    found = against_baselines(written(tmp_path / "a.parquet", 0))
    assert {(f.signal, f.baseline) for f in found} == {(s, "entropy") for s in ("ipr", "sink", "lookback")}
    assert best_of(found) == (["ipr", "lookback"], ["sink"])
    fitted = next(f for f in found if f.signal == "lookback")
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    at = [i for i, s in enumerate(table["split"]) if s == "test" and table["risk_lookback"][i] is not None]
    assert fitted.gap.n == len(at)
    assert all(f.p_holm >= f.p for f in found)  # type: ignore[operator]


@pytest.mark.slow
def test_with_permuted_labels_hardly_anything_beats_entropy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 screenings in which labels were permuted at most 8 % call any signal better than entropy."""
    monkeypatch.setattr("groundbench.stats.grouped.RESAMPLES", 100)
    calls = [
        bool(best_of(against_baselines(written(tmp_path / "a.parquet", seed, permuted=True)))[0]) for seed in range(200)
    ]
    assert np.mean(calls) <= 0.08


def test_one_answer_more_or_less_is_paired_by_answer(tmp_path: Path) -> None:
    """The gap is the difference of the AUROCs on the answers that both have."""
    found = {f.signal: f for f in against_baselines(written(tmp_path / "a.parquet", 4))}
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    gaps, pairs = 0.0, 0
    for kind in ("even", "odd"):
        at = [i for i, s in enumerate(table["split"]) if s != "detect" and table["kind"][i] == kind]
        error = np.array(table["wrong"])[at]
        one, other = (auroc(np.array(table[f"risk_{n}"])[at], error) for n in ("ipr", "entropy"))
        weight = int(error.sum() * (~error).sum())
        gaps, pairs = gaps + weight * (one - other), pairs + weight  # type: ignore[operator]
    assert found["ipr"].gap.value == pytest.approx(gaps / pairs, abs=1e-12)
