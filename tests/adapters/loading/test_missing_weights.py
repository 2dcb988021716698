"""Weights that a model needs and its files do not hold: refused with names and number, never drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loading_models import write_model
from helpers.tiny_vlms import tiny_vlm
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from groundbench.adapters.loading.missing_weights import common_prefix, require_whole
from groundbench.api.errors import BadInputError
from groundbench.registry import open_model

Tensors = dict[str, torch.Tensor]


def rewrite(folder: Path, change: Callable[[Tensors], Tensors], name: str = "model.safetensors") -> None:
    state = load_file(folder / name)
    save_file(change(dict(state)), folder / name, {"format": "pt"})


def configure(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def prefixed(prefix: str) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda t: {prefix + k: v for k, v in t.items()})


def without(part: str) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda t: {k: v for k, v in t.items() if part not in k})


def nested(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": state, "epoch": 3}, folder / "pytorch_model.bin")


def other_shape(folder: Path) -> None:
    rewrite(folder, lambda t: t | {"lm_head.weight": torch.zeros(63, 32), "model.norm.weight": torch.ones(31)})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (prefixed("_orig_mod."), r"21 weights are not .* and 18 more\) .* every name begins with '_orig_mod\.'"),
        (prefixed("module."), r"every name begins with 'module\.'"),
        (prefixed("_forward_module.model."), r"every name begins with '_forward_module\.model\.'"),
        (without("lm_head"), r"1 weight is not in its files \(lm_head\.weight\) and would be drawn at random"),
        (without("embed_tokens"), r"1 weight is not in its files \(model\.embed_tokens\.weight\)"),
        (without("layers.0.mlp.up_proj"), r"1 weight is not in its files \(model\.layers\.0\.mlp\.up_proj\.weight\)"),
        (without(".layers.1."), r"9 weights .* its config asks for 2 layers, and the files hold the first 1"),
        (
            lambda f: configure(f, num_hidden_layers=4),
            r"18 weights .* asks for 4 layers, and the files hold the first 2",
        ),
        (lambda f: configure(f, model_type="gpt_neox"), r"not in its files .* names the architecture LlamaForCausalLM"),
        (nested, r"holds a dictionary with epoch, state_dict, .* save what is under 'state_dict' alone"),
        (
            other_shape,
            r"2 weights are of another shape .* lm_head\.weight is 63 x 32, expected 64 x 32; so is model\.norm",
        ),
        (
            lambda f: configure(f, vocab_size=80),
            r"2 weights are of another shape .*lm_head.weight is 64 x 32, expected 80",
        ),
    ],
)
def test_what_the_files_do_not_hold_is_refused(spoil: Callable[[Path], None], said: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(BadInputError, match=said) as refusal:
        open_model(str(folder))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("command", [("run",), ("models", "check"), ("screen",)], ids=" ".join)
def test_every_command_refuses_in_one_line(command: tuple[str, ...], folder: Path, say: Any) -> None:
    without("lm_head")(folder)
    code, out, err = say(*command, str(folder))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "lm_head.weight" in err


def test_weights_without_a_place_are_noted(folder: Path) -> None:
    configure(folder, num_hidden_layers=1)
    (note,) = open_model(str(folder)).info.notes
    assert note.startswith("9 weights are in its files but not in LlamaForCausalLM, so not used (model.layers.1.")


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_is_no_missing_weight(tied: bool, tmp_path: Path) -> None:
    write_model(tmp_path, tie_word_embeddings=tied)
    rewrite(tmp_path, lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"})
    if tied:
        assert open_model(str(tmp_path)).info.notes == ()
    else:
        with pytest.raises(BadInputError, match="lm_head"):
            open_model(str(tmp_path))


def test_a_body_saved_alone_needs_no_head_where_it_is_tied(tmp_path: Path) -> None:
    write_model(tmp_path)  # for its tokenizer
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    GPT2Model(GPT2Config(**sizes)).save_pretrained(tmp_path)
    assert open_model(str(tmp_path)).info.architecture == "GPT2LMHeadModel"
    GPT2Model(GPT2Config(**sizes, tie_word_embeddings=False)).save_pretrained(tmp_path)
    with pytest.raises(
        BadInputError, match=r"lm_head\.weight.* names the architecture GPT2Model, which was not trained"
    ):
        open_model(str(tmp_path))


def test_buffers_of_older_checkpoints_are_no_fault(tmp_path: Path) -> None:
    write_model(tmp_path)
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda t: t | {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8)})
    assert open_model(str(tmp_path)).info.notes == ()


def test_a_lost_projector_of_a_vision_language_model(tmp_path: Path) -> None:
    model, processor = tiny_vlm("llava")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    without("multi_modal_projector.linear_1")(tmp_path)
    with pytest.raises(BadInputError, match=r"2 weights are not in its files \(model\.multi_modal_projector\.linear_1"):
        open_model(str(tmp_path))


@pytest.mark.parametrize("parts", [1, 3])
def test_a_part_of_a_split_gguf(parts: int) -> None:
    info = {"missing_keys": {"lm_head.weight"}}
    with pytest.raises(BadInputError) as refusal:
        require_whole("m", info, architecture="A", config=None, file=f"m-00001-of-{parts:05d}.gguf")
    assert ("llama-gguf-split --merge" in str(refusal.value)) == (parts > 1)


def test_a_prefix_must_be_that_of_all() -> None:
    names = ["model.norm.weight", "norm.weight"]
    assert common_prefix(names, [f"a.{n}" for n in names]) == "a."
    assert common_prefix(names, ["a.model.norm.weight"]) is None
    assert common_prefix(names, ["other"]) is None
