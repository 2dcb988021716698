"""Tables and plots say of which seeds their numbers are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.planted_runs import cut_in, planted

from groundbench.report.elements import Table
from groundbench.report.sections import seeds
from groundbench.studies.paper import image_page as image_page
from groundbench.studies.paper import paper_tables, tables
from groundbench.studies.paper.measure import Measured


def rows(table: Table) -> list[dict[str, str | None]]:
    return [dict(zip(table.head, row, strict=True)) for row in table.rows]


def test_what_all_seeds_share_has_no_interval() -> None:
    run = planted()
    for t in run.trajectories:
        object.__setattr__(t.points[-1].result.heads[0], "untrained_count", 0.1)
    run = cut_in(run, [0, 1, 2])
    last = rows(paper_tables.heads_table([run]))[-1]
    assert (last["Untrained"], last["Heads"]) == ("0.10", "5.00 [4.95, 5.05]")


def shifted(selection: str) -> Measured:
    """Three seeds of unlike untouched gain and surprisal; in only the second were heads cut at the end."""
    run = planted()
    for i, t in enumerate(run.trajectories):
        for record in t.points[-1].result.ablations:
            object.__setattr__(record, "gain_original", 1.0 + i)
            object.__setattr__(record, "original", 5.0 + i)
            object.__setattr__(record, "n_heads", 2.0)
        object.__setattr__(t.points[-1].result.heads[0], "mean_count", 3.0 + i)
    return cut_in(run, [1], selection)


def test_a_row_of_cross_fitted_cuts_is_of_the_seeds_that_were_cut() -> None:
    found = rows(tables.crossfit_table([shifted("crossfit")]))
    last = next(r for r in found if (r["Step"], r["Heads by"]) == ("4\u2009000", "aggregate, row"))
    assert (last["Seeds"], last["Heads cut"], last["Gain"], last["Gain, cut"]) == ("1 of 3", "2.00", "2.00", "0.20")
    before = next(r for r in found if r["Step"] == "2\u2009000")
    assert before["Seeds"] == "3"
    assert before["Gain, cut"] == "0.50 [0.45, 0.55]"


def test_a_row_beside_the_papers_is_of_the_seeds_that_were_cut() -> None:
    last = rows(paper_tables.paper_table([shifted("instance")]))[-1]
    assert (last["Seeds"], last["Heads"], last["Original"], last["Ablated"]) == ("1 of 3", "4.00", "6.00", "6.00")
    none = rows(paper_tables.paper_table([cut_in(planted(), [], "instance")]))[-1]
    assert (none["Seeds"], none["Ablated"], none["Heads"]) == ("0", None, "5.00 [4.95, 5.05]")


def test_the_pictures_table_says_in_how_many_seeds_heads_were_cut() -> None:
    run = cut_in(planted("vlm", "llava"), [1, 2])
    assert rows(image_page.images_table([run]))[0]["Seeds cut"] == "2 of 3"


@pytest.mark.parametrize(("unit", "name", "value"), [("gain", "gain_original", 2.0), ("matched", "original", 6.0)])
def test_untouched_is_drawn_of_the_seeds_that_were_cut(unit: str, name: str, value: float) -> None:
    cut = seeds.cut_of(shifted("crossfit").mean.last)
    assert cut is not None
    assert cut.cut == (False, True, False)
    untouched = getattr(cut, name)
    assert (untouched.mean, untouched.values) == (value, (None, value, None))


@pytest.mark.parametrize(("seconds", "minutes"), [((90,), "1.5"), ((90, 30), "2.0"), ((), None)])
def test_a_short_training_is_told_in_minutes(tmp_path: Path, seconds: Sequence[int], minutes: str | None) -> None:
    for i, spent in enumerate(seconds):
        (tmp_path / f"seed-{i}").mkdir()
        row = {"tokens": 1000, "tokens_per_second": 1000 / spent}
        (tmp_path / f"seed-{i}" / "log.jsonl").write_text(json.dumps(row) + "\n")
    run = planted()
    logged = replace(run.run, seeds=tuple(tmp_path / f"seed-{i}" for i in range(len(seconds))))
    assert rows(tables.models_table([replace(run, run=logged)]))[0]["Minutes, all seeds"] == minutes
