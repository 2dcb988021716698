"""Question sets for screening: what is asked of a model, with evidence, without it and on other evidence."""

from __future__ import annotations

from groundbench.tasks.screening.check import Check, KindCheck, check
from groundbench.tasks.screening.coco import coco
from groundbench.tasks.screening.image_scenes import image_scenes
from groundbench.tasks.screening.pope import pope
from groundbench.tasks.screening.recipe import from_file
from groundbench.tasks.screening.text_scenes import text_scenes

__all__ = ["Check", "KindCheck", "check", "coco", "from_file", "image_scenes", "pope", "text_scenes"]
