"""A testbed in the words w0 to w63 that the tiny random models read; frames of several lengths, some with a prefix."""

from __future__ import annotations

from groundbench.api.adapter import Adapter
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, text_prompt
from groundbench.engine.contexts import FormContexts, build_contexts

FORM = EnvForm("word")
N_NOUNS = 8
SHOWN, SAID = 10, 30
"""The words w10, w11, ... show the nouns; w30, w31, ... say them."""
SHARED = (
    "w1 w2 {env} w3 w4",
    "w5 {env} w6 w7 w8 w9",
    "w2 w2 w1 w5 w6 w7 w9 w3 w4 w1 {env} w8",
    "{env} w1",
)


class WordTestbed(Testbed):
    """Eight nouns in shared frames, or two frames of its own for each noun."""

    name = "words"
    version = "1"
    nouns = tuple(Noun(f"noun{i}", "even" if i % 2 else "odd") for i in range(N_NOUNS))
    forms = (FORM,)
    default_form = "word"
    natural_language = True

    def __init__(self, per_noun: bool = False, frames: int = len(SHARED)) -> None:
        self.frame_kind = "per-noun" if per_noun else "shared"
        if per_noun:
            own = [(n, k) for n in range(N_NOUNS) for k in range(2)]
            self._frames = tuple(Frame(f"f{n}-{k}", f"w{n} w{k} {{env}} w{40 + n}", f"noun{n}") for n, k in own)
        else:
            self._frames = tuple(Frame(f"f{i}", t) for i, t in enumerate(SHARED[:frames]))

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return self._frames

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        return text_prompt(frame, env, form.name, f"w{SHOWN + self.nouns.index(env)}")

    def target(self, noun: Noun) -> str:
        return f"w{SAID + self.nouns.index(noun)}"


def contexts_of(adapter: Adapter, testbed: Testbed | None = None) -> FormContexts:
    testbed = testbed or WordTestbed()
    return build_contexts(adapter, testbed, testbed.form(testbed.default_form))
