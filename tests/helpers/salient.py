"""A subject with the saliency of its items, and ablation options without defaults that depend on a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from groundbench.engine.subject import Subject
from groundbench.measures.ablation.options import CONTROLS, AblationOptions
from groundbench.measures.heads.head_saliency import HeadSaliency


@dataclass(frozen=True)
class Salient(Subject):
    """A subject with the saliency that an ablation is given."""

    saliency: HeadSaliency | None = None


def cut(**given: Any) -> AblationOptions:
    """Ablation options of a small model, with 20 draws."""
    return AblationOptions(**{"controls": CONTROLS, "draws": 20, "nouns": "all", **given})
