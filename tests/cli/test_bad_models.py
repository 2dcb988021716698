"""Models that cannot be measured: one sentence that says what was found and what was expected, and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    ByT5Tokenizer,
    PreTrainedTokenizerFast,
)

from groundbench.cli import main

BED = """\
name: room
version: "1"
natural_language: true
frame_kind: shared
nouns:
  - {word: ball, category: toys, article: a, plural: balls}
  - {word: doll, category: toys, article: a, plural: dolls}
forms:
  word: {description: the word itself, template: "{noun}"}
frames:
  f1: "there is the {env} . look , the"
"""
WORDS = ["?", *["there", "is", "the", "ball", "doll", "balls", "dolls", ".", "look", ","]]
SMALL = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
T5 = {"vocab_size": 300, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def words_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?")


def save(folder: Path, model_type: str, loader: Any, tokenizer: Any = None, **config: Any) -> None:
    torch.manual_seed(0)
    model = loader.from_config(AutoConfig.for_model(model_type, **config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    model.save_pretrained(folder)
    (tokenizer or words_tokenizer()).save_pretrained(folder)


def encoder(folder: Path) -> None:
    save(folder, "bert", AutoModelForMaskedLM, intermediate_size=16, **SMALL)


def other_encoder(folder: Path) -> None:
    save(folder, "deberta-v2", AutoModelForMaskedLM, intermediate_size=16, **SMALL)


def encoder_decoder(folder: Path) -> None:
    save(folder, "t5", AutoModelForSeq2SeqLM, **T5)


def no_offsets(folder: Path) -> None:
    save(folder, "gpt2", AutoModelForCausalLM, ByT5Tokenizer(), vocab_size=400, n_embd=16, n_layer=1, n_head=2)


def short_context(folder: Path) -> None:
    save(folder, "gpt2", AutoModelForCausalLM, vocab_size=300, n_embd=16, n_layer=1, n_head=2, n_positions=8)


def unknown_quantization(folder: Path, method: str = "in-my-head") -> None:
    short_context(folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))


def no_weights(folder: Path) -> None:
    short_context(folder)
    (folder / "model.safetensors").unlink()


def broken_weights(folder: Path) -> None:
    short_context(folder)
    (folder / "model.safetensors").write_bytes(b"not what it says")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (encoder, "a bert model that reads ahead is an encoder; expected a causal language model"),
        (other_encoder, "transformers has no causal language model of type 'deberta-v2'"),
        (encoder_decoder, "a t5 model is an encoder-decoder; expected a causal language model"),
        (no_offsets, "its tokenizer (ByT5Tokenizer) gives no character offsets"),
        (short_context, "frame 'f1' with 'ball' shown as 'word': 8 tokens do not fit"),
        (unknown_quantization, "in-my-head"),
        (no_weights, "cannot be loaded"),
        (broken_weights, "model.safetensors: not a whole safetensors file"),
    ],
)
@pytest.mark.parametrize("command", [("run",), ("models", "check")], ids=" ".join)
def test_a_model_that_cannot_be_measured(
    make: Callable[[Path], None],
    said: str,
    command: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path)
    (tmp_path / "bed.yaml").write_text(BED)
    capsys.readouterr()
    code = main([*command, str(tmp_path), "--testbed", str(tmp_path / "bed.yaml")])
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_a_model_that_is_quantized_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown_quantization(tmp_path, "gptq")
    (tmp_path / "bed.yaml").write_text(BED)
    assert main(["run", str(tmp_path), "--testbed", str(tmp_path / "bed.yaml"), "--quantize", "4bit"]) == 2
    assert "its weights are quantized already (gptq); leave out --quantize 4bit" in capsys.readouterr().err
