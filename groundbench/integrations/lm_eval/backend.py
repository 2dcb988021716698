"""Any backend of lm-eval with log-probabilities as a `TextScorer`: vLLM, SGLang, a server with the completions API.

`groundbench screen lm-eval:BACKEND,key=value,... --questions FILE`: the arguments are lm-eval's `--model_args`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import math
import socket
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from groundbench.api.errors import BadInputError, GroundbenchError, NonFiniteLogitsError, UnsupportedModelError
from groundbench.api.text_scorer import ScoredText, ScorerInfo, TextSize
from groundbench.integrations.lm_eval.completions import Unanswered, with_check
from groundbench.util.users_code import error_text

UNTOLD = (
    "auth_token",
    "header",
    "num_concurrent",
    "batch_size",
    "timeout",
    "max_retries",
    "ca_cert_path",
    "device",
    "verify_certificate",
)
"""Arguments that decide no number (or are secret): not part of the fingerprint."""
CONNECTING = 5.0
"""Seconds in which a server must take a connection."""


def open_backend(spec: str) -> LmEvalScorer:
    """Return lm-eval's backend as a scorer.

    Args:
        spec: `BACKEND,key=value,...`, as lm-eval has `--model BACKEND --model_args key=value,...`.

    Raises:
        BadInputError: lm-eval is not installed, it knows no such backend, an argument is not `key=value`, no server
            answers, or the backend refuses its arguments.
    """
    if find_spec("lm_eval") is None:
        raise BadInputError("lm-eval's backends need lm-evaluation-harness: pip install 'groundbench[lm-eval]'")
    backend, _, rest = spec.partition(",")
    registry: Any = import_module("lm_eval.api.registry")
    import_module("lm_eval.models")
    try:
        kind = registry.get_model(backend)
    except (ValueError, KeyError):
        known = ", ".join(sorted(registry.model_registry.keys()))
        raise BadInputError(f"lm-eval has no backend {backend!r}; it knows {known}") from None
    except ImportError as error:
        raise BadInputError(f"lm-eval's backend {backend} does not load: {error_text(error)}") from error
    args = _arguments(backend, rest)
    _require_connection(backend, args.get("base_url"))
    try:
        with _silence_lm_eval():
            made = kind.create_from_arg_obj(args)
    except (Exception, SystemExit) as error:  # whatever a backend and its libraries raise
        raise BadInputError(f"lm-eval's backend {backend} does not open: {error_text(error)}") from error
    return LmEvalScorer(made, backend, args)


class LmEvalScorer:
    """A model of lm-eval that gives sums of log-probabilities.

    Args:
        lm: the model, as `lm_eval.api.registry.get_model` makes it.
        backend: its registered name; `args`: the arguments that it was made with.
    """

    def __init__(self, lm: Any, backend: str, args: Mapping[str, Any]) -> None:
        self.lm = lm
        self.url = args.get("base_url")
        told = _model_info(lm)
        public = {k: v for k, v in args.items() if k not in UNTOLD}
        digest = hashlib.sha256(json.dumps([backend, public], sort_keys=True, default=str).encode())
        size, longest = told.get("model_num_parameters"), getattr(lm, "max_length", None)
        self.info = ScorerInfo(
            name=str(args.get("model") or args.get("pretrained") or backend),
            backend=f"lm-eval {backend}",
            fingerprint=digest.hexdigest()[:16],
            parameters=size if isinstance(size, int) and size > 0 else None,
            dtype=str(told.get("model_dtype") or "unknown").removeprefix("torch."),
            max_length=longest if isinstance(longest, int) else None,
        )
        if hasattr(lm, "parse_logprobs"):
            lm.parse_logprobs = with_check(lm.parse_logprobs)

    def size(self, text: ScoredText) -> TextSize | None:
        """Return the sizes by the backend's own tokenizer; see `TextScorer.size`."""
        encode = getattr(self.lm, "tok_encode", None)
        if encode is None or getattr(self.lm, "backend", "causal") != "causal":
            return None
        kept = text.prompt.rstrip()  # lm-eval moves a prompt's last blanks to the answer
        try:
            before, whole = (list(encode(t)) for t in (kept, text.prompt + text.answer))
        except Exception as error:  # the tokenizer's own
            raise BadInputError(f"{self.info.backend} cannot tokenize it: {error_text(error)}") from error
        if whole[: len(before)] != before:
            raise BadInputError("the tokenizer merges the prompt's end with the answer's beginning")
        found, most = TextSize(len(before), len(whole) - len(before)), self.info.max_length
        if not found.answer:
            raise BadInputError("the answer has no token of its own")
        if most is not None and len(whole) > most:
            raise BadInputError(
                f"{found.prompt} tokens and {found.answer} of the answer do not fit {self.info.backend}'s context of "
                f"{most} (its argument max_length); nothing is cut silently, --max-evidence cuts evidence at sentence "
                "borders"
            )
        return found

    def log_probabilities(self, texts: Sequence[ScoredText]) -> list[float]:
        """Return the sums of log-probabilities; see `TextScorer.log_probabilities`."""
        from lm_eval.api.instance import Instance

        requests = [
            Instance("loglikelihood", {}, (t.prompt, t.answer), i, metadata=("groundbench", i, 1))
            for i, t in enumerate(texts)
        ]
        try:
            with _silence_lm_eval():
                answers = list(self.lm.loglikelihood(requests))
        except GroundbenchError:
            raise
        except (Exception, SystemExit) as error:  # whatever a backend and its libraries raise
            raise self._failure(error) from error
        if len(answers) != len(texts):
            raise GroundbenchError(f"{self.info.backend} gave {len(answers)} answers to {len(texts)} requests")
        found = [float(answer[0]) for answer in answers]
        for value, text in zip(found, texts, strict=True):
            if not math.isfinite(value):
                raise NonFiniteLogitsError(f"{text.where}: {self.info.backend} gave {value} for a log-probability")
        return found

    def _failure(self, error: BaseException) -> GroundbenchError:
        at = f" at {self.url}" if self.url else ""
        if isinstance(error, Unanswered):
            return UnsupportedModelError(f"{self.info.backend}{at}: {error}")
        if isinstance(error, NotImplementedError):
            return UnsupportedModelError(
                f"{self.info.backend} gives no log-probabilities of texts (it generates only): {error_text(error)}"
            )
        return GroundbenchError(f"{self.info.backend}{at} failed: {error_text(error)}")


