"""The options of the measure `ablation`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from groundbench.api.errors import BadInputError
from groundbench.engine.subject import require_value
from groundbench.measures.ablation.head_edits import EditStyle
from groundbench.measures.heads.heads import HeadRule
from groundbench.results.run import Control, Selection

CONTROLS: tuple[Control, ...] = ("layer", "uniform", "saliency")
MIN_NOUNS = 4
"""Two in each half: a gain needs a mismatch."""


@dataclass(frozen=True)
class AblationOptions:
    """The ways to cut heads and their controls (protocol §11); None is resolved by the model's size.

    Attributes:
        selections: `crossfit` (the headline) and `instance` (the paper's, selection-biased).
        controls: which control sets; the first is the headline's.
        draws: most control draws of each random control (saliency-matched has one, without chance).
        every_draw: make all of them, also where 20 or more have settled the verdict.
        instance_draws: at most so many of the `instance` selection.
        nouns: cross-fitted heads are cut on a seeded sample of this many nouns, each in one half of the shared frames,
            or on `all` items.
        gather: also cut gather heads, where `total` saliency is measured; aggregate heads are always cut.
        edit: zero, mean, resample or scale; at all positions or the last.
        rule: the definition by which heads are detected; None: the headline's, under each denominator measured.
    """

    selections: tuple[Selection, ...] | None = None
    controls: tuple[Control, ...] | None = None
    draws: int | None = None
    every_draw: bool = False
    instance_draws: int = 20
    nouns: int | Literal["all"] | None = None
    gather: bool = False
    edit: EditStyle = field(default_factory=EditStyle)
    rule: HeadRule | None = None

    def __post_init__(self) -> None:
        for control in self.controls or ():
            if control not in CONTROLS:
                raise BadInputError(f"unknown control {control!r}: expected some of {', '.join(CONTROLS)}")
        if self.selections == ("instance",) and self.edit.mode not in ("zero", "scale"):
            raise BadInputError(f"the selection 'instance' cannot {self.edit.mode} heads: expected zero or scale")
        if isinstance(self.nouns, int) and self.nouns < MIN_NOUNS:
            raise BadInputError(f"ablation_nouns is {self.nouns}; expected at least {MIN_NOUNS} or all")
        for name in ("draws", "instance_draws"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInputError(f"ablation option {name} is {value}; expected at least 1")

    @property
    def n_nouns(self) -> int | None:
        """The size of the sample of nouns; None for all."""
        nouns = require_value(self.nouns, "nouns")
        return nouns if isinstance(nouns, int) else None

    def draws_of(self, control: Control) -> int:
        """Return the number of draws of a control."""
        return 1 if control == "saliency" else require_value(self.draws, "draws")
