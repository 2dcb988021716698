"""Every text family of the installed transformers: what works is right, and what does not is refused for a reason."""

from __future__ import annotations

import re

import pytest
import transformers
from helpers.family_page import PAGE
from helpers.shrunk_models import unlisted
from helpers.swept_page import SECTION, swept_page, swept_row

QUICK = ("bert", "bitnet", "cohere2", "granite", "openai-gpt")
"""A refused encoder, one whose heads are not cut, one with windows, one with a factor, one without a lens."""
NUMBER = re.compile(r"\d(\.\d+)?e[-+]?\d+")
"""The size of an error may differ between processors; that there is one does not."""
TITLE = SECTION.strip().splitlines()[0]


def rows_of_the_page() -> dict[str, str]:
    """Each row of the section by its type; skips where the page was written with another transformers."""
    section = PAGE.read_text(encoding="utf-8").split(TITLE)[1]
    if f"transformers {transformers.__version__} " not in section:
        pytest.skip("the page was written with another version of transformers")
    return {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize(
    "model_type",
    [t if t in QUICK else pytest.param(t, marks=[pytest.mark.slow, pytest.mark.exhaustive]) for t in unlisted()],
)
def test_no_number_of_a_family_is_wrong(model_type):
    row = swept_row(model_type)
    assert NUMBER.sub("#", rows_of_the_page()[model_type]) == NUMBER.sub("#", row)


def test_every_family_has_a_row():
    assert list(rows_of_the_page()) == unlisted()
    assert swept_page([]).rstrip("\n") in PAGE.read_text(encoding="utf-8")
