"""Models that do not fit as they are: on several devices, on disk, in 8 or 4 bits. Same numbers, or one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.lens_testbed import contexts_of
from helpers.tiny_models import random_items, tiny, word_tokenizer
from helpers.tolerances import assert_same, nats, tolerance

from groundbench.adapters.huggingface import HFCausal, open_causal
from groundbench.adapters.loading.load import LoadOptions
from groundbench.api.adapter import HeadEdit
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.cli import main
from groundbench.engine.scoring import score
from groundbench.measures.heads.saliency import measure_saliency

WIDER = {
    "llama": {"hidden_size": 64, "intermediate_size": 128},
    "gpt2": {"n_embd": 64},
    "mamba2": {"hidden_size": 64, "num_heads": 16},
}
ON_DISK = {"device_map": "auto", "max_memory": {"cpu": "40KB"}}
BED = """\
name: room
version: "1"
natural_language: true
frame_kind: shared
nouns:
  - {word: w10, category: toys, article: a, plural: w50}
  - {word: w11, category: toys, article: a, plural: w51}
forms:
  word: {description: the word itself, template: "{noun}"}
frames:
  f1: "w1 w2 {env} w3 w4"
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each family, with weights and tokenizer."""
    made = {}
    for family in (*WIDER, "groundbench_lstm"):
        made[family] = tmp_path_factory.mktemp(family)
        tiny(family, **WIDER.get(family, {})).save_pretrained(made[family])
        word_tokenizer().save_pretrained(made[family])
    (made["llama"] / "bed.yaml").write_text(BED)
    return made


def same_numbers(one: HFCausal, other: HFCausal) -> None:
    """Surprisals, saliency and ablation agree."""
    assert_same(score(one, contexts_of(one)).surprisal, score(other, contexts_of(other)).surprisal)
    items = random_items(4)
    mine, theirs = measure_saliency(one, items), measure_saliency(other, items)
    assert np.abs(mine.row_sum - theirs.row_sum).max() < 1e-4 * theirs.row_sum.max()
    assert theirs.row_sum.max() > 0
    scale = torch.ones(1, one.info.n_heads)
    scale[0, 1] = 0.0
    rows = [i.row for i in items]
    cut, wanted = (a.forward(rows, edit=HeadEdit(scale)).logits for a in (one, other))
    assert (cut - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("family", sorted(WIDER))
def test_weights_on_disk_give_the_same_numbers(folders: dict[str, Path], family: str) -> None:
    plain, spread = open_causal(str(folders[family])), open_causal(str(folders[family]), **ON_DISK)
    assert isinstance(plain, HFCausal)
    assert isinstance(spread, HFCausal)
    assert "disk" in spread.model.hf_device_map.values()
    assert spread.info == plain.info
    same_numbers(spread, plain)
    with pytest.raises(UnsupportedModelError, match="no untrained reference"):
        spread.untrained(0)


def run_json(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> dict[str, object]:
    asked = ["run", str(folder), "--testbed", str(folder / "bed.yaml"), "--measure", "gain,heads", "--json", *words]
    assert main(asked) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_lines_bounds_reach_the_loader(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run_json(capsys, folders["llama"])
    bounded = run_json(capsys, folders["llama"], "--device-map", "auto", "--max-memory", "cpu=40KB")
    found, wanted = bounded["forms"][0]["gain"], whole["forms"][0]["gain"]
    assert found["mean"] == nats(wanted["mean"], wanted["mismatched"])
    assert bounded["model"] == whole["model"]
    assert whole["forms"][0]["heads"][0]["untrained_count"] is not None
    assert bounded["forms"][0]["heads"][0]["untrained_count"] is None  # random weights of a spread model are not drawn
    half = run_json(capsys, folders["llama"], "--dtype", "bfloat16", "--device", "cpu")
    assert half["model"]["dtype"] == "bfloat16"
    assert half["forms"][0]["gain"]["mean"] == pytest.approx(whole["forms"][0]["gain"]["mean"], abs=0.05)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("family", sorted(WIDER))
def test_quantized_weights_give_the_same_numbers_in_any_batch(folders: dict[str, Path], family: str, bits: str) -> None:
    pytest.importorskip("bitsandbytes")
    adapter = open_causal(str(folders[family]), quantize=bits)
    plain = open_causal(str(folders[family]))
    assert adapter.info.dtype == f"{bits}+float32"
    assert adapter.info.capabilities == plain.info.capabilities
    assert adapter.info.parameters == plain.info.parameters
    contexts = contexts_of(adapter)
    whole = score(adapter, contexts).surprisal
    assert_same(score(adapter, contexts, batch_tokens=20).surprisal, whole)
    gap = np.abs(whole - score(plain, contexts).surprisal).max()
    assert tolerance(whole) < gap < (0.3 if bits == "8bit" else 3.0)
    with pytest.raises(UnsupportedModelError, match="no untrained reference"):
        adapter.untrained(0)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_saliency_of_4_bits_is_that_of_the_weights_they_stand_for(folders: dict[str, Path], family: str) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    adapter, plain = open_causal(str(folders[family]), quantize="4bit"), open_causal(str(folders[family]))
    unpacked = dict(plain.model.named_modules())
    with torch.no_grad():
        for name, module in adapter.model.named_modules():
            if isinstance(module, bnb.nn.Linear4bit):
                weight = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
                own = unpacked[name].weight
                own.copy_(weight if weight.shape == own.shape and family != "gpt2" else weight.T)
    score(adapter, contexts_of(adapter))  # as in a run: scored without a graph first
    same_numbers(adapter, plain)


def test_another_quantization_is_another_run(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("bitsandbytes")
    words = ["run", str(folders["llama"]), "--testbed", str(folders["llama"] / "bed.yaml"), "--measure", "gain"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert main([*words, "--out", str(tmp_path), "--quantize", "4bit"]) == 2
    said = capsys.readouterr().err
    assert "holds a run with" in said
    assert "4bit" in said


REFUSED = {
    "a bound without a map": ("llama", ["--max-memory", "cpu=1GiB"], "--max-memory bounds a device map"),
    "a bound that is no size": ("llama", ["--device-map", "auto", "--max-memory", "cpu=much"], "expected DEVICE=SIZE"),
    "a map and a device": ("llama", ["--device-map", "auto", "--device", "cpu"], "leave out --device cpu"),
    "an unknown map": ("llama", ["--device-map", "everywhere"], "everywhere"),
    "a device that is not there": ("llama", ["--device", "cuda:7"], "cannot be put on the device 'cuda:7'"),
    "a device that is none": ("llama", ["--device", "toaster"], "cannot be put on the device 'toaster'"),
    "an unknown type": ("llama", ["--dtype", "float8"], "unknown dtype 'float8'"),
    "nothing to quantize": ("groundbench_lstm", ["--quantize", "4bit"], "changes no layer of a groundbench_lstm model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_so_is_one_sentence(
    folders: dict[str, Path], case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    family, words, said = REFUSED[case]
    if "--quantize" in words:
        pytest.importorskip("bitsandbytes")
    assert main(["models", "check", str(folders[family]), *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_without_bitsandbytes_it_is_named(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert main(["models", "check", str(folders["llama"]), "--quantize", "8bit"]) == 2
    assert "--quantize 8bit needs bitsandbytes; install groundbench[quant]" in capsys.readouterr().err


def test_each_process_of_a_launcher_has_a_device_of_its_own(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert LoadOptions().resolved_device() == "cuda"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert LoadOptions().resolved_device() == "cuda:1"
    with pytest.raises(BadInputError, match="spreads one model over all devices, but a launcher started several"):
        open_causal(str(folders["llama"]), device_map="auto")
