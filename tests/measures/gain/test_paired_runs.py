"""`groundbench compare`: paired differences of two runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers.simulated_tables import per_noun_table, random_surprisals, result_of, shared_table
from scipy import stats as scipy_stats
from typer.testing import CliRunner

from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.cli.commands.compare import EPILOG, compare
from groundbench.measures.gain.compare import compare_runs
from groundbench.measures.gain.measure import measure_gain, noun_gains
from groundbench.measures.gain.pairing import pair_rows
from groundbench.results.items import write_items


def save(directory: Path, table: SurprisalTable, **about: object) -> Path:
    result = result_of(table, **about)
    write_items(directory / "items.parquet", [table], result)
    result.save(directory / "result.json")
    return directory


def lowered(table: SurprisalTable, by: float) -> SurprisalTable:
    return replace(table, surprisal=table.surprisal - np.where(table.env == table.target, by, 0.0))


@pytest.fixture
def table() -> SurprisalTable:
    return shared_table(random_surprisals(np.random.default_rng(0), 4, 12))


def test_the_difference_is_a_minus_b_and_paired(tmp_path, table) -> None:
    rng = np.random.default_rng(1)
    better = lowered(table, 0.3)
    better = replace(better, surprisal=better.surprisal + rng.normal(0, 0.01, better.surprisal.size))
    c = compare_runs(save(tmp_path / "a", better, model="A"), save(tmp_path / "b", table, model="B"))
    assert (c.a.model, c.b.model, c.n_nouns, c.n_items, c.n_unpaired) == ("A", "B", 12, 48, 0)
    assert c.a.gain == pytest.approx(measure_gain(better).mean)
    assert c.difference == pytest.approx(c.a.gain - c.b.gain)
    assert c.difference == pytest.approx(0.3, abs=0.01)
    alone = measure_gain(table)
    assert c.ci_high - c.ci_low < 0.1 * (alone.ci_high - alone.ci_low)  # what the runs share cancels
    assert c.p_cluster < 1e-6
    assert sum(n.difference for n in c.by_noun) / 12 == pytest.approx(c.difference)
    back = compare_runs(tmp_path / "b", tmp_path / "a")
    assert (back.difference, back.ci_low, back.p_cluster) == pytest.approx(
        (-c.difference, -c.ci_high, c.p_cluster), abs=2e-3
    )


def test_a_run_does_not_differ_from_itself(tmp_path, table) -> None:
    save(tmp_path, table)
    c = compare_runs(tmp_path, tmp_path / "result.json")
    assert (c.difference, c.ci_low, c.ci_high, c.p_cluster, c.p_signflip) == (0.0, 0.0, 0.0, 1.0, 1.0)


def test_only_rows_both_hold_are_compared(tmp_path, table) -> None:
    fewer = lowered(table, 0.5)
    keep = (fewer.frame != 2) & (fewer.env != 3) & (fewer.target != 3)
    fewer = replace(fewer, **{c: getattr(fewer, c)[keep] for c in ("frame", "env", "target", "surprisal")})
    c = compare_runs(save(tmp_path / "a", table), save(tmp_path / "b", fewer))
    assert c.difference == pytest.approx(-0.5)
    assert (c.n_nouns, c.n_items) == (11, 33)
    assert c.n_unpaired == (~keep).sum()
    assert c.by_noun[3].difference is None


def test_failed_items_drop_out_of_both(tmp_path, table) -> None:
    values = table.surprisal.copy()
    values[5] = np.nan
    c = compare_runs(save(tmp_path / "a", lowered(replace(table, surprisal=values), 0.5)), save(tmp_path / "b", table))
    assert c.difference == pytest.approx(0.5)
    assert (c.a.n_failed, c.b.n_failed) == (1, 0)


def test_a_row_that_failed_in_one_table_counts_in_neither(table) -> None:
    broken = [table.surprisal.copy(), table.surprisal.copy()]
    broken[0][5] = broken[1][9] = np.nan
    for paired in pair_rows(*(replace(table, surprisal=s) for s in broken)):
        assert np.flatnonzero(np.isnan(paired.surprisal)).tolist() == [5, 9]


def test_rows_are_paired_by_name_not_by_position(table) -> None:
    rng = np.random.default_rng(2)
    nouns, frames = rng.permutation(12), rng.permutation(4)
    moved = shared_table(table.dense()[frames][:, nouns][:, :, nouns])
    moved = replace(
        moved,
        nouns=tuple(table.nouns[i] for i in nouns),
        categories=tuple(table.categories[i] for i in nouns),
        frames=tuple(table.frames[i] for i in frames),
    )
    one, two = pair_rows(table, moved)
    assert np.array_equal(one.dense(), table.dense())
    assert np.array_equal(two.dense(), table.dense())


def test_per_noun_frames_are_compared_by_noun(tmp_path) -> None:
    table = per_noun_table(np.random.default_rng(3).normal(8, 1, (20, 5)), np.arange(20) % 5)
    c = compare_runs(save(tmp_path / "a", lowered(table, 0.2)), save(tmp_path / "b", table))
    assert c.difference == pytest.approx(0.2)
    assert c.n_items == 20
    other = replace(table, surprisal=np.random.default_rng(4).normal(8, 1, 100))
    apart = compare_runs(tmp_path / "b", save(tmp_path / "c", other))
    expected = scipy_stats.ttest_1samp(noun_gains(table) - noun_gains(other), 0).pvalue
    assert apart.p_cluster == pytest.approx(expected)


def test_runs_that_cannot_be_compared_are_refused(tmp_path, table) -> None:
    a = save(tmp_path / "a", table, hash_="aaaa")
    with pytest.raises(BadInputError, match=r"different testbeds, planted 1 \(aaaa\) and planted 1 \(bbbb\)"):
        compare_runs(a, save(tmp_path / "b", table, hash_="bbbb"))
    other = save(tmp_path / "c", replace(table, form="gloss"), hash_="aaaa")
    with pytest.raises(BadInputError, match="headline different ENV forms, 'word' and 'gloss'"):
        compare_runs(a, other)
    with pytest.raises(BadInputError, match="no items of the form 'word', only gloss"):
        compare_runs(a, other, form="word")
    apart = save(tmp_path / "d", replace(table, frames=tuple("wxyz")), hash_="aaaa")
    with pytest.raises(BadInputError, match="no item of the form 'word' in common"):
        compare_runs(a, apart)
    with pytest.raises(BadInputError, match="no such result file"):
        compare_runs(a, tmp_path / "nowhere")


@pytest.fixture
def program() -> typer.Typer:
    app = typer.Typer()
    app.command("compare", epilog=EPILOG)(compare)
    return app


def test_the_command_prints_a_table_or_json(tmp_path, table, program) -> None:
    a, b = save(tmp_path / "a", lowered(table, 0.25), model="better"), save(tmp_path / "b", table, model="worse")
    shown = CliRunner().invoke(program, [str(a), str(b), "--by-noun"])
    assert shown.exit_code == 0
    for text in ("better", "worse", "A - B", "0.250", "noun11", "clustered by noun and frame"):
        assert text in shown.stdout
    written = CliRunner().invoke(program, [str(a), str(b), "--json", "--resamples", "100"])
    assert json.loads(written.stdout)["difference"] == pytest.approx(0.25)


def test_the_command_says_what_it_left_out(tmp_path, table, program) -> None:
    values = table.surprisal.copy()
    values[5] = np.nan
    a, b = save(tmp_path / "a", replace(table, surprisal=values)), save(tmp_path / "b", table)
    assert "1 surprisals of A could not be measured" in CliRunner().invoke(program, [str(a), str(b)]).stdout
