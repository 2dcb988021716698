"""One seed and one token budget reach every measure, and defaults by the model are resolved once and recorded."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

import pytest
from helpers.lens_testbed import WordTestbed
from helpers.planted import PlantedTestbed, single_head
from helpers.planted_vlm import PatchTestbed, planted_vlm
from helpers.tiny_models import tiny_adapter

from groundbench.adapters.huggingface import open_causal
from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.evaluation import defaults, measures
from groundbench.evaluation.dry_run import COSTS, dry_run
from groundbench.evaluation.evaluate import evaluate
from groundbench.evaluation.measures import MEASURES
from groundbench.evaluation.options import Options
from groundbench.evaluation.trajectory import TrajectoryOptions
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.lens.options import LensOptions

OPTIONS: dict[str, Any] = {
    "heads": HeadOptions(untrained_items=10, swept_items=6),
    "ablation": AblationOptions(draws=2, instance_draws=2, nouns=6),
    "causal": CausalOptions(nouns=8, frames=1, draws=2, random_orders=1, exact_pairs=2, points=1),
    "lens": LensOptions(steps=3, positions=64, batch_positions=8),
    "image": ImageOptions(items=5),
}
FIELD = {"ablation": "ablations"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Adapter, Any]]:
    """For each measure a model and a testbed with which something is drawn."""
    text = open_causal(str(single_head(tmp_path_factory.mktemp("planted")).folder))
    image = planted_vlm(tmp_path_factory.mktemp("image"))
    return {
        "gain": (text, PlantedTestbed()),
        "heads": (text, PlantedTestbed()),
        "ablation": (text, PlantedTestbed()),
        "causal": (text, PlantedTestbed()),
        "lens": (tiny_adapter("gpt2"), WordTestbed()),
        "image": (image, PatchTestbed()),
    }


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_the_seed_of_the_run_reaches_every_measure(name: str, cases: dict[str, tuple[Adapter, Any]]) -> None:
    adapter, bed = cases[name]

    def record(seed: int) -> Any:
        result = evaluate(adapter, bed, measures=(name,), seed=seed, **OPTIONS)
        return getattr(result, FIELD.get(name, name))

    first, again, other = record(7), record(7), record(8)
    assert first
    assert first == again
    assert first != other


def test_the_seed_reaches_every_draw_of_the_ablation(cases: dict[str, tuple[Adapter, Any]]) -> None:
    adapter, bed = cases["ablation"]

    def nouns(seed: int) -> list[tuple[str, ...]]:
        return [r.nouns for r in evaluate(adapter, bed, measures=("ablation",), seed=seed, **OPTIONS).ablations]

    assert nouns(7) == nouns(7)
    assert nouns(7)[0] != nouns(8)[0]


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_the_token_budget_reaches_every_pass(
    name: str, cases: dict[str, tuple[Adapter, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget of 1 no pass of any measure holds two contexts; each pass of the single heads' sweep edits one."""
    adapter, bed = cases[name]
    wide: list[int] = []

    def spied(of: Any) -> Any:
        def call(rows: Any, *args: Any, **more: Any) -> Any:
            edit = more.get("edit")
            swept = edit is not None and len(edit.scale) == len(rows) and len(set(rows)) == 1
            wide.append(1 if swept else len(rows))
            return of(rows, *args, **more)

        return call

    asked: dict[str, Any] = {"measures": (name,), "batch_tokens": 1, "limit": 8 if name == "causal" else 4}
    asked |= OPTIONS | {"ablation": AblationOptions(draws=1)}
    evaluate(adapter, bed, **asked)  # what the model can do is tried on first use, in batches of its own
    for method in ("forward", "prefill"):
        monkeypatch.setattr(adapter, method, spied(getattr(adapter, method)))
    evaluate(adapter, bed, **asked)
    assert wide
    assert max(wide) == (2 if name == "causal" else 1)  # a donor and its receiver run side by side


def test_nothing_but_the_options_of_a_run_has_a_seed_or_a_budget() -> None:
    for kind in (HeadOptions, AblationOptions, CausalOptions, LensOptions, ImageOptions):
        assert not {"seed", "batch_tokens"} & {f.name for f in fields(kind)}
    assert {"seed", "batch_tokens"} <= {f.name for f in fields(Options)}
    assert issubclass(TrajectoryOptions, Options)


def test_every_option_of_a_run_is_one_of_evaluate() -> None:
    taken = set(inspect.signature(evaluate).parameters)
    assert {f.name for f in fields(Options)} <= taken


