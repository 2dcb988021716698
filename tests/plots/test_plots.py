"""Figures show the numbers of the results they are drawn from; what was not measured is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers.fake_results import fake_result, fake_trajectory
from helpers.small_models import tiny_llama

import groundbench
from groundbench.api.errors import BadInputError

pytest.importorskip("matplotlib")
FIGURES = ("ablation", "gain", "heads", "ladder", "lens")


@pytest.fixture(scope="module")
def result():
    return fake_result(0)


def points(axes) -> list[tuple[float, float]]:
    return [tuple(xy) for c in axes.collections for xy in np.asarray(c.get_offsets()).tolist()]


def test_gain_shows_every_nouns_gain_and_the_mean(result) -> None:
    axes = groundbench.plots.gain(result).axes[0]
    gains = sorted(n.gain for n in result.gain.by_noun if n.gain is not None)
    assert [x for x, _ in points(axes)] == pytest.approx(gains)
    assert result.gain.mean in [line.get_xdata()[0] for line in axes.lines]
    assert len(axes.get_yticklabels()) == len(gains)


def test_ladder_shows_every_form(result) -> None:
    axes = groundbench.plots.ladder(result).axes[0]
    forms = [f for f in result.forms if f.gain is not None] or [result]
    assert sorted(x for x, _ in points(axes)) == pytest.approx(sorted(f.gain.mean for f in forms))


def test_heads_shows_rates_by_layer_and_head(result) -> None:
    image = groundbench.plots.heads(result).axes[0].images[0].get_array()
    for head in result.heads[0].by_head:
        assert image[head.layer - 1, head.head] == pytest.approx(head.rate)
    assert image.shape[0] == max(m.layer for m in result.model.mixers)


def test_lens_shows_every_layer(result) -> None:
    axes = groundbench.plots.lens(result).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["matched"] == pytest.approx([row.matched for row in result.lens[0].layers])


def test_ablation_shows_what_is_left_and_every_draw(result) -> None:
    xs = [x for x, _ in points(groundbench.plots.ablation(result).axes[0])]
    for record in result.ablations:
        for value in (record.gain_ablated, *record.gain_control_draws):
            assert any(x == pytest.approx(value) for x in xs)


def test_trajectory_shows_every_checkpoint_of_one_or_several_runs() -> None:
    runs = [fake_trajectory(0), fake_trajectory(1, name="other", final=0.1)]
    one = groundbench.plots.trajectory(runs[0]).axes[0].lines[1]
    assert list(one.get_xdata()) == [p.step for p in runs[0].points]
    assert list(one.get_ydata()) == pytest.approx([p.result.gain.mean for p in runs[0].points])
    both = groundbench.plots.trajectory(runs).axes[0]
    assert [t.get_text() for t in both.get_legend().get_texts()] == ["gpt2-mini", "other"]


@pytest.mark.parametrize("name", FIGURES)
def test_what_was_not_measured_is_refused_and_never_drawn_as_0(name, result) -> None:
    bare = result.headline.model_copy(update={"gain": None, "heads": (), "ablations": (), "lens": ()})
    empty = result.model_copy(update={"forms": (bare,)})
    with pytest.raises(BadInputError, match="not measured"):
        getattr(groundbench.plots, name)(empty)


@pytest.mark.parametrize("name", ["ablation", "gain", "heads", "lens"])
def test_an_unknown_form_is_named(name, result) -> None:
    with pytest.raises(BadInputError, match="has no form 'semaphore'"):
        getattr(groundbench.plots, name)(result, form="semaphore")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_and_can_be_part_of_others(name, result, tmp_path) -> None:
    from matplotlib.figure import Figure

    getattr(groundbench.plots, name)(result).savefig(tmp_path / "one.svg")
    assert (tmp_path / "one.svg").stat().st_size > 1000
    mine = Figure()
    left, _ = mine.subplots(1, 2)
    assert getattr(groundbench.plots, name)(result, ax=left) is mine


def test_prompts_and_texts_have_figures_too(tmp_path) -> None:
    model = tiny_llama()
    groundbench.plots.heads(groundbench.heads(model, "the cat sees it", "cat", "cat")).savefig(tmp_path / "heads.svg")
    groundbench.plots.lens(groundbench.lens(model, "pay $5 or $6 now")).savefig(tmp_path / "lens.svg")


def test_matplotlib_is_imported_late_and_pyplot_never() -> None:
    code = (
        "import sys, groundbench.plots; assert not [m for m in sys.modules if m.startswith(('matplotlib', 'torch.'))]"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    code = (
        "import sys; sys.path.insert(0, 'tests'); from helpers.fake_results import fake_result; import groundbench;"
        "groundbench.plots.gain(fake_result(0)); assert 'matplotlib.pyplot' not in sys.modules"
    )
    from helpers.source_tree import ROOT

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
