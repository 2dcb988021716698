"""Every mark of CHAT's notation and what it becomes (protocol §2.1)."""

from __future__ import annotations

import pytest

from groundbench.tasks.corpora.formats.chat_main_line import BracketError, read_main
from groundbench.tasks.corpora.formats.chat_words import plain, spoken


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
    assert list(spoken(word)) == becomes


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
    ],
)
def test_running_text(text: str, words: str) -> None:
    assert plain(text) == words.split()
