"""The contexts of caption-dialogue: captions, questions and answers, and the rules of protocol §4."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from helpers.context_rules import check_plain_prompts_end_tokens

from groundbench.api.testbed import Prompt
from groundbench.tasks.caption_dialogue import CONTEXTS, load
from groundbench.tasks.nouns import inventory

BED = load()
FORMS = {f.name: f for f in BED.forms}


def prompt(form: str, frame: str, shown: str) -> Prompt:
    (found,) = (f for f in BED.frames(FORMS[form]) if f.id == frame)
    return BED.prompt(found, BED.noun(shown), FORMS[form])


def test_there_are_ten_for_each_of_the_hundred_nouns() -> None:
    assert [n.word for n in BED.nouns] == [n.word for n in inventory()]
    assert Counter(c.noun for c in BED.contexts) == dict.fromkeys((n.word for n in inventory()), 10)
    assert (BED.name, BED.frame_kind, BED.default_form) == ("caption-dialogue", "per-noun", "token")


def test_a_question_is_cut_or_its_answer() -> None:
    assert prompt("token", "dog-1", "cup").text == (
        "<Q> a:<ENV> wet:<ENV> cup:<ENV> shakes:<ENV> water:<ENV> all:<ENV> over:<ENV> two:<ENV> sunbathers:<ENV> "
        "<Q> are:<LAN> the:<LAN> women:<LAN> mad:<LAN> at:<LAN> the:<LAN>"
    )
    assert prompt("simple", "dog-2", "dog").text == (
        "<Q> dog:<ENV> <Q> is:<LAN> there:<LAN> a:<LAN> harness:<LAN> "
        "<A> yes:<LAN> the:<LAN> man:<LAN> holds:<LAN> the:<LAN> harness:<LAN> of:<LAN> his:<LAN>"
    )
    assert prompt("plain", "dog-2", "dog").text == (
        "Caption: a blind man crosses the street with his dog\n"
        "Question: is there a harness?\n"
        "Answer: yes, the man holds the harness of his"
    )
    assert [BED.target_in(BED.noun("dog"), f) for f in BED.forms] == ["dog:<LAN>", "dog:<LAN>", "dog"]
    turns = Counter(len(c.turns) for c in BED.contexts)
    assert set(turns) == {1, 2}
    assert min(turns.values()) > 400
    assert all(c.turns[0][1].endswith("?") for c in BED.contexts if len(c.turns) == 2)


def test_every_word_is_marked_and_every_tag_bare() -> None:
    shape = re.compile(r"<Q>( \S+:<ENV>)+ <Q>( \S+:<LAN>)+( <A>( \S+:<LAN>)+)?")
    bare = re.compile(r"[a-z0-9'-]+")
    for context in BED.contexts:
        text = prompt("token", context.id, context.noun).text
        assert shape.fullmatch(text), text
        assert all(bare.fullmatch(w.partition(":<")[0]) for w in text.split() if ":<" in w), text


@pytest.mark.parametrize("form", ["token", "simple", "plain"])
def test_all_thousand_prompts_are_distinct(form: str) -> None:
    assert len({prompt(form, c.id, c.noun).text for c in BED.contexts}) == 1000
    assert len({c.shown for c in BED.contexts}) == len({c.cut for c in BED.contexts}) == 1000


def test_no_noun_of_the_inventory_stands_in_the_written_lines() -> None:
    nouns = {w for n in inventory() for w in (n.word, n.plural)}
    for lines in yaml.safe_load(CONTEXTS.read_text(encoding="utf-8")).values():
        for line in lines:
            assert not nouns & set(re.findall("[a-z]+", line.replace("{env}", "").lower())), line
            assert line.count("{env}") == 1
            assert not re.search(r"\b(a|an)(?= \{env\}| *$)", line), line


def test_plain_prompts_end_where_a_real_tokenizer_ends_a_token(shared_data: Path) -> None:
    check_plain_prompts_end_tokens(BED, shared_data)
