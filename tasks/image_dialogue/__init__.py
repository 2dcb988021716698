"""image-dialogue: images of emoji scenes and dialogues about them, for vision-language models."""

from __future__ import annotations

from groundbench.tasks.image_dialogue.corpus import ImageDialogues
from groundbench.tasks.image_dialogue.testbed import ImageDialogue

__all__ = ["ImageDialogue", "ImageDialogues", "corpus", "load"]


def load() -> ImageDialogue:
    """Return the testbed: 65 nouns, forms `image`, `image-all` and `image-seen-style`, twelve shared frames."""
    return ImageDialogue()


def corpus(
    images: int = 3000, seed: int = 1, shuffle_env: bool = False, *, pictures: int | None = None
) -> ImageDialogues:
    """Return the training corpus: images, each with ten turns of dialogue.

    Args:
        images: how many there are to train on.
        seed: draws them.
        shuffle_env: give each dialogue the image of another: the null corpus.
        pictures: the former name of `images`, for one release.

    Raises:
        BadInputError: fewer than two images.
    """
    return ImageDialogues(images if pictures is None else pictures, seed, shuffle_env)
