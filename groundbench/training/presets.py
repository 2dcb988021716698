"""Presets: what is trained and how, as data. `presets.yaml` beside this module holds ours (protocol §6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, PositiveInt, ValidationError, ValidationInfo, field_validator

from groundbench.api.errors import BadInputError
from groundbench.results.base import Record
from groundbench.util.suggestions import did_you_mean
from groundbench.util.validation import first_fault
from groundbench.util.yaml_records import read_yaml

OURS = Path(__file__).with_name("presets.yaml")


class Optimisation(Record):
    """AdamW with linear warm-up, gradient clipping and a schedule; the defaults are protocol §6's."""

    lr: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(ge=0)
    schedule: Literal["linear", "constant"] = "linear"
    clip: float = Field(default=1.0, gt=0)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step `step` (from 0) of `steps`: up to `lr`, then down to 0 if linear."""
        if step < self.warmup_steps:
            return self.lr * step / self.warmup_steps
        if self.schedule == "constant":
            return self.lr
        return self.lr * max(0, steps - step) / max(1, steps - self.warmup_steps)


class Stretch(Record):
    """Part of a checkpoint schedule: at multiples of `every`, up to step `until` (the end if None)."""

    every: PositiveInt
    until: PositiveInt | None = None


class ImageInput(Record):
    """The way in which a model sees images (protocol §2.3).

    Attributes:
        pixels: the side to which images are scaled.
        vision: hub id or folder of a pretrained image encoder, frozen; None: a new one of `config.vision_config`, which
            is trained along.
        language: hub id, folder or .gguf file of a pretrained language model, frozen; None: a new one of
            `config.text_config`.
        turns: of a dialogue's turns, this many in a row are read at a time; None: all.
        captions: the share of rows that hold the image's caption in place of its dialogue.
        otherwise: the preset that the command line trains instead where no encoder is given.
        cache: folder for what a frozen encoder makes of images; None: one in the user's cache folder.
    """

    pixels: PositiveInt
    vision: str | None = None
    language: str | None = None
    turns: PositiveInt | None = None
    captions: float = Field(default=0.0, ge=0, le=1)
    otherwise: str | None = None
    cache: str | None = None


class Preset(Record):
    """One training recipe.

    Attributes:
        architecture, config: a `model_type` of transformers and the values of its config.
        corpus: what it is trained on unless told; None: childworld.
        pictures: for a model that sees; its `architecture` is llava, and `length` counts the words after the image.
        batch_size, length: rows of one update, and their length in tokens.
        accumulation: parts in which a batch is computed where memory is short; the update is the same.
        precision: `fp32`, or `bf16` for mixed precision (weights stay fp32). fp16 is not offered: it needs its loss
            scaled, and every device that trains these models in reasonable time has bf16.
        compile: run the layers through torch.compile; numbers change by rounding, checkpoints do not change form. For
            models that read text only: of images and words no two batches need have one shape.
        checkpoints: stretches in order; step 0 and the last step are always checkpoints.
        resume_every: steps between two savings of the state from which an interrupted run goes on.
        heldout_rows: rows of the held-out text on which every checkpoint's loss is measured.
    """

    name: str = Field(min_length=1)
    description: str = ""
    architecture: str = Field(min_length=1)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    corpus: str | None = None
    pictures: ImageInput | None = None
    optimisation: Optimisation
    steps: PositiveInt
    batch_size: PositiveInt
    length: int = Field(ge=2)
    accumulation: PositiveInt = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    checkpoints: tuple[Stretch, ...] = Field(min_length=1)
    resume_every: PositiveInt = 250
    heldout_rows: PositiveInt = 128

    @field_validator("compile")
    @classmethod
    def _compile_text_only(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("pictures") is not None:
            raise ValueError("only presets that read text can be compiled")
        return value

    def checkpoint_steps(self) -> tuple[int, ...]:
        """Return the steps after which a checkpoint is written: 0 first, the last step last."""
        found, start = {0, self.steps}, 0
        for stretch in self.checkpoints:
            until = self.steps if stretch.until is None else min(stretch.until, self.steps)
            first = (start // stretch.every + 1) * stretch.every
            found.update(range(first, until + 1, stretch.every))
            start = max(start, until)
        return tuple(sorted(found))

    def identity(self) -> dict[str, Any]:
        """Return everything that decides a run; file names are replaced by fingerprints (`source_fingerprint`).

        `compile` only where it is on, so that folders of before it existed are still the same run.
        """
        left_out: dict[str, Any] = {
            "description": True,
            "corpus": True,
            "pictures": {"vision", "language", "otherwise", "cache"},
        }
        return self.model_dump(mode="json", exclude=left_out if self.compile else {**left_out, "compile": True})

    def override(self, values: Mapping[str, object]) -> Preset:
        """Return the preset with other values; a key may be dotted, as in `optimisation.lr` or `config.n_layer`.

        Raises:
            BadInputError: no such key, or a value of the wrong kind.
        """
        data: dict[str, Any] = self.model_dump()
        for key, value in values.items():
            *outer, last = key.split(".")
            place: Any = data
            for name in outer:
                place = place.get(name)
                if not isinstance(place, dict):
                    raise BadInputError(f"preset {self.name}: {key!r} is no key of a preset")
            if last not in place and outer[:1] != ["config"]:
                raise BadInputError(f"preset {self.name}: {key!r} is no key of a preset")
            place[last] = value
        return _validate(data, f"preset {self.name}")


def preset_names() -> list[str]:
    """Return the names of our presets."""
    return sorted(_own_presets())


def load_preset(preset: str | Path | Preset) -> Preset:
    """Return one of our presets by name, the one preset in a YAML file of the same form, or a Preset as it is.

    Raises:
        BadInputError: no such preset or file, or a file that breaks the schema (names file and key).
    """
    if isinstance(preset, Preset):
        return preset
    if str(preset).endswith((".yaml", ".yml")):
        found = read_presets(Path(preset))
        if len(found) != 1:
            raise BadInputError(f"{preset}: holds {len(found)} presets ({', '.join(found)}); expected one")
        return next(iter(found.values()))
    if str(preset) not in _own_presets():
        raise BadInputError(
            f"unknown preset {str(preset)!r}: expected one of {', '.join(preset_names())} or a YAML file"
            f"{did_you_mean(str(preset), _own_presets())}"
        )
    return _own_presets()[str(preset)]


def read_presets(path: Path) -> dict[str, Preset]:
    """Return the presets of a YAML file by name. Top-level keys with a leading dot are fragments for YAML's `<<`.

    Raises:
        BadInputError: not readable, not YAML (names the line), or a key that breaks the schema (names it).
    """
    file = read_yaml(path, "presets in YAML")
    data = file.value
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise BadInputError(f"{path}: expected a mapping from preset names to presets, found {type(data).__name__}")
    presets: dict[str, Preset] = {}
    for name, values in data.items():
        if name.startswith("."):
            continue
        if not isinstance(values, dict):
            raise file.error(f"{name}: expected a preset, found {type(values).__name__}", (name,))
        presets[name] = file.record(Preset, {"name": name, **values}, (name,), name)
    return presets


def _validate(data: Mapping[str, object], where: str) -> Preset:
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise BadInputError(f"{where}: {first_fault(error, Preset)}") from None


@cache
def _own_presets() -> dict[str, Preset]:
    return read_presets(OURS)
