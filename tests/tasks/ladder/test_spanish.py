"""The ladder in Spanish: frames that agree with either gender, and tables that share nothing with their noun."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from helpers.ladder_rules import TABLES, comments, likeness, romanised, shown, text_testbed
from helpers.small_models import tiny_gpt2

from groundbench.evaluation.evaluate import evaluate
from groundbench.tasks.inventories import load_inventory
from groundbench.tasks.validation import find_faults
from groundbench.tasks.yaml_testbed import TextTestbed

FOLDER = TABLES.with_name("ladder_es")
FORMS = ("word", "gloss", "translation-en", "translation-fr", "emoji")
LETTERS = {"en": "a-z ", "fr": "a-zâçéèêîôœû"}
# Kept at a likeness of 1/3 or more: looked at one by one, of other origin.
UNRELATED = {"en": "abeja guante vaso", "fr": "cerdo barco casa"}
EITHER_GENDER = {"su", "mi", "tu"}
# Where Wordbank has another English or French word: a synonym, a plural, another sense. All seen.
OTHER_IN_WORDBANK = "barco casa conejo hoja llave pantalón piedra reloj zanahoria"


@pytest.fixture(scope="module")
def bed() -> TextTestbed:
    return text_testbed("ladder-es")


def test_it_keeps_the_rules_of_the_protocol(bed: TextTestbed) -> None:
    assert (bed.natural_language, bed.frame_kind, bed.default_form, bed.ladder) == (True, "shared", "word", True)
    assert find_faults(bed) == []
    assert tuple(f.name for f in bed.forms) == FORMS
    n = {f.name: len(bed.nouns_of(f)) for f in bed.forms}
    assert (n["word"], n["gloss"]) == (100, 100)
    assert min(n.values()) > 50
    assert all(len(bed.frames(f)) == 10 for f in bed.forms)
    for form in bed.forms:
        assert "the table has no entry for it" not in bed.excluded(form).values(), form.name


def test_its_nouns_hold_those_of_the_inventory_alike(bed: TextTestbed) -> None:
    own = {n.word: n for n in bed.nouns}
    assert [n for n in load_inventory("cdi-es").nouns if own.get(n.word) != n] == []
    assert {n.article for n in bed.nouns} == {"un", "una"}
    assert all(n.plural.endswith("s") and n.plural != n.word for n in bed.nouns)
    assert min(Counter(n.category for n in bed.nouns).values()) >= 2  # each has a mismatch of its own category


def test_frames_agree_with_nouns_of_either_gender(bed: TextTestbed) -> None:
    """Nothing before slot or cut has a gender, and no pronoun of the third person or participle takes up the noun."""
    frames = [f.template for f in bed.frames(bed.form("word"))]
    assert {re.findall(r"\w+", f.partition("{env}")[0])[-1] for f in frames} == {"su"}
    last = {re.findall(r"\w+", f)[-1] for f in frames}
    assert last <= EITHER_GENDER
    assert len(last) > 1
    shared = frames[0].partition("\n")[0]
    for frame in frames:
        assert frame.startswith(f"{shared}\n")
        rest = frame[len(shared) :]
        assert not set(re.findall(r"\w+", rest.lower())) & {"lo", "los", "las", "este", "esta", "ese", "esa"}
        assert [w for w in re.findall(r"\w+", rest) if re.search(r"[^\W\d_]{2}(?:ad|id)[oa]s?$", w)] in (
            [],
            ["salido"],  # with haber, which does not agree
        )


def test_no_two_nouns_are_shown_alike(bed: TextTestbed) -> None:
    for form in bed.forms:
        texts = [text.casefold().replace("\ufe0f", "") for text in shown(bed, form.name).values()]
        assert [t for t, n in Counter(texts).items() if n > 1] == [], form.name


def shares_stem(noun: str, text: str) -> str | None:
    """A word that begins with the noun's first four letters (three of a shorter one), holds it, or is held by it."""
    own = romanised(noun)
    stem = own[: max(3, min(4, len(own) - 1))]
    for word in map(romanised, re.findall(r"\w+", text)):
        if word.startswith(stem) or (len(own) > 3 and own in word) or (len(word) > 3 and word in own):
            return word
    return None


@pytest.mark.parametrize(
    ("noun", "text"),
    [("sombrero", "da sombra"), ("pelo", "animal peludo"), ("zapato", "lo hace el zapatero"), ("pie", "a pie")],
)
def test_a_shared_stem_is_found(noun: str, text: str) -> None:
    assert shares_stem(noun, text) is not None
    assert shares_stem(noun, "conjunto de cosas") is None


def test_definitions_share_nothing_with_any_noun(bed: TextTestbed) -> None:
    forms = {form for n in bed.nouns for form in (n.word, n.plural)} | set(load_inventory("cdi-es").word_forms())
    for noun, text in shown(bed, "gloss").items():
        assert shares_stem(noun, text) is None, (noun, text)
        assert [w for w in re.findall(r"\w+", text.lower()) if w in forms] == [], (noun, text)


