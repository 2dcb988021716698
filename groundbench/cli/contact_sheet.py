"""The images of an image form on one sheet, to look at before anything is measured."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Frame, ImageSegment, Noun, Testbed

SIDE, GAP, LINE = 224, 6, 16
OTHERS = 5


def save_sheet(path: Path, bed: Testbed, form: EnvForm, noun: Noun, frames: list[Frame]) -> None:
    """Return one row a frame: the noun's image, then mismatched ones, boxes outlined, what is shown written above.

    Raises:
        BadInputError: the form shows no images, or the file cannot be written.
    """
    if form.modality != "image":
        raise BadInputError(f"form {form.name!r} of testbed {bed.name!r} is text; expected a form of images")
    none = bed.excluded_pairs(form)
    others = [n for n in bed.nouns_of(form) if n != noun and (n.word, noun.word) not in none]
    nouns = [noun, *others[:: max(1, len(others) // OTHERS)][:OTHERS]]
    sheet = Image.new("RGB", (len(nouns) * (SIDE + GAP), len(frames) * (SIDE + LINE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, frame in enumerate(frames):
        for column, env in enumerate(nouns):
            corner = column * (SIDE + GAP), row * (SIDE + LINE + GAP)
            pen.text(corner, f"{frame.id}: {env.word}", fill="black")
            for segment in bed.prompt(frame, env, form).segments:
                if isinstance(segment, ImageSegment):
                    sheet.paste(_outline_box(segment), (corner[0], corner[1] + LINE))
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot be written: {error}; expected a name such as sheet.png") from None


def _outline_box(segment: ImageSegment) -> Image.Image:
    """Return the image, at most SIDE in width and height, its box in red."""
    image = segment.image.load().copy()
    image.thumbnail((SIDE, SIDE))
    if segment.box is not None:
        x0, y0, x1, y1 = segment.box
        w, h = image.size
        ImageDraw.Draw(image).rectangle((x0 * w, y0 * h, x1 * w - 1, y1 * h - 1), outline="red", width=2)
    return image
