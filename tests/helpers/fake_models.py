"""Models whose answers are known by construction, and a small question set about scenes of named objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from groundbench.api.adapter import Encoded, Forward, HeadEdit, ModelInfo, Prefix
from groundbench.api.errors import UnencodableError
from groundbench.api.question import Question
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment

OBJECTS = ("dog", "cat", "ball", "cup", "book", "hat", "box", "spoon")


def scene_questions(scenes: int = 60) -> tuple[Question, ...]:
    """Is an object there? Two questions to each scene, one of each answer; blank and two other scenes beside."""
    found = []
    for i in range(scenes):
        shown = [OBJECTS[(i + k) % 8] for k in (0, 1, 3)]
        for j, word in enumerate((shown[i % 3], OBJECTS[(i + 5 + i % 2) % 8])):
            truth = int(word not in shown)
            scenes_beside = [[OBJECTS[(i + d + k) % 8] for k in (0, 1, 3)] for d in (2, 4)]
            found.append(
                Question(
                    id=f"scene-{i}-{j}",
                    kind="present" if truth == 0 else "absent",
                    form="word",
                    group=f"scene-{i}",
                    prompt=asking(" ".join(shown), word),
                    without=asking("nothing", word),
                    mismatched=tuple(asking(" ".join(s), word) for s in scenes_beside if s != shown),
                    choices=("yes", "no"),
                    target=truth,
                )
            )
    return tuple(found)


def asking(shown: str, word: str) -> Prompt:
    parts = (TextSegment("Here are "), EnvSegment(shown), TextSegment(f" . Is there a {word} ? Answer:"))
    return Prompt(f"about-{word}", shown, "word", parts)


def sees(text: str) -> bool:
    """Return True if the object that is asked for is in the scene."""
    before, _, after = text.partition(" . Is there a ")
    return after.split()[0] in before.split()


class FakeModel:
    """An adapter without heads that answers yes with log-odds `odds(text)`, or rather says `hm` where it `mumbles`.

    Its tokenizer cannot read the answer `Yes`.
    """

    def __init__(
        self, odds: Callable[[str], float], name: str = "fake", mumbles: Callable[[str], bool] = lambda text: False
    ) -> None:
        self.odds, self.mumbles = odds, mumbles
        self.words: list[str] = ["yes", "no", "hm"]
        self.calls = 0
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        self.info = ModelInfo(
            name=name, family="fake", architecture="Fake", parameters=0, dtype="float32", fingerprint=mark,
            tokenizer=mark, vocab_size=4096, max_length=512, n_layers=1, d_model=1,
        )  # fmt: skip

    def _ids(self, text: str) -> tuple[int, ...]:
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
        return tuple(self.words.index(w) for w in text.split())

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        rows = []
        for p in prompts:
            before = p.text.index(next(s.text for s in p.segments if isinstance(s, EnvSegment)))
            start = len(p.text[:before].split())
            shown = next(s.text for s in p.segments if isinstance(s, EnvSegment))
            rows.append(Encoded(self._ids(p.text), ((start, start + len(shown.split())),)))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        if "Yes" in words:
            raise UnencodableError({words.index("Yes"): "'Yes' merges with the text before it"})
        return [self._ids(w) for w in words]

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        self.calls += len(rows)
        logits = torch.full((len(rows), self.info.vocab_size), -100.0)
        for i, row in enumerate(rows):
            text = " ".join(self.words[t] for t in row.ids)
            logits[i, :2] = torch.tensor([self.odds(text), 0.0])
            if self.mumbles(text):
                logits[i, 2] = 50.0
        return Forward(logits)

    def prefill(self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None) -> Prefix:
        raise ValueError("keeps no cache")

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> Tensor:
        raise ValueError("all answers are one word")

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        raise ValueError("no hidden states")

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        return [f" {self.words[i]}" for i in ids]


def noise(text: str) -> float:
    """A number from a text, nearly normal, always the same for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return sum(digest[k] for k in range(12)) / 255 - 6


def oracle() -> FakeModel:
    return FakeModel(lambda text: 6.0 if sees(text) else -6.0, "oracle")


def always_yes() -> FakeModel:
    return FakeModel(lambda text: 4.0, "always-yes")


def blind() -> FakeModel:
    """Answers by the question alone, whatever stands in the scene."""
    return FakeModel(lambda text: 3.0 * noise(text.partition(" . ")[2]), "blind")


def unsure() -> FakeModel:
    """Sees the scene through noise, so that it errs most where it is least sure."""
    return FakeModel(lambda text: (1.2 if sees(text) else -1.2) + 1.5 * noise(text), "unsure")
