"""Question sets for screening: what is asked of a model, with evidence, without it and on other evidence."""

from __future__ import annotations

from groundbench.tasks.screening.check import Check, KindCheck, check
from groundbench.tasks.screening.text_scenes import text_scenes

__all__ = ["Check", "KindCheck", "check", "text_scenes"]
