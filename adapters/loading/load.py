"""From a hub id, a folder or a .gguf file to a model and its tokenizer; every failure is one sentence."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from groundbench.adapters.loading import native_mamba, quantization, users_files
from groundbench.adapters.loading.quantization import Quantize
from groundbench.adapters.model_structure import accepting_options
from groundbench.api.errors import BadInputError, UnsupportedModelError

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        dtype: `auto` is float32 on the CPU and the checkpoint's own type on an accelerator.
        device: `auto` is the first accelerator, else the CPU.
        device_map, max_memory: as in accelerate; with `device_map` the device is accelerate's choice.
        quantize: load with bitsandbytes.
        trust_remote_code: run code that comes with the weights; only when the user says so.
    """

    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    max_memory: dict[int | str, str] | None = None
    quantize: Quantize | None = None
    trust_remote_code: bool = False

    def resolved_device(self) -> str:
        """The device that `auto` stands for."""
        if self.device != "auto":
            return self.device
        if not torch.cuda.is_available():
            return "cpu"
        # A launcher's processes share a machine's accelerators: each has its own.
        return f"cuda:{int(os.environ['LOCAL_RANK'])}" if launched() else "cuda"

    def resolved_dtype(self) -> torch.dtype | Literal["auto"]:
        """The torch dtype that is asked for. Raises BadInputError for an unknown name."""
        if self.dtype == "auto":
            return torch.float32 if self.resolved_device() == "cpu" else "auto"
        if self.dtype not in DTYPES:
            raise BadInputError(f"unknown dtype {self.dtype!r}: expected auto, {', '.join(DTYPES)}")
        return DTYPES[self.dtype]


def launched() -> bool:
    """Whether a launcher (accelerate launch, torchrun) started this process with others."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "LOCAL_RANK" in os.environ


@dataclass(frozen=True)
class Source:
    """Where a model comes from: `path` is a folder, or None for a hub id; `gguf` is a file name in the folder."""

    name: str
    where: str
    path: Path | None
    gguf: str | None = None


def names_object(model: str) -> bool:
    """True for `module:object`; False for a path or an address with a colon in it."""
    return ":" in model and "://" not in model and not Path(model).expanduser().exists()


def locate(model: str) -> Source:
    """Tell a folder, a .gguf file and a hub id apart.

    Raises:
        BadInputError: the path does not exist or is no model, naming what was found.
    """
    if address := re.fullmatch(r"https?://[^/]+/([^/]+/[^/?#]+)?.*", model):
        instead = f"; expected its hub id, {address[1]}" if address[1] else "; expected a hub id"
        raise BadInputError(f"{model}: an address on the web is no model{instead}, a folder or a .gguf file")
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf" and not path.is_dir():
        if not path.is_file():
            raise BadInputError(f"{model}: no such file; expected a GGUF file")
        if path.open("rb").read(4) not in (b"GGUF", users_files.POINTER[:4], b""):
            raise BadInputError(f"{model}: not a GGUF file (it does not begin with the letters GGUF)")
        return _fetched(Source(readable(path.stem), str(path.parent), path.parent, path.name))
    if path.is_dir():
        if not (path / "config.json").is_file():
            found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
            raise BadInputError(f"{model}: a folder without config.json is no model (found {found})")
        return _fetched(Source(_folder_name(path), str(path), path))
    if path.exists():
        raise BadInputError(f"{model}: a file that is no model; expected a folder, a .gguf file or a hub id")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise BadInputError(f"{model}: no such folder; expected a model folder, a .gguf file or a hub id")
    return Source(model, model, None)


def _fetched(source: Source) -> Source:
    users_files.require_fetched(source)
    return source


ONE_OF_SEVERAL = re.compile(
    r"(checkpoint|step|epoch|iter|global_step|ckpt)[-_=]?\d.*|\d+|final|best|last|latest|model|hf"
)
"""Names of folders that tell one checkpoint of a training from another, and not one training from another."""


def _folder_name(path: Path) -> str:
    """A readable name that tells models apart.

    `gpt2-mini/seed-42/step-001500` for our checkpoints, `my-run/checkpoint-500` for those of other trainers,
    `org/name@1a2b3c4` for a snapshot in the hub's cache, the folder's name otherwise.
    """
    parts = [readable(part) for part in path.resolve().parts]
    if parts[-1].startswith("step-") and len(parts) >= 3:
        return "/".join(parts[-3:])
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return f"{parts[-3].removeprefix('models--').replace('--', '/')}@{parts[-1][:7]}"
    if len(parts) > 2 and ONE_OF_SEVERAL.fullmatch(parts[-1].lower()):
        return "/".join(parts[-2:])
    return parts[-1]


def readable(name: str) -> str:
    """A file's name as text that can be written and printed: bytes that are not UTF-8 become replacement signs."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@users_files.opens("config.json")
def load_config(source: Source, trust_remote_code: bool) -> Any:
    """The model's config; local files first, the network only where they are missing and it is not forbidden."""
    if source.gguf is not None:
        return from_pretrained(AutoConfig, source, gguf_file=source.gguf)
    if source.path is not None and native_mamba.is_native(source.path):
        return native_mamba.read_config(source.path)
    return from_pretrained(AutoConfig, source, trust_remote_code=trust_remote_code)


