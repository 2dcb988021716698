"""The training runs of a reproduction: folders DIR/NAME/seed-*/step-*, known by what their records say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Literal

from groundbench.api.errors import BadInputError
from groundbench.evaluation.checkpoints import find_checkpoints
from groundbench.evaluation.seeds import seed_folders

Kind = Literal["transformer", "mamba2", "lstm", "vlm"]
KINDS: Mapping[str, Kind] = {"gpt2": "transformer", "mamba2": "mamba2", "groundbench_lstm": "lstm", "llava": "vlm"}
LAYERS = {"gpt2": "n_layer", "mamba2": "num_hidden_layers", "groundbench_lstm": "num_hidden_layers"}


@dataclass(frozen=True)
class Run:
    """One model on one corpus, with the seeds whose training is finished.

    Attributes:
        training: the training.json of the first seed's last checkpoint.
        unfinished: seeds that are still trained, and left out.
        stopped: seeds that are there though their training ended early, with the last step of each.
    """

    name: str
    seeds: tuple[Path, ...]
    training: Mapping[str, Any]
    unfinished: tuple[str, ...] = ()
    stopped: Mapping[str, int] = field(default_factory=dict)

    @property
    def preset(self) -> Mapping[str, Any]:
        """The recipe that it was trained by."""
        found: Mapping[str, Any] = self.training["preset"]
        return found

    @property
    def corpus(self) -> Mapping[str, Any]:
        """The corpus' identity."""
        found: Mapping[str, Any] = self.training["corpus"]
        return found

    @property
    def kind(self) -> Kind:
        """Transformer, Mamba-2, LSTM, or a vision-language model."""
        return KINDS[self.preset["architecture"]]

    @property
    def shuffled(self) -> bool:
        """True if what was shown was shuffled between transcripts, or images between dialogues: the null."""
        return bool(self.corpus.get("shuffle_env"))

    @property
    def layers(self) -> int:
        """Layers of the model; of one that sees images, of its language model."""
        if self.kind != "vlm":
            return int(self.preset["config"][LAYERS[self.preset["architecture"]]])
        text = self.preset["config"].get("text_config") or {}
        return int(text["num_hidden_layers"]) if "num_hidden_layers" in text else _language_layers(self.seeds[0])

    def frozen_part(self, part: Literal["vision", "language"]) -> str | None:
        """Return the name of a pretrained part that training leaves as it is, without the folder it was in."""
        source = (self.preset.get("pictures") or {}).get(part)
        return PurePath(source).name if source else None

    @property
    def learning_rate(self) -> float:
        """The schedule's highest rate."""
        return float(self.preset["optimisation"]["lr"])

    @property
    def residual(self) -> bool:
        """True if an LSTM has residual connections."""
        return bool(self.preset["config"].get("residual"))

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return int(self.preset["steps"])

    @cached_property
    def hours(self) -> float | None:
        """Hours of training of all seeds together, from the speed that the logs give; None where they give none."""
        found = [h for h in map(_hours, self.seeds) if h is not None]
        return sum(found) if found else None


def find_runs(folder: str | Path, *, images: bool = False, unfinished: bool = False) -> list[Run]:
    """Return the runs in a folder: those of our architectures with at least one finished seed, by name.

    Args:
        images: of models that see images, instead of those that read text only.
        unfinished: take trainings that ended early too, as far as they came.

    Raises:
        BadInputError: there is none; says which are unfinished.
    """
    runs = [run for path in sorted(Path(folder).glob("*")) if (run := _run(path, unfinished)) is not None]
    found = [run for run in runs if (run.kind == "vlm") == images]
    if not any(run.seeds for run in found):
        still = f"; still trained: {', '.join(r.name for r in found)} (--unfinished takes these too)" if found else ""
        raise BadInputError(
            f"{folder}: no finished training{' of a model that sees images' if images else ''}, expected folders "
            f"NAME/seed-42/step-000000 and so on{still}"
        )
    return [run for run in found if run.seeds]


def _run(folder: Path, unfinished: bool) -> Run | None:
    seeds = seed_folders(folder)
    if not seeds:
        return None
    done = [s for s in seeds if _is_finished(s)]
    last = find_checkpoints((done or seeds)[0])[-1]
    if last.training.get("preset", {}).get("architecture") not in KINDS:
        return None
    early = [s for s in seeds if s not in done]
    if not unfinished:
        return Run(folder.name, tuple(done), last.training, tuple(s.name for s in early))
    stopped = {s.name: find_checkpoints(s)[-1].step for s in early}
    return Run(folder.name, tuple(seeds), last.training, stopped=stopped)


def _is_finished(seed: Path) -> bool:
    """Return True if the last checkpoint of its schedule is there."""
    last = find_checkpoints(seed)[-1]
    return last.step >= int(last.training.get("preset", {}).get("steps", 0))


def _language_layers(seed: Path) -> int:
    """Return layers of a pretrained language model, as the checkpoint's own configuration has them."""
    from transformers import AutoConfig  # a config.json leaves out what is its class' default

    return int(AutoConfig.from_pretrained(find_checkpoints(seed)[-1].path).text_config.num_hidden_layers)


def _hours(seed: Path) -> float | None:
    path = seed / "log.jsonl"
    if not path.is_file():
        return None
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    seconds, before = 0.0, 0
    for row in rows:
        if row.get("tokens_per_second"):
            seconds += (row["tokens"] - before) / row["tokens_per_second"]
        before = row["tokens"]
    return seconds / 3600 or None
