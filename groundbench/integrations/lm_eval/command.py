"""lm-eval's own command line in this process, with our models, tasks and architectures known to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from groundbench.api.errors import BadInputError
from groundbench.integrations.lm_eval import include_path
from groundbench.integrations.lm_eval.full_task import REQUEST

HF = ("hf", "hf-auto", "huggingface")


def run(args: Sequence[str]) -> int:
    """Run `lm-eval ARGS` and return its exit code.

    Known besides what lm-eval knows itself: `--model groundbench`, our task files (beside any `--include_path`), and
    the architectures that we train from scratch, for `--model hf`.

    Raises:
        BadInputError: a task that does not exist, or one of the full tasks on another model than `groundbench`.
    """
    for module in ("groundbench.adapters.architectures", "groundbench.integrations.lm_eval.model"):
        import_module(module)  # each registers what it holds
    harness: Any = import_module("lm_eval.__main__")
    harness.setup_logging()
    before, sys.argv = sys.argv, ["lm-eval", *args]  # its parser reads nothing else
    try:
        program = harness.HarnessCLI()
        options = program.parse_args()
        if hasattr(options, "include_path"):
            options.include_path = [str(include_path()), *_users_folders(options)]
        if getattr(options, "model", None) in HF:
            options.model_args = _with_prefix_token(options.model_args or {})
        program.execute(options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except AttributeError as error:
        if REQUEST not in str(error):
            raise
        raise BadInputError("the groundbench_full tasks need --model groundbench: no other model has heads") from error
    except ValueError as error:
        if not str(error).startswith("Tasks not found"):
            raise
        raise BadInputError(f"lm-eval: {error} (`groundbench lm-eval ls tasks` lists them)") from error
    finally:
        sys.argv = before
    return 0


def _with_prefix_token(model_args: dict[str, Any]) -> dict[str, Any]:
    """Add `prefix_token_id`, without which lm-eval's `hf` needs a BOS or EOS token even where no text begins so.

    Word-level tokenizers of models trained here have neither: token 0 is named for them. It would stand before empty
    contexts only, of which our tasks have none.
    """
    settings = Path(str(model_args.get("tokenizer") or model_args.get("pretrained"))) / "tokenizer_config.json"
    if "prefix_token_id" in model_args or not settings.is_file():
        return model_args
    known = json.loads(settings.read_text(encoding="utf-8"))
    return model_args if known.get("bos_token") or known.get("eos_token") else {**model_args, "prefix_token_id": 0}


def _users_folders(options: Any) -> list[str]:
    """Return the user's own `--include_path`, or the one of their `--config` file."""
    if options.include_path:
        return [options.include_path]
    if getattr(options, "config", None) is None:
        return []
    try:
        with open(options.config, encoding="utf-8") as file:
            named = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise BadInputError(f"{options.config}: not YAML: {' '.join(str(error).split())}") from error
    return [named["include_path"]] if isinstance(named, dict) and named.get("include_path") else []
