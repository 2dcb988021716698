"""The section on causes: what it says, draws and lists, from records made by hand and from a measured circuit."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.fake_results import fake_causal, fake_result, fake_trajectory

from groundbench.report.pages import render_run, render_trajectories
from groundbench.report.sections.causal import causal_section
from groundbench.report.sections.training_causal import causes_over_training
from groundbench.results.causal import Interval
from groundbench.results.run import Result
from groundbench.results.text.numbers import count, percent
from groundbench.results.text.sentences import carried_sentence


def _with(records: tuple, result: Result | None = None) -> Result:
    return (result or fake_result(0)).model_copy(update={"causal": records})


def test_the_headline_says_how_few_heads_carry_how_much() -> None:
    told = carried_sentence(fake_causal("word", recovered=0.94))
    assert "10 of 270 heads carry 94" in told
    assert "as many random heads of the same layers carry 1" in told
    assert "rank p = 0.048" in told


def test_random_heads_that_push_against_the_noun_carry_no_negative_share() -> None:
    record = fake_causal("word", recovered=0.94)
    against = tuple(i.model_copy(update={"random_recovered": (-0.6, -1.0)}) for i in record.interchange)
    told = carried_sentence(record.model_copy(update={"interchange": against}))
    assert "as many random heads of the same layers make the noun less likely, by 80" in told


def test_nothing_to_carry_is_said() -> None:
    record = fake_causal("emoji", recovered=None)
    assert "there is nothing to carry" in carried_sentence(record)
    page = render_run(_with((record,)))
    assert "there is nothing to carry" in page


def test_the_page_shows_every_figure_and_the_matrix() -> None:
    records = tuple(fake_causal(form, recovered=0.9, others=("word", "gloss")) for form in ("word", "gloss"))
    section = causal_section(fake_result(0).model, records)
    titles = [f.title for f in section.figures]
    assert titles == [
        "How few heads are enough",
        "Where the noun is read",
        "Do heads carry the noun or the token?",
        "Are they induction heads?",
        "Every head",
    ]
    matrix = section.figures[2].table
    assert [r[0] for r in matrix.rows] == ["word", "gloss"]
    assert len(section.tables[0].rows) == 2
    page = render_run(_with(records))
    assert "Which heads carry it" in page


def test_a_matrix_says_why_a_cell_is_empty_and_is_not_drawn_without_one() -> None:
    record = fake_causal("word", recovered=0.9, others=("word", "gloss"))
    cells = [c.model_copy(update={"recovered": Interval(value=None)}) for c in record.matrix]
    half = record.model_copy(update={"matrix": (record.matrix[0], cells[1])})
    whole, some, none = (
        next((f for f in causal_section(fake_result(0).model, (r,)).figures if "the token" in f.title), None)
        for r in (record, half, record.model_copy(update={"matrix": tuple(cells)}))
    )
    assert none is None
    assert some is not None
    assert "Dashed: not measured" in some.caption
    assert whole is not None
    assert "Dashed" not in whole.caption


def test_what_was_not_measured_is_said() -> None:
    assert "--measure gain,causal" in causal_section(fake_result(0).model, ()).missing
    without = fake_result(0).model.model_copy(update={"mixers": ()})
    assert "no heads" in causal_section(without, ()).missing


def test_a_record_without_curves_or_random_draws_is_shown() -> None:
    record = fake_causal("word", recovered=0.9).model_copy(update={"curves": (), "knockout": (), "identity": ()})
    headline = record.interchange[0].model_copy(update={"random_recovered": (), "recovered": Interval(value=0.9)})
    record = record.model_copy(update={"interchange": (headline,)})
    assert "10 of 270 heads carry 90" in render_run(_with((record,)))


def test_zeroing_that_shows_nothing_is_named() -> None:
    record = fake_causal("word", recovered=0.9)
    for zeroed, told in ((0.0, True), (3.0, False), (None, False)):
        scores = (record.scores[0].model_copy(update={"zeroed": zeroed}), *record.scores[1:])
        notes = causal_section(fake_result(0).model, (record.model_copy(update={"scores": scores}),)).notes
        assert any("cutting heads misleads here" in n for n in notes) == told


@pytest.mark.parametrize("name", ["causal_curve", "knockout", "head_identity", "cross_form"])
def test_figures_of_causes(name: str) -> None:
    pytest.importorskip("matplotlib")
    import groundbench.plots
    from groundbench.api.errors import BadInputError

    records = tuple(fake_causal(form, recovered=0.9, others=("word", "gloss")) for form in ("word", "gloss"))
    axes = getattr(groundbench.plots, name)(_with(records)).axes[0]
    if name == "causal_curve":
        drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        curve = records[0].curves[0]
        assert drawn[curve.ranking] == pytest.approx([p.f for p in curve.points])
    if name == "cross_form":
        image = axes.images[0].get_array()
        assert image[0, 1] == pytest.approx(records[0].matrix[1].recovered.value)
    with pytest.raises(BadInputError, match="--measure causal"):
        getattr(groundbench.plots, name)(_with(()))


def test_results_with_causes_are_read_back(tmp_path: Path) -> None:
    result = _with((fake_causal("word", recovered=0.9),))
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path) == result


def test_over_training_one_sees_when_a_few_heads_take_over() -> None:
    run = fake_trajectory(0)
    assert "--measure gain,heads,causal" in causes_over_training([run]).missing
    at = {600: None, 1000: 0.5, 2000: 0.94}
    points = tuple(
        p
        if p.step not in at
        else p.model_copy(update={"result": _with((fake_causal("word", recovered=at[p.step]),), p.result)})
        for p in run.points
    )
    measured = run.model_copy(update={"points": points})
    (figure,) = causes_over_training([measured, fake_trajectory(1, name="null")]).figures
    assert [row[0] for row in figure.table.rows] == [count(step) for step in at]
    assert [row[3] for row in figure.table.rows] == [None, percent(0.5), percent(0.94)]
    page = render_trajectories([measured])
    assert "How few heads carry it, over training" in page
    assert f"At the end 10 of 270 heads recover {percent(0.94)} of the gain" in page
