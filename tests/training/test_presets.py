"""Presets: a schema that names what is wrong, schedules, and models that can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.toy_images import WORDS, Plain, make_encoder, make_language
from helpers.toy_training import toy_preset
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from groundbench.adapters.architectures.build import build_model
from groundbench.adapters.architectures.llava import build_llava
from groundbench.api.errors import BadInputError
from groundbench.training.presets import OURS, Optimisation, Stretch, load_preset, preset_names, read_presets


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_of_ours_builds(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.description
    if preset.pictures is not None:
        return  # built below
    depth = "n_layer" if preset.architecture == "gpt2" else "num_hidden_layers"
    one_layer = {**preset.config, depth: 1}  # whole ones: test_paper_presets.py
    model = build_model(preset.architecture, one_layer, vocab_size=50, length=preset.length)
    model.eval()
    assert model(torch.zeros(1, preset.length, dtype=torch.long)).logits.shape == (1, preset.length, 50)


@pytest.mark.parametrize("name", [n for n in preset_names() if n.endswith("-mini") and not n.startswith("vlm")])
def test_a_checkpoint_opens_anywhere_with_the_weights_that_were_written(name: str, tmp_path: Path) -> None:
    """Also where transformers would treat loaded weights as initial ones (Mamba's rescaling)."""
    preset = load_preset(name)
    torch.manual_seed(0)
    model = build_model(preset.architecture, preset.config, vocab_size=50, length=64)
    model.save_pretrained(tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert opened.keys() == model.state_dict().keys()
    assert all(torch.equal(opened[key], weight) for key, weight in model.state_dict().items())


def test_mamba2s_initial_weights_are_rescaled_once() -> None:
    preset = load_preset("mamba2-mini")
    kept = {**preset.config, "rescale_prenorm_residual": False}
    bounds = []
    for config in (preset.config, kept):
        torch.manual_seed(0)
        model = build_model("mamba2", config, vocab_size=50, length=64)
        bounds.append(model.get_parameter("backbone.layers.0.mixer.out_proj.weight").abs().max().item())
    assert bounds[0] == pytest.approx(bounds[1] / 2)  # the root of four layers


@pytest.mark.parametrize("name", [n for n in preset_names() if load_preset(n).pictures is not None])
def test_every_preset_that_sees_builds(name: str, tmp_path: Path) -> None:
    """With small stand-ins for what is pretrained, whose sizes are then its own."""
    preset = load_preset(name)
    assert preset.pictures is not None
    encoder = make_encoder(tmp_path / "vision", layers=12)
    model, processor = build_llava(
        preset.config,
        pixels=preset.pictures.pixels,
        vision=None if "vision_config" in preset.config else encoder,
        language=None if "text_config" in preset.config else make_language(tmp_path / "language", tied=True),
        words=WORDS,
    )
    grid = preset.pictures.pixels // 14
    seen = processor(text="<image>What color?", images=Plain("red", 0).load(), return_tensors="pt")
    assert seen["input_ids"].shape == (1, grid**2 + 3)
    with torch.no_grad():
        assert model.eval()(**seen).logits.shape == (1, grid**2 + 3, len(processor.tokenizer))
    assert preset.pictures.otherwise is None or preset.pictures.otherwise in preset_names()


def test_the_names_the_house_promises() -> None:
    assert {"gpt2-mini", "lstm-4l-mini", "lstm-1l-mini", "lstm-4l-residual-mini"} <= set(preset_names())


def test_gpt2_mini_computes_gpt2s_function() -> None:
    """Its activation is GPT-2's own, in one kernel; embeddings are tied."""
    preset = load_preset("gpt2-mini")
    torch.manual_seed(0)
    fast = build_model("gpt2", preset.config, vocab_size=50, length=64).eval()
    torch.manual_seed(0)
    plain = build_model("gpt2", {**preset.config, "activation_function": "gelu_new"}, vocab_size=50, length=64).eval()
    ids = torch.arange(40)[None]
    torch.testing.assert_close(fast(ids).logits, plain(ids).logits, atol=1e-5, rtol=1e-5)
    assert fast.lm_head.weight is fast.transformer.wte.weight


@given(
    stretches=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 300)), min_size=1, max_size=3),
    open_end=st.integers(1, 60),
    steps=st.integers(1, 500),
)
def test_checkpoint_steps(stretches: list[tuple[int, int]], open_end: int, steps: int) -> None:
    ordered = sorted(stretches, key=lambda s: s[1])
    schedule = [Stretch(every=e, until=u) for e, u in ordered] + [Stretch(every=open_end)]
    found = toy_preset(steps=steps, checkpoints=[s.model_dump() for s in schedule]).checkpoint_steps()
    expected = {0, steps}
    for step in range(1, steps + 1):
        here = next(s for s in schedule if s.until is None or step <= s.until)
        if step % here.every == 0:
            expected.add(step)
    assert found == tuple(sorted(expected))


