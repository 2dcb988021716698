"""Sentences: joined they are the text; evidence is cut at their ends and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.tasks.questions.records.build import shorten_evidence
from groundbench.tasks.questions.sets.place import FaultyError
from groundbench.util.sentences import sentences

TEXTS = st.text(alphabet="ab .!?。！\n\"'」", max_size=60)


@given(TEXTS)
def test_sentences_joined_give_the_text_again(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_a_sentence_ends_at_its_mark_or_line() -> None:
    assert sentences('He said "no." She left!  Then 3.5 came\nEnd') == [
        'He said "no." ', "She left!  ", "Then 3.5 came\n", "End",
    ]  # fmt: skip


def test_chinese_and_japanese_sentences_need_no_space_between() -> None:
    assert sentences("球在这里。猫在那里！她说:「好。」完") == ["球在这里。", "猫在那里！", "她说:「好。」", "完"]


@given(TEXTS, st.integers(min_value=1, max_value=40))
def test_evidence_is_cut_to_the_most_whole_sentences_that_fit(text: str, most: int) -> None:
    whole = ["".join(sentences(text)[:n]).rstrip() for n in range(len(sentences(text)) + 1)]
    fitting = [w for w in whole if 0 < len(w) <= most]
    if not fitting and len(text) > most:
        with pytest.raises(FaultyError, match="first sentence"):
            shorten_evidence(text, most)
        return
    kept, cut = shorten_evidence(text, most)
    assert kept == (text if len(text) <= most else fitting[-1])
    assert len(kept) + cut == len(text)