def _arguments(backend: str, rest: str) -> dict[str, Any]:
    from lm_eval.utils import simple_parse_args_string

    for part in filter(None, rest.split(",")):
        if "=" not in part:
            raise BadInputError(f"lm-eval:{backend}: found the argument {part!r}, expected key=value")
    found: dict[str, Any] = simple_parse_args_string(rest)
    return found


def _require_connection(backend: str, url: object) -> None:
    """Raise BadInputError where a server is named that takes no connection; not where requests go through a proxy."""
    if url is None:
        return
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInputError(f"lm-eval:{backend}: base_url is {url!r}, expected http://HOST/v1/completions")
    if parts.scheme in getproxies():
        return
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=CONNECTING).close()
    except OSError as error:
        raise BadInputError(f"lm-eval:{backend}: no server answers at {url}: {error.strerror or error}") from error


def _model_info(lm: Any) -> Mapping[str, Any]:
    """Return what a backend says of its model; nothing where it says nothing."""
    with contextlib.suppress(Exception):
        found = lm.get_model_info()
        if isinstance(found, Mapping):
            return found
    return {}


@contextlib.contextmanager
def _silence_lm_eval() -> Iterator[None]:
    """Keep lm-eval's bars and log off the terminal; a failure is reported once, in one sentence."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
