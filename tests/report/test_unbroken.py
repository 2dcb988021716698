"""Names of forms in tables stay on one line; their text is the same, and markup stays markup."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape

from groundbench.report.text.unbroken import unbroken_text, with_unbroken_cells

WHOLE = re.compile(r'<span class="unbroken">([^<]*)</span>')


def test_a_form_is_one_piece_and_a_long_name_may_break() -> None:
    cell = "shown as translation-fr, [-1.0, 2-3], by SmolLM2-135M-Instruct-long"
    assert WHOLE.findall(unbroken_text(cell)) == ["translation-fr", "2-3"]


@given(st.text(alphabet="ab-<>&\" '.", max_size=30))
def test_the_text_is_the_same_and_nothing_in_it_is_markup(text: str) -> None:
    assert unbroken_text(text).striptags() == escape(text).striptags()
    assert WHOLE.sub(r"\1", unbroken_text(text)) == str(escape(text))


def test_only_the_text_of_cells_is_touched() -> None:
    page = '<table><th id="x-y">x-y</th><td class="a-b"><a href="q-r">n-m</a> &amp; o</td></table><p>c-d</p>'
    made = with_unbroken_cells(page)
    assert WHOLE.sub(r"\1", made) == page
    assert WHOLE.findall(made) == ["x-y", "n-m"]


def test_markup_is_not_escaped_again() -> None:
    assert unbroken_text(Markup("<b>a-b</b>")) == '<b><span class="unbroken">a-b</span></b>'
