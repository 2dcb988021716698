"""`find_faults` finds the planted fault, names its place, and nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import pytest

from groundbench import registry
from groundbench.api.testbed import EnvForm, Frame, FrameKind, Noun, Prompt, Testbed, TextSegment, text_prompt
from groundbench.tasks.validation import find_faults

NOUNS = (Noun("ball", "toys", "a", "balls"), Noun("doll", "toys", "a", "dolls"), Noun("egg", "food", "an", "eggs"))
FRAMES = (Frame("f1", "look at the {env} . I love this"), Frame("f2", "he holds the {env} . see that"))
GLOSS = {"ball": "round thing to throw", "doll": "small figure to dress", "egg": "thing a hen lays"}
WORD, MEANING = EnvForm("word"), EnvForm("gloss")


class Bed(Testbed):
    name = "planted"
    version = "1"
    default_form = "word"
    natural_language = True

    def __init__(
        self,
        *,
        nouns: Sequence[Noun] = NOUNS,
        frames: Sequence[Frame] = FRAMES,
        gloss: Mapping[str, str] = GLOSS,
        kind: FrameKind = "shared",
        targets: Mapping[str, str] | None = None,
    ) -> None:
        self.nouns, self._frames, self._gloss, self.frame_kind = tuple(nouns), tuple(frames), gloss, kind
        self.forms = (WORD, MEANING)
        self._targets = targets or {}

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return self._frames

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        return text_prompt(frame, env, form.name, env.word if form == WORD else self._gloss[env.word])

    def target(self, noun: Noun) -> str:
        return self._targets.get(noun.word, noun.word)


def said(bed: Testbed) -> list[str]:
    return [f"{f.where} {f.what}" for f in find_faults(bed)]


def test_a_good_testbed_has_none() -> None:
    assert said(Bed()) == []


@pytest.mark.parametrize("name", registry.testbed_names())
def test_ours_have_none(name: str) -> None:
    assert said(registry.load_testbed(name)) == []


@pytest.mark.parametrize(
    ("bed", "expected"),
    [
        (Bed(nouns=(*NOUNS, NOUNS[0])), "noun 'ball' is there twice"),
        (Bed(nouns=NOUNS[:1]), "nouns there are 1; a gain needs at least 2"),
        (Bed(targets={"doll": "ball"}), "target 'ball' is the target of several nouns: ball, doll"),
        (Bed(targets={"doll": " doll"}), "noun 'doll' has the target ' doll'; expected a word without space around it"),
        (Bed(frames=(FRAMES[0], FRAMES[0])), "form 'word' has two frames 'f1'"),
        (Bed(frames=()), "form 'word' has 3 nouns and 0 frames; expected at least 2 and 1"),
        (Bed(gloss={"ball": "round thing", "egg": "thing a hen lays"}), "frame 'f1' cannot show 'doll': 'doll'"),
        (Bed(gloss={**GLOSS, "doll": GLOSS["ball"]}), "is the same prompt as frame 'f1' with 'ball' shown as 'gloss'"),
        (
            Bed(gloss={**GLOSS, "ball": "one of two balls"}),
            "with 'ball' shown as 'gloss' shows the word 'balls' itself",
        ),
        (Bed(gloss={**GLOSS, "ball": " "}), "with 'ball' shown as 'gloss' shows nothing"),
        (
            Bed(frames=(Frame("f1", "the dolls see the {env} . look , the"),)),
            "with 'ball' shown as 'word' has the inventory noun 'dolls' besides the shown one",
        ),
        (Bed(frames=(Frame("f1", "she has a {env} . look , the"),)), "has 'a' before the slot"),
        (Bed(frames=(Frame("f1", "the {env} . this is an"),)), "has 'an' before the cut"),
        (Bed(frames=(Frame("f1", "the {env} . look at the "),)), "ends in space, and ' ' is put before the target"),
        (Bed(frames=(Frame("f1", "the {env} . my", noun="ball"),)), "has shared frames, but 'f1' names a noun"),
        (Bed(frames=(Frame("f1", "the {env} . my", noun="ball"),), kind="per-noun"), "has no frame for doll, egg"),
        (Bed(kind="per-noun"), "has per-noun frames, but one of them names no noun"),
    ],
)
def test_a_planted_fault_is_found(bed: Bed, expected: str) -> None:
    assert any(expected in fault for fault in said(bed)), said(bed)


def test_an_article_is_judged_by_the_noun_in_per_noun_frames() -> None:
    places = ("here", "there", "outside")
    frames = [Frame(n.word, f"she has a {{env}} {p} . give me the", n.word) for n, p in zip(NOUNS, places, strict=True)]
    wrong = [f for f in said(Bed(frames=frames, kind="per-noun")) if "shown as 'word'" in f]
    assert wrong
    assert all("'egg' shown as 'word' has 'a' before a noun that takes 'an'" in f for f in wrong)


def test_a_form_that_shows_nothing_but_the_noun_itself_is_a_word_form() -> None:
    """The rule against the word in its own form is for forms that mean to hide it."""
    assert said(Bed(gloss={n.word: n.word for n in NOUNS})) == []


def test_a_noun_shown_twice() -> None:
    class Twice(Bed):
        def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
            once = super().prompt(frame, env, form)
            return Prompt(once.frame, once.env, once.form, (*once.segments, TextSegment(" "), once.segments[1]))

    assert "frame 'f1' with 'ball' shown as 'word' shows the noun 2 times; expected once" in said(Twice())


HARD = [
    ("ice cream", "ice creams"),
    ("hot dog", "hot dogs"),
    ("T-shirt", "T-shirts"),
    ("jack-o'-lantern", "jack-o'-lanterns"),
    ("7-up", ""),
    ("mp3", "mp3s"),
    ("Äpfel", ""),
    ("cafe\u0301", "cafe\u0301s"),
    ("किताब", "किताबें"),
    ("🍎", ""),
    ("o’clock", ""),
]


@pytest.mark.parametrize(("word", "plural"), HARD)
def test_nouns_of_any_writing(word, plural):
    """A noun shown as itself is no fault; beside another noun it is, in any case and normal form."""
    hard = Noun(word, "things", "a", plural)
    assert find_faults(WordBed(nouns=(*NOUNS, hard))) == []
    if word == "🍎":  # without letters it is in no text by name
        return
    for written in {word, word.upper(), unicodedata.normalize("NFD", word), *([plural] if plural else [])}:
        frames = (Frame("f1", f"the {written} and the {{env}} . I love this"), FRAMES[1])
        found = {f.what for f in find_faults(WordBed(nouns=(*NOUNS, hard), frames=frames))}
        assert len(found) == 1
        assert "besides the shown one" in found.pop()


def test_the_longest_noun_is_the_one_that_is_named():
    nouns = (*NOUNS, Noun("cream", "food", "a", "creams"), Noun("ice cream", "food", "an", "ice creams"))
    frames = (Frame("f1", "the ice cream with the {env} . I love this"), FRAMES[1])
    assert {f.what for f in find_faults(WordBed(nouns=nouns, frames=frames))} == {
        "has the inventory noun 'ice cream' besides the shown one"
    }
    apart = (Frame("f1", "the ice on the {env} . I love this"), FRAMES[1])
    assert find_faults(WordBed(nouns=nouns, frames=apart)) == []


class WordBed(Bed):
    """The planted bed in the form `word` alone."""

    def __init__(self, **given) -> None:
        super().__init__(**given)
        self.forms = (WORD,)
