"""peft adapters: opened with their base and named, or refused; never applied or left out by what is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loading_models import write_model
from helpers.loopback_hub import LoopbackHub
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from groundbench.adapters.loading import peft_adapters
from groundbench.api.adapter import Encoded, HeadEdit
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.registry import open_model

peft = pytest.importorskip("peft")
IDS = (3, 7, 7, 20, 41)


def write_adapter(folder: Path, base: PreTrainedModel | Path, seed: int = 5, **options: Any) -> Any:
    """Save a LoRA adapter with large random weights on a base model's folder; returns the model with it merged in."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(seed)
    made = peft.get_peft_model(
        model, peft.LoraConfig(**{"r": 2, "lora_alpha": 8, "target_modules": "all-linear", **options})
    )
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    made.save_pretrained(folder)
    return made.merge_and_unload().eval()


def ours(adapter: Any, **how: Any) -> torch.Tensor:
    return adapter.forward([Encoded(IDS)], **how).logits[0]


def of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0, -1]


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))


def differ(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float((found - wanted).abs().max()) > 1e-2 * float(wanted.abs().max())


def test_an_adapters_folder_opens_its_base_with_it(folder: Path, tmp_path: Path) -> None:
    merged = write_adapter(tmp_path / "lora", folder)
    base, opened = open_model(str(folder)), open_model(str(tmp_path / "lora"))
    same(ours(opened), of(merged))
    differ(ours(opened), ours(base))
    assert opened.info.name == "plain + lora"
    assert opened.info.fingerprint.startswith(f"{base.info.fingerprint}+")
    assert opened.info.identity["libraries"]["peft"] == peft.__version__
    assert "peft" not in base.info.identity["libraries"]
    assert opened.info.capabilities == base.info.capabilities


def test_other_weights_of_the_adapter_are_another_model(folder: Path, tmp_path: Path) -> None:
    found = set()
    for seed in (1, 2):
        write_adapter(tmp_path / "lora", folder, seed=seed)
        found.add(open_model(str(tmp_path / "lora")).info.fingerprint)
    assert len(found) == 2


def test_heads_of_an_adapted_model_are_edited_as_in_the_merged_one(folder: Path, tmp_path: Path) -> None:
    merged = write_adapter(tmp_path / "lora", folder)
    merged.save_pretrained(tmp_path / "merged")
    for path in folder.glob("tokenizer*"):
        (tmp_path / "merged" / path.name).write_bytes(path.read_bytes())
    scale = torch.ones(1, 8)
    scale[0, [1, 6]] = 0
    one, other = (open_model(str(tmp_path / name)) for name in ("lora", "merged"))
    same(ours(one, edit=HeadEdit(scale)), ours(other, edit=HeadEdit(scale)))
    differ(ours(one, edit=HeadEdit(scale)), ours(one))


@pytest.mark.parametrize("beside", [False, True])
def test_on_the_hub(hub: LoopbackHub, folder: Path, tmp_path: Path, beside: bool) -> None:
    hub.push("org/base", folder)
    merged = write_adapter(tmp_path / "lora", folder)
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "org/base"}))
    if beside:
        write_model(tmp_path / "lora")
    commit = hub.push("org/lora", tmp_path / "lora")
    opened = open_model("org/lora")
    same(ours(opened), of(merged))
    assert opened.info.name == ("org/lora + adapter" if beside else "org/base + org/lora")
    assert beside == (commit[:16] in opened.info.fingerprint)


def test_beside_a_whole_model(folder: Path) -> None:
    before = open_model(str(folder))
    merged = write_adapter(folder, folder)
    opened = open_model(str(folder))
    same(ours(opened), of(merged))
    assert opened.info.name == "plain + adapter"
    assert opened.info.fingerprint != before.info.fingerprint


@pytest.mark.parametrize("beside", [False, True])
def test_without_peft_it_is_refused_with_how_to_merge(
    folder: Path, tmp_path: Path, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder if beside else tmp_path / "lora"
    write_adapter(place, folder)
    monkeypatch.setattr(peft_adapters, "find_spec", lambda name: None)
    with pytest.raises(
        BadInputError, match=r"adapter_config\.json: .* needs peft: install groundbench\[peft\], or merge"
    ):
        open_model(str(place))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"base_model_name_or_path": None}, BadInputError, "base_model_name_or_path is missing"),
        ({"base_model_name_or_path": "/no/such"}, BadInputError, "base_model_name_or_path cannot be opened: /no/such"),
        (
            {"peft_type": "PREFIX_TUNING"},
            UnsupportedModelError,
            "peft_type is PREFIX_TUNING, which puts learned vectors",
        ),
        ({"target_modules": ["no_such_module"]}, BadInputError, "the adapter cannot be put into LlamaForCausalLM"),
        ({"r": 3}, BadInputError, "weights are of another shape"),
    ],
)
def test_configs_that_fit_nothing(
    values: dict[str, object], error: type[Exception], said: str, folder: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "lora", folder)
    edit(tmp_path / "lora" / "adapter_config.json", **values)
    with pytest.raises(error, match=said) as refusal:
        open_model(str(tmp_path / "lora"))
    assert "\n" not in str(refusal.value)


def test_a_lost_weight_of_an_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "lora", folder)
    file = tmp_path / "lora" / "adapter_model.safetensors"
    kept = {k: v for k, v in load_file(file).items() if "layers.1.self_attn.q_proj" not in k}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(BadInputError, match=r"2 weights are not in its files .*layers\.1\.self_attn\.q_proj\.lora_A"):
        open_model(str(tmp_path / "lora"))


def test_an_adapter_of_a_larger_base_is_refused(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "large", num_hidden_layers=3)
    write_adapter(tmp_path / "lora", tmp_path / "large")
    edit(tmp_path / "lora" / "adapter_config.json", base_model_name_or_path=str(folder))
    with pytest.raises(
        BadInputError, match=r"14 weights are in its files but not in .*; was the adapter trained on another"
    ):
        open_model(str(tmp_path / "lora"))
