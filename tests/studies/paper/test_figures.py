"""The figures draw R² of every model, heads of those that have some, and the effect of cutting them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.planted_runs import cut_in, planted

from groundbench.report.sections import seeds
from groundbench.studies.paper import page
from groundbench.studies.paper.figures import Drawn, write_figures

LONG = "lstm-4l-residual-mini-lr0.001"
RUNS = (planted(), planted(LONG, "groundbench_lstm"))


def test_r2_of_an_lstm_is_drawn_and_tabled_and_its_heads_are_not(tmp_path: Path) -> None:
    write_figures(RUNS, tmp_path)
    drawn = {name: (tmp_path / f"all-{name}.svg").read_text() for name in ("r2", "heads")}
    assert [f">{LONG}<" in text for text in drawn.values()] == [True, False]
    study = page.Study(RUNS, (), None, (), 0)
    models = {t.caption.split()[0]: {row[0] for row in t.rows} for t in study.evidence()}
    assert models["Adjusted"] == {"gpt2", LONG}
    assert LONG not in models["Aggregate"]


def test_cuts_of_both_kinds_are_drawn_and_the_document_says_which_and_of_how_many_seeds(tmp_path: Path) -> None:
    run = cut_in(planted(), [1])
    written = write_figures([run], tmp_path)
    assert {d.file for d in written["gpt2"] if "ablation" in d.file} == {
        f"gpt2-ablation{kind}.svg" for kind in ("", "-gain", "-item", "-item-gain")
    }
    text = page.markdown(page.Study((run,), (), None, (), 0), written, "images")
    after = {d.file: text.split(f"images/{d.file})")[1].split("![")[0] for d in written["gpt2"]}
    crossfit, item = after["gpt2-ablation.svg"], after["gpt2-ablation-item.svg"]
    assert (
        "cross-fitted.* Cut are heads found in other items. There were heads to cut in fewer than all seeds: 1 of 3 at"
        in crossfit
    )
    assert "as published (selection-biased)" in item
    assert "fewer" not in item
    assert after["gpt2-surprisal.svg"].strip() == ""


@pytest.mark.parametrize(("selection", "drawn"), [("crossfit", False), ("instance", True)])
def test_where_no_head_is_found_in_other_items_those_of_the_item_are_drawn(selection: str, drawn: bool) -> None:
    run = planted()
    for p in (p for t in run.trajectories for p in t.points):
        kept = tuple(a for a in p.result.ablations if a.selection == "instance")
        object.__setattr__(p, "result", p.result.with_headline(ablations=kept))
    figure = seeds.ablation_figure(cut_in(run, [0, 1, 2]).mean, of_gain=True, selection=selection)
    assert (figure is not None) == drawn


def test_the_document_sets_a_captioned_plot_apart() -> None:
    found = [Drawn("a", "a.svg"), Drawn("b", "b.svg", "Of b."), Drawn("c", "c.svg")]
    assert page._images(found, "x") == ["![a](x/a.svg)", "![b](x/b.svg)\n\n*b.* Of b.", "![c](x/c.svg)"]
