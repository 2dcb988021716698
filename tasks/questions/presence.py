"""Presence, in POPE's manner: is a thing there, asked as often of what is there as of what is not.

Scenes come in pairs from one setting, and pairs in a ring. Every noun is asked once of a scene that shows it and once
of one that does not, so the question alone tells nothing of its answer. What is not there is

- adversarial: of the set that most of the scene belongs to (a plate, where a cup and a spoon are);
- popular: usual in the setting, but of none of the sets shown but one;
- random: of another setting, and not usual in this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from groundbench.tasks.questions.cases import Case
from groundbench.tasks.questions.text_material import Sets, Wording, material

TRIES = 2000


@dataclass(frozen=True)
class Scene:
    """Three things of a setting, by what they are asked for: two of its first set, one of another."""

    place: str
    adversarial: str
    random: str
    popular: str

    @property
    def nouns(self) -> tuple[str, str, str]:
        """The things in the scene."""
        return self.adversarial, self.random, self.popular


def presence(pairs: int, form: str, shown: Mapping[str, str], wording: Wording, rng: Random) -> list[Case]:
    """Ask twelve questions for each pair of scenes: as many pairs as the form has settings, none of fewer than two."""
    settings = _usable_settings(shown)
    places = sorted(settings)
    for _ in range(TRIES if min(pairs, len(places)) > 1 else 0):
        ring = rng.sample(places, min(pairs, len(places)))
        scenes = [_pair(place, settings, ring[i - 1], rng) for i, place in enumerate(ring)]
        made = [pair for pair in scenes if pair is not None]
        if len(made) == len(ring):
            return _cases_of_pairs(made, form, shown, wording, rng)
    return []


def _usable_settings(shown: Mapping[str, str]) -> dict[str, Sets]:
    found = {}
    for place, sets in material().settings.items():
        kept = tuple(tuple(n for n in names if n in shown) for names in sets)
        if len(kept[0]) >= 4 and all(kept):
            found[place] = kept
    return found


def _pair(place: str, settings: Mapping[str, Sets], before: str, rng: Random) -> tuple[Scene, Scene] | None:
    """Return two scenes of a setting with nothing in common, whose random nouns are not usual in the setting before."""
    first, *others = settings[place]
    elsewhere = {n for names in settings[before] for n in names}
    a, b = rng.sample(others, 2)
    strange = [n for n in first if n not in elsewhere]
    if len(strange) < 2:
        return None
    r1, r2 = rng.sample(strange, 2)
    a1, a2 = rng.sample([n for n in first if n not in (r1, r2)], 2)
    scenes = Scene(place, a1, r1, rng.choice(a)), Scene(place, a2, r2, rng.choice(b))
    return None if len({n for s in scenes for n in s.nouns}) < 6 else scenes


def _cases_of_pairs(
    pairs: Sequence[tuple[Scene, Scene]], form: str, shown: Mapping[str, str], wording: Wording, rng: Random
) -> list[Case]:
    cases = []
    for i, pair in enumerate(pairs):
        for side, scene in enumerate(pair):
            other, far = pair[1 - side], pairs[(i + 1) % len(pairs)][side]
            order = rng.sample(scene.nouns, 3)
            first, second, third = (shown[n] for n in order)
            told = wording.scene.format(place=scene.place, first=first, second=second, third=third)
            group = f"{form}/{scene.place}-{side + 1}"
            asked = (
                ("adversarial", scene.adversarial, other.adversarial),
                ("popular", scene.popular, other.popular),
                ("random", scene.random, far.random),
            )
            for kind, here, absent in asked:
                for truth, noun in enumerate((here, absent)):
                    ask = wording.asks.format(noun=noun)
                    cases.append(
                        Case(
                            f"presence-{kind}",
                            group,
                            "presence",
                            noun,
                            told,
                            ask,
                            wording.answers,
                            truth,
                            opening=wording.opening,
                        )
                    )
    return cases
