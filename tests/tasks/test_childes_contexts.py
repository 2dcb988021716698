"""The contexts of childes: what a prompt looks like in each form, and that every rule of protocol §4 is held."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from helpers.context_rules import check_plain_prompts_end_tokens

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, Prompt
from groundbench.tasks.childes import CONTEXTS, LAYOUT, load
from groundbench.tasks.nouns import inventory
from groundbench.tasks.validation import find_faults
from groundbench.tasks.written_contexts import ContextTestbed, load_contexts
from groundbench.tasks.written_contexts_check import read_vocabulary, unknown_words

BED = load()
FORMS = {f.name: f for f in BED.forms}

CUP = ["his {env} | I want my", "her old {env} is red | give me that", "MOT: a tiny {env} | look, here's your"]
GOOD = {
    "cup": CUP,
    "egg": ["she has the {env} | that's my big", "no {env} here | find the", "see one {env} | and this"],
}


def prompt(form: str, frame: str, shown: str) -> Prompt:
    (found,) = (f for f in BED.frames(FORMS[form]) if f.id == frame)
    return BED.prompt(found, BED.noun(shown), FORMS[form])


def planted(folder: Path, contexts: dict[str, list[str]]) -> ContextTestbed:
    path = folder / "contexts.yaml"
    path.write_text(yaml.safe_dump(contexts), encoding="utf-8")
    return load_contexts(path, LAYOUT, name="planted", version="1")


def test_there_are_ten_for_each_of_the_hundred_nouns() -> None:
    assert [n.word for n in BED.nouns] == [n.word for n in inventory()]
    assert Counter(c.noun for c in BED.contexts) == dict.fromkeys((n.word for n in inventory()), 10)
    assert (BED.frame_kind, BED.natural_language, BED.default_form) == ("per-noun", False, "token")
    assert list(FORMS) == ["token", "simple", "plain"]


def test_the_published_example_in_every_form() -> None:
    book = BED.noun("book")
    assert prompt("token", "book-1", "book").text == (
        "<CHI> asked:<ENV> for:<ENV> a:<ENV> new:<ENV> book:<ENV> <CHI> I:<LAN> love:<LAN> this:<LAN>"
    )
    assert prompt("simple", "book-1", "book").text == "<CHI> book:<ENV> <CHI> I:<LAN> love:<LAN> this:<LAN>"
    assert prompt("plain", "book-1", "book").text == "[asked for a new book]\nChild: I love this"
    assert [BED.target_in(book, f) for f in BED.forms] == ["book:<LAN>", "book:<LAN>", "book"]
    assert BED.target(book) == "book:<LAN>"


def test_the_mother_speaks_with_her_own_tag_and_punctuation_is_for_plain_text_only() -> None:
    assert prompt("token", "book-2", "cup").text == (
        "<MOT> opens:<ENV> the:<ENV> cup:<ENV> on:<ENV> her:<ENV> lap:<ENV> <MOT> "
        "what:<LAN> happens:<LAN> next:<LAN> in:<LAN> this:<LAN>"
    )
    assert (
        prompt("plain", "book-6", "cup").text == "[closes the cup and yawns]\nMother: it's late, say good night to your"
    )
    assert "late:<LAN> say:<LAN>" in prompt("token", "book-6", "cup").text
    speakers = Counter(c.turns[0][0] for c in BED.contexts)
    assert set(speakers) == {"CHI", "MOT"}
    assert speakers["CHI"] > 600


@pytest.mark.parametrize("form", ["token", "simple", "plain"])
def test_another_noun_replaces_the_slot_and_nothing_else(form: str) -> None:
    for frame in BED.frames(FORMS[form]):
        assert frame.noun is not None
        own = BED.prompt(frame, BED.noun(frame.noun), FORMS[form])
        other = BED.prompt(frame, BED.noun("turtle" if frame.noun != "turtle" else "apple"), FORMS[form])
        differ = [(a, b) for a, b in zip(own.segments, other.segments, strict=True) if a != b]
        assert len(differ) == 1
        assert all(isinstance(s, EnvSegment) for s in differ[0])


def test_every_word_is_marked_and_every_tag_bare() -> None:
    """An oracle in one pattern: tag, ENV words, the same tag, LAN words."""
    shape = re.compile(r"(<CHI>|<MOT>)( \S+:<ENV>)+ \1( \S+:<LAN>)+")
    bare = re.compile(r"[A-Za-z0-9'-]+")
    for context in BED.contexts:
        text = prompt("token", context.id, context.noun).text
        assert shape.fullmatch(text), text
        words = [w.partition(":<")[0] for w in text.split() if ":<" in w]
        assert all(bare.fullmatch(w) for w in words), text


@pytest.mark.parametrize("form", ["token", "simple", "plain"])
def test_all_thousand_prompts_are_distinct(form: str) -> None:
    texts = {prompt(form, c.id, c.noun).text for c in BED.contexts}
    assert len(texts) == 1000
    assert len({c.shown.lower() for c in BED.contexts}) == len({c.cut.lower() for c in BED.contexts}) == 1000


def test_no_noun_of_the_inventory_stands_in_the_written_lines() -> None:
    """Read from the file with no code of ours: not one noun or plural, and no a or an before the slot or the cut."""
    nouns = {w for n in inventory() for w in (n.word, n.plural)}
    for lines in yaml.safe_load(CONTEXTS.read_text(encoding="utf-8")).values():
        for line in lines:
            assert not nouns & set(re.findall("[a-z]+", line.replace("{env}", "").lower())), line
            assert line.count("{env}") == 1
            assert not re.search(r"\b(a|an)(?= \{env\}| *$)", line.lower()), line


def test_the_planted_testbed_has_only_the_faults_of_its_size(tmp_path: Path) -> None:
    assert [tuple(f) for f in find_faults(planted(tmp_path, GOOD))] == [
        ("noun 'cup'", "has 3 contexts; expected 10"),
        ("noun 'egg'", "has 3 contexts; expected 10"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("he sees a {env} | I want that one", "frame 'cup-1' has 'a' before the slot"),
        ("he sees the {env} | I want an", "has 'an' before the cut: it gives away the noun's first letter"),
        ("he sees the {env} | the eggs eat my", "has the inventory noun 'eggs' besides the shown one"),
        ("the cup and {env} | I like my", "has the inventory noun 'cup' besides the shown one"),
        ("he sees the {env} | give me that", "frame 'cup-2' has the words of 'cup-1': 'give me that'"),
        ("see one {env} | I like my", "frame 'egg-3' has the words of 'cup-1': 'see one {env}'"),
        ("her very old {env} is red | I like my", "frame 'cup-2' is nearly 'cup-1'"),
        ("he sees the {env} & more | I like my", "expected letters, digits"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, line: str, expected: str) -> None:
    faults = find_faults(planted(tmp_path, {**GOOD, "cup": [line, *CUP[1:]]}))
    assert any(expected in f"{f.where} {f.what}" for f in faults), faults


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("he sees the cup | I like my", "line 2: cup[1] shows 'he sees the cup', expected a sentence with {env}"),
        ("one {env}, red | I like my", "expected a sentence with {env} exactly once, as a word of its own"),
        ("the {env} and {env} | I like my", "expected a sentence with {env} exactly once"),
        ("he sees the {env}", "cup[1] says nothing, expected 'what is shown | what is said'"),
        ("he sees the {env} | ", "cup[1] says nothing"),
        ("he sees the {env} | my {env} is", "has a slot in what is said, expected none"),
        ("he sees the {env} | I like my,", "expected no punctuation at its end"),
        ("DAD: he sees the {env} | I like my", "begins with 'DAD':, expected one of CHI, MOT"),
    ],
)
def test_a_line_that_is_no_context_is_named(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(expected)):
        planted(tmp_path, {**GOOD, "cup": [line]})


def test_a_file_of_other_nouns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"line 2: 'zebra' is not a noun of the inventory"):
        planted(tmp_path, {"zebra": CUP})
    with pytest.raises(BadInputError, match="the file has 1 nouns, expected at least 2"):
        planted(tmp_path, {"cup": CUP})


def test_words_that_a_corpus_lacks_are_counted(tmp_path: Path) -> None:
    bed = planted(tmp_path, GOOD)
    token = bed.form("token")
    words = {w for f in bed.frames(token) for w in bed.prompt(f, bed.noun(f.noun or ""), token).text.split()}
    every = words | {"cup:<LAN>", "egg:<LAN>"}
    assert unknown_words(bed, token, every) == {}
    assert unknown_words(bed, token, every - {"egg:<LAN>", "my:<LAN>"}) == {"egg:<LAN>": 3, "my:<LAN>": 2}
    file = tmp_path / "vocabulary.txt"
    file.write_text("".join(f"{w}\n" for w in sorted(every)), encoding="utf-8")
    assert read_vocabulary(tmp_path) == read_vocabulary(file) == every
    with pytest.raises(BadInputError, match="not a vocabulary with one word a line"):
        read_vocabulary(tmp_path / "none")


def test_plain_prompts_end_where_a_real_tokenizer_ends_a_token(shared_data: Path) -> None:
    check_plain_prompts_end_tokens(BED, shared_data)
