"""Question sets for screening: what is asked of a model, with evidence, without it and on other evidence."""

from __future__ import annotations

from groundbench.tasks.questions.check import Check, KindCheck, check
from groundbench.tasks.questions.coco import coco
from groundbench.tasks.questions.from_yaml import from_file
from groundbench.tasks.questions.image_scenes import image_scenes
from groundbench.tasks.questions.pope import pope
from groundbench.tasks.questions.text_scenes import text_scenes

__all__ = ["Check", "KindCheck", "check", "coco", "from_file", "image_scenes", "pope", "text_scenes"]
