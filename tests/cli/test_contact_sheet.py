"""`groundbench tasks show --sheet`: the images of a testbed, to look at."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from groundbench.cli.app import app

SHOW = ["tasks", "show", "image-dialogue", "--noun", "dog"]


def test_the_sheet_shows_matched_and_mismatched_pictures(tmp_path) -> None:
    path = tmp_path / "dog.png"
    done = CliRunner().invoke(app, [*SHOW, "--limit", "3", "--sheet", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["prompts"]) == 3
    sheet = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    assert sheet.shape == (3 * 246, 6 * 230, 3)
    first = sheet[16:240, :224]
    r, g, b = first.transpose(2, 0, 1)
    outline = (r > 240) & (g < 20) & (b < 20)
    rows, columns = np.nonzero(outline)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (56, 167, 56, 167)  # frame f01: the middle
    assert (sheet[16:240, 230:454] != first).any(axis=2)[58:166, 58:166].any()


def test_a_form_of_text_has_no_pictures_and_a_wrong_name_is_refused(tmp_path) -> None:
    text = CliRunner().invoke(
        app, ["tasks", "show", "ladder", "--env-form", "word", "--sheet", str(tmp_path / "a.png")]
    )
    assert text.exit_code != 0
    assert "expected a form of images" in str(text.exception) + text.output
    name = CliRunner().invoke(app, [*SHOW, "--sheet", str(tmp_path / "a.nothing")])
    assert name.exit_code != 0
    assert "expected a name such as sheet.png" in str(name.exception) + name.output
