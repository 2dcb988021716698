"""The form `image`: the same frames after an image of the noun, for models that read images (protocol §13)."""

from __future__ import annotations

from collections.abc import Mapping

from groundbench.api.testbed import Box, EnvForm, Frame, ImageSegment, Noun, Prompt, TextSegment
from groundbench.tasks.image_dialogue.art import HELDOUT_STYLE, drawn_words, excluded_nouns, nouns
from groundbench.tasks.image_dialogue.scenes import Background, Placed, Scene
from groundbench.tasks.yaml_testbed import TextTestbed

IMAGE = EnvForm("image", "a drawing of the noun, in a style no model of ours is trained on; ENV: its box", "image")
THING = "thing in the image"
"""The content of the slot: the image comes first, since some families read images before any text only."""
BOX: Box = (0.25, 0.25, 0.75, 0.75)


class Ladder(TextTestbed):
    """The ladder of written forms, and `image`: one drawing of the noun on white, the same before every frame."""

    image_forms = (IMAGE,)

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the frames of the form; an image has those of the word."""
        return super().frames(self.form(self.default_form) if form == IMAGE else form)

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the frame with the noun's form in its slot, or after its image. Raises KeyError without a form."""
        if form != IMAGE:
            return super().prompt(frame, env, form)
        if env.word not in drawn_words():
            raise KeyError(env.word)
        scene = Scene((Placed(env.word, HELDOUT_STYLE, BOX),), Background("plain", "white"))
        text = TextSegment(frame.template.replace("{env}", THING))
        return Prompt(frame.id, env.word, form.name, (ImageSegment(scene.image(), BOX), text))

    def target_in(self, noun: Noun, form: EnvForm) -> str:
        """Return the word asked for in this form."""
        return self.target(noun) if form == IMAGE else super().target_in(noun, form)

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return the nouns that the form cannot show, with the reason."""
        return excluded_nouns() if form == IMAGE else super().excluded(form)

    def excluded_pairs(self, form: EnvForm) -> frozenset[tuple[str, str]]:
        """Return pairs where the drawing shown also shows what is asked for: a duck is a bird."""
        if form != IMAGE:
            return super().excluded_pairs(form)
        asked = {n.word for n in nouns()}
        return frozenset((n.word, w) for n in nouns() for w in drawn_words()[n.word].also if w in asked)
