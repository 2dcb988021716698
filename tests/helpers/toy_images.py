"""Images of one colour and what is said of them, an encoder and a language model: small enough for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM

from groundbench.adapters.architectures.llava import word_tokenizer
from groundbench.training.presets import Preset

COLORS = ("red", "lime", "blue", "white")
WORDS = ("Caption", "What", "color", ":", "?", "it", "is", ".", *COLORS)


@dataclass(frozen=True)
class Plain:
    """An image of one colour, a little brighter or darker by number."""

    color: str
    shade: int

    @property
    def key(self) -> str:
        return f"{self.color} {self.shade}"

    def load(self) -> Image.Image:
        picture = Image.new("RGB", (30, 20), self.color)
        return picture.point(lambda value: max(0, min(255, value - self.shade)))


@dataclass(frozen=True)
class ToyImages:
    """Image i has colour i % 4, and two turns and a caption name it; `blind` shows another image's colour."""

    n: int = 24
    blind: bool = False
    name: str = "toy-pictures"

    def identity(self) -> dict[str, object]:
        return {"name": self.name, "n": self.n, "blind": self.blind}

    def __len__(self) -> int:
        return self.n

    def image(self, i: int) -> Plain:
        return Plain(COLORS[(i // 5 if self.blind else i) % 4], i % 7)

    def caption(self, i: int) -> str:
        return f"Caption: it is {COLORS[i % 4]}."

    def turns(self, i: int) -> list[str]:
        return [f"What color? {COLORS[i % 4]}.", f"What is it? it is {COLORS[i % 4]}."]

    def words(self) -> tuple[str, ...]:
        return WORDS

    def heldout(self, rows: int) -> range:
        return range(self.n, self.n + rows)


VISION = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.2,
}
TEXT = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "tie_word_embeddings": True,
}


def image_preset(cache: Path, **changes: object) -> Preset:
    """A model that sees four patches; its encoder is trained along unless `changes` name one."""
    preset = Preset.model_validate(
        {
            "name": "toy-vlm",
            "architecture": "llava",
            "config": {
                "text_config": TEXT,
                "vision_config": VISION,
                "vision_feature_layer": 1,
                "projector_hidden_act": "linear",
            },
            "pictures": {"pixels": 28, "cache": str(cache)},
            "optimisation": {"lr": 1e-2, "warmup_steps": 5},
            "steps": 30,
            "batch_size": 8,
            "length": 20,
            "checkpoints": [{"every": 15}],
            "resume_every": 4,
            "heldout_rows": 8,
        }
    )
    return preset.override(changes)


def make_encoder(folder: Path, layers: int = 2) -> str:
    """A small DINOv2, its weights large enough that its patches tell colours apart."""
    torch.manual_seed(1)
    values = {k: v for k, v in VISION.items() if k != "model_type"} | {"num_hidden_layers": layers}
    model = Dinov2Model(Dinov2Config(**values))
    model.save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 32}, image_mean=[0.4] * 3, image_std=[0.3] * 3).save_pretrained(folder)
    return str(folder)


def make_language(folder: Path, *, tied: bool) -> str:
    """A small LLaMA that reads WORDS, without a token for images."""
    torch.manual_seed(2)
    tokenizer = word_tokenizer(WORDS)
    values = {k: v for k, v in TEXT.items() if k not in ("model_type", "tie_word_embeddings")}
    model = LlamaForCausalLM(LlamaConfig(**values, vocab_size=len(tokenizer), tie_word_embeddings=tied))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
