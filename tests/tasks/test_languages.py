"""Nouns beyond the hundred: inventories as files, generated contexts, the testbeds of other languages."""

from __future__ import annotations

import contextlib
import io
import random
import re
import shlex
from pathlib import Path

import pytest
from helpers.corpus_fixtures import chat
from helpers.documents import fences

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.tasks.childes import LAYOUT_ES, load_en_all, load_es
from groundbench.tasks.corpora import ImportedCorpus, import_childes, select_nouns
from groundbench.tasks.generated_contexts import generated_contexts
from groundbench.tasks.inventories import load_inventory
from groundbench.tasks.nouns import inventory
from groundbench.tasks.validation import find_faults
from groundbench.tasks.written_contexts import SLOT
from groundbench.tasks.written_contexts_check import unknown_words

PAGE = "docs/how-to/add_language.md"


def spanish(folder: Path, words: tuple[str, ...], files: int = 10) -> Path:
    """Transcripts in which each noun is shown and said once a file."""
    folder.mkdir()
    for i in range(files):
        draw = random.Random(i)
        lines: list[str] = []
        for word in draw.sample(words, len(words)):
            number = draw.randrange(1000)
            lines += [f"*MOT:\t¡mira! ¿dónde está {word}? n{number} .", f"%act:\tcoge su {word} v{number}"]
        (folder / f"t{i}.cha").write_bytes(chat(*lines))
    return folder


def test_the_spanish_testbed_keeps_the_rules() -> None:
    testbed = load_es()
    assert find_faults(testbed) == []
    assert {n.article for n in testbed.nouns} == {"un", "una"}
    for noun in testbed.nouns:
        own = {"un": {"el", "un", "ese", "este", "aquel"}, "una": {"la", "una", "esa", "esta", "aquella"}}
        other = own["una" if noun.article == "un" else "un"]
        cuts = [c.cut.split()[-1] for c in testbed.contexts if c.noun == noun.word]
        assert len(cuts) == 10
        assert not set(cuts) & other
        assert set(cuts) & own[noun.article]


@pytest.mark.slow
def test_all_english_nouns_keep_the_rules() -> None:
    testbed = load_en_all()
    assert find_faults(testbed) == []


def test_all_english_nouns_have_the_hundred_and_more() -> None:
    testbed = load_en_all()
    words = [n.word for n in testbed.nouns]
    assert words[:100] == [n.word for n in inventory()]
    assert len(words) == len(set(words)) > 140
    shown = [c.shown for c in testbed.contexts]
    assert len(shown) == len(set(shown)) == 10 * len(words)


def test_a_spanish_corpus_chooses_its_nouns(tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_childes(spanish(tmp_path / "in", ("libro", "pelota", "mano", "avión")), out)
    found = select_nouns(out, 10, [n.word for n in load_inventory("cdi-es").nouns])
    assert set(found.kept) == {"libro", "pelota", "mano", "avión"}
    testbed = load_es(out, 10)
    form = testbed.forms[0]
    assert {n.word for n in testbed.nouns_of(form)} == {"libro", "pelota", "mano", "avión"}
    assert "libro:<ENV>" not in unknown_words(testbed, form, set(ImportedCorpus(out).words()))


def test_every_step_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spanish(tmp_path / "transcripts", ("perro", "libro", "pelota"))
    blocks = [fence for fence in fences() if fence.page == PAGE and "MODEL" not in fence.body]
    names = iter(["nouns.yaml", "frames.yaml"])
    assert [b.language for b in blocks] == ["sh", "yaml", "sh", "yaml", "python", "sh"]
    for block in blocks:
        if block.language == "yaml":
            (tmp_path / next(names)).write_text(block.body, encoding="utf-8")
        elif block.language == "sh":
            assert main(shlex.split(block.body)[1:]) == 0
        else:
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(block.body, {})
            assert said.getvalue() == "[]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language: es\nnouns:\n  libro: [toys, un]\n  mano: [a, b, c]\n", r"line 3: libro has 2 fields, expected"),
        ("language: es\nnouns:\n  libro: [toys, un, libros]\n", "the file has 1 nouns, expected at least 2"),
        ("language: en\nbase: inventory\nnouns:\n  ball: [toys, a, balls]\n", "the noun 'ball' is there twice"),
        ("nouns: {}\n", "language"),
    ],
)
def test_what_is_wrong_in_a_file_of_nouns(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(text)
    with pytest.raises(BadInputError, match=message):
        load_inventory(tmp_path / "n.yaml")
    with pytest.raises(BadInputError, match="is neither a file nor one of inventory, cdi-en, cdi-es"):
        load_inventory("klingon")


def test_too_few_sentences_are_refused(tmp_path: Path) -> None:
    part = "starts: [a, b, c, d, e, f, g, h, i, j]\n  ends: [x, y]"
    (tmp_path / "f.yaml").write_text(f"shown:\n  {part}\nsaid:\n  {part}\n")
    with pytest.raises(BadInputError, match="10 starts and 2 ends, expected at least 10 of each and 420 pairs"):
        generated_contexts(tmp_path / "f.yaml", load_inventory("cdi-es").nouns, LAYOUT_ES)


def test_nobody_calls_herself_and_nothing_agrees_with_who_acts() -> None:
    """Speakers are of either gender: an adjective or a participle about them would be wrong for one of the two."""
    for testbed in (load_es(), load_en_all()):
        said = [(tag, text.split(",")[0].lower()) for c in testbed.contexts for tag, text in c.turns]
        assert {"CHI", "MOT"} == {tag for tag, _ in said}
        assert not {("MOT", "mommy"), ("MOT", "mamá")} & set(said)
    ends = {" ".join(c.shown.split(SLOT)[-1].split()) for c in load_es().contexts}
    assert len(ends) > 10
    assert [end for end in ends if re.search(r"^\w+[aei]d[oa]s?\b|\bcontent[oa]\b", end)] == []
