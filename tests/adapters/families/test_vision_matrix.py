"""The matrix of vision-language models: every column against a plain call, every family on the page."""

from __future__ import annotations

import pytest
from helpers import tiny_vlms
from helpers.family_page import PAGE, VISION_TEST, vision_page, vision_row
from helpers.family_table import VISION_FAMILIES
from helpers.vision_checks import VISION_COLUMNS, VISION_TOLERANCE, vision_checked

from groundbench.adapters.vlm.families import FAMILIES


@pytest.mark.parametrize("family", VISION_FAMILIES, ids=lambda f: f.model_type)
def test_family(family):
    found = vision_checked(family.model_type)
    assert tuple(found) == VISION_COLUMNS
    for column, error in found.items():
        assert error <= VISION_TOLERANCE[column], f"{column}: {error:.1e} from its oracle"


def test_every_family_that_the_adapter_knows_has_a_row_and_a_tiny_model():
    assert [f.model_type for f in VISION_FAMILIES] == list(FAMILIES) == list(tiny_vlms.FAMILIES)


def test_the_page_has_every_family_with_its_test():
    text = PAGE.read_text(encoding="utf-8")
    assert vision_page(families=()).rstrip("\n") in text
    section = text.split("## Vision-language models")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == [f.model_type for f in VISION_FAMILIES]
    for family, line in zip(VISION_FAMILIES, rows, strict=True):
        assert f"`{VISION_TEST}[{family.model_type}]`" in line
    assert vision_row(VISION_FAMILIES[0]) == rows[0]
