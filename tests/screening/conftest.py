"""A model with one planted grounding head, and questions that it answers through that head or by guessing."""

from __future__ import annotations

import pytest

from groundbench.adapters.huggingface import HFCausal, open_causal
from groundbench.api.question import Question


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> HFCausal:
    """GPT-2 in which head 1 of layer 2 moves the noun shown to the prediction."""
    from helpers.planted import single_head

    made = single_head(tmp_path_factory.mktemp("planted"))
    adapter = open_causal(str(made.folder))
    assert isinstance(adapter, HFCausal)
    return adapter


@pytest.fixture(scope="session")
def naming() -> tuple[Question, ...]:
    """Questions for the name of a thing, of which one candidate was shown in two of three scenes.

    In the third neither was shown, and the truth is a coin: a model with a grounding head guesses there.
    """
    from helpers.planted import FRAMES, NOUNS

    from groundbench.api.testbed import Frame, Noun, Prompt, text_prompt

    def prompt(frame: int, noun: str) -> Prompt:
        return text_prompt(Frame(f"f{frame}", FRAMES[frame]), Noun(noun, "things"), "token", f"{noun}:<ENV>")

    found = []
    for i in range(96):
        frame, noun = i % 4, NOUNS[i % 12]
        shown, other, third = (NOUNS[(i % 12 + k) % 12] for k in (0, 1 + i // 12 % 4, 6 + i // 12 % 5))
        seen = i % 3 != 0
        answers = (shown if seen else third, other)
        found.append(
            Question(
                id=f"q{i}",
                kind="seen" if seen else "unseen",
                form="token",
                group=f"scene-{i}",
                prompt=prompt(frame, noun),
                without=None,
                mismatched=(prompt(frame, NOUNS[(i + 7) % 12]),),
                choices=tuple(f"{a}:<LAN>" for a in answers),
                target=0 if seen else (i // 3) % 2,
            )
        )
    return tuple(found)
