"""Models of images on the board: their records are checked, shown, and ranked with those who saw the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.image_records import record
from helpers.submissions import board_at, edit, references, write_submission

from groundbench.leaderboard import build_site
from groundbench.leaderboard.rows import ResultRow, image_gain, result_rows
from groundbench.leaderboard.submission.submission import read_submission


def submission(entries: Path, slug: str = "sees") -> Path:
    """One whose first form is called `image` and has a record."""
    folder = write_submission(entries, slug, 1, n_nouns=4)
    path = folder / "run" / "result.json"
    document = json.loads(path.read_text())
    form = document["testbed"]["env_form"]
    document["forms"][0]["image"] = record(form)
    path.write_text(json.dumps(document))
    return folder


def test_a_model_of_pictures_is_accepted_and_shown(tmp_path: Path) -> None:
    board = board_at(tmp_path)
    submission(board.entries)
    build_site(board, tmp_path / "site")
    page = (tmp_path / "site" / "models" / "sees.html").read_text()
    assert "Where in the image the word comes from" in page
    assert "16 × 16" in page
    assert "becomes −1.00 nats" in page


FAULTS = {
    "image.hash": ("x" * 16, "expected 16 hexadecimal digits"),
    "image.n_box": (300.0, "an image has 256 patches"),
    "image.rows": (15, "the grid has 15 x 16"),
    "image.env_form": ("other", "image is of the form"),
    "image.reading.0.share": (1.5, "a share lies between 0 and 1"),
    "image.reading.0.share_ci_low": (0.55, "outside its own interval"),
    "image.reading.1.heads": ("all", "reading names a list of heads twice"),
    "image.reading.1.n_heads": (10_000.0, "heads"),
    "image.reading.1.inside": (-1.0, "never negative"),
    "image.reading.1.ratio": (9.0, "inside / outside is 4"),
    "image.reading.1.n_items": (10**6, "items"),
    "image.swap.n_items": (10**6, "items"),
    "image.swap.rings": (1, "expected it among wider"),
    "image.wider.0.rings": (0, "names a region twice, or the box alone"),
    "image.wider.1.ratio": (1.0, "gain_swapped / gain is -1"),
    "image.swap.ratio": (1.0, "gain_swapped / gain is -0.5"),
}


@pytest.mark.parametrize("path", FAULTS)
def test_what_cannot_be_so_is_refused(path: str, tmp_path: Path) -> None:
    value, said = FAULTS[path]
    folder = submission(board_at(tmp_path).entries)
    read_submission(folder, references)
    edit(folder, path, value)
    with pytest.raises(Exception, match="image") as refused:
        read_submission(folder, references)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def row(folder: Path) -> ResultRow:
    (found, *_) = result_rows(read_submission(folder, references), False)
    return found


def test_only_those_who_saw_the_same_pictures_are_ranked_together(tmp_path: Path) -> None:
    entries = board_at(tmp_path).entries
    one, same, other = (submission(entries, slug) for slug in ("one", "same", "other"))
    edit(other, "image.hash", "f" * 16)
    groups = [row(folder).group for folder in (one, same, other)]
    assert groups[0] == groups[1] != groups[2]


def test_the_column_of_image_gains_reads_the_form_of_that_name(tmp_path: Path) -> None:
    folder = submission(board_at(tmp_path).entries)
    result = read_submission(folder, references).runs[0].last
    assert image_gain(result) is None
    seen = result.of_form(result.headline.model_copy(update={"env_form": "image", "image": None}))
    assert image_gain(seen) == result.gain.mean
