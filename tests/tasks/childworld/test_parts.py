"""The parts of the generator: patterns against their meaning, draws against an integer reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.tasks.childworld.counter_rng import cumulative, draws, key_of, pick, pick_even, threshold
from groundbench.tasks.childworld.patterns import contains, expand


def sentences(pattern: str, **macros: str) -> list[str]:
    return [" ".join(words) for words in expand(pattern, macros)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a b", ["a b"]),
        ("(a|b) c", ["a c", "b c"]),
        ("a [b] c", ["a b c", "a c"]),
        ("a [b|c]", ["a b", "a c", "a"]),
        ("(a (b|c)|d e) f", ["a b f", "a c f", "d e f"]),
        ("$who sees", ["she sees", "he sees"]),
        ("[@adj] NOUN", ["@adj NOUN", "NOUN"]),
    ],
)
def test_patterns_expand_to_their_sentences(pattern: str, expected: list[str]) -> None:
    assert sentences(pattern, who="(she|he)") == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(a b", "is not closed"), ("(a]", "is not closed"), ("a) b", "closes nothing"), ("$you see", "unknown macro")],
)
def test_broken_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        expand(pattern, {"who": "she"})


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_row_of_alternatives_expands_to_its_product(rows: list[list[str]]) -> None:
    pattern = " ".join(f"({'|'.join(row)})" for row in rows)
    found = sentences(pattern)
    assert len(found) == np.prod([len(row) for row in rows])
    assert all(word in row for s in found for word, row in zip(s.split(), rows, strict=True))


@pytest.mark.parametrize(
    ("sentence", "wording", "found"),
    [
        ("look at that NOUN", "look at that", True),
        ("oh look at that", "look at that", True),
        ("look at the NOUN", "look at that", False),
        ("look @adj that", "look big that", True),
        ("look @adj that", "look at that", False),
        ("sees the OTHER", "sees the NOUN", True),
        ("sees the @adj NOUN", "sees the NOUN", False),
        ("look", "look at", False),
    ],
)
def test_a_wording_is_found_wherever_it_can_be_said(sentence: str, wording: str, found: bool) -> None:
    assert contains(tuple(sentence.split()), tuple(wording.split()), {"adj": ("big", "red")}) is found


MASK, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15


def splitmix(state: int) -> int:
    z = state & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_reference_is_splitmix64() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [splitmix(1234567 + k * GOLDEN) for k in (1, 2, 3)] == published


@settings(max_examples=50)
@given(st.integers(0, MASK), st.lists(st.integers(0, 2**62), min_size=1, max_size=4), st.integers(1, 9))
def test_draws_equal_the_integer_reference(key: int, streams: list[int], count: int) -> None:
    found = draws(np.uint64(key), np.array(streams, dtype=np.int64), count)
    for row, stream in zip(found, streams, strict=True):
        state = splitmix(key + stream * GOLDEN)
        assert [int(x) for x in row] == [splitmix(state + k * GOLDEN) >> 32 for k in range(1, count + 1)]


def test_choices_follow_their_shares() -> None:
    raw = draws(key_of("test"), np.arange(500, dtype=np.int64), 400).ravel()
    shares = np.array([1.0, 2.0, 4.0, 13.0])
    chosen = np.bincount(pick(cumulative(list(shares)), raw), minlength=4) / raw.size
    assert np.abs(chosen - shares / shares.sum()).max() < 0.005
    even = np.bincount(pick_even(7, raw), minlength=7) / raw.size
    assert np.abs(even - 1 / 7).max() < 0.005
    assert abs((raw < threshold(0.3)).mean() - 0.3) < 0.005
    assert not (raw < threshold(0.0)).any()
    assert (raw < threshold(1.0)).all()
    assert pick(cumulative([1.0, 3.0]), np.array([0, 2**30 - 1, 2**30, 2**32 - 1], dtype=np.uint64)).tolist() == [
        0,
        0,
        1,
        1,
    ]


def test_keys_differ_by_every_part() -> None:
    assert len({key_of("a", 1), key_of("a", 2), key_of("b", 1), key_of("a"), key_of("a", "1", "")}) == 5
