"""Tokens' places in an answer, whatever a tokenizer shows of a token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.screening.token_places import token_pieces, token_places, tokens_in


@pytest.mark.parametrize(
    "texts",
    [["It", " is", " a", " ca", "t", "."], ["It", "is", "a", "ca", "t", "."], ["It", " is a", " cat", "."]],
)
def test_tokens_with_and_without_their_spaces_have_their_places(texts: list[str]) -> None:
    answer = "It is a cat."
    places = token_places(answer, texts)
    assert [answer[a:b] for a, b in places] == [t.strip() for t in texts]
    marked = tokens_in([(8, 11)], places)
    assert "".join(t for t, m in zip(texts, marked, strict=True) if m).strip() == "cat"
    assert "".join(token_pieces(answer, texts)) == answer


def test_tokens_of_parts_of_a_character_do_not_shift_the_others() -> None:
    answer = "né là"
    pieces = token_pieces(answer, ["n", "\ufffd", "\ufffd", " l", "à"])
    assert "".join(pieces) == answer
    assert pieces[-1] == "à"


@given(answer=st.text(max_size=40), texts=st.lists(st.text(max_size=6), min_size=1, max_size=12))
def test_pieces_always_give_the_answer_again(answer: str, texts: list[str]) -> None:
    pieces = token_pieces(answer, texts)
    assert len(pieces) == len(texts)
    assert "".join(pieces) == answer
