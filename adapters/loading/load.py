"""From a hub id, a folder or a .gguf file to a model and its tokenizer; every failure is one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from groundbench.adapters.loading import gguf_cache, hub, native_mamba, quantization, users_files
from groundbench.adapters.loading.missing_weights import require_whole
from groundbench.adapters.loading.peft_adapters import apply_adapter
from groundbench.adapters.loading.quantization import Quantize
from groundbench.adapters.loading.source import Source, temporary_folder
from groundbench.adapters.model_structure import accepting_options
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.util.cache_folder import cache_folder
from groundbench.util.notices import tell_once
from groundbench.util.resource_errors import is_out_of_memory
from groundbench.util.users_code import first_line

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class LoadOptions:
    """The options of loading a model.

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
        """Return the device, `auto` resolved."""
        if self.device != "auto":
            return self.device
        if not torch.cuda.is_available():
            return "cpu"
        # A launcher's processes share a machine's accelerators: each has its own.
        return f"cuda:{int(os.environ['LOCAL_RANK'])}" if is_launched() else "cuda"

    def resolved_dtype(self) -> torch.dtype | Literal["auto"]:
        """Return the torch dtype that is asked for. Raises BadInputError for an unknown name."""
        if self.dtype == "auto":
            return torch.float32 if self.resolved_device() == "cpu" else "auto"
        if self.dtype not in DTYPES:
            raise BadInputError(f"unknown dtype {self.dtype!r}: expected auto, {', '.join(DTYPES)}")
        return DTYPES[self.dtype]


def require_device(options: LoadOptions, name: str) -> None:
    """Raise BadInputError for a device that is not there, before a file is read for it."""
    if options.device_map is not None:
        return  # accelerate chooses among the devices that are there
    device = options.resolved_device()
    with _putting_on(device, name):
        torch.empty(0, device=device)


@contextmanager
def _putting_on(device: str, name: str) -> Iterator[None]:
    """Turn what torch raises on a device that is not there into BadInputError; memory that runs out passes."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        raise BadInputError(f"{name}: cannot be put on the device {device!r}: {first_line(error)}") from error


def is_launched() -> bool:
    """Return True if a launcher (accelerate launch, torchrun) started this process with others."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "LOCAL_RANK" in os.environ


class Loaded(NamedTuple):
    """A model, and what its results should record (weights in its files that it has no place for)."""

    model: PreTrainedModel
    notes: tuple[str, ...]


@users_files.with_opening("config.json")
def load_config(source: Source, trust_remote_code: bool) -> Any:
    """Return the model's config; local files first, the network only where they are missing and it is not forbidden."""
    if source.packed:
        return from_pretrained(AutoConfig, source, gguf_file=source.gguf)
    if source.plain is not None:
        return from_pretrained(AutoConfig, source, source.plain)
    if trust_remote_code:
        hub.fetch_code(source.folder)
    if native_mamba.is_native(source.folder):
        return native_mamba.read_config(source.folder)
    return from_pretrained(AutoConfig, source, trust_remote_code=trust_remote_code)


@users_files.with_opening("tokenizer.json")
def load_tokenizer(source: Source, trust_remote_code: bool) -> PreTrainedTokenizerFast:
    """Return a tokenizer that tells character offsets. Raises BadInputError if there is none."""
    if native_mamba.is_native(source.folder) and not any((source.texts or source.folder).glob("tokenizer*")):
        raise BadInputError(
            f"{source.name}: mamba-ssm writes no tokenizer; put the files of the one it was trained with beside its "
            "config.json (for state-spaces' models that of EleutherAI/gpt-neox-20b)"
        )
    more = (
        {"gguf_file": source.gguf}
        if source.packed and source.texts is None
        else {"trust_remote_code": trust_remote_code}
    )
    tokenizer = from_pretrained(AutoTokenizer, source, source.texts or source.plain, **more)
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


def load_causal(source: Source, config: Any, options: LoadOptions) -> Loaded:
    """Return a causal language model in evaluation mode on its device; see `load_model` for the errors."""
    return load_model(source, config, options, AutoModelForCausalLM, "causal language model")


@users_files.with_opening("the weights")
def load_model(source: Source, config: Any, options: LoadOptions, auto: Any, kind: str) -> Loaded:
    """Return a model in evaluation mode on its device.

    Args:
        auto: transformers' auto class of this `kind` of model (named in messages).

    Raises:
        UnsupportedModelError: the architecture is of no such kind.
        BadInputError: the weights cannot be loaded as asked, or some that the model needs are not in its files.
    """
    require_kind(source, config, auto, kind)
    fetch_weights(source)
    more: dict[str, Any] = {"dtype": options.resolved_dtype()}
    if source.packed:
        more |= {"gguf_file": source.gguf, "quantization_config": GgufConfig(dequantize=True)}
    else:
        more |= {"trust_remote_code": options.trust_remote_code}
    more |= _placement(source, options)
    if options.quantize is not None:
        more["quantization_config"] = quantization.asked_for(source.name, source.gguf, config, options.quantize)
    if source.gguf is None and native_mamba.is_native(source.folder):
        given = {k: v for k, v in more.items() if k != "trust_remote_code"}
        loaded = Loaded(native_mamba.load_native(source.folder, config, **given), ())
    else:
        loaded = load_whole(auto, source, config=config, **more)
    if source.adapter is not None:
        with silence_transformers():
            apply_adapter(loaded.model, source.adapter)
    model = loaded.model if "device_map" in more else _to_device(loaded.model, source, options)
    if options.quantize is not None:
        quantization.make_ready(model, source.name, options.quantize)
    return Loaded(accepting_options(model.eval()), loaded.notes)


