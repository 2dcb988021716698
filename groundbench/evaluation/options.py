"""The options of a run, each once; None is resolved in `groundbench.evaluation.defaults`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundbench.api.errors import BadInputError
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.evaluation.measures import MEASURES
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.lens.options import LensOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """The measures of a run and their options.

    Attributes:
        forms: names of ENV forms, `("all",)`, or empty for the testbed's default: a ladder's whole, else one form.
        measures: names in `groundbench.evaluation.measures.MEASURES`; gain is always measured. None for the testbed's
            default: gain and heads, of a ladder causal too (of our own checkpoints ablation), and of image forms image.
        limit: only this many nouns, drawn by the seed; forms share them as far as they have them.
        mismatches: a seeded sample of this many other nouns for each item; all by default (protocol §5).
        seed: of every sample, draw, half and bootstrap of every measure.
        batch_tokens: token budget of one batch of every pass; changes no number beyond rounding.
        heads, ablation, causal, lens, image: the options of single measures.
        corpus: whose held-out text the tuned lens is trained on.
    """

    forms: tuple[str, ...] = ()
    measures: tuple[str, ...] | None = None
    limit: int | None = None
    mismatches: int | None = None
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
    heads: HeadOptions = field(default_factory=HeadOptions)
    ablation: AblationOptions = field(default_factory=AblationOptions)
    causal: CausalOptions = field(default_factory=CausalOptions)
    lens: LensOptions = field(default_factory=LensOptions)
    image: ImageOptions = field(default_factory=ImageOptions)
    corpus: Any = None

    def __post_init__(self) -> None:
        for measure in self.measures or ():
            if measure not in MEASURES:
                near = difflib.get_close_matches(measure, MEASURES, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise BadInputError(f"unknown measure {measure!r}: expected some of {', '.join(MEASURES)}{hint}")
        for name, low in (("limit", 2), ("mismatches", 1), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise BadInputError(f"{name} is {value}; expected at least {low}")

    @property
    def corpus_folder(self) -> Path | None:
        """The folder of an imported corpus, where `corpus` is a path."""
        return Path(self.corpus) if isinstance(self.corpus, str | Path) else None
