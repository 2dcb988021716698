"""The options of the measure `heads`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groundbench.api.errors import BadInputError
from groundbench.measures.heads.saliency import Loss
from groundbench.results.run import Denominator


@dataclass(frozen=True)
class HeadOptions:
    """The options of the measure `heads` (protocol §8, §10); None is resolved by the model's size.

    Attributes:
        denominator: a head's share is of the prediction `row`; `total` measures the whole of every head as well.
        loss: saliency is of the surprisal of the target's `first` token, or of `all` of them.
        items: a seeded sample of this many items whose saliency is read, or `all`. Where heads are cut (ablation) or
            read in images, all are read.
        untrained_items: a seeded sample of this many items is also read in the untrained model.
        swept_items: a seeded sample of this many items in which every head alone is zeroed.
    """

    denominator: Denominator | None = None
    loss: Loss = "first"
    items: int | Literal["all"] | None = None
    untrained_items: int | None = None
    swept_items: int | None = None

    def __post_init__(self) -> None:
        for name in ("items", "untrained_items", "swept_items"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise BadInputError(f"head option {name} is {value}; expected at least 1")
