"""image-dialogue: pictures of emoji scenes and dialogues about them, for vision-language models."""

from __future__ import annotations

from groundbench.tasks.image_dialogue.corpus import PictureDialogues
from groundbench.tasks.image_dialogue.testbed import ImageDialogue

__all__ = ["ImageDialogue", "PictureDialogues", "load"]


def load() -> ImageDialogue:
    """The testbed: 66 nouns, forms `image`, `image-all` and `image-seen-style`, twelve shared frames."""
    return ImageDialogue()