def test_definitions_fit_the_slot(bed: TextTestbed) -> None:
    """They follow "su", stay in its sentence, and are short; none repeats a word of the frames' own scene."""
    scene = {"niña", "madre", "mamá", "hija"}
    for noun, text in shown(bed, "gloss").items():
        assert re.fullmatch(r"[a-záéíóúñ][a-záéíóúüñT, ]*[a-záéíóúñ]", text), (noun, text)
        first, *rest = text.split()
        assert first not in {"el", "la", "un", "una", "su", "lo"}, noun
        assert 3 <= len(rest) + 1 <= 15, noun
        assert not scene & set(text.split()), noun


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_translations_are_unlike_their_noun(bed: TextTestbed, lang: str) -> None:
    near = set()
    for noun, word in shown(bed, f"translation-{lang}").items():
        assert re.fullmatch(f"[{LETTERS[lang]}]+", word), (noun, word)
        assert likeness(word, noun) < 0.5, (noun, word)
        if likeness(word, noun) >= 1 / 3 - 1e-9:
            near.add(noun)
    assert near == set(UNRELATED[lang].split())


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_what_a_translation_leaves_out_has_a_true_reason(bed: TextTestbed, lang: str) -> None:
    for noun, reason in bed.excluded(bed.form(f"translation-{lang}")).items():
        kind, _, word = reason.partition(": ")
        lowest, below = {
            "cognate": (0.5, 1.1),
            "lookalike": (0.5, 1.1),
            "same origin": (1 / 3 - 1e-9, 0.5),
            "Spanish word": (0.0, 0.5),
        }[kind]
        assert lowest <= likeness(word, noun) < below, (noun, reason)


def test_no_translation_is_a_noun_that_is_asked_for_or_a_word_of_the_definitions(bed: TextTestbed) -> None:
    spanish = {w for text in shown(bed, "gloss").values() for w in re.findall(r"\w+", text)}
    spanish |= {form for n in bed.nouns for form in (n.word, n.plural)}
    for lang in ("en", "fr"):
        assert set(shown(bed, f"translation-{lang}").values()) & spanish == set(), lang


def test_emoji_are_what_unicode_calls_them(bed: TextTestbed, shared_data: Path) -> None:
    """Against CLDR's Spanish names, for the glyphs that the data holds; most are the noun itself."""
    names = json.loads((shared_data / "lexical/cldr_emoji_names.json").read_text(encoding="utf-8"))["es"]
    glyphs, said = shown(bed, "emoji"), comments("emoji.yaml", FOLDER)
    known = {noun: names[glyph][0] for noun, glyph in glyphs.items() if glyph in names}
    assert len(known) >= 60
    assert {noun: said[noun] for noun in known} == known
    assert len([noun for noun in glyphs if said[noun] == noun]) > len(glyphs) / 2


def test_emoji_are_single_glyphs_that_name_no_other_noun(bed: TextTestbed) -> None:
    glyphs, said = shown(bed, "emoji"), comments("emoji.yaml", FOLDER)
    assert set(said) == set(glyphs)
    assert all(len(g.removesuffix("\ufe0f")) == 1 and unicodedata.category(g[0]) == "So" for g in glyphs.values())
    words = {form: n.word for n in bed.nouns for form in (n.word, n.plural)}
    for noun in glyphs:
        whole = said[noun].partition(" de ")[0]  # a toothbrush is no tooth, a glass of milk is a glass
        assert {words[w] for w in re.findall(r"\w+", whole) if w in words} <= {noun}, said[noun]


def test_nouns_and_translations_against_wordbank(bed: TextTestbed, shared_data: Path) -> None:
    """Where Wordbank has our English word, its Spanish and French words are ours, or the difference was looked at."""
    text = (shared_data / "lexical/cdi_nouns_multilingual.tsv").read_text(encoding="utf-8")
    head, *lines = (line.split("\t") for line in text.splitlines())
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    by_spanish = {w: row for row in rows for w in _words(row["Spanish_Mexican_WS"])}
    french, english = shown(bed, "translation-fr"), shown(bed, "translation-en")
    compared, differ = 0, set()
    for noun in bed.nouns:
        row = by_spanish.get(romanised(noun.word))
        if row is None:
            continue
        theirs = _words(row["definition"]), _words(row["French_French_WS"])
        for ours, found in zip((english.get(noun.word), french.get(noun.word)), theirs, strict=True):
            if ours is not None and found:
                compared += 1
                differ |= set() if romanised(ours) in found else {noun.word}
    assert compared > 60
    assert differ == set(OTHER_IN_WORDBANK.split())


def _words(cell: str) -> set[str]:
    return {romanised(re.sub(r"\(.*?\)", "", part)) for part in re.split("[;/]", cell) if part.strip()}


def test_the_whole_ladder_runs_on_a_small_model() -> None:
    """Every form is scored, and the ladder score is over the forms beside the word."""
    result = evaluate(tiny_gpt2(positions=512), "ladder-es", measures=("gain",), limit=6)
    assert [f.env_form for f in result.forms] == list(FORMS)
    assert all(f.gain is not None and f.gain.n_failed == 0 for f in result.forms)
    assert result.ladder_score is not None
    assert {f.env_form for f in result.ladder_score.forms} <= set(FORMS[1:])


def test_the_notice_ships_the_licence() -> None:
    assert "UNICODE LICENSE V3" in (FOLDER / "NOTICE").read_text(encoding="utf-8")