def test_the_papers_schedule_can_be_written() -> None:
    steps = toy_preset(steps=20000, checkpoints=[{"every": 150, "until": 300}, {"every": 500}]).checkpoint_steps()
    assert steps == (0, 150, 300, *range(500, 20001, 500))


@pytest.mark.parametrize("schedule", ["linear", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(10, 40), (0, 5), (7, 7)])
def test_the_learning_rate_is_transformers(schedule: str, warmup: int, steps: int) -> None:
    ours = Optimisation(lr=0.3, warmup_steps=warmup, schedule=schedule)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = (
        get_linear_schedule_with_warmup(optimizer, warmup, steps)
        if schedule == "linear"
        else get_constant_schedule_with_warmup(optimizer, warmup)
    )
    for step in range(steps):
        assert ours.rate(step, steps) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_values_can_be_overridden_anywhere() -> None:
    preset = toy_preset()
    changed = preset.override({"steps": 7, "optimisation.lr": 0.5, "config.n_layer": 3, "config.n_inner": 8})
    assert (changed.steps, changed.optimisation.lr, changed.optimisation.warmup_steps) == (7, 0.5, 5)
    assert changed.config == {**preset.config, "n_layer": 3, "n_inner": 8}
    assert preset == toy_preset()


@pytest.mark.parametrize("key", ["stepz", "optimisation.rate", "steps.more", "optimisations.lr", "config.a.b"])
def test_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(BadInputError, match=f"preset toy: '{key}' is no key"):
        toy_preset().override({key: 1})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("steps: 0", "field steps: Input should be greater than 0, found '0'"),
        ("steps: many", "field steps: .*valid integer.*found 'many'"),
        ("wat: 1", "unknown field 'wat'"),
        ("optimisation: {lr: 0.1}", "field optimisation.warmup_steps: Field required"),
        ("optimisation: {lr: -1, warmup_steps: 1}", "field optimisation.lr: "),
        ("checkpoints: []", "field checkpoints: "),
        ("checkpoints: [{every: 0}]", "field checkpoints.0.every: "),
        ("precision: fp8", "field precision: .*found 'fp8'"),
    ],
)
def test_a_broken_preset_names_file_and_key(tmp_path: Path, change: str, said: str) -> None:
    good = {
        "architecture": "architecture: gpt2",
        "optimisation": "optimisation: {lr: 0.1, warmup_steps: 1}",
        "steps": "steps: 3",
        "batch_size": "batch_size: 2",
        "length": "length: 8",
        "checkpoints": "checkpoints: [{every: 1}]",
    }
    path = tmp_path / "mine.yaml"
    path.write_text("mine:\n  " + "\n  ".join(good.values()))
    assert load_preset(path).name == "mine"
    good[change.partition(":")[0]] = change
    path.write_text("mine:\n  " + "\n  ".join(good.values()))
    with pytest.raises(BadInputError, match=rf"mine\.yaml, line \d+: mine: {said}"):
        load_preset(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1,\nb: 2", r"mine\.yaml, line 2: not valid YAML: "),
        ("a: &x {architecture: gpt2}\nb:\n  <<: *x\n  steps: no\n", r"mine\.yaml, line 1: a: field"),
        ("- 1", r"mine\.yaml: expected a mapping from preset names to presets, found list"),
        ("a: 3", r"mine\.yaml, line 1: a: expected a preset, found int"),
        ("", r"mine\.yaml: expected a mapping .* found NoneType"),
        (".x: {}", r"mine\.yaml: holds 0 presets"),
    ],
)
def test_a_file_that_is_no_preset(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=said):
        load_preset(str(path))


def test_a_file_that_is_not_there_and_a_name_that_is_unknown() -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.yaml: no such file; expected presets in YAML"):
        load_preset("nowhere.yaml")
    with pytest.raises(BadInputError, match=r"unknown preset 'gpt2-mni': expected .* did you mean 'gpt2-mini'"):
        load_preset("gpt2-mni")
    with pytest.raises(BadInputError, match=r"holds \d+ presets"):
        load_preset(OURS)
    assert sorted(read_presets(OURS)) == preset_names()


@pytest.mark.parametrize(
    ("architecture", "options", "said"),
    [
        ("gptt", {}, "unknown architecture 'gptt'"),
        ("vit", {}, "unknown architecture 'vit'"),
        (
            "bert",
            {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1},
            "a position depends on later ones",
        ),
        ("gpt2", {"n_layers": 2}, "its config has no option 'n_layers'"),
        ("gpt2", {"n_layer": "two"}, "its options are refused: .*expected int"),
        ("gpt2", {"n_embd": 30, "n_head": 4}, "its options are refused: .*divisible"),
        ("gpt2", {"n_positions": 10}, "it reads at most 10 positions, but rows have length 64"),
        ("groundbench_lstm", {"hidden_size": 0}, "hidden_size must be positive"),
    ],
)
def test_a_model_that_cannot_be_built(architecture: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        build_model(architecture, options, vocab_size=10, length=64)
