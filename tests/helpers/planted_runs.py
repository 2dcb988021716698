"""Measured runs with numbers planted by hand, for the verdicts: nothing here was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundbench.evaluation.seeds import mean_over_seeds
from groundbench.results.image import ImageRecord, PatchReading, SwapRecord
from groundbench.results.run import (
    AblationRecord,
    CooccurrenceRecord,
    HeadCount,
    LensLayer,
    LensRecord,
    Regression,
    Result,
)
from groundbench.results.trajectory import Trajectory, TrajectoryPoint
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.runs import Run
from helpers.fake_results import fake_causal, fake_result

STEPS = (0, 1000, 2000, 4000)
LAYERS = 8
NOISE = (-0.02, 0.0, 0.02)
"""The number that each of three seeds adds to every planted one."""
Numbers = Mapping[str, Sequence[float | None]]
GROUNDS: Numbers = {
    "gain": (0.0, 0.5, 2.0, 4.0),
    "loss": (9.0, 4.0, 3.6, 3.3),
    "heads": (0.2, 1.0, 3.0, 5.0),
    "null": (0.2, 0.6, 0.7, 0.8),
    "middle": (0.5, 0.8, 0.9, 0.9),
    "r2": (0.0, 0.3, 0.6, 0.1),
    "harm": (None, 0.1, 0.5, 1.0),
    "lost": (None, 0.1, 0.5, 0.8),
    "gather": (None, 0.0, 0.0, 0.01),
    "lens": (0.5, 0.6, 0.8, 0.9),
    "ratio": (None, 1.5, 2.0, 2.5),
    "swap": (None, -0.2, -0.6, -0.9),
    "few": (None, 0.2, 0.5, 0.9),
}
"""A model of which every claim holds: a number for each of the steps."""


def planted(
    name: str = "gpt2",
    architecture: str = "gpt2",
    *,
    seeds: int = 3,
    shuffled: bool = False,
    lr: float = 1e-3,
    layers: int = LAYERS,
    residual: bool = False,
    preset: str | None = None,
    **numbers: Sequence[float | None],
) -> Measured:
    """A run of a model that grounds, but for the numbers given."""
    found = {**GROUNDS, **numbers}
    config: dict[str, Any] = {"n_layer": layers, "num_hidden_layers": layers, "residual": residual}
    config |= {"text_config": {"num_hidden_layers": layers}}
    training = {
        "preset": {
            "name": preset or name,
            "architecture": architecture,
            "config": config,
            "optimisation": {"lr": lr, "warmup_steps": 10},
            "steps": 4000,
            "batch_size": 16,
            "length": 128,
            "pictures": {"vision": "models/dino", "language": None} if architecture == "llava" else None,
        },
        "corpus": {"shuffle_env": shuffled},
    }
    trajectories = tuple(_trajectory(name, s, layers, found) for s in range(seeds))
    return Measured(
        Run(name, tuple(map(Path, "abc"[:seeds])), training), trajectories, mean_over_seeds(trajectories, name=name)
    )


def cut_in(run: Measured, seeds: Sequence[int], selection: str = "crossfit") -> Measured:
    """The same run averaged again; at its last checkpoint only these of its seeds have a head to cut."""
    for i, t in enumerate(run.trajectories):
        for record in t.points[-1].result.ablations:
            if record.selection == selection and i not in seeds:
                for name in ("ablated", "control_mean", "gain_ablated", "gain_control"):
                    object.__setattr__(record, name, None)
                object.__setattr__(record, "n_heads", 0.0)
    return Measured(run.run, run.trajectories, mean_over_seeds(run.trajectories, name=run.run.name))


def _trajectory(name: str, seed: int, layers: int, numbers: Numbers) -> Trajectory:
    points = []
    for i, step in enumerate(STEPS):
        noisy = {k: None if v[i] is None else v[i] + NOISE[seed] for k, v in numbers.items()}
        points.append(TrajectoryPoint(step=step, heldout_loss=noisy["loss"], result=_result(name, seed, layers, noisy)))
    return Trajectory(name=name, points=tuple(points))


def _result(name: str, seed: int, layers: int, n: Mapping[str, Any]) -> Result:
    base = fake_result(0, gain=1.0, layers=layers, name=name, n_nouns=20)
    model = base.model.model_copy(update={"seed": seed})
    gain = base.gain.model_copy(
        update={
            "mean": n["gain"],
            "ci_low": n["gain"] - 0.3,
            "ci_high": n["gain"] + 0.3,
            "matched": 6 - n["gain"],
            "by_noun": tuple(
                g.model_copy(update={"gain": n["gain"] + 0.01 * i}) for i, g in enumerate(base.gain.by_noun)
            ),
        }
    )
    outside = [layer for layer in range(1, layers + 1) if layer not in range(1 + layers // 4, layers - layers // 4 + 1)]
    rates = {outside[0]: 1 - n["middle"], layers // 2: n["middle"]}
    by_head = tuple(HeadCount(layer=k, head=0, rate=min(1, max(0, r)), share=0.5) for k, r in rates.items())
    heads = base.heads[0].model_copy(
        update={
            "mean_count": n["heads"],
            "ci_low": n["heads"] - 0.1,
            "ci_high": n["heads"] + 0.1,
            "null_count": n["null"],
            "by_head": by_head,
        }
    )
    regression = Regression(window="chunk", statistic="log-count", unit="noun", r2_adjusted=n["r2"], n=20)
    cuts = [("crossfit", "aggregate", n["harm"], n["lost"]), ("instance", "aggregate", n["harm"], n["lost"])]
    cuts.append(("crossfit", "gather", n["gather"], n["gather"]))
    ablations = tuple(_cut(*c) for c in cuts if c[2] is not None)
    first, last = 1 + layers // 4, layers - layers // 4
    by_layer = {first - 1: 0.0, last: n["lens"], layers: 1.0}
    lens = LensRecord(
        kind="tuned", layers=tuple(LensLayer(layer=k, matched=1.0, gain=g) for k, g in by_layer.items() if k >= 1)
    )
    seen = _image(n["ratio"], n["swap"])
    causal = () if n["few"] is None else (fake_causal("word", recovered=n["few"]),)
    measured = base.with_headline(gain=gain, heads=(heads,), ablations=ablations, lens=(lens,), image=seen)
    cooccurrence = CooccurrenceRecord(regressions=(regression,), gain_variance=1.0)
    return measured.model_copy(update={"model": model, "cooccurrence": cooccurrence, "causal": causal})


def _image(ratio: float | None, swap: float | None) -> ImageRecord | None:
    """The places that heads read and the swap test, with intervals over nouns of +-0.1."""
    if ratio is None or swap is None:
        return None
    ends = {"ratio": ratio, "ratio_ci_low": ratio - 0.1, "ratio_ci_high": ratio + 0.1}
    ends |= {"inside": ratio, "inside_ci_low": ratio - 0.05, "inside_ci_high": ratio + 0.05}
    reading = PatchReading(heads="all", n_items=200, null=1.0, null_ci_low=0.95, null_ci_high=1.05, **ends)
    ends = {"ratio": swap, "ratio_ci_low": swap - 0.1, "ratio_ci_high": swap + 0.1}
    gains = {"gain": 4.0, "gain_ci_low": 3.9, "gain_ci_high": 4.1, "gain_swapped": 4 * swap}
    swapped = SwapRecord(n_items=200, mismatches=2, **gains, **ends)
    return ImageRecord(env_form="image", hash="0", reading=(reading,), swap=swapped)


def _cut(selection: str, kind: str, harm: float, lost: float) -> AblationRecord:
    return AblationRecord(
        kind=kind,
        selection=selection,
        control="layer",
        mode="zero",
        positions="all",
        n_draws=20,
        original=5.0,
        ablated=5.0 + harm,
        control_mean=5.0,
        gain_original=1.0,
        gain_ablated=1.0 - lost,
        gain_control=1.0,
        gain_removed=lost,
        gain_removed_ci_low=lost - 0.02,
        gain_removed_ci_high=lost + 0.02,
        p_cluster=0.01,
        p_draws=0.01,
        p_rank=0.05,
    )
