"""The trainings of a reproduction: parts by size, each a preset on the corpus or on its null (protocol §6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora import ImportedCorpus
from groundbench.training import load_preset, train

SizeName = Literal["mini", "paper"]
SEEDS = (42, 142, 242, 342, 442)
"""The published seeds, in order."""
RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates that an LSTM is tried at, besides its preset's own, before anything is said of its architecture."""
RATE = "optimisation.lr"
SHUFFLED = "-shuffled"


@dataclass(frozen=True)
class Size:
    """A scale of the whole study.

    Attributes:
        architectures: presets; the first is the one whose null is trained too.
        lstms: presets of LSTMs, each also tried at those of `RATES` that are not its own, with the first seed.
        override: values of every preset that are changed, by dotted key.
        tuned: of some presets more values, over those.
        vocabulary: words kept of the corpus; None keeps all.
    """

    architectures: tuple[str, ...]
    lstms: tuple[str, ...]
    override: Mapping[str, object] = field(default_factory=dict)
    tuned: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    vocabulary: int | None = None

    def values(self, preset: str) -> dict[str, object]:
        """Return the values that differ from one preset."""
        return {**self.override, **self.tuned.get(preset, {})}


SIZES: Mapping[SizeName, Size] = {
    "mini": Size(
        architectures=("gpt2-mini", "mamba2-mini"),
        lstms=("lstm-4l-mini", "lstm-1l-mini", "lstm-4l-residual-mini"),
        override={
            "steps": 1200,
            "batch_size": 16,
            "length": 128,
            "checkpoints": [{"every": 100, "until": 400}, {"every": 200}],
        },
        # Found by loss in four pilots of one seed: at GPT-2's initial 0.02 a model of this width is slow to begin.
        tuned={"gpt2-mini": {RATE: 3e-3, "config.initializer_range": 0.06}},
        vocabulary=4000,
    ),
    "paper": Size(
        architectures=("gpt2-12l", "gpt2-4l", "gpt2-18l", "mamba2-4l", "mamba2-12l"),
        lstms=("lstm-4l", "lstm-1l", "lstm-4l-residual"),
    ),
}


@dataclass(frozen=True)
class Part:
    """One run to train: `name` is its folder."""

    name: str
    preset: str
    seeds: tuple[int, ...]
    shuffled: bool = False
    rate: float | None = None


def size_of(name: SizeName, override: Mapping[str, object] | None = None, vocabulary: int | None = None) -> Size:
    """Return a size with other values of every preset, by dotted key, or another number of words kept of the corpus."""
    size, given = SIZES[name], override or {}
    return replace(
        size,
        override={**size.override, **given},
        tuned={preset: {**values, **given} for preset, values in size.tuned.items()},
        vocabulary=vocabulary or size.vocabulary,
    )


def plan_parts(size: Size, archs: Sequence[str] | None, seeds: Sequence[int]) -> list[Part]:
    """Return the runs of a size, the main ones first; `archs` keeps only these presets (and the null of the first).

    Raises:
        BadInputError: a preset that the size does not have, or no seed.
    """
    known = (*size.architectures, *size.lstms)
    for name in archs or ():
        if name not in known:
            raise BadInputError(f"--arch {name!r}: expected some of {', '.join(known)}")
    if not seeds:
        raise BadInputError("seeds: expected at least one")
    wanted = tuple(archs or known)
    parts = [Part(name, name, tuple(seeds)) for name in known if name in wanted]
    heads = [name for name in size.architectures if name in wanted]
    parts += [Part(heads[0] + SHUFFLED, heads[0], tuple(seeds), shuffled=True)] if heads else []
    parts += [
        Part(f"{name}-lr{rate:g}", name, tuple(seeds[:1]), rate=rate)
        for name in size.lstms
        if name in wanted
        for rate in RATES
        if rate != _own_rate(name, size)  # the first seed of the main run has it
    ]
    return parts


def _own_rate(preset: str, size: Size) -> float:
    return load_preset(preset).override(size.values(preset)).optimisation.lr


def train_parts(parts: Sequence[Part], size: Size, corpus: Path, folder: Path, jobs: int) -> None:
    """Train what is not trained yet, each part in a folder of its name; stopped runs go on. Raises as `train` does."""
    for part in parts:
        text = ImportedCorpus(corpus, vocabulary=size.vocabulary, shuffle_env=part.shuffled)
        override = size.values(part.preset) | ({} if part.rate is None else {RATE: part.rate})
        train(part.preset, text, folder / part.name, seeds=part.seeds, override=override, jobs=jobs)
