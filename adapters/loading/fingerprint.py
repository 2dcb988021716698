"""A fingerprint of weights and tokenizer, so that no result can be taken for another model's.

Small weights are hashed whole. Of large files: name, size, header and evenly spaced blocks, which any training
step changes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundbench.adapters.loading.hub import weight_names
from groundbench.util.packages import installed_versions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from groundbench.adapters.loading.source import Source

WHOLE = 64 << 20
BLOCKS = 64
BLOCK = 1 << 16


def hash_file(path: Path, into: hashlib._Hash) -> None:
    """Add a file to a hash: whole up to 64 MiB, else its first and last blocks and 62 between."""
    size = path.stat().st_size
    into.update(f"{path.name}:{size}".encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            while chunk := file.read(1 << 20):
                into.update(chunk)
            return
        for i in range(BLOCKS):
            file.seek(i * (size - BLOCK) // (BLOCKS - 1))
            into.update(file.read(BLOCK))


def weights_fingerprint(source: Source, model: PreTrainedModel) -> str:
    """Return 16 hex digits for a model's weights: the hub commit, the files, or else the tensors.

    With an adapter, `+` and 16 hex digits of its files.
    """
    found = _base_fingerprint(source, model)
    if source.adapter is None:
        return found
    files = json.dumps(source.adapter.fingerprint(), sort_keys=True)
    return f"{found}+{hashlib.sha256(files.encode()).hexdigest()[:16]}"


def _base_fingerprint(source: Source, model: PreTrainedModel) -> str:
    if source.snapshot is not None:
        subfolder = source.snapshot.asked.subfolder
        return f"hub:{source.snapshot.commit[:16]}" + (f":{subfolder}" if subfolder else "")
    files = weight_files(source)
    return files_fingerprint(files) if files else tensors_fingerprint(model)


def weight_files(source: Source) -> list[Path]:
    """Return the files that a folder's weights are read from."""
    if source.gguf is not None:
        return [source.folder / source.gguf]
    names = weight_names((p.name for p in source.folder.iterdir()), source.folder)
    return [path for name in names if (path := source.folder / name).is_file()]


def files_fingerprint(files: Sequence[Path]) -> str:
    """16 hex digits for files; see `hash_file`."""
    digest = hashlib.sha256()
    for file in files:
        hash_file(file, digest)
    return digest.hexdigest()[:16]


def tensors_fingerprint(model: PreTrainedModel) -> str:
    """Return 16 hex digits for tensors in memory: names, shapes and up to 4,096 values of each."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().flatten()
        step = max(1, flat.numel() // 4096)
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(flat[::step][:4096].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return 16 hex digits for a tokenizer's whole definition."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.pop("truncation", None)  # set by calls, not part of what it is
    state.pop("padding", None)
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def processor_fingerprint(processor: Any) -> str:
    """Return 16 hex digits for a processor: its tokenizer, and all that decides its output."""
    made = {k: str(v) for k, v in sorted(processor.image_processor.to_dict().items())}
    own = {k: str(v) for k, v in sorted(vars(processor).items()) if isinstance(v, str | int | float | bool)}
    state = [tokenizer_fingerprint(processor.tokenizer), made, own]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


LIBRARIES = ("torch", "transformers", "tokenizers")
OF_SOME = {"peft": "peft_config", "bitsandbytes": "is_quantized"}
"""Libraries that compute a part of some models, and the attribute by which these are known."""
NO_NUMBER = frozenset(
    {"transformers_version", "architectures", "dtype", "torch_dtype", "use_cache", "id2label", "label2id"}
)
"""Of a config: who wrote it, names of classes, and what stands in a run's key by itself."""
REMOTE = "transformers_modules"
"""The package into which transformers puts the code that comes with weights."""


def identity_of(model: PreTrainedModel) -> dict[str, object]:
    """Return what decides a model's numbers besides its weights: whole config, own code, and libraries.

    Returns:
        `config`, a mapping as in config.json; `code`, 16 hex digits by file of code that came with the weights;
        `libraries`, versions by name. All of it is JSON.
    """
    return {"config": _to_json(model.config.to_dict()), "libraries": _versions(model), "code": _remote_code(model)}


def _to_json(config: Mapping[str, Any]) -> Any:
    kept = {str(k): v for k, v in config.items() if k not in NO_NUMBER and not str(k).startswith("_")}
    nested = {k: _to_json(v) if isinstance(v, Mapping) else v for k, v in kept.items()}
    return json.loads(json.dumps(nested, default=str, sort_keys=True))


def _versions(model: PreTrainedModel) -> dict[str, str]:
    return installed_versions([*LIBRARIES, *(name for name, mark in OF_SOME.items() if getattr(model, mark, None))])


def _remote_code(model: PreTrainedModel) -> dict[str, str]:
    """16 hex digits for each module of code that came with a model's weights and was imported."""
    packages = {type(m).__module__.rpartition(".")[0] for m in (model, model.config, *model.modules())}
    remote = tuple(f"{p}." for p in packages if p.split(".")[0] == REMOTE)
    found = {}
    for name, module in sorted(sys.modules.items()) if remote else ():
        file = getattr(module, "__file__", None)
        if name.startswith(remote) and file and Path(file).is_file():
            found[f"{name.rpartition('.')[2]}.py"] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    return found