def require_kind(source: Source, config: Any, auto: Any, kind: str) -> None:
    """Raise UnsupportedModelError where transformers has no such model; prepares the config for loading."""
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{source.name}: a {config.model_type} model is an encoder-decoder; expected a {kind}"
        )
    if type(config) not in auto._model_mapping and not hasattr(config, "auto_map"):
        raise UnsupportedModelError(f"{source.name}: transformers has no {kind} of type {config.model_type!r}")
    quantization.require_known(config, source.name)
    without_rescaling(config)


def with_plain_weights(source: Source, options: LoadOptions, *, make: bool = True) -> Source:
    """Return the source with the converted copy of its .gguf file, made on its first use; others as they are.

    Args:
        make: convert a file that the cache does not hold.

    Raises:
        BadInputError, UnsupportedModelError: as `load_model` does for the file itself.
    """
    if source.gguf is None or options.quantize is not None:
        return source
    base = replace(source, adapter=None, texts=None)
    dtype = options.resolved_dtype()

    @users_files.with_opening("the weights")
    def read(source: Source) -> gguf_cache.Whole:
        tell_once(f"converting {source.name} once, for {cache_folder()} (groundbench cache list)")
        config = load_config(source, False)
        require_kind(source, config, AutoModelForCausalLM, "causal language model")
        more = {"gguf_file": source.gguf, "quantization_config": GgufConfig(dequantize=True), "dtype": dtype}
        found = load_whole(AutoModelForCausalLM, source, config=config, **more)
        return gguf_cache.Whole(found.model.eval(), load_tokenizer(source, False), found.notes)

    def reopen(folder: Path) -> gguf_cache.Whole:
        plain = replace(base, plain=folder)
        config = load_config(plain, False)
        without_rescaling(config)
        found = load_whole(AutoModelForCausalLM, plain, config=config, dtype=dtype)
        return gguf_cache.Whole(found.model.eval(), load_tokenizer(plain, False), found.notes)

    found = gguf_cache.load_or_convert(base, dtype, (lambda: read(base)) if make else None, reopen)
    return source if found is None else replace(source, plain=found.folder, notes=found.notes)


def fetch_weights(source: Source) -> None:
    """Fetch the weights of a hub's model; those of a folder are there. Raises BadInputError if there are none."""
    if source.snapshot is None:
        return
    names = hub.weight_names(source.snapshot.names, source.snapshot.folder)
    if not names:
        found = ", ".join(sorted(source.snapshot.names)[:5])
        raise BadInputError(
            f"{source.name}: no weights; expected {' or '.join(hub.WEIGHTS)}, or shards with an index (found {found})"
        )
    hub.fetch_weights(source.snapshot, names)


def load_whole(auto: Any, source: Source, **more: Any) -> Loaded:
    """Return a model with all its weights. Raises BadInputError if some that it needs are not in its files."""
    model, info = from_pretrained(
        auto, source, source.plain, output_loading_info=True, ignore_mismatched_sizes=True, **more
    )
    if info["mismatched_keys"]:
        users_files.require_possible_sizes(source)
    kind = type(model).__name__
    notes = require_whole(source.name, info, architecture=kind, config=model.config, file=source.gguf)
    return Loaded(model, (*source.notes, *notes))


def _placement(source: Source, options: LoadOptions) -> dict[str, Any]:
    """Return the placement of weights for from_pretrained. Raises BadInputError for options that cannot go together."""
    if options.device_map is None:
        if options.max_memory is not None:
            raise BadInputError(f"{source.name}: --max-memory bounds a device map; give --device-map auto too")
        return {"device_map": {"": options.resolved_device()}} if options.quantize is not None else {}
    if options.device != "auto":
        raise BadInputError(f"{source.name}: --device-map chooses the devices; leave out --device {options.device}")
    if is_launched():
        raise BadInputError(
            f"{source.name}: --device-map spreads one model over all devices, but a launcher started several "
            "processes with a model each; use one of the two"
        )
    folder = temporary_folder()
    return {"device_map": options.device_map, "max_memory": options.max_memory, "offload_folder": folder}


def _to_device(model: PreTrainedModel, source: Source, options: LoadOptions) -> PreTrainedModel:
    device = options.resolved_device()
    with _putting_on(device, source.name):
        return model.to(device)


def dtype_label(model: PreTrainedModel) -> str:
    """Return `float32`, or `4bit+float32` of quantized weights: no number of one may serve the other."""
    dtype = str(model.dtype).removeprefix("torch.")
    quantized = quantization.method_of(model)
    return dtype if quantized is None else f"{quantized}+{dtype}"


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Silence transformers' own report of a loading; what matters of it is raised or recorded in the result."""
    before = hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(before)


def from_pretrained(loader: Any, source: Source, folder: Path | None = None, **more: Any) -> Any:
    """Load local files first; then from the network, unless the environment says offline."""
    with silence_transformers():
        return loader.from_pretrained(str(folder or source.folder), local_files_only=True, **more)