@pytest.mark.parametrize("parameters", [1_000_000, 135_000_000])
def test_defaults_leave_nothing_open_and_keep_what_is_given(parameters: int) -> None:
    info = replace(tiny_adapter("gpt2").info, parameters=parameters)
    found = defaults.resolve(Options(), WordTestbed(), info)
    open_fields = [
        (part, f.name)
        for part in ("heads", "ablation", "causal", "lens", "image")
        for f in fields(getattr(found, part))
        if getattr(getattr(found, part), f.name) is None
    ]
    assert open_fields == [("ablation", "rule")]
    assert found.measures is not None
    assert defaults.resolve(found, WordTestbed(), replace(info, parameters=parameters * 1_000)) == found
    given = defaults.resolve(Options(ablation=AblationOptions(draws=3)), WordTestbed(), info)
    assert given.ablation.draws == 3
    assert given.ablation.controls == found.ablation.controls


def test_heads_of_large_models_are_read_in_a_sample_unless_every_item_is_needed() -> None:
    info = tiny_adapter("gpt2").info
    large = replace(info, parameters=135_000_000)
    kept = Options(heads=HeadOptions(items=50))
    for given, facts, wanted in (
        (Options(), info, "all"),
        (Options(), large, defaults.HEAD_ITEMS[1]),
        (kept, large, 50),
        (replace(kept, measures=("ablation",)), large, "all"),
    ):
        assert defaults.resolve(given, WordTestbed(), facts).heads.items == wanted
    assert defaults.resolve(Options(), WordTestbed(), large).causal.rankings == ("share", "contrast")


def test_resolved_options_are_recorded(cases: dict[str, tuple[Adapter, Any]]) -> None:
    adapter, bed = cases["lens"]
    protocol = evaluate(adapter, bed, measures=("gain", "lens"), seed=3, lens=LensOptions(steps=2)).protocol
    assert protocol["seed"] == 3
    assert protocol["lens"]["layers"] == [1, 2, 3]  # type: ignore[index,call-overload]
    assert protocol["lens"]["batch_positions"] == 256  # type: ignore[index,call-overload]


def test_a_measure_that_is_not_resolved_says_so(cases: dict[str, tuple[Adapter, Any]]) -> None:
    with pytest.raises(ValueError, match="draws has no value"):
        AblationOptions().draws_of("layer")


def test_a_measure_that_turns_out_unsupported_is_a_failure_and_keeps_the_others(
    cases: dict[str, tuple[Adapter, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: Any) -> Any:
        raise UnsupportedModelError("no such thing here")

    monkeypatch.setitem(MEASURES, "ablation", replace(MEASURES["ablation"], run=refuse))
    adapter, bed = cases["ablation"]
    result = evaluate(adapter, bed, measures=("heads", "ablation"), **OPTIONS)
    assert [(f.where, f.reason) for f in result.failures] == [("ablation", "no such thing here")]
    assert result.heads
    assert result.ablations == ()


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(BadInputError, match="unknown measure 'nonsense': expected some of gain, heads"):
        Options(measures=("nonsense",))


def test_a_dry_run_counts_the_measures_draws_and_controls_of_the_same_call(
    cases: dict[str, tuple[Adapter, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, bed = cases["ablation"]

    def what(**given: Any) -> list[str]:
        (plan,) = dry_run(adapter, bed, options=Options(measures=("ablation",), ablation=AblationOptions(**given)))
        return [s.what for s in plan.steps if s.measure == "ablation"]

    lines = what(draws=5, controls=("layer",), selections=("crossfit",))
    assert lines == ["crossfit, detected heads (2 definitions)", "crossfit, layer control: 10 draws"]
    assert any("uniform control: 7 draws" in line for line in what(draws=7))
    assert any("uniform control: up to 30 draws" in line for line in what(draws=30))
    assert any("uniform control: 30 draws" in line for line in what(draws=30, every_draw=True))
    (gain,) = dry_run(adapter, bed, options=Options(measures=("gain",)))
    assert [(s.measure, s.passes) for s in gain.steps] == [("gain", gain.contexts)]
    assert set(COSTS) <= set(MEASURES)
    monkeypatch.setitem(MEASURES, "other", measures.Measure(lambda run: {}))
    (other,) = dry_run(adapter, bed, options=Options(measures=("gain", "other")))
    assert [(s.measure, s.passes, s.seconds) for s in other.steps][1:] == [("other", None, None)]


def test_a_dry_run_never_counts_fewer_contexts_than_run(
    cases: dict[str, tuple[Adapter, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, bed = cases["ablation"]
    given = {"measures": ("ablation",), "ablation": AblationOptions(draws=3, instance_draws=3)}
    (plan,) = dry_run(adapter, bed, options=Options(**given))
    scored = []

    def counted(adapter: Any, contexts: Any, **more: Any) -> Any:
        scored.append(len(contexts.distinct))
        return score(adapter, contexts, **more)

    from groundbench.measures.ablation import crossfit, instance

    score = crossfit.score
    monkeypatch.setattr(crossfit, "score", counted)
    monkeypatch.setattr(instance, "score", counted)
    evaluate(adapter, bed, **given)
    counts = [s.passes or 0 for s in plan.steps if s.measure == "ablation"]
    assert 0.5 * sum(counts) < sum(scored) <= sum(counts)
