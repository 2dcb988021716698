"""The tuned lens (Belrose et al. 2023; protocol §9): affine translators, bound to one model's weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundbench.api.adapter import ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.util.atomic_files import replace_whole

FORMAT = "groundbench-tuned-lens-1"


@dataclass(frozen=True)
class TunedLens:
    """Translators h -> h + h W + b from a layer's hidden state to the final one, before the final norm.

    The last layer is the model itself and has no translator.

    Attributes:
        fingerprint: of the weights it was trained for.
        layers: the layers (from 1) that have a translator, ascending.
        weight: [layers, d, d] W, applied from the right; `bias`: [layers, d] b. Both fp32.
        training: what it was trained on and how, as JSON values; lenses trained alike have equal ones.
    """

    fingerprint: str
    layers: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    training: dict[str, object] = field(default_factory=dict)

    @classmethod
    def identity(cls, info: ModelInfo, layers: tuple[int, ...]) -> TunedLens:
        """Return the untrained lens: read through it, every layer gives what the logit lens gives."""
        weight = torch.zeros(len(layers), info.d_model, info.d_model, device=info.device)
        return cls(info.fingerprint, layers, weight, torch.zeros(len(layers), info.d_model, device=info.device))

    def translate(self, layer: int, hidden: Tensor) -> Tensor:
        """Hidden states [..., d] of a layer as fp32 states of the last one. Raises ValueError for an unknown layer."""
        if layer not in self.layers:
            raise ValueError(f"layer {layer} has no translator: there are layers {self.layers}")
        k = self.layers.index(layer)
        hidden = hidden.float()
        return hidden + hidden @ self.weight[k] + self.bias[k]

    def to(self, device: str) -> TunedLens:
        """Return the same lens with its tensors on a device."""
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))

    def digest(self) -> str:
        """16 hex digits for the translators."""
        digest = hashlib.sha256(f"{self.fingerprint}{self.layers}".encode())
        for tensor in (self.weight, self.bias):
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all, with the weights' fingerprint in its metadata."""
        metadata = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "layers": json.dumps(self.layers),
            "training": json.dumps(self.training, sort_keys=True),
        }
        tensors = {"weight": self.weight.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}
        with replace_whole(path) as temporary:
            save_file(tensors, temporary, metadata)

    @classmethod
    def load(cls, path: Path, info: ModelInfo) -> TunedLens:
        """Read the lens of a model.

        Raises:
            BadInputError: there is no such file, it holds no lens, or the lens was trained for other weights.
        """
        try:
            with safe_open(path, framework="pt", device=info.device) as file:
                metadata = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        except FileNotFoundError:
            raise BadInputError(f"{path}: no such tuned lens; expected a .safetensors file") from None
        except SafetensorError as error:
            raise BadInputError(f"{path}: not a tuned lens ({error}); expected a .safetensors file") from None
        if metadata.get("format") != FORMAT or set(found) != {"weight", "bias"}:
            raise BadInputError(
                f"{path}: not a tuned lens: found format {metadata.get('format')!r} with tensors {sorted(found)}, "
                f"expected {FORMAT!r} with bias and weight"
            )
        if metadata["fingerprint"] != info.fingerprint:
            raise BadInputError(
                f"{path}: this tuned lens was trained for the weights {metadata['fingerprint']}, but {info.name} has "
                f"the weights {info.fingerprint}; train one for them"
            )
        layers = tuple(json.loads(metadata["layers"]))
        return cls(info.fingerprint, layers, found["weight"], found["bias"], json.loads(metadata["training"]))
