"""Every mark of CHAT's notation and what it becomes (protocol §2.1)."""

from __future__ import annotations

import unicodedata

import pytest
from helpers.corpus_fixtures import chat, xml
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.chat_main_line import BracketError, read_main
from groundbench.tasks.corpora.formats.chat_marks import MARKS, Mark
from groundbench.tasks.corpora.formats.chat_words import clean_word, plain
from groundbench.tasks.corpora.formats.segments import tier_set, utterances
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("dog", ["dog"]),
        ("Daddy", ["Daddy"]),
        ("don't", ["don't"]),
        ("uh-oh", ["uh-oh"]),
        ("have_to", ["have_to"]),
        ("black+bird", ["black+bird"]),
        ("fifteen.", ["fifteen"]),
        ("(be)cause", ["because"]),
        ("m(a)ma", ["mama"]),
        ("thi:s", ["this"]),
        ("ˈba:by", ["baby"]),
        ("↑up↓", ["up"]),
        ("⌈yes⌉", ["yes"]),
        ("“so”", ["so"]),
        ('"no"', ["no"]),
        ("choo^choo@o", ["choochoo"]),
        ("moo@o", ["moo"]),
        ("b@l", ["b"]),
        ("hola@s:spa", ["hola"]),
        ("la@si", ["la"]),
        ("dis@d", ["dis"]),
        ("word@q", ["word"]),
        ("um@fp", ["um"]),
        ("oops@i", ["oops"]),
        ("tiger@t$n", ["tiger"]),
        ("ba@b", ["<unk>"]),
        ("bo@c", ["<unk>"]),
        ("nana@f", ["<unk>"]),
        ("lala@wp", ["<unk>"]),
        ("uh@p", ["<unk>"]),
        ("funnily@n$adj", ["<unk>"]),
        ("bɑl@u", ["<unk>"]),
        ("thing@g", ["<unk>"]),
        ("thing@x:code", ["<unk>"]),
        ("xxx", ["<unk>"]),
        ("yyy", ["<unk>"]),
        ("www", ["<unk>"]),
        ("&-um", ["um"]),
        ("&um", ["um"]),
        ("&uh", ["uh"]),
        ("&+fr", []),
        ("&~gaga", []),
        ("&fr", []),
        ("&=laughs", []),
        ("&*MOT:yes", []),
        ("&", []),
        ("0", ["<0>"]),
        ("0.", ["<0>"]),
        ("0is", []),
        (".", []),
        ("?", []),
        ("!", []),
        (",", []),
        ("„", []),
        ("‡", []),
        ("(.)", []),
        ("(..)", []),
        ("(1.5)", []),
        ("(1:02.5)", []),
        ("+...", []),
        ("+//?", []),
        ('+"/.', []),
        ("+^", []),
        ("++", []),
        ("@b", []),
        ("()", []),
        ("&-", []),
    ],
)
def test_word(word: str, becomes: list[str]) -> None:
    assert list(clean_word(word)) == becomes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("the dog runs .", "the dog runs"),
        ("<I want> [/] I want it .", "I want it"),
        ("the [/] the [/] the dog", "the dog"),
        ("&ah [/] &ah ow [/] ow", "ow"),
        ("no 0is [/] 0is there", "no there"),
        ("so (.) [/] so", "so"),
        ("<the cat> [//] the dog [///] a [/-] b [/?] c", "the cat the dog a b c"),
        ("goed [: went] home", "went home"),
        ("gonna [: going to] eat", "going to eat"),
        ("gonna [:: going to] eat [*]", "going to eat"),
        ("<a b> [: c] d", "c d"),
        ("dere [: there] [//] here", "there here"),
        ("xxx [: thing]", "thing"),
        ("&uh [: the] dog", "the dog"),
        ("<what is <that there> [>]> [/] what", "what"),
        ("<left out> [e] kept", "kept"),
        ("wee [x 4] .", "wee"),
        ("a [?] b [!] c [!!] d [*] e [* m:=ed] f [^ c] g [>] h [<] i [>1] [+ PI] [- spa]", "a b c d e f g h i"),
        ('+< yes +" no +, go ++ on +/.', "yes no go on"),
        ("yes [=? yeah] no", "yes no"),
        ("ball [= red] gone [=! sings] now [% softly]", "ball gone now"),
        ("go \x15123_456\x15", "go"),
        ("go .\x15123_456\x15", "go"),
        ("<go>\x15123_456", "go"),
        ("‹the big [?]› hat ‹yyy (.)› .", "the big hat <unk>"),
        ("‹&s the› hat ‹a› [/] b", "the hat b"),
        ("‹the hat", "the hat"),
        ("I ⌈2 like ⌉2 the ⌈3hat⌉3 .", "I like the hat"),
        ("⌊&=laughs⌋ the hat ⌈&=points:hat⌉ ⌈&-um⌉ .", "the hat um"),
        ("the hat ((clears (his) throat)) is", "the hat is"),
        ("((be)cause) so", "because so"),
        ("↫h-h↫hat is ↫on", "hat is on"),
        ("the hat •1200_3400• .", "the hat"),
        ('go •%snd:"x"_12_34• on 12_34', "go on"),
        ("un#do #1_5 # da~me", "undo dame"),
        ("00it is", "is"),
        ("好帽子。 走！ 是吗？", "好帽子 走 是吗"),
        ("¿dónde está? ¡mira! أين؟", "dónde está mira أين"),
        ("hat\u00adbox cafe\u0301 \u200fأين\u200e", "hatbox café أين"),
        ("don’t donʼt don＇t ‘so’", "don't don't don't so"),
        ("col·legi می\u200cروم", "col·legi می\u200cروم"),
        ("0 .", "<0>"),
        ("&=laughs .", ""),
        ("", ""),
    ],
)
def test_main_line(line: str, words: str) -> None:
    assert read_main(line).words == words.split()


