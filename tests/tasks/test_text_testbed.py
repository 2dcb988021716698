"""Testbeds in YAML: what they mean, and that every mistake is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.registry import load_testbed
from groundbench.tasks.yaml_testbed import load_yaml

SHARED = """\
name: kitchen
version: "1"
natural_language: true
frame_kind: shared
nouns:
  - book
  - cup
  - {word: zebra, category: animals, article: a, plural: zebras}
default_form: word
join: " "
target: "{noun}"
forms:
  word: {description: the word itself, template: "{noun}"}
  gloss:
    table:
      book: pages bound together
      cup: something to drink from
      zebra: {excluded: no definition yet}
  bare:
    template: "[{noun}]"
    frames:
      only: "{env} is what"
frames:
  f01: "She looks at the {env} and says: I love this"
  f02: "The {env} is near. Look at my"
"""

PER_NOUN = """\
name: scenes
version: "1"
natural_language: true
frame_kind: per-noun
nouns: [book, cup]
forms:
  word: {template: "{noun}"}
frames:
  book: ["He reads the {env}. Turn the pages of my", "He opens his {env}. Read me this"]
  cup: ["She drinks from her {env}. Fill my"]
"""


def write(folder: Path, text: str, name: str = "bed.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_shared_frames(tmp_path: Path) -> None:
    bed = load_testbed(str(write(tmp_path, SHARED)))
    assert [n.word for n in bed.nouns] == ["book", "cup", "zebra"]
    assert (bed.noun("book").category, bed.noun("book").plural) == ("toys", "books")
    assert (bed.name, bed.version, bed.natural_language, bed.default_form) == ("kitchen", "1", True, "word")
    word, gloss, bare = bed.forms
    frame = bed.frames(word)[0]
    prompt = bed.prompt(frame, bed.noun("cup"), word)
    assert prompt.text == "She looks at the cup and says: I love this"
    assert (
        bed.prompt(frame, bed.noun("cup"), gloss).text
        == "She looks at the something to drink from and says: I love this"
    )
    assert dict(bed.excluded(gloss)) == {"zebra": "no definition yet"}
    assert [n.word for n in bed.nouns_of(gloss)] == ["book", "cup"]
    with pytest.raises(KeyError):
        bed.prompt(frame, bed.noun("zebra"), gloss)
    assert bed.prompt(bed.frames(bare)[0], bed.noun("cup"), bare).text == "[cup] is what"
    assert bed.target(bed.noun("cup")) == "cup"


def test_per_noun_frames(tmp_path: Path) -> None:
    bed = load_yaml(write(tmp_path, PER_NOUN))
    frames = bed.frames(bed.forms[0])
    assert [(f.id, f.noun) for f in frames] == [("book-1", "book"), ("book-2", "book"), ("cup-1", "cup")]
    assert bed.prompt(frames[2], bed.noun("book"), bed.forms[0]).text == "She drinks from her book. Fill my"


def test_a_folder_and_a_table_file(tmp_path: Path) -> None:
    write(tmp_path, "book: livre\ncup: tasse\n", "french.yaml")
    text = SHARED.replace('template: "[{noun}]"', "table: french.yaml")
    write(tmp_path, text, "testbed.yaml")
    bed = load_testbed(str(tmp_path))
    bare = bed.form("bare")
    assert bed.prompt(bed.frames(bare)[0], bed.noun("cup"), bare).text == "tasse is what"
    assert dict(bed.excluded(bare)) == {"zebra": "the table has no entry for it"}


def test_the_whole_inventory(tmp_path: Path) -> None:
    rows = SHARED.splitlines()
    text = "\n".join(["nouns: inventory" if r == "nouns:" else r for r in rows if not r.startswith("  - ")])
    bed = load_yaml(write(tmp_path, text.replace("      zebra: {excluded: no definition yet}\n", "")))
    assert len(bed.nouns) == 100
    assert len(bed.nouns_of(bed.form("gloss"))) == 2


def test_the_hash_moves_with_what_decides_a_number(tmp_path: Path) -> None:
    def digest(old: str, new: str) -> str:
        assert old in SHARED
        return load_yaml(write(tmp_path, SHARED.replace(old, new))).digest()

    base = digest("kitchen", "kitchen")
    changes = [
        ("I love this", "I like this"),
        ("pages bound together", "bound pages"),
        ('target: "{noun}"', 'target: "{noun}s"'),
        ('join: " "', 'join: ""'),
        ('version: "1"', 'version: "2"'),
    ]
    assert len({base, *(digest(*c) for c in changes)}) == 6
    assert digest("description: the word itself", "description: the same word") == base


BROKEN = [
    ("name: kitchen", "name: [kitchen", "not valid YAML"),
    ("name: kitchen", "name: ", "line 1: name is nothing, expected a text"),
    (
        "name: kitchen",
        "names: kitchen",
        "line 1: the file has an unknown key 'names', and lacks 'name', expected name",
    ),
    ("name: kitchen\n", "", "line 1: the file lacks the key 'name'"),
    ("name: kitchen", "name: kitchen\nname: other", "line 2: the file has the key 'name' twice"),
    (
        "natural_language: true",
        "natural_language: maybe",
        "line 3: natural_language is 'maybe', expected true or",
    ),
    ("frame_kind: shared", "frame_kind: own", "line 4: frame_kind is 'own', expected shared or per-noun"),
    ("frame_kind: shared", "frame_kind: per-noun", "line 24: frames.f01: 'f01' is not among the nouns"),
    ("  - cup", "  - cop", "line 7: 'cop' is not in the inventory"),
    ("  - cup", "  - book", "line 7: the noun 'book' is there twice"),
    ("  - cup", "  - no", "line 7: nouns[2] is no, which YAML reads as a truth value: put it in quotes"),
    ("article: a,", "article: a big,", "line 8: nouns[3].article is 'a big', expected one word"),
    ("category: animals, ", "", "line 8: nouns[3] lacks the key 'category'"),
    ("default_form: word", "default_form: image", "line 9: default_form is 'image', expected word or gloss"),
    ('target: "{noun}"', "target: word", "line 11: target is 'word', expected a text with '{noun}' in it"),
    (
        'template: "{noun}"}',
        'template: "{word}"}',
        "line 13: forms.word.template has {word}, expected {noun}",
    ),
    (
        "      cup: something",
        "      cop: something",
        "line 17: forms.gloss.table shows 'cop', which is not",
    ),
    ("{excluded: no definition yet}", "{exclude: x}", "line 18: forms.gloss.table.zebra has an unknown key 'exclude'"),
    ("something to drink from", "", "line 17: forms.gloss.table.cup is nothing, expected a text"),
    ('    template: "[{noun}]"\n', "", "line 20: forms.bare has both or none of template and table"),
    ('template: "[{noun}]"', "table: none.yaml", "none.yaml: no such file"),
    ("The {env} is near", "It is near", "line 25: frames.f02 has no slot, expected {env} exactly once"),
    ("The {env} is near", "The {env} {env}", "line 25: frames.f02 has {env} {env}, expected {env} exactly once"),
    ("The {env} is near", "The {env is near", "line 25: frames.f02 has {env is near. Look at my, expected {env}"),
    ("I love this", "I love this ", "line 24: frames.f01 begins or ends with space"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_mistake_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SHARED
    path = write(tmp_path, SHARED.replace(old, new, 1))
    with pytest.raises(BadInputError) as caught:
        load_yaml(path)
    said = str(caught.value)
    assert "\n" not in said
    if "none.yaml" in message:
        assert said.startswith(f"{tmp_path / 'none.yaml'}: no such file")
        return
    assert said.startswith(f"{path}, line ")
    assert message in said


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "a: !!python/object:os.system {}\n"])
def test_what_is_no_testbed_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadInputError, match=str(path)):
        load_yaml(path)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        load_yaml(tmp_path / "no.yaml")
    with pytest.raises(BadInputError, match=r"testbed\.yaml: no such file"):
        load_testbed(str(tmp_path))
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(BadInputError, match="UTF-8"):
        load_yaml(tmp_path / "b.yaml")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_loads_or_names_itself(tmp_path: Path, data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from([SHARED, PER_NOUN])).splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    damage = data.draw(st.sampled_from(["drop", "repeat", "cut", "garble", "indent"]))
    row = lines[at]
    lines[at : at + 1] = {
        "drop": [],
        "repeat": [row, row],
        "cut": [row[: data.draw(st.integers(0, len(row)))]],
        "garble": [row + data.draw(st.text(alphabet="{}[]:,'\"#&*!|>%@- \t\x00é", max_size=4))],
        "indent": ["  " + row],
    }[damage]
    path = write(tmp_path, "\n".join(lines))
    said = ""
    try:
        assert len(load_yaml(path).digest()) == 16
    except BadInputError as error:
        said = str(error)
    assert not said or (str(path) in said and "\n" not in said)


def test_a_folder_of_a_testbeds_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "childes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_testbed("childes").name == "childes"
