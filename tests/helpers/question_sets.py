"""What `module:object` names on the command line in the tests: models and a question set."""

from __future__ import annotations

from helpers.fake_models import always_yes, oracle, scene_questions, unsure

__all__ = ["always_yes", "oracle", "scene_questions", "unsure"]
