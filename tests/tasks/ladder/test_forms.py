"""The ladder's tables, entry by entry: what a form may share with its noun, what is left out and why."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers.ladder_rules import TABLES, comments, likeness, romanised, shared_stem, shown, text_testbed, wordnet

from groundbench.tasks.nouns import word_forms
from groundbench.tasks.yaml_testbed import TextTestbed

LANGUAGES = ("fr", "es", "de", "tr", "ru", "zh")
LETTERS = {
    "fr": "a-zàâçéèêëîïôœùûü -",
    "es": "a-záéíñóúü",
    "de": "A-Za-zÄÖÜäöüß",
    "tr": "abcçdefgğhıijklmnoöprsştuüvyzâ ",
    "ru": "а-яё",
    "zh": "\u4e00-\u9fff",
}
# Kept at a likeness of 1/3 or more: looked at one by one, of other origin.
UNRELATED = {
    "fr": "basket shoulder",
    "es": "banana food glass juice",
    "de": "block",
    "tr": "basket blanket",
    "ru": "knee mouth truck window",
    "zh": "banana cat dog spoon tray",
}
# Where Wordbank has another word: plurals and diminutives, synonyms, other spellings, for tape the cassette. All seen.
OTHER_IN_WORDBANK = {
    "fr": "eye tape",
    "es": "basket eye farm glass leg pig purse tape tray",
    "de": "box train",
    "tr": "bottle game stick",
    "ru": "animal bird block brush bunny ear eye hat pig purse sheep shoe shoulder",
    "zh": "blanket bus car cow doll egg finger food picture plate purse sheep shirt shoe spoon",
}
COLUMNS = {
    "fr": "French_French_WS",
    "es": "Spanish_Mexican_WS",
    "de": "German_WS",
    "tr": "Turkish_WS",
    "ru": "Russian_WS",
    "zh": "Mandarin_Beijing_WS",
}


@pytest.fixture(scope="module")
def bed() -> TextTestbed:
    return text_testbed("ladder")


def wordbank(shared_data: Path) -> list[dict[str, str]]:
    """The CDI's nouns with their words in other languages and their synsets."""
    text = (shared_data / "lexical/cdi_nouns_multilingual.tsv").read_text(encoding="utf-8")
    head, *lines = (line.split("\t") for line in text.splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


def pinyin_or(lang: str, noun: str, word: str) -> str:
    """The letters on which likeness is computed: for Chinese the pinyin beside the word."""
    if lang != "zh":
        return word
    inside = re.fullmatch(r".+ \((\w+)\)", word)
    return inside[1] if inside else comments("translation-zh.yaml")[noun]


def synonyms(noun: str) -> tuple[str, ...]:
    """Couch and sofa are one thing: a word like either is a cognate of both."""
    return ("couch", "sofa") if noun in ("couch", "sofa") else (noun,)


def test_the_forms_and_how_many_nouns_each_has(bed: TextTestbed) -> None:
    names = ["word", "gloss", *(f"translation-{lang}" for lang in LANGUAGES), "emoji"]
    assert [f.name for f in bed.forms] == names
    n = {f.name: len(bed.nouns_of(f)) for f in bed.forms}
    assert all(n[f.name] + len(bed.excluded(f)) == 100 for f in bed.forms)
    assert (n["word"], n["gloss"]) == (100, 99)
    assert n["emoji"] >= 70
    assert all(n[f"translation-{lang}"] >= 45 for lang in LANGUAGES)
    assert all(n[f"translation-{lang}"] >= 85 for lang in ("tr", "ru", "zh"))


def test_every_noun_stands_in_every_table_with_its_form_or_a_reason(bed: TextTestbed) -> None:
    for form in bed.forms:
        assert "the table has no entry for it" not in bed.excluded(form).values(), form.name


def test_forms_differ_in_the_slot_only(bed: TextTestbed) -> None:
    frames = bed.frames(bed.form("word"))
    for form in bed.forms:
        assert bed.frames(form) == frames
    before = {re.findall(r"\w+", f.template.partition("{env}")[0])[-1] for f in frames}
    last = {re.findall(r"\w+", f.template)[-1] for f in frames}
    assert before == {"the"}
    assert not last & {"a", "an"}


def test_no_two_nouns_are_shown_alike(bed: TextTestbed) -> None:
    for form in bed.forms:
        forms = [text.casefold().replace("\ufe0f", "") for text in shown(bed, form.name).values()]
        assert [t for t, n in Counter(forms).items() if n > 1] == [], form.name


@pytest.mark.parametrize(
    ("noun", "text"),
    [
        ("window", "a glass windowpane"),
        ("airplane", "kind of plane"),
        ("necklace", "worn about the neck"),
        ("drawer", "can be drawn, or one may draw it"),
        ("brush", "used for brushing"),
        ("bunny", "many bunnies"),
        ("button", "through buttonholes"),
        ("puzzle", "what puzzles you"),
        ("train", "for training"),
    ],
)
def test_a_shared_stem_is_found(noun: str, text: str) -> None:
    assert shared_stem(noun, text) is not None


@pytest.mark.parametrize(("noun", "text"), [("ear", "a year"), ("hat", "that"), ("finger", "long digit")])
def test_what_is_no_stem_is_judged_by_letters(noun: str, text: str) -> None:
    assert (shared_stem(noun, text) is not None) == (noun in text)


def test_glosses_share_nothing_with_any_noun(bed: TextTestbed) -> None:
    """No inventory noun at all, so none that would name another target of the category either (protocol §13)."""
    for noun, text in shown(bed, "gloss").items():
        assert shared_stem(noun, text) is None, (noun, text)
        assert [w for w in re.findall(r"[a-z]+", text.lower()) if w in word_forms()] == [], (noun, text)


def test_glosses_fit_the_slot(bed: TextTestbed) -> None:
    """They follow "the", stay in its sentence, and are short."""
    for noun, text in shown(bed, "gloss").items():
        assert re.fullmatch(r"[a-zC][a-zCE, -]*[a-z]", text), (noun, text)
        assert text.split()[0] not in {"a", "an", "the", "any", "one"}, noun
        assert len(text.split()) <= 20, noun


def test_every_gloss_names_its_synset_and_source() -> None:
    marks = {noun: mark.split() for noun, mark in comments("gloss.yaml").items()}
    assert marks.pop("sofa") == marks["couch"][1:]
    assert all(len(m) == 2 and re.fullmatch(r"n\d{8}", m[1]) for m in marks.values())
    sources = Counter(m[0] for m in marks.values())
    assert set(sources) == {"wordnet", "adapted", "ours"}
    assert sources["wordnet"] >= 45
    assert sources["ours"] <= 5
    assert len({m[1] for m in marks.values()}) == 99


def _plain(text: str) -> str:
    """A gloss without brackets and punctuation, between spaces."""
    return " " + " ".join(re.findall(r"[a-z]+", text.lower())) + " "


def _check_sources(bed: TextTestbed, glosses: Mapping[str, str]) -> int:
    """`wordnet` is a gapless part of the synset's gloss, the others are not; returns how many could be compared."""
    compared = 0
    for noun, text in shown(bed, "gloss").items():
        source, synset = comments("gloss.yaml")[noun].split()
        if synset in glosses:
            whole = glosses[synset].partition('; "')[0]
            versions = (whole, re.sub(r"\([^)]*\)", "", whole))
            assert (source == "wordnet") == any(_plain(text) in _plain(v) for v in versions), noun
            compared += 1
    return compared


def test_glosses_are_what_their_source_says(bed: TextTestbed) -> None:
    glosses, _ = wordnet()
    assert _check_sources(bed, glosses) == 99


def test_glosses_are_what_their_source_says_in_shared_data(bed: TextTestbed, shared_data: Path) -> None:
    """The same where WordNet is not installed, for the synsets that the shared table has too."""
    rows = wordbank(shared_data)
    assert _check_sources(bed, {r["wn30_synset"]: r["wn30_gloss"] for r in rows}) >= 80


def test_likeness_finds_the_cognates_that_the_protocol_names() -> None:
    for word, noun in [
        ("table", "table"),
        ("train", "train"),
        ("bus", "bus"),
        ("girafe", "giraffe"),
        ("жираф", "giraffe"),
    ]:
        assert likeness(word, noun) >= 0.5, word
    assert romanised("Löffel œuf ışık щётка") == "loffeloeufisikshchetka"
    assert likeness("Schaf", "sheep") < 0.5
    assert likeness("réfrigérateur", "refrigerator") == 1.0


@pytest.mark.parametrize("lang", LANGUAGES)
def test_translations_are_unlike_their_noun(bed: TextTestbed, lang: str) -> None:
    near = set()
    for noun, word in shown(bed, f"translation-{lang}").items():
        assert re.fullmatch(f"[{LETTERS[lang]}]+", word), (noun, word)
        like = max(likeness(pinyin_or(lang, noun, word), n) for n in synonyms(noun))
        assert like < 0.5, (noun, word)
        if like >= 1 / 3 - 1e-9:
            near.add(noun)
    assert near == set(UNRELATED[lang].split())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_a_translation_leaves_out_has_a_true_reason(bed: TextTestbed, lang: str) -> None:
    form = bed.form(f"translation-{lang}")
    kept = shown(bed, form.name)
    for noun, reason in bed.excluded(form).items():
        shares = re.fullmatch(r"shares (.+) with (\w+)", reason)
        if shares:
            assert kept[shares[2]] == shares[1], (noun, reason)
            continue
        kind, _, word = reason.partition(": ")
        like = max(likeness(pinyin_or(lang, noun, word), n) for n in synonyms(noun))
        lowest, below = {
            "cognate": (0.5, 1.1),
            "lookalike": (0.5, 1.1),
            "same origin": (1 / 3 - 1e-9, 0.5),
            "English word": (0.0, 0.5),
        }[kind]
        assert lowest <= like < below, (noun, reason, like)


@pytest.mark.parametrize("lang", ["fr", "es", "de", "tr"])
def test_no_translation_is_spelled_like_an_english_word(bed: TextTestbed, lang: str) -> None:
    _, english = wordnet()
    by_hand = {"ours": "a pronoun", "canapé": "with its accent"}  # what WordNet does not list
    form = bed.form(f"translation-{lang}")
    assert [w for w in shown(bed, form.name).values() if w.casefold() in english] == []
    said = [r.partition(": ")[2] for r in bed.excluded(form).values() if r.startswith("English word")]
    assert [w for w in said if w.casefold() not in english and w not in by_hand] == []


def test_emoji_are_what_unicode_calls_them(bed: TextTestbed, shared_data: Path) -> None:
    """Against CLDR's English names, for the glyphs that the data holds."""
    names = json.loads((shared_data / "lexical/cldr_emoji_names.json").read_text(encoding="utf-8"))["en"]
    known = {noun: names[glyph][0] for noun, glyph in shown(bed, "emoji").items() if glyph in names}
    assert len(known) >= 60
    assert {noun: comments("emoji.yaml")[noun] for noun in known} == known


def test_emoji_are_single_glyphs_and_half_of_them_exact(bed: TextTestbed) -> None:
    glyphs = shown(bed, "emoji")
    assert all(len(g.removesuffix("\ufe0f")) == 1 for g in glyphs.values())
    assert {unicodedata.category(g[0]) for g in glyphs.values()} == {"So"}
    exact = [noun for noun in glyphs if comments("emoji.yaml")[noun] == noun]
    assert 35 <= len(exact) < len(glyphs)


def test_translations_against_wordbank(bed: TextTestbed, shared_data: Path) -> None:
    """Where Wordbank has the noun, its word is ours, or the difference was looked at."""
    rows: dict[str, dict[str, str]] = {}
    for row in wordbank(shared_data):
        rows.setdefault(row["definition"].partition("(")[0].strip(), row)
    for lang, column in COLUMNS.items():
        ours = shown(bed, f"translation-{lang}")
        theirs = {n: _words(rows[n][column]) for n in ours if n in rows and rows[n][column]}
        other = {n for n, words in theirs.items() if _letters(ours[n]) not in words}
        assert other == set(OTHER_IN_WORDBANK[lang].split()), lang
        assert len(theirs) >= 35
        assert len(other) / len(theirs) < 0.25, lang


def _words(cell: str) -> set[str]:
    return {_letters(re.sub(r"\(.*?\)|（.*?）", "", part)) for part in re.split("[;/]", cell)}


def _letters(word: str) -> str:
    """Without case, accents and spaces, so that a spelling variant is no difference."""
    return romanised(word)


def test_the_notice_ships_both_licences() -> None:
    notice = (TABLES / "NOTICE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice
    assert "UNICODE LICENSE V3" in notice
