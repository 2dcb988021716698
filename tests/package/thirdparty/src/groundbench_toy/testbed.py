"""Three toys, one form, two shared frames."""

from __future__ import annotations

from groundbench.api.testbed import EnvForm, Frame, FrameKind, Noun, Prompt, Testbed, text_prompt

WORD = EnvForm("word", "the noun itself")


class Toybox(Testbed):
    """A testbed that names what lies on the table."""

    name = "toybox"
    version = "1"
    nouns = (Noun("ball", "toys"), Noun("doll", "toys"), Noun("egg", "food_drink", "an"))
    forms = (WORD,)
    default_form = "word"
    frame_kind: FrameKind = "shared"
    natural_language = True

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return (Frame("f1", "there is the {env} . look , the"), Frame("f2", "she holds the {env} . that is my"))

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        return text_prompt(frame, env, form.name, env.word)

    def target(self, noun: Noun) -> str:
        return noun.word


def load() -> Toybox:
    return Toybox()
