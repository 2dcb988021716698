"""Image files as upright RGB, whatever they hold: CMYK, palettes, transparency, 16 bits, EXIF rotation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from groundbench.api.testbed import Box
from groundbench.tasks.corpora.importing.faults import fault

PIXELS = 100_000_000
"""A file that claims more is refused unread."""
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Decoded:
    """An upright RGB image, and how its file stored it.

    Attributes:
        stored: width and height in the file, before it was turned upright.
        orientation: the EXIF orientation, 1 to 8; 1 is upright.
    """

    image: Image.Image
    stored: tuple[int, int]
    orientation: int


def decode(data: bytes, name: str) -> Decoded:
    """Return the image of a file.

    Raises:
        FaultError: names the file: empty, no image, truncated, damaged, or too big.
    """
    if not data:
        raise fault(name, None, "is empty, expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pillow warns of sizes that the limit below allows, and of odd metadata
            image = Image.open(BytesIO(data))
            stored = image.size
            if stored[0] * stored[1] > PIXELS:
                raise fault(name, None, f"is {stored[0]} x {stored[1]} pixels, expected at most {PIXELS:,} in all")
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            upright = ImageOps.exif_transpose(image)
            return Decoded(_rgb(upright), stored, orientation if orientation in range(1, 9) else 1)
    except UnidentifiedImageError:
        raise fault(name, None, f"is no image: it begins with {data[:8]!r}") from None
    except _BROKEN as error:
        raise fault(name, None, f"is a damaged image: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; what is transparent is laid on white, 16 bits a channel become 8."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        scale = 255 / 65535 if values.max(initial=0) > 255 else 1.0
        image = Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def upright_box(box: Box, orientation: int) -> Box:
    """Return a box of the image as stored, in the image turned upright; both in fractions of width and height."""
    x0, y0, x1, y1 = box
    if orientation in (5, 6, 7, 8):  # the axes change places
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (2, 3, 6, 7):
        x0, x1 = 1 - x1, 1 - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = 1 - y1, 1 - y0
    return x0, y0, x1, y1
