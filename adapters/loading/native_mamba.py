"""Folders as mamba-ssm itself writes them: config.json with `ssm_cfg`, weights under almost transformers' names.

What such a config says, and its defaults where it is silent, is mamba-ssm's; transformers' Mamba and Mamba-2 compute
the same function. What they have no word for (attention or MLP layers between, other norms) is refused.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as hf_logging

from groundbench.adapters.loading.missing_weights import require_whole
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.util.users_code import first_line

CONFIG, PICKLED, SAFE = "config.json", "pytorch_model.bin", "model.safetensors"
BOTH = {
    "d_state": "state_size",
    "d_conv": "conv_kernel",
    "expand": "expand",
    "bias": "use_bias",
    "conv_bias": "use_conv_bias",
    "dt_min": "time_step_min",
    "dt_max": "time_step_max",
    "dt_init_floor": "time_step_floor",
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "mamba": {**BOTH, "dt_rank": "time_step_rank"},
    "mamba2": {
        **BOTH,
        "headdim": "head_dim",
        "ngroups": "n_groups",
        "chunk_size": "chunk_size",
        "dt_limit": "time_step_limit",
    },
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mamba": {},
    "mamba2": {"d_state": 128, "headdim": 64, "ngroups": 1},
}
LAYERS = {"Mamba1": "mamba", "Mamba2": "mamba2"}
# Of initial weights and kernels only: they change no loaded model.
OF_NO_EFFECT = {"layer", "A_init_range", "conv_init", "dt_init", "dt_scale", "use_fast_path", "use_mem_eff_path"}
ONLY_AS = {"d_ssm": None, "D_has_hdim": False, "rmsnorm": True, "norm_before_gate": False}
WHOLE_ONLY_AS: Mapping[str, Any] = {"rms_norm": True, "d_intermediate": 0, "attn_layer_idx": []}
SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")


def is_native(folder: Path | None) -> bool:
    """Return True for mamba-ssm's own folder: its config.json has `ssm_cfg` and names no transformers model."""
    if folder is None:
        return False
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # for transformers to refuse
    return isinstance(found, dict) and "ssm_cfg" in found and "model_type" not in found


def read_config(folder: Path) -> Any:
    """Return the transformers config of a native folder.

    Raises:
        BadInputError: a value is missing or of the wrong kind.
        UnsupportedModelError: the config asks for what transformers' Mamba models do not compute.
    """
    path = folder / CONFIG
    found = json.loads(path.read_text(encoding="utf-8"))
    ssm = found["ssm_cfg"] or {}
    layer = ssm.get("layer", "Mamba1")
    if layer not in LAYERS:
        raise UnsupportedModelError(f"{path}: ssm_cfg.layer is {layer!r}; expected one of {', '.join(LAYERS)}")
    kind = LAYERS[layer]
    _refuse_others(path, found, WHOLE_ONLY_AS, "")
    _refuse_others(path, ssm, ONLY_AS, "ssm_cfg.")
    for key in ssm:
        if key not in NAMES[kind] and key not in OF_NO_EFFECT and key not in ONLY_AS:
            raise UnsupportedModelError(f"{path}: ssm_cfg.{key} has no counterpart in transformers' {kind}")
    told = {**DEFAULTS[kind], **ssm}
    values = {name: told[key] for key, name in NAMES[kind].items() if key in told}
    width = _positive(path, found, "d_model")
    if kind == "mamba2":
        values["num_heads"] = width * int(told.get("expand", 2)) // int(told["headdim"])
    try:
        return CONFIG_MAPPING[kind](
            vocab_size=_padded_vocabulary(path, found),
            hidden_size=width,
            num_hidden_layers=_positive(path, found, "n_layer"),
            residual_in_fp32=bool(found.get("residual_in_fp32", True)),
            tie_word_embeddings=bool(found.get("tie_embeddings", True)),
            **dict.fromkeys(SPECIAL),
            **values,
        )
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise BadInputError(f"{path}: its values are refused: {' '.join(str(error).split())}") from error


def _refuse_others(path: Path, found: Mapping[str, Any], only: Mapping[str, Any], prefix: str) -> None:
    for key, value in only.items():
        if found.get(key, value) != value:
            raise UnsupportedModelError(
                f"{path}: {prefix}{key} is {json.dumps(found[key])}; transformers computes {json.dumps(value)} only"
            )


def _positive(path: Path, found: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = found.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise BadInputError(f"{path}: {key} is {json.dumps(value)}; expected a positive whole number")
    return value


def _padded_vocabulary(path: Path, found: Mapping[str, Any]) -> int:
    """Round the embedding's rows up as mamba-ssm does."""
    multiple = _positive(path, found, "pad_vocab_size_multiple", 8)
    return -(-_positive(path, found, "vocab_size") // multiple) * multiple


def load_native(folder: Path, config: Any, **options: Any) -> PreTrainedModel:
    """Return the model of a native folder, as `from_pretrained` with these options would give it.

    Raises:
        BadInputError: no weights, weights that cannot be read, or not those of the config.
    """
    state = _weights(folder)
    kind = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in AutoModelForCausalLM.from_config(config).state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
        state.pop("lm_head.weight", None)
    info = {
        "missing_keys": shapes.keys() - state.keys(),
        "unexpected_keys": state.keys() - shapes.keys(),
        "mismatched_keys": [
            (name, state[name].shape, shapes[name])
            for name in shapes.keys() & state.keys()
            if tuple(state[name].shape) != shapes[name]
        ],
    }
    notes = require_whole(str(folder), info, architecture=kind.__name__, config=config)
    if notes:
        raise BadInputError(f"{folder}: {notes[0]}")
    hf_logging.disable_progress_bar()
    model: PreTrainedModel = kind.from_pretrained(None, config=config, state_dict=state, **options)
    return model


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a folder by transformers' names. A pickle is read as tensors only, never as code."""
    safe, pickled = folder / SAFE, folder / PICKLED
    path = safe if safe.exists() else pickled
    try:
        state = load_file(safe) if path == safe else torch.load(pickled, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInputError(f"{folder}: no weights; expected {PICKLED} or {SAFE} beside {CONFIG}") from None
    except (RuntimeError, EOFError, OSError, SafetensorError, pickle.UnpicklingError) as error:
        raise BadInputError(f"{path}: not readable as weights: {first_line(error)[:200]}") from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BadInputError(f"{path}: expected a mapping from names to tensors")
    return {name.replace("backbone.embedding.", "backbone.embeddings."): tensor for name, tensor in state.items()}
