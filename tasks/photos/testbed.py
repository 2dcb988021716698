"""The testbed of a folder of real images, made by `groundbench tasks import coco --images` or `visdial --images`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Box, EnvForm, Frame, FrameKind, ImageSegment, Noun, Prompt, Testbed, TextSegment
from groundbench.tasks.nouns import inventory
from groundbench.tasks.photos.manifest import COPIES, Item, PhotoManifest, Place, load_manifest

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE = EnvForm(
    "image", "a photo with the object; mismatched: one without it, as alike as can be; ENV: its box", "image"
)
IMAGE_ALL = EnvForm("image-all", "the same photos; ENV: the whole photo", "image")
CROP = EnvForm("crop", "the object cut out of the same photos, with a tenth of its size around it", "image")
AROUND = 0.1


@dataclass(frozen=True)
class PhotoSource:
    """An image file as an `ImageSource`, whole or cut to `crop` (fractions); read when it is needed."""

    images: Path
    file: str
    sha256: str
    crop: Box | None = None

    @property
    def key(self) -> str:
        """The hash of the file's bytes, and the cut."""
        return self.sha256[:16] + ("" if self.crop is None else "@" + ",".join(f"{c:.4f}" for c in self.crop))

    def load(self) -> Image:
        """Return the image, upright and in RGB.

        Raises:
            BadInputError: the file is not there, cannot be read, or is not the one that was imported.
        """
        from groundbench.tasks.photos.decode import decode
        from groundbench.tasks.photos.image_store import open_image_files

        data = open_image_files(self.images).read(self.file)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise BadInputError(f"{self.images}/{self.file}: is not the file that was imported; import it again")
        image = decode(data, f"{self.images}/{self.file}").image
        if self.crop is None:
            return image
        (w, h), (x0, y0, x1, y1) = image.size, self.crop
        left, top = min(int(x0 * w), w - 1), min(int(y0 * h), h - 1)
        return image.crop((left, top, max(left + 1, round(x1 * w)), max(top + 1, round(y1 * h))))


class PhotoTestbed(Testbed):
    """Photos and what is said about them: every noun in photos of its own (protocol §2.3, §4: per-noun frames).

    The mismatched image of another noun shows that noun's object, not the one asked for, and otherwise the same
    objects as far as there is such an image; the manifest tells how far that is.
    """

    version = "1"
    default_form = "image"
    frame_kind: FrameKind = "per-noun"
    natural_language = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.manifest: PhotoManifest = load_manifest(self.folder)
        self.name = f"pictures-{self.manifest.source}"
        self.nouns = tuple(n for n in inventory() if n.word in self.manifest.nouns)
        self.forms = (IMAGE, IMAGE_ALL, CROP) if self.manifest.crops else (IMAGE, IMAGE_ALL)

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return one frame for each item."""
        return tuple(Frame(i.id, i.text, i.noun) for i in self.manifest.items)

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the photo that shows `env` in this frame, then the text. Raises KeyError where there is none."""
        place = self.place(frame, env)
        known = self.manifest.pictures[place.picture]
        crop = _widen_box(place.box) if form == CROP else None
        source = PhotoSource(self._images, known.file, known.sha256, crop)
        segment = ImageSegment(source, place.box if form == IMAGE else None)
        return Prompt(frame.id, env.word, form.name, (segment, TextSegment(frame.template)))

    def place(self, frame: Frame, env: Noun) -> Place:
        """Return the photo that shows `env` in this frame, and where. Raises KeyError where there is none."""
        item = self._items[frame.id]
        return item.shown if env.word == item.noun else item.others[env.word]

    def target(self, noun: Noun) -> str:
        """Return the word itself."""
        return noun.word

    def excluded_pairs(self, form: EnvForm) -> frozenset[tuple[str, str]]:
        """Return pairs without a photo that shows the one and not the other."""
        words = self.manifest.nouns
        missing = {(u, i.noun) for i in self.manifest.items for u in words if u != i.noun and u not in i.others}
        return frozenset(missing)

    def identity(self) -> dict[str, object]:
        """Return the manifest's hash: it holds every image of every item, but not the folder of the files."""
        return {"pictures": self.manifest.digest()}

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return nothing: a noun without enough photos is not among the nouns."""
        return {}

    @cached_property
    def _items(self) -> Mapping[str, Item]:
        return {i.id: i for i in self.manifest.items}

    @cached_property
    def _images(self) -> Path:
        return self.folder / COPIES if self.manifest.images == COPIES else Path(self.manifest.images)


def _widen_box(box: Box) -> Box:
    """Return the box with AROUND of its sides on every side, inside the image."""
    x0, y0, x1, y1 = box
    x, y = AROUND * (x1 - x0), AROUND * (y1 - y0)
    return max(0.0, x0 - x), max(0.0, y0 - y), min(1.0, x1 + x), min(1.0, y1 + y)
