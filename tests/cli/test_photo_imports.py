"""`groundbench tasks import coco --images`: what users see, and what a program reads."""

from __future__ import annotations

import json

import pytest
from helpers.photo_set import instances, write_json, write_photos
from typer.testing import CliRunner

from groundbench.cli.app import app


@pytest.fixture
def given(tmp_path) -> list[str]:
    files = write_json(tmp_path / "instances.json", instances())
    photos = write_photos(tmp_path / "photos")
    return [str(files), "--images", str(photos), "--out", str(tmp_path / "out"), "--at-least", "2"]


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def test_an_import_says_what_came_of_it(given, tmp_path) -> None:
    done = run("tasks", "import", "coco", *given, "--crops")
    assert done.exit_code == 0, done.output
    assert "3 nouns, 9 photos of them, 8 files in use" in done.stdout
    assert "Attribution License (8)" in done.stdout
    assert "mean distance" in done.stdout
    shown = run("tasks", "show", str(tmp_path / "out"), "--noun", "dog", "--json")
    assert [f["name"] for f in json.loads(shown.stdout)["forms"]] == ["image", "image-all", "crop"]
    assert run("tasks", "validate", str(tmp_path / "out")).exit_code == 0


def test_what_is_left_out_is_listed(given, tmp_path) -> None:
    (tmp_path / "photos" / "000000000003.jpg").unlink()
    assert run("tasks", "import", "coco", *given).exit_code != 0
    done = run("tasks", "import", "coco", *given, "--keep-going", "--json")
    assert done.exit_code == 0, done.output
    faults = json.loads(done.stdout)["faults"]
    assert [f["reason"] for f in faults] == ["no such image, though it is annotated"]
    assert "000000000003.jpg" in done.stderr


@pytest.mark.parametrize(
    ("images", "option", "said"),
    [
        (True, ["--heldout", "0.1"], "--heldout is for importing texts"),
        (True, ["--keep-case"], "--fold-case is for importing texts"),
        (False, ["--crops"], "--crops is for importing photos: give --images"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given, images, option, said) -> None:
    words = given if images else [given[0], *given[3:5]]
    done = run("tasks", "import", "coco", *words, *option)
    assert done.exit_code != 0
    assert said in str(done.exception) + done.output


def test_visual_dialog_needs_the_objects_too(given, tmp_path) -> None:
    dialogs = [{"img": "000000000001.jpg", "dialog": ["a dog", "is the dog big? yes"]}]
    given[0] = str(write_json(tmp_path / "visdial.json", dialogs))
    done = run("tasks", "import", "visdial", *given)
    assert done.exit_code != 0
    assert "no objects with boxes" in str(done.exception) + done.output
