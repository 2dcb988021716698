"""A model described by its config and the headers of its files, without its weights: for plans and first checks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from groundbench.adapters import model_structure
from groundbench.adapters.hooks.discovery import candidates
from groundbench.adapters.loading import hub, native_mamba, quantization
from groundbench.adapters.loading import load as loading
from groundbench.adapters.loading.fingerprint import weight_files
from groundbench.adapters.loading.source import Source, locate, names_object, training_of
from groundbench.adapters.loading.users_files import opening
from groundbench.adapters.model_inputs import embeddings, max_length
from groundbench.adapters.tokenization import BosPolicy, PromptEncoder
from groundbench.api.adapter import Capability, Encoded, Forward, HeadEdit, Mixer, ModelInfo, Prefix
from groundbench.api.errors import UnsupportedModelError
from groundbench.api.testbed import Prompt

SMALL = 64 << 20
"""Bytes of weights up to which a model is opened rather than described: reading them takes no time."""
SPEED_ROWS, SPEED_WIDTH = 256, 1024
"""Of the matrix product by which this machine's speed is measured."""
UTILISED = 0.5
"""Part of a matrix product's speed that a model's forward pass reaches."""
KIND = "causal language model"


class Unopened:
    """A causal language model known by its config, tokenizer and headers; whatever needs its weights is refused.

    It encodes prompts as the opened model does. Its abilities are those that its structure allows; none was tried.

    Attributes:
        seconds_per_token: an estimate from its size and a timed matrix product.
        weights: a remark on what was not read, for people.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        source: Source,
        options: loading.LoadOptions,
        bos: BosPolicy,
        chat: bool,
        notes: tuple[str, ...],
        weights: str,
    ) -> None:
        config = model.config.get_text_config()
        self.encoder = PromptEncoder(tokenizer, max_length(model), source.name, bos, chat, embeddings(model))
        self.tokenizer, self.weights = tokenizer, weights
        training = training_of(source)
        mixers = _mixers(model)
        able = tuple(c for c in get_args(Capability) if mixers or c not in ("hooks", "edit"))
        self.info = ModelInfo(
            name=source.name,
            family=config.model_type,
            architecture=type(model).__name__,
            parameters=model_structure.parameter_count(model),
            dtype=str(model.dtype).removeprefix("torch."),
            fingerprint="",
            tokenizer="",
            vocab_size=config.vocab_size,
            max_length=self.encoder.max_length,
            n_layers=config.num_hidden_layers,
            d_model=config.hidden_size,
            mixers=mixers,
            capabilities=frozenset(able),
            bos=self.encoder.begins_with,
            chat=self.encoder.opening if self.encoder.chat else None,
            chat_date=self.encoder.chat_date,
            unknown=self.encoder.unknown,
            device=options.resolved_device(),
            step=training.get("step"),
            seed=training.get("seed"),
            checkpoint=training.get("checkpoint"),
            folder=training.get("folder"),
            notes=notes,
        )
        self.seconds_per_token = _seconds_per_token(self.info.parameters, self.info.device, model.dtype)

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids and ENV spans; see `PromptEncoder.encode` for the errors."""
        return self.encoder.encode(prompts)

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Return the tokens of each word after a prompt; see `PromptEncoder.targets` for the errors."""
        return self.encoder.targets(words, after)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return each token as text, spaces included."""
        return [str(self.tokenizer.decode([i])) for i in ids]

    def prefill(self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None) -> NoReturn:
        """Raise UnsupportedModelError: its weights were not read."""
        self._refuse()

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        """Raise UnsupportedModelError: its weights were not read."""
        self._refuse()

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> NoReturn:
        """Raise UnsupportedModelError: its weights were not read."""
        self._refuse()

    def unembed(self, hidden: torch.Tensor, *, normed: bool) -> NoReturn:
        """Raise UnsupportedModelError: its weights were not read."""
        self._refuse()

    def start_at_layer(
        self, rows: Sequence[Encoded], residual: torch.Tensor, layer: int, *, prefix: Prefix | None, edit: Any
    ) -> NoReturn:
        """Raise UnsupportedModelError: its weights were not read."""
        self._refuse()

    def untrained(self, seed: int) -> Unopened:
        """Return the model itself: random weights are not read either."""
        return self

    def _refuse(self) -> NoReturn:
        raise UnsupportedModelError(f"{self.info.name}: its weights were not read, so it cannot be run")


