"""LoRA and other peft adapters: a model is then its base and what was trained on top of it.

With peft installed an adapter is loaded and named; without it, it is refused. So no number depends in silence on what
is installed, as it does in transformers, which passes over an adapter_config.json where peft is missing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundbench.adapters.loading.hub import ADAPTER_CONFIG
from groundbench.adapters.loading.missing_weights import require_whole
from groundbench.api.errors import BadInputError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OF_PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CARTRIDGE")
"""They put learned vectors before the prompt, which then is not the testbed's."""
MERGE = "merge it into its base (peft: merge_and_unload, then save_pretrained)"


@dataclass(frozen=True)
class PeftAdapter:
    """An adapter's folder.

    Attributes:
        name: for messages and results.
        base, revision: the model it was trained on, as its config names it.
    """

    name: str
    folder: Path
    base: str | None
    revision: str | None

    @property
    def file(self) -> Path:
        """Its config."""
        return self.folder / ADAPTER_CONFIG

    def fingerprint(self) -> dict[str, str]:
        """16 hex digits for each of its files."""
        from groundbench.adapters.loading.fingerprint import hash_file  # imports this module

        found = {}
        for path in sorted(p for p in self.folder.glob("adapter_*") if p.is_file()):
            digest = hashlib.sha256()
            hash_file(path, digest)
            found[path.name] = digest.hexdigest()[:16]
        return found


def read_adapter(folder: Path, name: str) -> PeftAdapter:
    """Return the adapter in a folder with an adapter_config.json.

    Raises:
        BadInputError: peft is not installed, or the config cannot be read.
        UnsupportedModelError: it is of a kind that changes prompts rather than weights.
    """
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = str(config["peft_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path}: no config of a peft adapter ({type(error).__name__}: {error}); expected JSON with 'peft_type'"
        ) from None
    if kind in OF_PROMPTS:
        raise UnsupportedModelError(
            f"{path}: peft_type is {kind}, which puts learned vectors before every prompt; expected an adapter of "
            "weights, such as LORA"
        )
    if find_spec("peft") is None:
        raise BadInputError(
            f"{path}: the model has a {kind} adapter, which needs peft: install groundbench[peft], or {MERGE}; to "
            f"measure a base without the adapter, move {ADAPTER_CONFIG} out of its folder"
        )
    base = config.get("base_model_name_or_path")
    revision = config.get("revision")
    return PeftAdapter(name, folder, str(base) if base else None, str(revision) if revision else None)


def apply_adapter(model: PreTrainedModel, adapter: PeftAdapter) -> None:
    """Put an adapter's weights into its base model, as transformers does.

    Raises:
        BadInputError: it does not fit the base, or its files lack weights.
    """
    kind = type(model).__name__
    try:
        more = {"adapter_kwargs": {"local_files_only": True}, "ignore_mismatched_sizes": True}
        info: Any = model.load_adapter(str(adapter.folder), **more)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        first = " ".join(str(error).split())[:300]
        raise BadInputError(f"{adapter.file}: the adapter cannot be put into {kind}: {first}") from error
    where = str(adapter.folder)
    notes = require_whole(where, info.to_dict(), architecture=f"{kind} with the adapter", config=model.config)
    if notes:
        raise BadInputError(f"{where}: {notes[0]}; was the adapter trained on another base?")