def test_scoped_comments_in_order() -> None:
    assert read_main("a [= red car] b [=! laughs] <c d> [% to Ann] [=? e] [!]").comments == [
        ("=", "red car"),
        ("=!", "laughs"),
        ("%", "to Ann"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("the [= red", "'[' is not closed"),
        ("the red] one", "']' closes nothing"),
        ("<the red one", "'<' is not closed"),
        ("the red> one", "'>' closes nothing"),
        ("[= a [b] c", "'[' is not closed"),
    ],
)
def test_brackets_that_do_not_match(line: str, reason: str) -> None:
    with pytest.raises(BracketError, match=reason.replace("[", r"\[").replace("]", r"\]")):
        read_main(line)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("opens the box .", "opens the box"),
        ("<aft> Peter works on car , looking", "Peter works on car looking"),
        ("<1w-2w> going ; to <bef> tractor!", "going to tractor"),
        ("<$=4> singing", "singing"),
        ("< .1u-1u .> CHI steps off", "CHI steps off"),
        ("says <no> softly", "says no softly"),
        ("Lois's doll 's hat", "Lois's doll 's hat"),
        ("$IMI points (to it)", "points to it"),
        ("play-doh “red” [sic]", "play-doh red sic"),
        ("coughing . \x151_2\x15", "coughing"),
        ("836", "836"),
        (". , -", ""),
        ("puts on hat . (012:05.101-012:09.300)", "puts on hat"),
        ("waits 1:05 - 1:09 then goes", "waits then goes"),
        ("act=points at hat", "points at hat"),
        ("x=points", "x=points"),
        ("a ‘red hat’—“big” •12_34•", "a red hat big"),
    ],
)
def test_running_text(text: str, words: str) -> None:
    assert plain(text) == words.split()


def marked(mark: Mark, words: list[str], at: int) -> tuple[str, list[str]]:
    """Some words with a mark on one of them; and what is said."""
    sign, word = mark.sign, words[at]
    first, last = sign[0], sign[-1]
    if mark.fate == "deleted with what it encloses":
        put = f"{first}{word[:1]}-{word[:1]}{last}{word}"
    elif mark.fate == "deleted with its index":
        put = f"{first}{2 + at % 8}{word}{last}{2 + at % 8}"
    elif mark.fate == "joins a word":
        put = f"{word[:1]}{first}{word[1:]}" if len(sign) == 1 else f"{first}{word[:1]}{last}{word[1:]}"
    else:
        put = f"{first}{word}{last}" if len(sign) == 2 else f"{first}{word}"
    return " ".join([*words[:at], put, *words[at + 1 :]]), words


WORD = st.sampled_from(["hat", "dog", "niño", "über", "帽子", "мяч", "boîte", "don't"])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MARKS), st.lists(WORD, min_size=1, max_size=4), st.integers(0, 3), st.booleans())
def test_every_mark_of_the_table_leaves_the_words(mark: Mark, words: list[str], at: int, decomposed: bool) -> None:
    """In both readers, on every word, also where letters are written with their accents apart."""
    line, said = marked(mark, words, at % len(words))
    if decomposed and unicodedata.normalize("NFC", line) != line:
        line = unicodedata.normalize("NFD", line)
    body = "".join(f"<w>{w}</w>" for w in line.split())
    for transcript in (read_chat(chat(f"*CHI:\t{line} ."), "f"), read_xml(xml(f'<u who="CHI">{body}</u>'), "f")):
        (utterance,) = utterances(transcript, tier_set("core"))
        assert utterance[0].words == said


def test_the_table_has_every_sign_once() -> None:
    signs = [c for m in MARKS for c in m.sign]
    assert len(signs) == len(set(signs))
    assert all(m.name for m in MARKS)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=12))
def test_words_of_any_script_are_clean(text: str) -> None:
    for word in (*plain(text), *(w for piece in text.split() for w in clean_word(piece) if w not in ("<unk>", "<0>"))):
        assert unicodedata.is_normalized("NFC", word)
        assert not set(word) & set("\u00ad\u200e\u200f\u202a\u2066\ufeff’ʼ＇")
        assert word[0].isascii() or unicodedata.category(word[0])[0] not in "PZ"
        assert word[-1].isascii() or unicodedata.category(word[-1])[0] not in "PZ"
