"""Numbers that no measurement gives, wherever a result or a card has room for one: refused, or shown without harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.cards import whole_card
from helpers.fake_results import fake_causal, fake_result
from helpers.submissions import board_at, write_submission

from groundbench.leaderboard import RefusedError
from groundbench.leaderboard.site.publish import Publisher

EXTREMES = {float: (1e308, -1e308), int: (2**53, -7)}
CUT = 4
"""Entries kept of each long list: one is as good as another."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], type]]:
    """Yield path and type of one number of every kind in a document; of a list its first entry stands for all."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:1]):
            yield from places(inner, (*path, i))
    elif type(value) in EXTREMES:
        yield path, type(value)


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = json.loads(json.dumps(document))
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return made


def result_document() -> dict[str, Any]:
    """A result with causes."""
    result = fake_result(1, n_nouns=40, layers=30, heads=9)
    causal = fake_causal("token", recovered=0.9, others=("word",))
    causal = causal.model_copy(update={"scores": causal.scores[:CUT], "identity": causal.identity[:CUT]})
    document: dict[str, Any] = json.loads(result.model_copy(update={"causal": (causal,)}).model_dump_json())
    for form in document["forms"]:
        for heads in form["heads"]:
            heads["by_head"] = heads["by_head"][:CUT]
    return document


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    board = board_at(tmp_path)
    for name in ("models", "data"):
        (tmp_path / "site" / name).mkdir(parents=True)
    write_submission(board.entries, "x", 1, n_nouns=4)
    return Publisher(board, tmp_path / "site")


def publish_page(publisher: Publisher, file: str, document: Any) -> str | None:
    """Publish an entry of one file; return its page, None where it is refused in a sentence."""
    folder = publisher.board.entries / "x"
    (folder / "run" / "result.json").unlink(missing_ok=True)
    (folder / "run" / file).write_text(json.dumps(document))
    said = ""
    try:
        publisher(folder)
    except RefusedError as error:
        said = str(error)
    assert said == "" or said.isprintable()
    assert len(said) < 600
    if said:
        return None
    return (publisher.out / "models" / "x.html").read_text()


@pytest.mark.parametrize(
    ("file", "make"),
    [("result.json", result_document), ("card.json", lambda: json.loads(whole_card().model_dump_json()))],
)
def test_an_extreme_number_is_refused_or_shown_without_harm(publisher, file, make):
    document = make()
    assert publish_page(publisher, file, document) is not None
    tried = taken = 0
    for path, kind in places(document):
        for value in EXTREMES[kind]:
            page = publish_page(publisher, file, put(document, path, value))
            tried += 1
            taken += page is not None
            assert page is None or not re.search(r"\bnan\b|[−>]inf\b|\binf\b ?%", page, re.I), (path, value)
    assert 0 < taken < tried / 3  # free options, seeds and risks have no scale


CAUSES = [
    ("n_heads", 271, "the model has 270 heads"),
    ("scores.0.layer", 2**40, "which the model does not have"),
    ("scores.1.head", 9, "which the model does not have"),
    ("identity.0.head", 2**40, "which the model does not have"),
    ("interchange.0.heads.0.layer", 31, "which the model does not have"),
    ("env_form", "emoji\u200b", "no form of the result"),
    ("matrix.0.donor_form", "invented", "no form of the result"),
    ("pairs.n", 10**6, "the form has 400 items"),
    ("pairs.clean", -1.0, "cannot be negative"),
    ("interchange.0.k", 271, "of 270 heads"),
    ("interchange.0.recovered.ci_low", 5.0, "its interval is from"),
    ("interchange.0.n_draws", 3, "n_draws is 3"),
    ("curves.0.points.3.k", 271, "growing numbers"),
    ("curves.0.points.1.k", 1, "growing numbers"),
    ("curves.0.heads_for_half.value", 0.001, "but its points give"),
    ("curves.0.heads_for_half.ci_low", -3.0, "of 270 heads"),
    ("curves.0.cpr", 0.99, "cpr is 0.99, but its points give"),
    ("knockout.0.last_layer", 31, "not all the model's"),
]


@pytest.mark.parametrize(("path", "value", "said"), CAUSES, ids=[c[0] for c in CAUSES])
def test_causes_that_contradict_the_model_or_themselves_are_refused(publisher, path, value, said):
    keys = [int(k) if k.isdigit() else k for k in path.split(".")]
    document = put(result_document(), ("causal", 0, *keys), value)
    folder = publisher.board.entries / "x"
    (folder / "run" / "result.json").write_text(json.dumps(document))
    with pytest.raises(RefusedError, match=re.escape(said)):
        publisher(folder)
