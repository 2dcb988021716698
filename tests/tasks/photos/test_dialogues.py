"""Photos with their own dialogues of Visual Dialog: where they are cut, what each photo is shown with."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.photo_set import TWO, Made, others, write_json

from groundbench.registry import load_testbed
from groundbench.tasks.corpora.importing.faults import FaultError
from groundbench.tasks.photos import Choices, PhotoTestbed, photos_from_visdial
from groundbench.tasks.photos.dialogues import cuts
from groundbench.tasks.validation import find_faults


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_a_dialogue_is_cut_before_nouns_that_nothing_before_gives_away() -> None:
    turns = [
        ("is it sunny?", "yes,"),
        ("do you see a dog?", "yes, the dog is big"),
        ("is the cat near it", "no, that Bird is"),
        ("what is on the left", "cars and one more car"),
    ]
    found = dict(cuts(turns))
    assert found == {"cat": "Question: is it sunny? Answer: yes. Question: is the"}


def test_visual_dialog_shows_each_photo_with_its_own_dialogue(made: Made) -> None:
    nouns = {1: "dog", 2: "dog", 3: "cat", 4: "cat", 6: "bird", 7: "bird"}
    dialogs = [
        {"image_id": i, "caption": f"a {w}", "dialog": [{"question": 0, "answer": 0}, {"question": i, "answer": 1}]}
        for i, w in nouns.items()
    ]
    questions = ["is it sunny", *(f"in photo {i} is the {nouns.get(i, 'thing')} alone" for i in range(1, 8))]
    value = {"version": "1.0", "data": {"dialogs": dialogs, "questions": questions, "answers": ["yes", "no"]}}
    made.files.append(write_json(made.root / "visdial_1.0_val.json", value))
    photos_from_visdial(made.files, made.photos, made.root / "dialogues", TWO)
    bed = load_testbed(str(made.root / "dialogues"))
    assert isinstance(bed, PhotoTestbed)
    assert find_faults(bed) == []
    assert {(i.noun, i.shown.picture) for i in bed.manifest.items} == {(w, i) for i, w in nouns.items()}
    assert {i.text for i in bed.manifest.items} == {
        f"Question: is it sunny? Answer: yes. Question: in photo {i} is the" for i in nouns
    }
    assert others(bed, "dog", 1) == {"bird": 6, "cat": 3}


def test_dialogues_that_are_cut_to_the_same_text_make_one_item(made: Made) -> None:
    rows = [
        {"img": f"{i}.jpg", "dialog": ["a", f"is the {w} big? no"]} for i, w in {1: "dog", 2: "dog", 3: "cat"}.items()
    ]
    made.files.append(write_json(made.root / "flat.json", rows))
    manifest = photos_from_visdial(made.files, made.photos, made.root / "flat", Choices(at_least=1))
    assert [(i.noun, i.text) for i in manifest.items] == [("cat", "Question: is the"), ("dog", "Question: is the")]


def test_a_dialogue_with_a_mistake_is_named(made: Made) -> None:
    value = {
        "data": {
            "dialogs": [{"image_id": 1, "caption": "a", "dialog": [{"question": 5}]}],
            "questions": [],
            "answers": [],
        }
    }
    made.files.append(write_json(made.root / "visdial.json", value))
    with pytest.raises(FaultError, match=r"visdial.json: data.dialogs\[0\].dialog\[0\].question: 5 is no index"):
        photos_from_visdial(made.files, made.photos, made.root / "out", TWO)
