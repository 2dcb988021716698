"""Folders of mamba-ssm's own form, made by hand: read as what mamba-ssm computes, written down here step by step."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tolerances import assert_same
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional as F
from transformers import Mamba2Config, Mamba2ForCausalLM, PreTrainedTokenizerFast

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.registry import open_model

D, LAYERS, WORDS, PADDED = 16, 2, 21, 24
MAMBA2 = {"layer": "Mamba2", "d_state": 8, "headdim": 4, "ngroups": 2, "chunk_size": 4}
MAMBA1 = {"d_state": 4, "dt_rank": 3}
IDS = torch.tensor([3, 7, 1, 1, 19, 4, 20])
State = dict[str, Tensor]


def config_of(ssm: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "d_model": D,
        "n_layer": LAYERS,
        "vocab_size": WORDS,
        "ssm_cfg": ssm,
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 8,
        "tie_embeddings": True,
        **more,
    }


def draw(*shape: int, scale: float = 0.3) -> Tensor:
    return scale * torch.randn(*shape)


def mixer2() -> State:
    inner, state, groups = 2 * D, MAMBA2["d_state"], MAMBA2["ngroups"]
    heads, convolved = inner // MAMBA2["headdim"], inner + 2 * groups * state
    return {
        "in_proj.weight": draw(inner + convolved + heads, D),
        "conv1d.weight": draw(convolved, 1, 4),
        "conv1d.bias": draw(convolved),
        "dt_bias": draw(heads),
        "A_log": draw(heads),
        "D": draw(heads),
        "norm.weight": 1 + draw(inner),
        "out_proj.weight": draw(D, inner),
    }


def mixer1() -> State:
    inner, state, rank = 2 * D, MAMBA1["d_state"], MAMBA1["dt_rank"]
    return {
        "in_proj.weight": draw(2 * inner, D),
        "conv1d.weight": draw(inner, 1, 4),
        "conv1d.bias": draw(inner),
        "x_proj.weight": draw(rank + 2 * state, inner),
        "dt_proj.weight": draw(inner, rank),
        "dt_proj.bias": draw(inner),
        "A_log": draw(inner, state),
        "D": draw(inner),
        "out_proj.weight": draw(D, inner),
    }


def weights_of(mixer: Any, tied: bool = True) -> State:
    torch.manual_seed(0)
    state = {"backbone.embedding.weight": draw(PADDED, D), "backbone.norm_f.weight": 1 + draw(D)}
    for i in range(LAYERS):
        state[f"backbone.layers.{i}.norm.weight"] = 1 + draw(D)
        state |= {f"backbone.layers.{i}.mixer.{name}": tensor for name, tensor in mixer().items()}
    state["lm_head.weight"] = state["backbone.embedding.weight"] if tied else draw(PADDED, D)
    return state


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def convolved(x: Tensor, p: State) -> Tensor:
    """[T, c], each position from itself and the three before it."""
    before = torch.cat([torch.zeros(3, x.shape[1]), x])
    taps = sum(before[k : k + len(x)] * p["conv1d.weight"][:, 0, k] for k in range(4))
    return F.silu(taps + p["conv1d.bias"])


def scan2(u: Tensor, p: State) -> Tensor:
    inner, n, groups, width = 2 * D, MAMBA2["d_state"], MAMBA2["ngroups"], MAMBA2["headdim"]
    heads = inner // width
    z, xbc, dt = (u @ p["in_proj.weight"].T).split([inner, inner + 2 * groups * n, heads], -1)
    x, b, c = convolved(xbc, p).split([inner, groups * n, groups * n], -1)
    dt, decay = F.softplus(dt + p["dt_bias"]), -p["A_log"].exp()
    of_head = torch.arange(heads) * groups // heads
    state, out = torch.zeros(heads, width, n), []
    for t in range(len(u)):
        here = x[t].view(heads, width)
        gate = dt[t][:, None, None]
        fed = here[:, :, None] * b[t].view(groups, n)[of_head][:, None]
        state = (gate * decay[:, None, None]).exp() * state + gate * fed
        out.append((state * c[t].view(groups, n)[of_head][:, None]).sum(-1) + p["D"][:, None] * here)
    gated = torch.stack(out).flatten(1) * F.silu(z)
    ones = torch.ones(inner // groups)
    normed = torch.cat([rms(part, ones) for part in gated.chunk(groups, -1)], -1) * p["norm.weight"]
    return normed @ p["out_proj.weight"].T


def scan1(u: Tensor, p: State) -> Tensor:
    n, rank = MAMBA1["d_state"], MAMBA1["dt_rank"]
    x, z = (u @ p["in_proj.weight"].T).chunk(2, -1)
    x = convolved(x, p)
    dt, b, c = (x @ p["x_proj.weight"].T).split([rank, n, n], -1)
    dt = F.softplus(dt @ p["dt_proj.weight"].T + p["dt_proj.bias"])
    state, out = torch.zeros(2 * D, n), []
    for t in range(len(u)):
        state = (-dt[t][:, None] * p["A_log"].exp()).exp() * state + (dt[t] * x[t])[:, None] * b[t]
        out.append(state @ c[t] + p["D"] * x[t])
    return (torch.stack(out) * F.silu(z)) @ p["out_proj.weight"].T


def logits_of(state: State, scan: Any) -> Tensor:
    """[T, V]: what mamba-ssm computes, in the plain order of its equations."""
    hidden = state["backbone.embedding.weight"][IDS]
    for i in range(LAYERS):
        prefix = f"backbone.layers.{i}.mixer."
        mixer = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        hidden = hidden + scan(rms(hidden, state[f"backbone.layers.{i}.norm.weight"]), mixer)
    return rms(hidden, state["backbone.norm_f.weight"]) @ state["lm_head.weight"].T


def write(folder: Path, config: dict[str, Any], state: State | None, tokenizer: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if state is not None:
        torch.save(state, folder / "pytorch_model.bin")
    if tokenizer:
        words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)
    return folder


def opened(folder: Path) -> HFCausal:
    adapter = open_model(str(folder), device="cpu")
    assert isinstance(adapter, HFCausal)
    return adapter


def logits(adapter: HFCausal) -> Tensor:
    with torch.no_grad():
        return adapter.model(IDS[None]).logits[0]


@pytest.mark.parametrize("tied", [True, False])
def test_mamba2_is_read_as_mamba_ssm_computes_it(tmp_path: Path, tied: bool) -> None:
    state = weights_of(mixer2, tied)
    adapter = opened(write(tmp_path / "m", config_of(MAMBA2, tie_embeddings=tied), state))
    expected = logits_of(state, scan2)
    assert_same(logits(adapter), expected, depth=64)
    torch.testing.assert_close(adapter.forward([Encoded(tuple(IDS.tolist()))]).logits[0], expected[-1])
    assert [(m.kind, m.n_heads, m.d_head) for m in adapter.info.mixers] == [("ssd", 8, 4)] * LAYERS
    assert adapter.info.n_layers == LAYERS


@pytest.mark.parametrize("layer", [{}, {"layer": "Mamba1"}])
def test_mamba1_is_read_too_and_has_no_heads(tmp_path: Path, layer: dict[str, str]) -> None:
    state = weights_of(mixer1)
    adapter = opened(write(tmp_path / "m", config_of({**layer, **MAMBA1}), state))
    assert_same(logits(adapter), logits_of(state, scan1), depth=64)
    assert adapter.info.mixers == ()


def test_silence_means_mamba_ssms_defaults(tmp_path: Path) -> None:
    from groundbench.adapters.loading.native_mamba import read_config

    said = {"d_model": 64, "n_layer": 3, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"}}
    found = read_config(write(tmp_path / "m", said, None, tokenizer=False))
    assert (found.vocab_size, found.hidden_size, found.num_hidden_layers) == (50280, 64, 3)
    assert (found.state_size, found.head_dim, found.num_heads, found.n_groups) == (128, 64, 2, 1)
    assert (found.conv_kernel, found.chunk_size, found.time_step_limit) == (4, 256, (0.0, float("inf")))
    assert (found.tie_word_embeddings, found.layer_norm_epsilon) == (True, 1e-5)


def test_safetensors_without_the_tied_head(tmp_path: Path) -> None:
    state = weights_of(mixer2)
    folder = write(tmp_path / "m", config_of(MAMBA2), None)
    save_file({k: v for k, v in state.items() if k != "lm_head.weight"}, folder / "model.safetensors")
    assert_same(logits(opened(folder)), logits_of(state, scan2), depth=64)


@pytest.mark.parametrize(
    ("ssm", "more", "said"),
    [
        ({"layer": "Mamba3"}, {}, r"ssm_cfg.layer is 'Mamba3'; expected one of Mamba1, Mamba2"),
        ({"d_ssm": 16}, {}, r"ssm_cfg.d_ssm is 16; transformers computes null only"),
        ({"rmsnorm": False}, {}, r"ssm_cfg.rmsnorm is false; transformers computes true only"),
        ({"norm_before_gate": True}, {}, r"ssm_cfg.norm_before_gate is true"),
        ({"wat": 1}, {}, r"ssm_cfg.wat has no counterpart in transformers' mamba2"),
        ({}, {"attn_layer_idx": [1]}, r"config.json: attn_layer_idx is \[1\]; transformers computes \[\] only"),
        ({}, {"rms_norm": False}, r"rms_norm is false"),
        ({}, {"d_intermediate": 64}, r"d_intermediate is 64"),
    ],
)
def test_what_transformers_does_not_compute_is_refused(
    tmp_path: Path, ssm: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=said):
        opened(write(tmp_path / "m", config_of({**MAMBA2, **ssm}, **more), None))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": "wide"}, r'd_model is "wide"; expected a positive whole number'),
        ({"n_layer": 0}, "n_layer is 0; expected a positive"),
        ({"d_model": 17}, "its values are refused: .*Inconsistent"),
        ({"vocab_size": 99}, r"1 weight is of another shape .*embeddings.weight is 24 x 16, expected 104 x 16"),
        ({"n_layer": 1}, r"9 weights are in its files but not in Mamba2ForCausalLM, so not used \(backbone.layers.1."),
        ({"n_layer": 3}, r"9 weights are not in its files .* asks for 3 layers, and the files hold the first 2"),
    ],
)
def test_a_config_that_is_not_that_of_the_weights(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        opened(write(tmp_path / "m", config_of(MAMBA2, **change), weights_of(mixer2)))


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code in a pickle was run",))


def test_weights_are_never_run_as_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "m", config_of(MAMBA2), None)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(BadInputError, match=r"pytorch_model\.bin: not readable as weights"):
        opened(folder)
    assert "was run" not in capsys.readouterr().out


def test_weights_or_tokenizer_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no weights; expected pytorch_model\.bin or model\.safetensors"):
        opened(write(tmp_path / "a", config_of(MAMBA2), None))
    with pytest.raises(BadInputError, match="writes no tokenizer; put the files of the one it was trained with"):
        opened(write(tmp_path / "b", config_of(MAMBA2), weights_of(mixer2), tokenizer=False))
    (tmp_path / "b/model.safetensors").write_bytes(b"no")
    with pytest.raises(BadInputError, match=r"model\.safetensors: not readable as weights"):
        opened(tmp_path / "b")


def test_a_checkpoint_that_asks_for_rescaled_initial_weights_is_not_rescaled_when_opened(tmp_path: Path) -> None:
    """transformers' from_pretrained divides such a model's out_proj by the root of its layers."""
    folder = write(tmp_path / "m", {}, None)
    torch.manual_seed(0)
    shape = {"hidden_size": D, "num_heads": 8, "head_dim": 4, "n_groups": 1, "state_size": 8, "num_hidden_layers": 2}
    model = Mamba2ForCausalLM(Mamba2Config(**shape, vocab_size=WORDS, rescale_prenorm_residual=True)).eval()
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["rescale_prenorm_residual"] is True
    with torch.no_grad():
        torch.testing.assert_close(logits(opened(folder)), model(IDS[None]).logits[0])
