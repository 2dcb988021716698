"""Hugging Face causal language models: hub ids, folders, GGUF files, and models already in memory."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast, get_args

import torch
from torch import Tensor

import groundbench.adapters.architectures  # noqa: F401  registers our own architectures with transformers
from groundbench.adapters import model_structure, multi_token
from groundbench.adapters.capability_checks import check, probe_row, require_causal, run_trial
from groundbench.adapters.hooks import HeadHooks
from groundbench.adapters.hooks.feed_forward import caught_feed_forward
from groundbench.adapters.hooks.output_projection import catch_inputs, project_heads
from groundbench.adapters.hooks.session import Site
from groundbench.adapters.kv_cache import CachedPrefix, UncachedPrefix
from groundbench.adapters.length_checks import (
    EAGER,
    EAGER_TOKENS,
    LONGEST,
    Reach,
    find_lengths,
    is_further,
    measure_reach,
)
from groundbench.adapters.loading import load as loading
from groundbench.adapters.loading import quantization
from groundbench.adapters.loading.fingerprint import (
    identity_of,
    tensors_fingerprint,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from groundbench.adapters.loading.source import Source, locate, names_object, training_of
from groundbench.adapters.loading.users_files import FORWARD, MADE, opening
from groundbench.adapters.model_inputs import TextInputs
from groundbench.adapters.start_at_layer_hook import entering_at, layers_are_packed
from groundbench.adapters.tokenization import BosPolicy
from groundbench.api.adapter import Adapter, Capability, Encoded, Forward, HeadEdit, ModelInfo, Prefix
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.testbed import Prompt
from groundbench.api.trials import Each, run_each
from groundbench.util.users_code import import_object

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)


class HFCausal:
    """A causal language model of transformers as an `Adapter` (see groundbench.api.adapter for the contract).

    Rows of one batch have one length, so nothing is ever padded. Head hooks are attached when first needed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str | None = None,
        bos: BosPolicy = "auto",
        chat: bool = False,
        notes: tuple[str, ...] = (),
        training: dict[str, Any] | None = None,
        inputs: TextInputs | None = None,
    ) -> None:
        self.model = model_structure.accepting_options(model.eval())
        self.tokenizer = tokenizer
        self.inputs = inputs or TextInputs(self.model, tokenizer)
        self.device = model_structure.input_device(model)
        model_structure.shorten_chunks(model, self.device)
        parameters = inspect.signature(type(model).forward).parameters
        self._cache_name = "cache_params" if "cache_params" in parameters else "past_key_values"
        self.has_cache = self._cache_name in parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self._skips_logits = model_structure.can_skip_logits(model)
        self.reach = Reach(find_lengths(model))
        self._trying = True
        self._after_head: model_structure.AfterHead | None = None
        self._packed: bool | None = None
        self._hooks: HeadHooks | None = None
        self._opened = self._holding = False
        self._notes = notes
        self.encoder = self.inputs.encoder(name, bos, chat)
        found = check(self)
        self.lacks, self._hooks, self._tree_works = found.lacks, found.hooks, found.tree_mask
        self._try_longer(min(EAGER_TOKENS, EAGER // max(1, model_structure.parameter_count(model))), of_config=True)
        self.info: ModelInfo = self._describe(name, fingerprint or tensors_fingerprint(model), training or {})
        self._trying = False
        self._opened = True

    def _describe(self, name: str, fingerprint: str, training: dict[str, Any]) -> ModelInfo:
        config = self.model.config.get_text_config()
        mixers = () if self._hooks is None else self._hooks.mixers
        notes = self._notes if self._hooks is None else (*self._notes, *self._hooks.notes)
        return ModelInfo(
            name=name,
            family=config.model_type,
            architecture=type(self.model).__name__,
            parameters=model_structure.parameter_count(self.model),
            dtype=loading.dtype_label(self.model),
            fingerprint=fingerprint,
            tokenizer=tokenizer_fingerprint(self.tokenizer),
            vocab_size=config.vocab_size,
            max_length=self.encoder.max_length,
            n_layers=config.num_hidden_layers,
            d_model=config.hidden_size,
            mixers=mixers,
            capabilities=frozenset(c for c in CAPABILITIES if c not in self.lacks),
            lacks=tuple(self.lacks.items()),
            attention=str(getattr(self.model.config, "_attn_implementation", "") or ""),
            bos=self.encoder.begins_with,
            chat=self.encoder.opening if self.encoder.chat else None,
            chat_date=self.encoder.chat_date,
            unknown=self.encoder.unknown,
            device=str(self.device),
            step=training.get("step"),
            seed=training.get("seed"),
            checkpoint=training.get("checkpoint"),
            folder=training.get("folder"),
            notes=notes,
            **self._cache_reach(),
            identity=identity_of(self.model),
        )

    def _cache_reach(self) -> dict[str, Any]:
        """Return the cache's reach for `ModelInfo`."""
        reach = self.reach.cached
        return {"cached_up_to": None if reach == LONGEST else reach, "cached_why": self.reach.why or ""}

    def _try_longer(self, longest: int, of_config: bool = False, each: Each = run_each) -> bool:
        """Try on rows of up to `longest` tokens what was tried on few; whether anything was.

        Args:
            of_config: only lengths that the config names, not `longest` itself.
            each: runs the trials of one length.
        """
        if not is_further(self.reach, longest, of_config):
            return False
        self._trying = True
        try:
            lost = measure_reach(self, longest, self.reach, of_config, each)
        finally:
            self._trying = not self._opened
        self.lacks |= lost
        return True

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids and ENV spans (errors: `PromptEncoder.encode`); try again what was tried on shorter rows."""
        rows = self.encoder.encode(prompts)
        if not self._holding:
            self.try_at(max(map(len, rows), default=0))
        return rows

    @contextmanager
    def hold_trials(self) -> Iterator[None]:
        """Encode without trials inside the block; see `api.trials.TriedAtLength`."""
        around, self._holding = self._holding, True
        try:
            yield
        finally:
            self._holding = around

    def try_at(self, length: int, each: Each = run_each) -> None:
        """Try the model's abilities on rows of so many tokens, where none as long was tried."""
        if self._opened and self._try_longer(length, each=each):
            able = self.info.capabilities - self.lacks.keys()
            self.info = replace(self.info, capabilities=able, lacks=tuple(self.lacks.items()), **self._cache_reach())

    def trial_findings(self) -> object:
        """Return what was found of lengths so far; see `api.trials.TriedAtLength`."""
        return asdict(self.reach), sorted(self.lacks)

    def check_hooks(self, rows: Sequence[Encoded]) -> str | None:
        """Return None if the heads of these rows can be read; else the reason."""
        hooks = self._hooks
        return None if hooks is None else run_trial(lambda: hooks.try_on(self.inputs.of(rows)))

    def _may_cache(self, prefix: Prefix | None, length: int, trace: bool = False) -> bool:
        """Return True if a row that ends after `length` tokens may go on from this prefix."""
        if self._trying:
            return True
        return not isinstance(prefix, UncachedPrefix) and length <= (self.reach.traced if trace else self.reach.cached)

    def _cached_or_whole(
        self, rows: Sequence[Encoded], prefix: Prefix | None, trace: bool = False
    ) -> tuple[Sequence[Encoded], Prefix | None]:
        """Return rows and prefix as they may be run: whole and without it where the cache is not known to serve."""
        if prefix is None or self._may_cache(prefix, len(rows[0]), trace):
            return rows, prefix
        return [row.after(0) for row in rows], None

    def cache_options(self, prefix: Prefix | None, batch: int) -> dict[str, Any]:
        """Return the options of a call of `batch` rows that continue a prefix, or keep no cache."""
        if prefix is not None:
            return {self._cache_name: cast(CachedPrefix, prefix).for_batch(batch), "use_cache": True}
        return {"use_cache": False} if self.has_cache else {}

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Return the tokens of each word after a prompt; see `PromptEncoder.targets` for the errors."""
        return self.encoder.targets(words, after)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return each token as text, spaces included."""
        return [str(self.tokenizer.decode([i])) for i in ids]

    def prefill(
        self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None
    ) -> CachedPrefix | UncachedPrefix:
        """Run rows of one length without a graph and keep their cache; none where it is not known to serve."""
        return self._prefill(rows, edit, prefix)

    def _prefill(
        self, rows: Sequence[Encoded], edit: HeadEdit | None, prefix: Prefix | None, last: int = 1
    ) -> CachedPrefix | UncachedPrefix:
        if not self._may_cache(prefix, len(rows[0])):
            whole = self.forward([row.after(0) for row in rows], edit=edit)
            return UncachedPrefix(len(rows[0]), len(rows), whole.logits)
        more = {} if prefix is None else {self._cache_name: cast(CachedPrefix, prefix).for_batch(len(rows))}
        with torch.no_grad(), self._with_hooks(edit, prefix):
            out = self.call(self.inputs.of(rows), last, use_cache=True, **more)
        return CachedPrefix(out[self._cache_name], len(rows[0]), len(rows), model_structure.last_logits(out))

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        """Return last-position logits [B, V] in fp32, hidden states and head traces as asked for.

        Rows for which the cache is not known to serve are run whole, and hidden states and traces are then of all
        their tokens.
        """
        return self._forward(rows, prefix, edit, hidden, trace)

    def _forward(
        self,
        rows: Sequence[Encoded],
        prefix: Prefix | None,
        edit: HeadEdit | None,
        hidden: Sequence[int],
        trace: bool,
        last: int = 1,
    ) -> Forward:
        rows, prefix = self._cached_or_whole(rows, prefix, trace)
        inputs, more = self.inputs.of(rows), self.cache_options(prefix, len(rows))
        with torch.set_grad_enabled(trace), self._with_hooks(edit, prefix, trace) as hooked:
            states, out = self._with_hidden(inputs, hidden, more, last)
        traces = tuple(hooked.traces) if hooked is not None and trace else ()
        return Forward(model_structure.last_logits(out), states, traces)

    def hidden_states(
        self, rows: Sequence[Encoded], hidden: Sequence[int], *, prefix: Prefix | None = None
    ) -> dict[int, Tensor]:
        """Return the hidden states of a pass whose logits nobody reads; see `HiddenReadable`."""
        return self._forward(rows, prefix, None, hidden, False, last=0).hidden

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> Tensor:
        """Return [B, paths, V] fp32 logits after each path; see `groundbench.adapters.multi_token`."""
        end = len(rows[0]) + max(map(len, paths))
        if prefix is None or not self._may_cache(prefix, end):
            return self._run_paths(rows, paths, edit)
        if edit is not None:
            edit = replace(edit, positions="all")  # of the path: the cached context is as it was edited
        cached, run = cast(CachedPrefix, prefix), self.inputs.after(rows, self.run)
        with torch.no_grad(), self._with_hooks(edit, prefix):
            if self._tree_works and end <= self.reach.tree:
                cache = cached.for_batch(len(rows))
                return multi_token.tree(run, cache, cached.length, paths, len(rows), self.device)
            return multi_token.each(run, cached, paths, self.device)

    def _run_paths(self, rows: Sequence[Encoded], paths: Sequence[tuple[int, ...]], edit: HeadEdit | None) -> Tensor:
        """Return [B, paths, V] from whole passes, without a cache: one for each path that no other path begins with.

        An edit of the last position changes the context's last one and those of the path.
        """
        uncached = self.cache_options(None, len(rows))
        out: dict[tuple[int, ...], Tensor] = {}
        for path in sorted(set(paths), key=len, reverse=True):
            if path in out:
                continue
            longer = [replace(row, ids=row.ids + path, start=0) for row in rows]
            with torch.no_grad(), self._with_hooks(edit, None, tail=1 + len(path)):
                logits = (
                    self.call(self.inputs.of(longer), len(path) + 1, **uncached).logits[:, -1 - len(path) :].float()
                )
            for d in range(len(path) + 1):
                out.setdefault(path[:d], logits[:, d])
        return torch.stack([out[path] for path in paths], dim=1)

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        """Return logits [..., V] of hidden states [..., d]."""
        return self._known_after_head()(model_structure.unembed(self.model, hidden, normed=normed))

    def unembed_tokens(self, hidden: Tensor, ids: Sequence[int]) -> Tensor:
        """Return logits [..., ids] of hidden states [..., d]; see `SomeTokensUnembeddable`."""
        return self._known_after_head()(model_structure.unembed(self.model, hidden, normed=False, tokens=ids))

    def _known_after_head(self) -> model_structure.AfterHead:
        if self._after_head is None:
            last = self.model.config.get_text_config().num_hidden_layers
            with torch.no_grad():
                out = self.forward([probe_row(self.vocab_size)], hidden=[last])
            return self.learn_after_head(out.hidden[last][:, -1], out.logits)
        return self._after_head

    def learn_after_head(self, last: Tensor, logits: Tensor) -> model_structure.AfterHead:
        """Find what makes the model's logits of its unembedding's, unless that is known.

        Args:
            last: [B, d] residuals before the final norm; logits: [B, V] of the same pass.

        Raises:
            UnsupportedModelError: no factor and soft cap of its config give its logits.
        """
        if self._after_head is None:
            with torch.no_grad():
                raw = model_structure.unembed(self.model, last, normed=False)
            self._after_head = model_structure.after_head(self.model, raw, logits, self.tolerance)
        return self._after_head

    def start_at_layer(
        self, rows: Sequence[Encoded], residual: Tensor, layer: int, *, prefix: Prefix | None, edit: HeadEdit | None
    ) -> Tensor:
        """Return last-position logits [B, V] from a layer's saved residual; see `StartsAtLayer`."""
        rows, prefix = self._cached_or_whole(rows, prefix)
        inputs, more = self.inputs.of(rows), self.cache_options(prefix, len(rows))
        with torch.no_grad(), self._with_hooks(edit, prefix, layer=layer), self._enter_layer(layer, residual):
            return cast(Tensor, self.call(inputs, **more).logits[:, -1].float())

    def forward_from(self, rows: Sequence[Encoded], embedded: Tensor, *, prefix: Prefix | None) -> Forward:
        """Return a traced pass whose first layer is given these embeddings; see `api.adapter.EmbeddingInput`."""
        rows, prefix = self._cached_or_whole(rows, prefix, trace=True)
        inputs, more = self.inputs.of(rows), self.cache_options(prefix, len(rows))
        with torch.enable_grad(), self._with_hooks(None, prefix, trace=True) as hooked, self._enter_layer(1, embedded):
            out = self.call(inputs, **more)
        return Forward(out.logits[:, -1].float(), {}, tuple(hooked.traces))

    def embedding_writes(self, ids: Sequence[int]) -> Iterator[Tensor | None]:
        """Yield what the heads of each mixer write for each token's embedding alone; see `EmbeddingWritable`."""
        embedded = self.token_embeddings(ids)[None]
        for site in () if self._hooks is None else self._hooks.sites:
            try:
                yield self._head_outputs(site, ids, embedded) if site.mixer.kind == "attention" else None
            except UnsupportedModelError:  # families whose traces need all layers' calls
                yield None

    def _head_outputs(self, site: Site, ids: Sequence[int], embedded: Tensor) -> Tensor | None:
        """Return [H, ids, d], what one mixer's heads add to the residual stream when its layer reads embeddings."""
        mixer = site.mixer
        inputs, more = self.inputs.of([Encoded(tuple(ids))]), self.cache_options(None, 1)
        with (
            torch.no_grad(),
            catch_inputs(site.module, mixer.n_heads * mixer.d_head) as seen,
            self._with_hooks(None, None, trace=True, layer=mixer.layer) as hooked,
            self._enter_layer(mixer.layer, embedded),
        ):
            self.call(inputs, **more)
        values = next(t.values[0] for t in hooked.traces if t.mixer == mixer)
        if not seen or values.shape != (mixer.n_heads, len(ids), mixer.d_head):
            return None
        return project_heads(seen[-1][0], values)

    def token_embeddings(self, ids: Sequence[int]) -> Tensor:
        """Return [ids, d] the input embeddings of tokens, without positions."""
        index = torch.tensor(list(ids), device=self.device)
        with torch.no_grad():
            return cast(Tensor, self.model.get_input_embeddings()(index))

    def forward_with_mlp(
        self, rows: Sequence[Encoded], hidden: Sequence[int], trace: bool, prefix: Prefix | None = None
    ) -> tuple[Forward, dict[int, Tensor]]:
        """Return a forward pass, and what each layer's feed-forward part adds; see `FeedForwardReadable`."""
        with caught_feed_forward(list(model_structure.layer_list(self.model) or ())) as added:
            out = self._forward(rows, prefix, None, hidden, trace, last=0)
        return out, added

    def prefill_with_hidden(
        self, rows: Sequence[Encoded], hidden: Sequence[int], prefix: Prefix | None = None
    ) -> tuple[Prefix, dict[int, Tensor]]:
        """Return a prefix and the hidden states of its pass; see `PrefixReadable`."""
        with model_structure.catch_residuals(self.model, hidden) as states:
            made = self._prefill(rows, None, prefix, last=0)
        return made, states

    def untrained(self, seed: int) -> HFCausal:
        """Return the same architecture with random weights (transformers' own initialisation).

        Raises:
            UnsupportedModelError: the weights are quantized, or lie on several devices.
        """
        if quantization.method_of(self.model) or model_structure.is_spread(self.model):
            raise UnsupportedModelError(
                f"{self.info.name}: random weights are drawn on one device and not quantized; no untrained reference"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = type(self.model)(copy.deepcopy(self.model.config)).to(self.model.dtype).to(self.device)
        return self._with_model(model, f"{self.info.name} (untrained)")

    def _with_model(self, model: PreTrainedModel, name: str) -> HFCausal:
        """Return another model in this one's place: the same tokenizer and options."""
        return HFCausal(model, self.tokenizer, name=name, bos=self.encoder.bos, chat=self.encoder.chat)

    @contextmanager
    def editing(self, edit: HeadEdit, note: str) -> Iterator[None]:
        """Edit heads in every call of the model made inside the block; see `Editable`."""
        if self._hooks is None or not self._hooks.mixers:
            raise UnsupportedModelError(f"{self.info.name}: heads cannot be edited: {self.info.why_not('hooks')}")
        before = self.info
        mark = hashlib.sha256(f"{before.fingerprint} {note}".encode()).hexdigest()[:16]
        # A sweep edits the last position alone, which cannot be combined with heads that are edited at all positions.
        self.info = replace(
            before,
            name=f"{before.name} ({note})",
            fingerprint=mark,
            capabilities=before.capabilities - {"start_at_layer"},
            lacks=(*before.lacks, ("start_at_layer", "some of its heads are edited for a block")),
        )
        try:
            with self._hooks.active(edit, standing=True):
                yield
        finally:
            self.info = before

    def _enter_layer(self, layer: int, residual: Tensor) -> AbstractContextManager[None]:
        if self._packed is None:
            row = probe_row(self.vocab_size, 2)
            self._packed = layers_are_packed(self.model, lambda: self.forward([row]))
        return entering_at(self.model, layer, residual, self._packed)

    def _with_hooks(
        self, edit: HeadEdit | None, prefix: Prefix | None, trace: bool = False, layer: int = 1, tail: int = 1
    ) -> Any:
        headless = self._hooks is None or not self._hooks.mixers  # or not tried yet, while the model is opened
        if edit is None and not trace and (layer == 1 or headless):
            return nullcontext()
        if self._hooks is None or headless:
            raise UnsupportedModelError(
                f"{self.info.name}: heads cannot be read or edited: {self.info.why_not('hooks')}"
            )
        start = 0 if prefix is None else prefix.length
        return self._hooks.active(edit, trace, start, layer, tail)

    def call(self, inputs: dict[str, Any], last: int = 1, **more: Any) -> Any:
        """Return the model's output; `last`: how many positions' logits are wanted at least, from the end."""
        if self._keeps_logits:
            none = last == 0 and self._skips_logits
            more["logits_to_keep"] = torch.empty(0, dtype=torch.long, device=self.device) if none else max(1, last)
        out = self.model(**inputs, return_dict=True, **more)
        model_structure.logits_of(out, self.model)
        return out

    def run(self, ids: Tensor, cache: Any | None, **more: Any) -> Tensor:
        """Return logits [B, T, V] of all new tokens, going on from a cache if there is one."""
        if cache is not None:
            more |= {self._cache_name: cache, "use_cache": True}
        return cast(Tensor, self.model(input_ids=ids, return_dict=True, **more).logits)

    def _with_hidden(
        self, inputs: dict[str, Any], layers: Sequence[int], more: dict[str, Any], last: int = 1
    ) -> tuple[dict[int, Tensor], Any]:
        """Return residuals by layer: the next layer's input, for the last layer the final norm's; and `call`'s output.

        Caught by hooks: families disagree on what their `hidden_states` begin with and whether the last is normed.
        """
        if not layers:
            return {}, self.call(inputs, last, **more)
        with model_structure.catch_residuals(self.model, layers) as states:
            out = self.call(inputs, last, **more)
        return states, out

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def tolerance(self) -> float:
        """Largest difference of logits, relative to the largest, between two ways to compute them."""
        return 1e-4 if self.model.dtype == torch.float32 else 5e-2


def open_causal(
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
) -> Adapter | None:
    """Return the adapter of a causal language model.

    A folder or hub id may also hold a peft adapter; its base is then opened with it.

    Args:
        model: a hub id, a folder, a .gguf file, `module:object`, or a model of transformers in memory: alone, or as a
            pair with its tokenizer. The options of loading do not touch a model that is in memory.
        revision: a branch, tag or commit of a hub id; `org/name@revision` says the same.
        subfolder: the model's folder in the repository; `org/name@revision:subfolder` says the same.
        chat: put prompts into the tokenizer's chat template (see `groundbench.adapters.chat_template`).

    Raises:
        BadInputError: the model does not exist or cannot be loaded.
        UnsupportedModelError: it is no causal language model.
    """
    if not isinstance(model, str):
        return _from_memory(model, in_memory_name(model), bos, chat)
    if names_object(model):
        return _from_memory(object_of(model), model, bos, chat)
    source = locate(model, revision, subfolder)
    options = loading.LoadOptions(dtype, device, device_map, max_memory, quantize, trust_remote_code)
    options.resolved_dtype()
    loading.require_device(options, source.name)
    source = loading.with_plain_weights(source, options)
    config = loading.load_config(source, trust_remote_code)
    if hasattr(config, "vision_config"):
        return None  # a vision-language model: another adapter's
    loaded, notes = loading.load_causal(source, config, options)
    tokenizer = loading.load_tokenizer(source, trust_remote_code)
    with opening(source, FORWARD):
        require_causal(loaded, source.name)
        return HFCausal(
            loaded,
            tokenizer,
            name=source.name,
            fingerprint=weights_fingerprint(source, loaded),
            bos=bos,
            chat=chat,
            notes=notes,
            training=training_of(source),
        )


def object_of(spec: str) -> Any:
    """Return what `module:object` names, called if it makes something; see `import_object` for the errors."""
    return import_object(spec, call_if=lambda found: not hasattr(found, "info"))


def _from_memory(made: Any, spec: str, bos: BosPolicy, chat: bool) -> Adapter | None:
    """Return the adapter of an object: an Adapter, a model of transformers, or a model with its tokenizer."""
    if is_model(made):
        if hasattr(made.config, "vision_config"):
            return None
        made = (made, _own_tokenizer(made, spec))
    if isinstance(made, tuple) and len(made) == 2 and is_model(made[0]):
        if hasattr(made[0].config, "vision_config"):
            return None  # a vision-language model: another adapter's
        with opening(Source(spec), MADE):
            require_causal(model_structure.accepting_options(made[0]), spec)
            return HFCausal(made[0], made[1], name=spec, bos=bos, chat=chat)
    if not hasattr(made, "info") or not hasattr(made, "forward"):
        raise BadInputError(f"{spec}: found {type(made).__name__}; expected an Adapter or a (model, tokenizer) pair")
    if chat:
        raise BadInputError(f"{spec}: --chat was asked for, but an Adapter of its own encodes its prompts by itself")
    return cast(Adapter, made)


def is_model(made: Any) -> bool:
    """Return True for a model of transformers."""
    return isinstance(made, torch.nn.Module) and hasattr(made, "config")


def in_memory_name(made: Any) -> str:
    """Return a name for a model in memory: where it was loaded from, else its class."""
    model = made[0] if isinstance(made, tuple) and made else made
    return str(getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__)


def _own_tokenizer(model: Any, name: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer in the place that the model was loaded from."""
    where = getattr(model.config, "_name_or_path", "")
    if not where:
        raise BadInputError(f"{name}: a model alone has no tokenizer; give the pair (model, tokenizer)")
    return loading.load_tokenizer(locate(where), False)
