"""Questions about images: true of what is shown, half of them pairs that differ in one thing, files' faults named."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.api.question import Question, digest
from groundbench.api.testbed import ImageSegment, Prompt
from groundbench.registry import load_questions
from groundbench.tasks.corpora.importing.faults import FaultError
from groundbench.tasks.image_dialogue.art import drawn_words
from groundbench.tasks.image_dialogue.dialogue import color_of, words_for_scene
from groundbench.tasks.image_dialogue.scenes import Scene, SceneImage
from groundbench.tasks.questions import check, coco, image_scenes, pope
from groundbench.tasks.questions.negatives import Negatives
from groundbench.tasks.questions.photos import Blank
from groundbench.tasks.questions.pope import Row, parse_pope

SCENES = image_scenes(30)
DATA = Path(os.environ.get("GROUNDBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))


def scene(prompt: Prompt | None) -> Scene:
    assert prompt is not None
    (segment,) = (s for s in prompt.segments if isinstance(s, ImageSegment))
    assert isinstance(segment.image, SceneImage)
    assert segment.box is None  # a box would tell that the thing is there
    return segment.image.scene


def pairs(kinds: tuple[str, ...]) -> list[list[Question]]:
    found = defaultdict(list)
    for q in SCENES:
        if q.kind.startswith(kinds):
            found[q.group].append(q)
    return list(found.values())


def test_kinds_and_determinism() -> None:
    kinds = Counter(q.kind for q in image_scenes())
    assert kinds == {
        "presence-random": 80,
        "presence-popular": 80,
        "presence-adversarial": 80,
        "caption": 80,
        "mention": 48,
        "count": 48,
        "attribute": 48,
        "conflict": 32,
        "agreement": 32,
    }
    assert digest(image_scenes(30)) == digest(SCENES) != digest(image_scenes(30, seed=1))
    assert check(image_scenes()).faults == ()


def test_truths_are_the_scenes() -> None:
    for q in SCENES:
        told = scene(q.prompt)
        placed = [o for o in told.objects if o.word == q.prompt.env]
        if q.kind.startswith("presence"):
            assert (q.prompt.env in words_for_scene(told)) == (q.right == "yes")
        elif q.kind == "count":
            assert len(placed) == ("one", "two", "three").index(q.right) + 1
            assert words_for_scene(Scene(tuple(placed), told.background)) - {q.prompt.env} == words_for_scene(
                Scene(tuple(placed[:1]), told.background)
            ) - {q.prompt.env}
        elif q.kind == "caption":
            assert [a in words_for_scene(told) for a in q.choices].index(True) == q.target
            assert sum(a in words_for_scene(told) for a in q.choices) == 1
        elif q.kind == "mention":
            assert set(q.rights) == {o.word for o in told.objects} == set(q.choices) & words_for_scene(told)
            assert set(q.choices) | words_for_scene(told) == set(drawn_words())
        else:
            (one,) = placed
            assert color_of(one) == q.right


def test_pairs_differ_in_one_thing_and_in_their_answer() -> None:
    for pair in pairs(("presence",)) + pairs(("caption",)) + pairs(("conflict", "agreement")):
        one, other = pair
        changed = [a != b for a, b in zip(scene(one.prompt).objects, scene(other.prompt).objects, strict=True)]
        assert sum(changed) == 1
        assert one.choices == other.choices
        assert one.target != other.target
        assert one.prompt.text == other.prompt.text


def test_other_evidence_keeps_the_places_and_no_word_and_never_looks_at_the_truth() -> None:
    for q in SCENES:
        told = scene(q.prompt)
        assert scene(q.without) == Scene((), told.background)
        assert len(q.mismatched) == 2
        for other in map(scene, q.mismatched):
            assert [o.box for o in other.objects] == [o.box for o in told.objects]
            assert other.background == told.background
            assert not {o.word for o in other.objects} & {o.word for o in told.objects}


def test_image_scenes_refuses_bad_options() -> None:
    for options in ({"pairs": 0}, {"mismatched": -1}, {"styles": ("oil",)}, {"styles": ()}):
        with pytest.raises(BadInputError, match=r"image-scenes: .*expected"):
            image_scenes(**options)  # type: ignore[arg-type]


def test_negatives_follow_what_was_counted() -> None:
    table = {"cup", "plate", "fork"}
    negatives = Negatives([frozenset(table)] * 5 + [frozenset({"car", "person"})] * 9 + [frozenset({"cup", "car"})])
    there = frozenset({"cup", "plate"})
    assert negatives.order("popular", there, there)[:2] == ["car", "person"]
    assert negatives.order("adversarial", there, there) == ["fork", "car"]
    assert negatives.order("random", there, there) == ["car", "fork", "person"]
    assert negatives.order("random", there, there | {"car"}) == ["fork", "person"]


names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=9)
rows = st.builds(Row, number=st.integers(1, 999).map(str), image=names, text=names, yes=st.booleans())


@given(st.lists(rows, min_size=1, unique_by=lambda r: r.number), st.booleans())
def test_pope_lines_come_back(wanted: list[Row], blank: bool) -> None:
    lines = [
        json.dumps({"question_id": int(r.number), "image": r.image, "text": r.text, "label": "yes" if r.yes else "no"})
        for r in wanted
    ]
    text = ("\n\n" if blank else "\n").join(lines)
    assert parse_pope(text.encode(), "pope.json") == wanted


@given(st.binary(max_size=60))
def test_any_bytes_are_questions_or_a_fault_of_that_file(data: bytes) -> None:
    try:
        found = parse_pope(data, "pope.json")
    except FaultError as error:
        said = str(error)
    else:
        said = "pope.json" if found else ""
    assert said.startswith("pope.json")


GOOD: dict[str, Any] = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[1]", "expected an object, found list"),
        (json.dumps(GOOD | {"question_id": 2, "label": "perhaps"}), "'label' is 'perhaps', expected yes or no"),
        (json.dumps(GOOD | {"question_id": 2, "image": 3}), "'image' is 3, expected a text"),
        (json.dumps(GOOD | {"question_id": 2.5}), "'question_id' is 2.5, expected a number"),
        (json.dumps(GOOD), "question_id 1 comes a second time"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "text"} | {"question_id": 2}), "'text' is None"),
    ],
)
def test_a_bad_line_is_named(second: str, reason: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse_pope(f"{json.dumps(GOOD)}\n{second}".encode(), "p.json")
    assert str(caught.value).startswith(f"p.json, line 2: {reason}")


THINGS = {1: ["dog", "car"], 2: ["dog", "person"], 3: ["car", "person"], 4: ["person"], 5: ["cat", "person"]}


@contextmanager
def collection() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "val").mkdir()
        rows = []
        for number, things in THINGS.items():
            Image.new("RGB", (40, 30), (number * 40, 90, 20)).save(folder / "val" / f"{number:012d}.png")
            objects = [[thing, 5, 5, 20, 20] for thing in things]
            caption = ["a cat hides"] if number == 1 else []
            rows.append(
                {"id": number, "file": f"{number:012d}.png", "width": 40, "height": 30}
                | {"objects": objects, "captions": caption}
            )
        (folder / "photos.json").write_text(json.dumps(rows))
        asked = [
            GOOD | {"question_id": 10 * n + k, "image": f"COCO_val2014_{n:012d}.jpg", "label": label}
            for n in (1, 4, 8)
            for k, label in enumerate(("yes", "no"))
        ]
        (folder / "coco_pope_popular.json").write_text("\n".join(map(json.dumps, asked)))
        yield folder


def test_coco_asks_what_is_annotated() -> None:
    with collection() as folder:
        found = coco([folder / "photos.json"], folder / "val")
        again = coco([folder / "photos.json"], folder / "val")
        assert digest(found) == digest(again)
        asked: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for q in found:
            things = THINGS[int(Path(q.group).stem)]
            if q.kind == "caption":
                assert [a in things for a in q.choices] == [i == q.target for i in range(2)]
            elif q.kind == "mention":
                assert set(q.rights) == set(things) & set(q.choices)
                assert ("cat" in q.choices) == ("cat" in things or Path(q.group).stem != f"{1:012d}")
            else:
                assert (q.prompt.env in things) == (q.right == "yes")
                asked[q.kind, q.prompt.env][q.target] += 1
                assert (q.prompt.env, int(Path(q.group).stem)) != ("cat", 1)  # its caption names one
            (blank,) = (s.image for s in q.without.segments if isinstance(s, ImageSegment))  # type: ignore[union-attr]
            assert isinstance(blank, Blank)
            assert blank.load().size == (40, 30)
        assert asked
        assert all(told[0] == told[1] for told in asked.values())


def test_pope_takes_the_images_that_are_there_and_says_how_many() -> None:
    with collection() as folder:
        with pytest.warns(UserWarning, match=r"4 of 6 questions can be asked: 2 of 3 images"):
            found = pope([folder / "coco_pope_popular.json"], folder / "val")
        assert {q.kind for q in found} == {"presence-popular"}
        assert [q.right for q in found] == ["yes", "no"] * 2
        assert {q.prompt.env for q in found} == {"dog"}
        assert found[0].prompt.text == "Question: Is there a dog in the image? Answer:"
        (folder / "val" / f"{1:012d}.png").unlink()
        (folder / "val" / f"{4:012d}.png").unlink()


def test_no_image_is_one_sentence() -> None:
    with collection() as folder:
        (folder / "other").mkdir()
        Image.new("RGB", (9, 9)).save(folder / "other" / "77.png")
        with pytest.raises(BadInputError, match=r"none of the 3 images that POPE asks about is there, e\.g\. COCO_val"):
            pope([folder / "coco_pope_popular.json"], folder / "other")
        with pytest.raises(BadInputError, match="none of the 5 annotated photos is there"):
            coco([folder / "photos.json"], folder / "other")
        with pytest.raises(BadInputError, match="no such file"):
            pope([folder / "none.json"], folder / "val")


def test_a_yaml_file_describes_a_set() -> None:
    with collection() as folder:
        file = folder / "mine.yaml"
        file.write_text("set: coco\nfiles: photos.json\nimages: val\npairs: 2\n")
        assert digest(load_questions(str(file))) == digest(coco([folder / "photos.json"], folder / "val", pairs=2))
        faults = {
            "images: val\n": "set is missing",
            "set: vqa\n": "set is 'vqa'",
            "set: coco\nimages: val\n": "lacks the key 'files'",
            "set: text-scenes\nforms: [word]\npairs: 2\n": "unknown key 'pairs'",
            "set: image-scenes\npairs: many\n": "line 2: pairs is 'many', expected a whole number",
        }
        for text, reason in faults.items():
            file.write_text(text)
            with pytest.raises(BadInputError, match=reason):
                load_questions(str(file))


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
def test_popes_own_files_and_real_photos() -> None:
    images = DATA / "images" / "coco_subset_512.tar"
    with pytest.warns(UserWarning, match="720 of 27,000 questions can be asked: 40 of 1,489 images"):
        found = pope([DATA / "hallucination" / "pope_questions.tar.xz"], images)
    assert len({q.id for q in found}) == 720
    real = coco([DATA / "images" / "coco_subset_manifest.json"], images)
    assert Counter(q.kind for q in real) == dict.fromkeys(
        ("presence-random", "presence-popular", "presence-adversarial", "caption"), 120
    ) | {"mention": 60}
    assert check(real).faults == ()
