"""The testbed childworld: ten shared frames in the vocabulary of its corpus."""

from __future__ import annotations

from groundbench.api.testbed import EnvForm, Frame, FrameKind, Noun, Prompt, Testbed, text_prompt
from groundbench.tasks.childworld.corpus import ChildworldCorpus
from groundbench.tasks.childworld.grammar import FrameText, frame_texts, grammar
from groundbench.tasks.childworld.ideal_observer import ideal_gain
from groundbench.tasks.childworld.token_tables import ENV, LAN
from groundbench.tasks.nouns import inventory

TOKEN = EnvForm("token", "the noun's ENV token in a full ENV sentence")
SIMPLE = EnvForm("simple", "the noun's ENV token alone")


class Childworld(Testbed):
    """For models trained from scratch: shows `book:<ENV>`, asks for `book:<LAN>` (protocol §2.1, §4)."""

    name = "childworld"
    version = "1"
    nouns = inventory()
    forms = (TOKEN, SIMPLE)
    default_form = "token"
    frame_kind: FrameKind = "shared"
    natural_language = False

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the ten frames; `simple` has the bare noun for its ENV sentence."""
        return tuple(Frame(name, _template(text, form)) for name, text in frame_texts().items())

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the frame with the noun's ENV token in its slot."""
        return text_prompt(frame, env, form.name, env.word + ENV)

    def target(self, noun: Noun) -> str:
        """Return the noun's LAN token."""
        return noun.word + LAN

    def identity(self) -> dict[str, object]:
        """Return the grammar's digest: it decides what a model could have learned."""
        return {"grammar": grammar().digest}

    def ideal_gain(self, form: EnvForm) -> float | None:
        """Return the ideal observer's gain in nats, the same in both forms: both show one object."""
        return ideal_gain().mean

    def corpus(self, density: str = "dense", shuffle_env: bool = False) -> ChildworldCorpus:
        """Return the training corpus; see `groundbench.tasks.childworld.corpus`."""
        return ChildworldCorpus(density, shuffle_env)


def _template(text: FrameText, form: EnvForm) -> str:
    shown = text.env if form == TOKEN else "{env}"
    env = " ".join(w if w == "{env}" else w + ENV for w in shown.split())
    return f"<CHI> {env} <CHI> " + " ".join(w + LAN for w in text.say.split())
