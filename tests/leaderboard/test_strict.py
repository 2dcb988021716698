"""The reader of strangers' JSON and YAML: takes what is plain, refuses the rest in one sentence, never crashes."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from groundbench.leaderboard.submission.card import read_card
from groundbench.leaderboard.submission.strict_json_yaml import RESULT, Limits, RefusedError, read_json, read_yaml

SMALL = Limits(bytes=2_000, depth=6, values=300, string=50)
PLAIN_TEXT = st.text(st.characters(exclude_categories=("C",)), max_size=50)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_plain_json_is_read_as_it_is(value):
    assert read_json(json.dumps(value).encode(), "f", RESULT) == value


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
@example(b"[" * 300)
@example(b'{"a":' * 200)
@example(b"1e999")
@example(b"-Infinity")
@example(b'"\\ud800"')
@example(b"9" * 1500)
@example(b"\xff\xfe")
def test_any_bytes_are_read_or_refused_in_one_sentence(raw):
    for reader in (read_json, read_yaml):
        try:
            value = reader(raw, "file", SMALL)
        except RefusedError as error:
            said = str(error)
        else:
            said = "file: read"
            json.dumps(value, allow_nan=False)
        assert said.startswith("file: ")
        assert said.isprintable()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": Infinity}', "holds Infinity"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e400}', "out of range"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        (b"[" * 100_000, "nested more than"),
        (b"[[[[[[[[1]]]]]]]]", "nested more than 6 levels"),
        (b"9" * 100, "an integer of 100 digits"),
        (b'"' + b"x" * 60 + b'"', "a text of 60 characters"),
        (b'"a\\u0000b"', "control character U+0000"),
        (b'"a\\u202eb"', "control character U+202E"),
        (b'{"\\u0007": 1}', "control character U+0007"),
        (b"[" + b"1," * 400 + b"1]", "more than 300 values"),
        (b"{} {}", "not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_hostile_json_is_refused(raw, message):
    with pytest.raises(RefusedError, match=r"^f: ") as raised:
        read_json(raw, "f", Limits(bytes=200_000, depth=6, values=300, string=50))
    assert message in str(raised.value)


def test_nothing_larger_than_the_limit_is_parsed():
    with pytest.raises(RefusedError, match="larger than 2,000 bytes"):
        read_json(b"[" + b"1," * 1_000_000_0 + b"1]", "f", SMALL)


@given(st.floats())
def test_a_number_that_is_not_finite_never_passes(value):
    raw = json.dumps({"x": value}).encode()
    if math.isfinite(value):
        assert read_json(raw, "f", RESULT) == {"x": value}
    else:
        with pytest.raises(RefusedError):
            read_json(raw, "f", RESULT)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: &x [1]\nb: *x", "anchors and aliases"),
        (b"a: &a [l,l]\nb: &b [*a,*a]\nc: [*b,*b]", "anchors and aliases"),
        (b"!!python/object/apply:os.system ['true']", "tags are not taken"),
        (b"a: !!python/name:os.system", "tags are not taken"),
        (b"a: 1\na: 2", "stands twice"),
        (b"? [a]\n: 1", "no plain word"),
        (b"a: [", "not a plain YAML file"),
        (b"[" * 1000, ""),
    ],
)
def test_hostile_yaml_is_refused(raw, message):
    with pytest.raises(RefusedError) as raised:
        read_yaml(raw, "f")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.dictionaries(PLAIN_TEXT.filter(bool), PLAIN_TEXT, max_size=5))
def test_yaml_scalars_stay_text(value):
    assert read_yaml(yaml.safe_dump(value, allow_unicode=True).encode(), "f") == value


GOOD = {"model": "m", "licence": "MIT", "hardware": "cpu", "submitter": "s", "commit": "abcdef1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "field 'model': Field required"),
        ({"licence": None, "license": "MIT"}, "field 'licence': Field required; 'license' is perhaps 'licence'"),
        ({"model": ""}, "field 'model'"),
        ({"model": "x" * 200}, "field 'model'"),
        ({"commit": "main"}, "field 'commit'"),
        ({"weights": "javascript:alert(1)"}, "expected an https:// address"),
        ({"weights": "http://x.org"}, "expected an https:// address"),
        ({"weights": "https://user@x.org"}, "expected an https:// address"),
        ({"code": "import os"}, "Extra inputs are not permitted"),
    ],
)
def test_a_card_has_exactly_its_fields(change, message):
    card = {k: v for k, v in (GOOD | change).items() if v is not None}
    with pytest.raises(RefusedError) as raised:
        read_card(yaml.safe_dump(card).encode(), "card.yaml")
    assert message in str(raised.value)
    assert read_card(yaml.safe_dump(GOOD | {"weights": "https://x.org/a"}).encode(), "f").weights == "https://x.org/a"


def test_a_commit_that_looks_like_a_number_stays_text():
    text = "model: 1.10\nlicence: no\nhardware: 2\nsubmitter: 'on'\ncommit: 1234567\n"
    card = read_card(text.encode(), "f")
    assert (card.model, card.licence, card.commit) == ("1.10", "no", "1234567")


def test_a_head_counts_interval_may_reach_past_zero_but_not_far() -> None:
    from helpers.fake_results import fake_result

    from groundbench.leaderboard.submission.plausibility import _heads, _heads_by_layer

    result = fake_result(0)
    total = sum(m.n_heads for m in result.model.mixers)
    count, items = result.heads[0], result.testbed.n_items
    assert not list(_heads(count.model_copy(update={"ci_low": -1e-3}), _heads_by_layer(result.model), items))
    for far in ({"ci_low": -2.0 * total}, {"ci_high": 3.0 * total}, {"mean_count": -1e-3}):
        assert list(_heads(count.model_copy(update=far), _heads_by_layer(result.model), items))