def describe_causal(
    model: Any,
    *,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    max_memory: dict[int | str, str] | None = None,
    quantize: quantization.Quantize | None = None,
    bos: BosPolicy = "auto",
    chat: bool = False,
    trust_remote_code: bool = False,
    revision: str | None = None,
    subfolder: str | None = None,
) -> Unopened | None:
    """Return a description of a model whose weights need not be read.

    None where opening is as quick, or the only way to know: small weights, weights that are no safetensors or GGUF,
    models in memory and of `module:object`, vision-language models, adapters, quantized weights, mamba-ssm's files.

    Raises:
        BadInputError, UnsupportedModelError: as opening it does, as far as config, tokenizer and headers tell; weights
            whose names or shapes do not fit are refused.
    """
    if not isinstance(model, str) or names_object(model) or quantize is not None or device_map is not None:
        return None
    source = locate(model, revision, subfolder)
    if source.adapter is not None or (source.gguf is None and native_mamba.is_native(source.folder)):
        return None
    size = _bytes_there(source)
    if size is not None and size <= SMALL:
        return None
    options = loading.LoadOptions(dtype, device)
    source = loading.with_plain_weights(source, options, make=False)
    config = loading.load_config(source, trust_remote_code)
    if hasattr(config, "vision_config") or getattr(config, "quantization_config", None) is not None:
        return None
    loading.require_kind(source, config, AutoModelForCausalLM, KIND)
    notes: tuple[str, ...] = ()
    if size is not None and not source.packed:
        if not all(p.suffix == ".safetensors" for p in _read(source)):
            return None
        with opening(source, "the weights"):
            found, notes = loading.load_whole(
                AutoModelForCausalLM,
                source,
                config=config,
                dtype=options.resolved_dtype(),
                device_map={"": "meta"},
                trust_remote_code=trust_remote_code,
            )
        remark = f"{size / 1e6:,.0f} MB of weights not read; their names and shapes fit"
    else:
        wanted = options.resolved_dtype()
        with opening(source, "config.json"), torch.device("meta"), loading.silence_transformers():
            found = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        found = found if wanted == "auto" else found.to(wanted)
        remark = "weights not fetched" if size is None else f"{size / 1e6:,.0f} MB of weights not read"
    tokenizer = loading.load_tokenizer(source, trust_remote_code)
    return Unopened(found, tokenizer, source, options, bos, chat, notes, remark)


def _read(source: Source) -> list[Path]:
    """Return the files that the weights would be read from."""
    return weight_files(source) if source.plain is None else sorted(source.plain.glob("*.safetensors"))


def _bytes_there(source: Source) -> int | None:
    """Return the size of a model's weights on this machine; None where they would have to be fetched.

    Raises:
        BadInputError: there are none.
    """
    if source.snapshot is not None:
        names = hub.weight_names(source.snapshot.names, source.snapshot.folder)
        if not names:
            loading.fetch_weights(source)  # says so
        if not all((source.snapshot.folder / name).is_file() for name in names):
            return None
    files = weight_files(source)
    return sum(p.stat().st_size for p in files)


def _mixers(model: PreTrainedModel) -> tuple[Mixer, ...]:
    """Return the mixers that a model's structure shows: attention and scans, by layer."""
    found = candidates(model)
    config = model.config.get_text_config()
    layers = list(found.layers) if found.layers is not None else [model]
    mixers: list[Mixer] = []
    for number, layer in enumerate(layers, start=1):
        first = 0
        inside = {id(m) for m in layer.modules()}
        for module in (*found.attention, *found.ssd):
            if id(module) not in inside:
                continue
            kind: Any = "ssd" if module in found.ssd else "attention"
            heads = _number(module, ("num_heads", "n_heads", "num_attention_heads")) or _number(
                config, ("num_attention_heads", "num_heads", "n_head")
            )
            if heads:
                width = _number(module, ("head_dim", "attention_head_size")) or config.hidden_size // heads
                mixers.append(Mixer(number, kind, heads, width, first))
                first += heads
    return tuple(mixers)


def _number(holder: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = getattr(holder, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _seconds_per_token(parameters: int, device: str, dtype: torch.dtype) -> float:
    """Estimate a forward pass' seconds a token: two operations a parameter, at the speed of a timed matrix product."""
    a = torch.ones(SPEED_ROWS, SPEED_WIDTH, device=device, dtype=dtype)
    b = torch.ones(SPEED_WIDTH, SPEED_WIDTH, device=device, dtype=dtype)
    a @ b
    times = []
    for _ in range(10):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        times.append(time.perf_counter() - started)
    speed = 2 * SPEED_ROWS * SPEED_WIDTH**2 / min(times)
    return 2 * parameters / (UTILISED * speed)
