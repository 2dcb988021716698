"""Selection of the nouns that a corpus shows and says often enough to be tested on it (protocol §3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.formats.segments import ENV, LAN
from groundbench.tasks.corpora.manifest import load_manifest
from groundbench.tasks.nouns import inventory

AT_LEAST = 100


@dataclass(frozen=True)
class Verdict:
    """One noun: how often each form occurs, and why it does not stay, if it does not."""

    noun: str
    env: int
    lan: int
    why_not: str | None

    @property
    def stays(self) -> bool:
        """True if both forms reach the threshold."""
        return self.why_not is None


@dataclass(frozen=True)
class NounSelection:
    """The nouns of the inventory, against one threshold in one corpus."""

    corpus: str
    tiers: str | None
    at_least: int
    verdicts: tuple[Verdict, ...]
    digest: str = ""
    fold_case: bool = False

    @property
    def kept(self) -> tuple[str, ...]:
        """The nouns that stay."""
        return tuple(v.noun for v in self.verdicts if v.stays)

    def identity(self) -> dict[str, object]:
        """Count stay of how many, at which threshold, in which corpus with which tiers, as JSON values."""
        return {
            "kept": len(self.kept),
            "of": len(self.verdicts),
            "at_least": self.at_least,
            "tiers": self.tiers,
            "corpus": self.digest[:16],
            "fold_case": self.fold_case,
        }

    def describe(self) -> str:
        """Return one sentence: how many stay, at which threshold, with which tiers."""
        tiers = f", {self.tiers} tiers" if self.tiers else ""
        return (
            f"{len(self.kept)} of {len(self.verdicts)} nouns occur at least {self.at_least} times in both forms{tiers}"
        )


def select_nouns(corpus: str | Path, at_least: int = AT_LEAST, nouns: Iterable[str] | None = None) -> NounSelection:
    """Apply the threshold to each form of each noun; the whole corpus counts, exact forms only.

    Args:
        corpus: an imported corpus folder.
        nouns: any words, e.g. those of `load_inventory`; None is the inventory of the paper.

    Raises:
        BadInputError: no corpus, or a threshold below 1.
    """
    if at_least < 1:
        raise BadInputError(f"the threshold is {at_least}, expected at least 1")
    manifest = load_manifest(Path(corpus))
    chosen = [n.word for n in inventory()] if nouns is None else list(nouns)
    counts = {w: manifest.nouns[w] for w in chosen if w in manifest.nouns}
    if missing := [w for w in chosen if w not in counts]:
        counts |= _count_words(Path(corpus), missing)
    verdicts = tuple(_verdict(noun, *counts[noun], at_least) for noun in chosen)
    return NounSelection(str(corpus), manifest.tiers, at_least, verdicts, manifest.digest, manifest.fold_case)


def _count_words(corpus: Path, words: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Count how often each word is shown and said, from the corpus's own vocabulary."""
    order = (corpus / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
    count = dict(zip(order, np.load(corpus / "counts.npy").tolist(), strict=True))
    return {w: (count.get(w + ENV, 0), count.get(w + LAN, 0)) for w in words}


def _verdict(noun: str, env: int, lan: int, at_least: int) -> Verdict:
    rare = [f"{what} {n} times" for what, n in (("shown", env), ("said", lan)) if n < at_least]
    return Verdict(noun, env, lan, " and ".join(rare) + f", fewer than {at_least}" if rare else None)
