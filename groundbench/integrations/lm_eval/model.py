"""`--model groundbench`: any model that groundbench opens, as a model of lm-evaluation-harness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import lm_eval.models  # noqa: F401  first: lm-eval looks for its own models only while no other is registered
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.integrations.lm_eval.item_metrics import Measured, probe_form
from groundbench.integrations.lm_eval.loglikelihood import Answer, Pair, log_likelihoods
from groundbench.registry import open_model
from groundbench.util.progress import Progress


@register_model("groundbench")
class GroundbenchLM(LM):
    """Log-likelihoods through our engine (each distinct context once), and `grounding_probe` for the full tasks.

    Args:
        pretrained: what `groundbench run` takes (a hub id, a folder, a .gguf file, `module:object`), or an Adapter.
        batch_tokens: tokens in one batch; changes no number. lm-eval's `batch_size` is not used.
        device: as lm-eval has it; its default `cuda:0` falls back to the CPU where there is no CUDA.
        add_bos_token: as in lm-eval's `hf`: True or False forces a BOS token on or off, None asks the tokenizer.
        load: further options of loading: dtype, device_map, max_memory, quantize, trust_remote_code,
            revision, subfolder (a revision of digits alone is a number to lm-eval, and text here).

    Raises:
        BadInputError: the model cannot be opened.
    """

    def __init__(
        self,
        pretrained: str | Adapter | None = None,
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        add_bos_token: bool | None = None,
        **load: Any,
    ) -> None:
        super().__init__()
        if pretrained is None:
            raise BadInputError("--model groundbench: --model_args lacks pretrained=MODEL")
        if not isinstance(batch_tokens, int) or batch_tokens < 1:
            raise BadInputError(f"--model_args batch_tokens={batch_tokens!r}: expected a whole number above 0")
        self.batch_tokens = batch_tokens
        if isinstance(pretrained, str):
            if add_bos_token is not None:
                load["bos"] = "yes" if add_bos_token else "no"
            load |= {k: _text(k, load[k]) for k in ("revision", "subfolder") if k in load}
            self.adapter = open_model(pretrained, device=_device(device), **load)
        else:
            self.adapter = pretrained
        self._device = torch.device(self.adapter.info.device)

    def loglikelihood(self, requests: Sequence[Instance]) -> list[Answer]:
        """Return (log P(continuation | context) in nats, is greedy) of every request; see `pairs` for the errors."""
        pairs = [Pair(r.args[0], r.args[1], f"task {r.task_name}, document {r.doc_id}") for r in requests]
        with Progress(f"{self.adapter.info.name}: log-likelihoods", len(pairs)) as bar:
            answers = log_likelihoods(self.adapter, pairs, batch_tokens=self.batch_tokens, advance=bar.advance)
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, answer)
        return answers

    def grounding_probe(self, requests: Sequence[Instance]) -> list[dict[str, float]]:
        """Return the metrics of every item asked for; each form is measured once, whole, whatever `--limit` says.

        Empty for a noun that the tokenizer does not set apart, which is left out of the form.
        """
        measured: dict[str, Measured] = {}
        answers = []
        for request in requests:
            doc = request.args[1]
            spec = {k: doc[k] for k in ("testbed", "env_form", "limit_nouns", "seed", "draws")}
            key = json.dumps(spec)
            if key not in measured:
                measured[key] = probe_form(self.adapter, spec, self.batch_tokens)
            answers.append(measured[key].get((doc["frame"], doc["noun"]), {}))
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Raise UnsupportedModelError: not supported."""
        raise UnsupportedModelError(_refusal(requests, "rolling log-likelihoods"))

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Raise UnsupportedModelError: not supported."""
        raise UnsupportedModelError(_refusal(requests, "generated text"))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Raise BadInputError: not supported."""
        raise BadInputError("--model groundbench applies no chat template; use --model hf for it")

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-eval writes of the model into its results."""
        info = self.adapter.info
        return {
            "model_num_parameters": info.parameters,
            "model_dtype": info.dtype,
            "model_sha": info.fingerprint,
            "model_family": info.family,
            "model_architecture": info.architecture,
            "model_bos": info.bos,
        }


def _device(asked: str | None) -> str:
    if asked is None or (asked.startswith("cuda") and not torch.cuda.is_available()):
        return "auto"
    return asked


def _text(option: str, value: object) -> str | None:
    """Return the text that was meant: lm-eval reads digits (a tag `2024`, a commit's first characters) as a number."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadInputError(f"--model_args {option}={value!r}: expected text; put it in quotation marks: {option}='…'")


def _refusal(requests: Sequence[Instance], what: str) -> str:
    return f"task {requests[0].task_name} needs {what}; --model groundbench gives log-likelihoods only: use --model hf"
