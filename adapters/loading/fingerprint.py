"""A fingerprint of weights and tokenizer, so that no result can be taken for another model's.

Small weights are hashed whole. Of large files: name, size, header and evenly spaced blocks, which any training
step changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from groundbench.adapters.loading.load import Source

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
    """16 hex digits for a model's weights: the hub commit, the files, or (loaded from neither) the tensors."""
    digest = hashlib.sha256()
    commit = getattr(model.config, "_commit_hash", None)
    if source.path is None and commit:
        return f"hub:{commit[:16]}"
    files: list[Path] = []
    if source.path is not None and source.gguf is not None:
        files = [source.path / source.gguf]
    elif source.path is not None:
        files = sorted(source.path.glob("*.safetensors")) or sorted(source.path.glob("*.bin"))
    for file in files:
        hash_file(file, digest)
    if not files:
        return tensors_fingerprint(model)
    return digest.hexdigest()[:16]


def tensors_fingerprint(model: PreTrainedModel) -> str:
    """16 hex digits for tensors in memory: names, shapes and up to 4,096 values of each."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().flatten()
        step = max(1, flat.numel() // 4096)
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(flat[::step][:4096].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """16 hex digits for a tokenizer's whole definition."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.pop("truncation", None)  # set by calls, not part of what it is
    state.pop("padding", None)
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def processor_fingerprint(processor: Any) -> str:
    """16 hex digits for a processor: its tokenizer, and all that decides what it makes of an image."""
    made = {k: str(v) for k, v in sorted(processor.image_processor.to_dict().items())}
    own = {k: str(v) for k, v in sorted(vars(processor).items()) if isinstance(v, str | int | float | bool)}
    state = [tokenizer_fingerprint(processor.tokenizer), made, own]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