@users_files.opens("tokenizer.json")
def load_tokenizer(source: Source, trust_remote_code: bool) -> PreTrainedTokenizerFast:
    """A tokenizer that tells character offsets. Raises BadInputError if there is none."""
    if native_mamba.is_native(source.path) and not any((source.path or Path()).glob("tokenizer*")):
        raise BadInputError(
            f"{source.name}: mamba-ssm writes no tokenizer; put the files of the one it was trained with beside its "
            "config.json (for state-spaces' models that of EleutherAI/gpt-neox-20b)"
        )
    more = {"gguf_file": source.gguf} if source.gguf else {"trust_remote_code": trust_remote_code}
    tokenizer = from_pretrained(AutoTokenizer, source, **more)
    if not getattr(tokenizer, "is_fast", False):
        raise BadInputError(
            f"{source.name}: its tokenizer ({type(tokenizer).__name__}) gives no character offsets, which are needed "
            "to find the ENV tokens; expected one with a tokenizer.json"
        )
    return tokenizer


def without_rescaling(config: Any) -> None:
    """Turn off an option of initial weights that transformers (5.23) also applies to the weights it loads.

    With `rescale_prenorm_residual`, from_pretrained divides every Mamba's out_proj by the root of the layers again.
    """
    if getattr(config, "rescale_prenorm_residual", False):
        config.rescale_prenorm_residual = False


def load_causal(source: Source, config: Any, options: LoadOptions) -> PreTrainedModel:
    """A causal language model in evaluation mode on its device; see `load_model` for the errors."""
    return load_model(source, config, options, AutoModelForCausalLM, "causal language model")


@users_files.opens("the weights")
def load_model(source: Source, config: Any, options: LoadOptions, auto: Any, kind: str) -> PreTrainedModel:
    """A model in evaluation mode on its device.

    Args:
        auto: transformers' auto class of this `kind` of model (named in messages).

    Raises:
        UnsupportedModelError: the architecture is of no such kind.
        BadInputError: the weights cannot be loaded as asked.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{source.name}: a {config.model_type} model is an encoder-decoder; expected a {kind}"
        )
    if type(config) not in auto._model_mapping and not hasattr(config, "auto_map"):
        raise UnsupportedModelError(f"{source.name}: transformers has no {kind} of type {config.model_type!r}")
    quantization.require_known(config, source.name)
    without_rescaling(config)
    more: dict[str, Any] = {"dtype": options.resolved_dtype()}
    if source.gguf is not None:
        more |= {"gguf_file": source.gguf, "quantization_config": GgufConfig(dequantize=True)}
    else:
        more |= {"trust_remote_code": options.trust_remote_code}
    more |= _placement(source, options)
    if options.quantize is not None:
        more["quantization_config"] = quantization.asked_for(source.name, source.gguf, config, options.quantize)
    if source.path is not None and source.gguf is None and native_mamba.is_native(source.path):
        given = {k: v for k, v in more.items() if k != "trust_remote_code"}
        model = native_mamba.load_native(source.path, config, **given)
    else:
        model = from_pretrained(auto, source, config=config, **more)
    if "device_map" not in more:
        model = _moved(model, source, options)
    if options.quantize is not None:
        quantization.make_ready(model, source.name, options.quantize)
    return accepting_options(model.eval())


def _placement(source: Source, options: LoadOptions) -> dict[str, Any]:
    """Where the weights go, as from_pretrained wants it. Raises BadInputError for what cannot go together."""
    if options.device_map is None:
        if options.max_memory is not None:
            raise BadInputError(f"{source.name}: --max-memory bounds a device map; give --device-map auto too")
        return {"device_map": {"": options.resolved_device()}} if options.quantize is not None else {}
    if options.device != "auto":
        raise BadInputError(f"{source.name}: --device-map chooses the devices; leave out --device {options.device}")
    if launched():
        raise BadInputError(
            f"{source.name}: --device-map spreads one model over all devices, but a launcher started several "
            "processes with a model each; use one of the two"
        )
    folder = tempfile.mkdtemp(prefix="groundbench-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {"device_map": options.device_map, "max_memory": options.max_memory, "offload_folder": folder}


def _moved(model: PreTrainedModel, source: Source, options: LoadOptions) -> PreTrainedModel:
    device = options.resolved_device()
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        if "out of memory" in str(error).lower():
            raise
        first = str(error).splitlines()[0]
        raise BadInputError(f"{source.name}: cannot be put on the device {device!r}: {first}") from error


def dtype_label(model: PreTrainedModel) -> str:
    """`float32`, or `4bit+float32` where the weights are quantized: nothing computed of one serves the other."""
    dtype = str(model.dtype).removeprefix("torch.")
    quantized = quantization.method_of(model)
    return dtype if quantized is None else f"{quantized}+{dtype}"


def from_pretrained(loader: Any, source: Source, **more: Any) -> Any:
    """Local files first; then the network, unless the environment says offline."""
    offline = source.path is not None or bool(os.environ.get("HF_HUB_OFFLINE"))
    hf_logging.disable_progress_bar()
    try:
        try:
            return loader.from_pretrained(source.where, local_files_only=True, **more)
        except OSError:
            if offline:
                raise
        return loader.from_pretrained(source.where, **more)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        if source.path is not None:
            raise  # `users_files.opens` names the file at fault
        raise BadInputError(_sentence(source, error)) from error


def _sentence(source: Source, error: Exception) -> str:
    text = " ".join(str(error).split())
    lowered = text.lower()
    if source.path is None and ("gated" in lowered or "401" in text or "403" in text):
        return (
            f"{source.name}: the repository is gated or private; log in with `hf auth login` after being given access"
        )
    if source.path is None and isinstance(error, OSError):
        return (
            f"{source.name}: not found in the local cache and not reachable on the hub; expected a hub id, a folder "
            "with config.json or a .gguf file"
        )
    if "trust_remote_code" in text:
        return f"{source.name}: the model brings its own code; pass --trust-remote-code if you trust it"
    return f"{source.name}: cannot be loaded: {text[:300]}"
