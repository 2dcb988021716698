"""A testbed of coloured squares in images, in the words that the tiny vision-language models read."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from groundbench.api.testbed import Box, EnvForm, Frame, ImageSegment, Noun, Prompt, Testbed, TextSegment

COLOURS = ((230, 40, 30), (30, 200, 60), (40, 60, 240), (240, 220, 40))
BOX: Box = (0.5, 0.25, 0.75, 0.5)


@dataclass(frozen=True)
class Square:
    """A grey image with a square of one colour in it."""

    colour: tuple[int, int, int]
    box: Box = BOX
    size: tuple[int, int] = (64, 64)
    ground: int = 90

    @property
    def key(self) -> str:
        return repr(self)

    def load(self) -> Image.Image:
        image = Image.new("RGB", self.size, (self.ground,) * 3)
        width, height = self.size
        x0, y0, x1, y1 = self.box
        image.paste(self.colour, (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height)))
        return image


class ImageBed(Testbed):
    """Four nouns; each frame puts other words after the same image. `image` has boxes, `image-all` none."""

    name = "pictures"
    version = "1"
    nouns = tuple(Noun(f"noun{i}", "even" if i % 2 else "odd") for i in range(4))
    forms = (EnvForm("image", modality="image"), EnvForm("image-all", modality="image"))
    default_form = "image"
    natural_language = True
    frame_kind = "shared"

    def __init__(self, frames: int = 4, size: tuple[int, int] = (64, 64), targets: int = 1) -> None:
        self.size, self.targets = size, targets
        ends = ["w1 w2 w3", "w4 w5", "w6 w7 w8 w9 w10", "w3 w1 w2", "w11 w12", "w2 w13 w1 w4"]
        self._frames = tuple(Frame(f"f{i}", ends[i % len(ends)] + f" w{20 + i}") for i in range(frames))

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return self._frames

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        picture = Square(COLOURS[self.nouns.index(env)], size=self.size)
        image = ImageSegment(picture, BOX if form.name == "image" else None)
        return Prompt(frame.id, env.word, form.name, (image, TextSegment(" " + frame.template)))

    def target(self, noun: Noun) -> str:
        number = self.nouns.index(noun)
        return " ".join([f"w{40 + number}", f"w{50 + number % 2}"][: self.targets])
