"""The art, the scenes, the dialogues and the frames of image-dialogue."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import ImageSegment, TextSegment
from groundbench.tasks.image_dialogue import ImageDialogues, corpus, load, phrases
from groundbench.tasks.image_dialogue.art import (
    HELDOUT_STYLE,
    STYLES,
    TRAIN_STYLES,
    drawn_words,
    excluded_nouns,
    glyph,
    nouns,
)
from groundbench.tasks.image_dialogue.corpus import WORD
from groundbench.tasks.image_dialogue.dialogue import color_of, words_for_scene
from groundbench.tasks.image_dialogue.layout import OVERLAP
from groundbench.tasks.image_dialogue.scenes import BIG, PATTERNS, SMALL, Background, Placed, Scene
from groundbench.tasks.nouns import inventory
from groundbench.tasks.validation import find_faults

BED = load()
MANY = range(300)
CORPUS = ImageDialogues()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int16)


# the art


def test_the_art_is_small_and_says_whose_it_is() -> None:
    folder = files("groundbench.tasks.image_dialogue")
    assert sum(len((folder / f"{name}.png").read_bytes()) for name in STYLES.values()) < 6_000_000
    notice = (folder / "NOTICE").read_text()
    assert all(f"{name}.png: " in notice for name in STYLES.values())


def test_every_noun_is_drawn_or_left_out_with_a_reason_and_none_share_a_glyph() -> None:
    assert len(nouns()) >= 60
    assert {n.word for n in nouns()} | set(excluded_nouns()) == {n.word for n in inventory()}
    assert not {n.word for n in nouns()} & set(excluded_nouns())
    assert all(excluded_nouns().values())
    assert len({d.glyph for d in drawn_words().values()}) == len(drawn_words())


@pytest.mark.parametrize("style", STYLES)
def test_no_two_words_look_the_same(style: str) -> None:
    seen = {glyph(word, style, 24).tobytes(): word for word in drawn_words()}
    assert len(seen) == len(drawn_words())
    covered = [np.asarray(glyph(word, style, 24))[..., 3].mean() / 255 for word in drawn_words()]
    assert min(covered) > 0.1


@pytest.mark.parametrize("word", [w for w, d in drawn_words().items() if d.color in {"red", "green", "blue"}])
@pytest.mark.parametrize("style", STYLES)
def test_a_glyph_has_the_color_that_is_claimed(word: str, style: str) -> None:
    image = np.asarray(glyph(word, style, 96), dtype=float)
    mean = image[image[..., 3] > 128][:, :3].mean(axis=0)
    assert ("red", "green", "blue")[int(mean.argmax())] == drawn_words()[word].color


@pytest.mark.parametrize(
    ("word", "style", "tint", "said"),
    [("unicorn", "noto", None, "'unicorn'"), ("dog", "crayon", None, "'crayon'"), ("dog", "noto", "teal", "'teal'")],
)
def test_an_unknown_word_style_or_tint_is_named(word: str, style: str, tint: str | None, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        glyph(word, style, 40, tint=tint)


# scenes


def test_a_scene_gives_the_same_picture_every_time_and_another_one_does_not() -> None:
    scene = CORPUS.scene(3)
    again = ImageDialogues().scene(3)
    assert scene == again
    assert scene.key == again.key == scene.image().key
    assert scene.image().load().tobytes() == again.image().load().tobytes()
    assert scene.image().load().mode == "RGB"
    keys = {CORPUS.scene(i).key for i in MANY}
    assert len(keys) == len(MANY)
    assert ImageDialogues(seed=2).scene(3) != scene


def test_scenes_are_laid_out_as_promised() -> None:
    for scene in map(CORPUS.scene, MANY):
        assert 1 <= len(scene.objects) <= 5
        assert {o.style for o in scene.objects} <= set(TRAIN_STYLES)
        assert len({o.style for o in scene.objects}) == 1
        for k, o in enumerate(scene.objects):
            assert o.side <= SMALL or o.side >= BIG
            assert 0 < o.box[0] < o.box[2] < 1
            assert 0 < o.box[1] < o.box[3] < 1
            for other in scene.objects[:k]:
                across, down = (min(o.box[2 + a], other.box[2 + a]) - max(o.box[a], other.box[a]) for a in (0, 1))
                assert max(0, across) * max(0, down) <= OVERLAP * min(o.side, other.side) ** 2 + 1e-9


def test_what_is_drawn_stands_in_its_box() -> None:
    for pattern in PATTERNS:
        placed = Placed("hammer", "noto", (0.25, 0.5, 0.5, 0.75), flip=True, tint="blue")
        scene = Scene((placed,), Background(pattern, "pink"))
        changed = (pixels(scene.image().load()) != pixels(scene.without(0).image().load())).any(axis=2)
        assert changed[112:168, 56:112].mean() > 0.2
        changed[112:168, 56:112] = False
        assert not changed.any()


def test_places_are_named_by_the_nearest_sides() -> None:
    def at(x: float, y: float) -> tuple[str, ...]:
        return Placed("cup", "noto", (x - 0.1, y - 0.1, x + 0.1, y + 0.1)).places

    assert at(0.2, 0.5) == ("left",)
    assert at(0.8, 0.2) == ("right", "top")
    assert at(0.5, 0.8) == ("bottom",)
    assert at(0.5, 0.5) == ("middle",)


# dialogues


def turns(text: str) -> list[tuple[str, str]]:
    return re.findall(r"Question: (.+?)\? Answer: (.+?)\.(?= |$)", text)


def test_a_dialogue_has_ten_questions_none_of_them_twice_and_a_caption_on_demand() -> None:
    for i in MANY:
        found = turns(CORPUS.text(i))
        assert len({q for q, _ in found}) == len(found) == 10
        said, _, rest = CORPUS.text(i, caption=True).partition(" Question: ")
        assert CORPUS.text(i) == f"Question: {rest}"
        named = [drawn_words()[o.word].noun for o in CORPUS.scene(i).objects]
        assert all(n.word in said or n.plural in said for n in named)


def matching(templates: tuple[str, ...], question: str) -> str | None:
    """The word of a question that one of the templates makes of a noun."""
    for word, row in drawn_words().items():
        if any(phrases.fill_slots(t, row.noun) == question for t in templates):
            return word
    return None


def test_every_answer_is_true_of_the_scene() -> None:
    kinds: Counter[str] = Counter()
    for i in range(60):
        scene = CORPUS.scene(i)
        words = Counter(o.word for o in scene.objects)
        for question, answer in turns(CORPUS.text(i)):
            kind, truth = oracle(scene, words, question, answer)
            kinds[kind] += 1
            assert answer == truth, (i, question)
    assert set(kinds) == {"presence", "count", "total", "where", "size", "color", "background", "plain", "name"}


def oracle(scene: Scene, words: Counter[str], question: str, answer: str) -> tuple[str, str]:
    def one(word: str) -> Placed:
        (found,) = [o for o in scene.objects if o.word == word]
        return found

    if word := matching(phrases.PRESENCE, question):
        assert word in words or word not in words_for_scene(scene)
        return "presence", "yes" if word in words else "no"
    if word := matching(phrases.COUNT, question):
        return "count", phrases.NUMBERS[words[word]]
    if question in phrases.TOTAL:
        return "total", phrases.NUMBERS[len(scene.objects)]
    if word := matching(phrases.PLACE, question):
        return "where", phrases.WHERE[one(word).places[0]]
    if word := matching(phrases.SIZE, question):
        return "size", "big" if one(word).side > 0.3 else "small"
    if word := matching(phrases.COLOR, question):
        return "color", str(color_of(one(word)))
    if question in phrases.BACKGROUND:
        return "background", scene.background.color
    if question in phrases.PLAIN:
        return "plain", "yes" if scene.background.pattern == "plain" else "no"
    there = scene.objects
    if question not in phrases.WHAT:
        (place,) = [p for p, said in phrases.WHERE.items() if said in question]
        there = tuple(scene.at(place))
    (named,) = there
    said = [phrases.fill_slots(t, drawn_words()[named.word].noun) for t in phrases.NAMED]
    return "name", answer if answer in said else " or ".join(said)


def test_yes_is_right_as_often_as_no() -> None:
    asked = [
        answer
        for i in range(400)
        for question, answer in turns(CORPUS.text(i))
        if question.startswith(("is there ", "do you see ", "can you see "))
    ]
    assert len(asked) > 1000
    assert abs(asked.count("yes") / len(asked) - 0.5) < 2.6 * 0.5 / len(asked) ** 0.5  # 99 %


def test_the_vocabulary_is_closed_and_holds_the_frames() -> None:
    known = set(CORPUS.words())
    for i in MANY:
        assert set(WORD.findall(CORPUS.text(i, caption=True))) <= known
    for frame in BED.frames(BED.form("image")):
        assert set(WORD.findall(frame.template)) <= known, frame.id
    assert {n.word for n in BED.nouns_of(BED.form("image"))} <= known
    answers = {*phrases.YES_NO, *phrases.NUMBERS, *phrases.SIZES, *phrases.BACKGROUND_COLORS, *phrases.OBJECT_COLORS}
    assert answers <= known


def test_shuffled_pictures_are_of_other_scenes_and_what_is_held_out_stays_apart() -> None:
    corpus = ImageDialogues(images=20, shuffle_env=True)
    plain = ImageDialogues(images=20)
    trained = {plain.scene(i).key for i in range(20)}
    assert sorted(corpus.image(i).key for i in range(20)) == sorted(trained)
    assert all(corpus.image(i).key != plain.image(i).key for i in range(20))
    assert [corpus.text(i) for i in range(5)] == [plain.text(i) for i in range(5)]
    held_out = corpus.heldout(8)
    assert len(held_out) == 8
    assert not {corpus.image(i).key for i in held_out} & trained
    assert not {plain.image(i).key for i in held_out} & trained
    assert len(corpus) == 20
    assert corpus.identity() != plain.identity()


@pytest.mark.parametrize("pictures", [1, 0, -3])
def test_a_corpus_of_too_few_pictures_is_refused(pictures: int) -> None:
    with pytest.raises(BadInputError, match=f"at least 2 images, found {pictures}"):
        ImageDialogues(pictures)


def test_the_former_name_of_the_number_of_images_is_still_understood() -> None:
    assert corpus(pictures=4).identity() == corpus(images=4).identity()


# the testbed


def test_the_testbed_keeps_every_rule() -> None:
    assert find_faults(BED) == []
    assert len(BED.frames(BED.form("image"))) >= 10
    assert BED.natural_language


def test_matched_and_mismatched_pictures_differ_in_the_objects_box_only() -> None:
    form = BED.form("image")
    for frame in BED.frames(form):
        shown = {w: BED.prompt(frame, BED.noun(w), form) for w in ("book", "elephant")}
        images = [p.segments[0] for p in shown.values()]
        assert all(isinstance(s, ImageSegment) for s in images)
        assert images[0].box == images[1].box
        assert [type(s) for s in shown["book"].segments] == [ImageSegment, TextSegment]
        one, other = (pixels(s.image.load()) for s in images)
        x0, y0, x1, y1 = (round(224 * c) for c in images[0].box)
        changed = (one != other).any(axis=2)
        assert changed[y0:y1, x0:x1].any()
        changed[y0:y1, x0:x1] = False
        assert not changed.any()


def test_what_stands_beside_the_object_is_never_asked_for() -> None:
    asked = {n.word for n in inventory()}
    form = BED.form("image")
    scenes = [BED.scene(frame, BED.noun("dog"), form) for frame in BED.frames(form)]
    assert not {o.word for s in scenes for o in s.objects[1:]} & asked
    assert not {w for s in scenes for o in s.objects[1:] for w in drawn_words()[o.word].also} & asked
    assert {len(s.objects) for s in scenes} == {1, 2, 3, 4, 5}


def test_the_forms_differ_in_style_and_box_as_they_say() -> None:
    frame, dog = BED.frames(BED.form("image"))[0], BED.noun("dog")
    styles = {f.name: {o.style for o in BED.scene(frame, dog, f).objects} for f in BED.forms}
    assert styles == {"image": {HELDOUT_STYLE}, "image-all": {HELDOUT_STYLE}, "image-seen-style": {"noto"}}
    image, everywhere = (BED.prompt(frame, dog, BED.form(f)).segments[0] for f in ("image", "image-all"))
    assert image.image.key == everywhere.image.key
    assert everywhere.box is None
    seen = {o.style for f in BED.frames(BED.forms[2]) for o in BED.scene(f, dog, BED.forms[2]).objects}
    assert seen == set(TRAIN_STYLES)


def test_no_training_dialogue_asks_or_answers_as_a_frame_does() -> None:
    """The last question and the cut sentence of a frame are in no template of the training dialogues."""
    there = [phrases.fill_slots(t, place=p) for t in phrases.WHAT_THERE for p in phrases.WHERE]
    questions = {*phrases.WHAT, *there}
    dog = drawn_words()["dog"].noun
    answers = {re.split(r"\bdog\b", phrases.fill_slots(t, dog))[0].strip() for t in phrases.NAMED}
    cuts = []
    for frame in BED.frames(BED.form("image")):
        question, answer = re.findall(r"Question: ([^?]+)\? Answer: ([^.]+)$", frame.template)[0]
        assert question not in questions, frame.id
        assert answer not in answers, frame.id
        cuts.append(answer)
    assert len(set(cuts)) == len(cuts)


def test_what_a_frame_says_before_the_last_question_is_true() -> None:
    form = BED.form("image")
    for frame in BED.frames(form):
        scene = BED.scene(frame, BED.noun("dog"), form)
        words = Counter(o.word for o in scene.objects)
        for question, answer in turns(frame.template):
            assert oracle(scene, words, question, answer)[1] == answer, (frame.id, question)


def test_a_noun_without_a_glyph_has_no_prompt() -> None:
    form = BED.form("image")
    with pytest.raises(KeyError):
        BED.prompt(BED.frames(form)[0], BED.noun("kitchen"), form)


def test_a_duck_is_no_mismatch_for_bird() -> None:
    pairs = BED.excluded_pairs(BED.form("image"))
    assert ("duck", "bird") in pairs
    assert ("bird", "duck") not in pairs
