"""Cards in which something was not measured: refused, or shown as such, whatever it is and wherever it is read."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.cards import whole_card

from groundbench.api.errors import BadInputError
from groundbench.export.card_checks import github_annotations, junit_xml
from groundbench.leaderboard.rows import RiskRow
from groundbench.leaderboard.site.screening_board import screening_tables
from groundbench.report.pages import render_card, render_card_markdown
from groundbench.results.risk_card import RiskCard
from groundbench.results.text.numbers import NOT_MEASURED

Path_ = tuple[str | int, ...]
PYTHON = re.compile(r"(?<![\w.])(None(?! of| is| could)|nan|inf)(?![\w.])")
"""Words that only a program says; a sentence may begin with `None of`."""


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place of a card but the first."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in named:
        yield (*at, name)
        yield from places(inner, (*at, name))


def changed(whole: Any, at: Path_, to: Any) -> Any:
    made = copy.deepcopy(whole)
    inner = made
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = to
    return made


def of(whole: Any, at: Path_) -> Any:
    for name in at:
        whole = whole[name]
    return whole


def shown(card: RiskCard) -> str:
    """All that people and pipelines read of a card."""
    row = RiskRow("e", "e", "model", "somebody", False, "sha256:x", "llama", card.model.parameters or 0, card)
    cells = [c for _, rows in screening_tables([row]) for r in rows for c in r.cells]
    board = [f"{c.text or NOT_MEASURED} {c.detail}" for c in cells]
    pages = (render_card(card), render_card_markdown(card), card._repr_html_(), card.summary())
    return "\n".join((*pages, junit_xml(card), *github_annotations(card), *board))


def test_a_whole_card_is_shown_without_words_of_programs() -> None:
    assert not PYTHON.search(shown(whole_card()))


@pytest.mark.parametrize("to", [None, [], {}], ids=["null", "empty list", "empty object"])
def test_whatever_is_taken_away_is_refused_or_shown_as_not_measured(tmp_path: Path, to: object) -> None:
    """Each place of a card in turn: a number, a list or a whole part."""
    whole = json.loads(whole_card().model_dump_json())
    path = tmp_path / "card.json"
    read, refused = 0, list[str]()
    for at in places(whole):
        if to is not None and not isinstance(of(whole, at), type(to)):
            continue
        path.write_text(json.dumps(changed(whole, at, to)))
        try:
            card = RiskCard.load(path)
        except BadInputError as error:
            refused.append(str(error))
            continue
        read += 1
        assert not PYTHON.search(shown(card)), at
    assert read > (100 if to is None else 5)
    assert to is not None or len(refused) > 50
    assert all(str(path) in why for why in refused)


def test_curves_of_different_lengths_stand_side_by_side() -> None:
    """A signal that was measured in few answers may have fewer points."""
    whole = json.loads(whole_card().model_dump_json())
    del whole["signals"][1]["curve"][0]
    assert not PYTHON.search(shown(RiskCard.model_validate(whole)))


def nothing_measured(value: Any) -> Any:
    """Every estimate without its number."""
    if isinstance(value, dict) and {"value", "low", "high"} <= set(value):
        return {"value": None, "low": None, "high": None, "n": 0}
    if isinstance(value, dict):
        return {k: nothing_measured(v) for k, v in value.items()}
    return [nothing_measured(v) for v in value] if isinstance(value, list) else value


def test_a_card_of_which_nothing_was_measured_says_so() -> None:
    card = RiskCard.model_validate(nothing_measured(json.loads(whole_card().model_dump_json())))
    text = shown(card)
    assert not PYTHON.search(text)
    assert text.count(NOT_MEASURED) > 20
    assert not re.search(r"\b0\.0+ (?:nats|%)", text)
