"""Mentions of what is not there: rates of models whose probabilities are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp

import numpy as np
import pytest
import torch
from helpers.fake_models import OBJECTS, FakeModel
from helpers.tolerances import tolerance
from hypothesis import given
from hypothesis import strategies as st

from groundbench import screen
from groundbench.api.adapter import Encoded, Forward
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.question import MENTION, Question
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment
from groundbench.report.pages import render_card, render_card_markdown
from groundbench.results.risk_card import RiskCard
from groundbench.screening.answering import given_answers
from groundbench.screening.mentions import NAMED, absent_mass, any_absent
from groundbench.screening.policy import Policy
from groundbench.screening.screen import ScreenOptions

N = len(OBJECTS)


class Namer(FakeModel):
    """Names each object with a log-weight that depends on the scene."""

    def __init__(self, weight: Callable[[str, list[str]], float], name: str) -> None:
        super().__init__(lambda text: 0.0, name)
        self.weight = weight
        self._ids(" ".join(OBJECTS))

    def forward(self, rows: Sequence[Encoded], **options: object) -> Forward:  # type: ignore[override]
        logits = torch.full((len(rows), self.info.vocab_size), -100.0)
        for i, row in enumerate(rows):
            seen = [self.words[t] for t in row.ids]
            for word in OBJECTS:
                logits[i, self.words.index(word)] = self.weight(word, seen)
        return Forward(logits)


def naming(things: Sequence[str]) -> Prompt:
    return Prompt("naming", things[0], "word", (EnvSegment(" ".join(things)), TextSegment(" I see the")))


def questions(scenes: int = 24, there: int = 3) -> tuple[Question, ...]:
    """Scenes of `there` objects in a ring, so that each object is there as often as any other."""
    found = []
    for i in range(scenes):
        shown, other = ([OBJECTS[(i + d + k) % N] for k in range(there)] for d in (0, 4))
        asked, *rest = (OBJECTS.index(w) for w in shown)
        found.append(
            Question(
                id=f"scene-{i}", kind=MENTION, form="word", group=f"scene-{i}", prompt=naming(shown),
                without=naming(["nothing"]), mismatched=(naming(other),), choices=OBJECTS, target=asked,
                also_correct=tuple(rest),
            )
        )  # fmt: skip
    return tuple(found)


def card_of(weight: Callable[[str, list[str]], float], name: str, policy: Policy | None = None) -> RiskCard:
    return screen(Namer(weight, name), questions(), ScreenOptions(policy=policy, signals=("gain", "probability")))


def test_a_model_that_names_what_is_there_has_the_share_of_its_weights() -> None:
    strength = 1.5
    card = card_of(lambda word, seen: strength * (word in seen), "looks")
    found = card.mentions
    assert found is not None
    expected = (N - 3) / (N - 3 + 3 * exp(strength))
    assert found.absent.value == pytest.approx(expected, abs=tolerance(1.0))
    assert found.without is not None
    assert found.without.value == pytest.approx(found.chance, abs=tolerance(1.0))
    assert found.mismatched is not None  # the scenes shown instead share nothing with the right ones
    assert found.mismatched.value == pytest.approx(1 - 3 / (N - 3 + 3 * exp(strength)), abs=tolerance(1.0))
    assert found.lowered is not None
    assert found.lowered.value == pytest.approx(found.mismatched.value - expected, abs=tolerance(1.0))  # type: ignore[operator]
    assert (found.any_absent.value, found.candidates, found.there, found.chance) == (0.0, N, 3, 1 - 3 / N)
    assert card.errors[0].error.value == 0.0
    assert card.errors[0].chance == pytest.approx(1 - 3 / N)
    assert card.errors[0].constant == pytest.approx(1 - 3 / N)


def test_a_model_that_does_not_look_is_at_chance_and_ties_count_as_wrong() -> None:
    policy = Policy(max_risk=0.5, min_gain=0.1)
    card = card_of(lambda word, seen: 0.0, "even", policy)
    found = card.mentions
    assert found is not None
    assert found.absent.value == found.chance == found.without.value == found.mismatched.value  # type: ignore[union-attr]
    assert found.any_absent.value == 1.0
    assert card.errors[0].error.value == 1.0
    assert card.verdict.passed is False


def test_a_model_that_always_says_the_same_errs_where_that_is_not_there() -> None:
    card = card_of(lambda word, seen: 9.0 * (word == "dog"), "dog")
    assert card.errors[0].error.value == pytest.approx(card.errors[0].constant)
    assert card.gains[0].gain.value == pytest.approx(0.0)
    assert card.mentions is not None
    assert card.mentions.any_absent.value == 1.0


def test_candidates_that_the_model_cannot_read_are_left_out_and_counted() -> None:
    class Illiterate(Namer):
        def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
            bad = {i: f"{w!r} is no word" for i, w in enumerate(words) if w in OBJECTS[:2]}
            if bad:
                raise UnencodableError(bad)
            return super().encode_targets(words, after)

    model = Illiterate(lambda word, seen: 1.0 * (word in seen), "illiterate")
    card = screen(model, questions(), ScreenOptions(signals=("probability",)))
    assert card.mentions is not None
    assert (card.mentions.candidates, card.mentions.unreadable) == (N - 2, 2.0)
    assert card.questions.n == len(questions())
    assert card.mentions.there < 3
    alone = screen(model, questions(there=1), ScreenOptions(signals=("probability",)))
    assert alone.questions.unasked.by_kind == {MENTION: 6}  # where nothing that is there can be said
    forced = [replace(q, kind="caption") for q in questions()]
    with pytest.raises(BadInputError, match="no question can be asked"):
        screen(model, forced, ScreenOptions(signals=("probability",)))


def test_a_policy_bounds_what_is_named_and_fails_where_nothing_was() -> None:
    card = card_of(lambda word, seen: 3.0 * (word in seen), "looks", Policy(max_absent=0.2))
    assert [(c.name, c.passed) for c in card.verdict.checks] == [("max_absent", True)]
    assert card_of(lambda word, seen: 0.0, "even", Policy(max_absent=0.2)).verdict.passed is False
    asked = [replace(q, kind="caption") for q in questions()]
    options = ScreenOptions(policy=Policy(max_absent=1.0), signals=("probability",))
    (check,) = screen(Namer(lambda w, s: 0.0, "even"), asked, options).verdict.checks
    assert (check.measured, check.passed) == (False, False)


def test_pages_tell_the_rates_and_other_cards_do_not() -> None:
    card = card_of(lambda word, seen: 2.0 * (word in seen), "looks")
    for page in (render_card(card), render_card_markdown(card)):
        assert "Mentions of what is not there" in page
        assert "One of the 3 likeliest is not there" in page
    assert "Mentions of what is not there" not in render_card_markdown(card.model_copy(update={"mentions": None}))
    asked = [replace(q, kind="presence") for q in questions()]
    assert screen(Namer(lambda w, s: 0.0, "even"), asked, ScreenOptions(signals=("probability",))).mentions is None


def test_right_answers_are_each_named_once_and_not_all() -> None:
    q = questions(1)[0]
    for change in ({"also_correct": (q.target,)}, {"also_correct": (N,)}, {"choices": OBJECTS[:3]}):
        with pytest.raises(BadInputError, match="scene-0"):
            replace(q, **change)
    assert q.rights == OBJECTS[:3]


@st.composite
def ranked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    width = draw(st.integers(2, 7))
    right = draw(st.lists(st.booleans(), min_size=width, max_size=width).filter(lambda r: 0 < sum(r) < width))
    values = st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0])  # few, so that ties come
    surprisal = draw(st.lists(values, min_size=width, max_size=width))
    pad = draw(st.integers(0, 2))
    return np.array([surprisal + [np.nan] * pad]), np.array([right + [False] * pad])


@given(ranked())
def test_rates_are_what_sorting_and_summing_give(case: tuple[np.ndarray, np.ndarray]) -> None:
    surprisal, right = case
    real = [(s, bool(r), i) for i, (s, r) in enumerate(zip(surprisal[0], right[0], strict=True)) if not np.isnan(s)]
    order = sorted(real)  # wrong before right where they tie
    assert bool(right[0, given_answers(surprisal, right)[0]]) == order[0][1]
    k = min(NAMED, int(right.sum()))
    assert bool(any_absent(surprisal, right)[0]) == (not all(r for _, r, _ in order[:k]))
    weights = [(exp(-s), r) for s, r, _ in real]
    mass = sum(w for w, r in weights if not r) / sum(w for w, _ in weights)
    assert absent_mass(surprisal, right)[0] == pytest.approx(mass)
    assert np.isnan(absent_mass(np.full_like(surprisal, np.nan), right)[0])
