"""image-dialogue: images of emoji scenes and dialogues about them, for vision-language models."""

from __future__ import annotations

from groundbench.tasks.image_dialogue.corpus import ImageDialogues
from groundbench.tasks.image_dialogue.testbed import ImageDialogue

__all__ = ["ImageDialogue", "ImageDialogues", "corpus", "load"]


def load() -> ImageDialogue:
    """Return the testbed: 65 nouns, forms `image`, `image-all` and `image-seen-style`, twelve shared frames."""
    return ImageDialogue()


def corpus(pictures: int = 3000, seed: int = 1, shuffle_env: bool = False) -> ImageDialogues:
    """Return the training corpus: images, each with ten turns of dialogue. `shuffle_env` gives each another's
    picture: the null corpus.

    Raises:
        BadInputError: fewer than two images.
    """
    return ImageDialogues(pictures, seed, shuffle_env)
