"""Models and a question set that tests name as `module:object` on the command line."""

from __future__ import annotations

from helpers.fake_models import always_yes, oracle, scene_questions, unsure

__all__ = ["always_yes", "oracle", "scene_questions", "unsure"]
