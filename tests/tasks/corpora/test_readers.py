"""CHAT and TalkBank XML: the same transcript in both, the order of ENV and LAN, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from helpers.corpus_fixtures import chat, xml
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.segments import SPECIAL, tier_set, utterances
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml
from groundbench.tasks.corpora.formats.transcript import Transcript
from groundbench.tasks.corpora.importing.faults import Fault, FaultError


def flat(transcript: Transcript, tiers: str = "core", fold_case: bool = False) -> list[str]:
    """Each segment as one text: its kind, its tag, its words."""
    found = utterances(transcript, tier_set(tiers), fold_case=fold_case)
    return [" ".join([s.kind, s.tag, *s.words]) for u in found for s in u]


BODY = (
    "@Situation:\tplaying with toys",
    "*MOT:\tlook here !",
    "%act:\tpoints to",
    "\tthe ball",
    "%gpx:\tsmiles",
    "%exp:\tit is red",
    "%par:\twhispers",
    "%com:\tnot for us",
    "%spa:\t$IMI",
    "@Comment:\tnot for us",
    "@Activities:\tReading a book",
    "*CHI:\tball [= the red one] &=laughs .",
    "%sit:\tAnn is sleepy",
    "*CHI:\t0 .",
    "%act:\tthrows it",
    "*CHI:\t&=coughs .",
    "*MOT:\twhat's\tthat",
    "\tthere ?",
)


def test_core_order_and_tags() -> None:
    assert flat(read_chat(chat(*BODY), "x.cha")) == [
        "env <MOT> playing with toys",
        "env <MOT> points to the ball",
        "env <MOT> smiles",
        "env <MOT> it is red",
        "env <MOT> whispers",
        "lan <MOT> look here",
        "env <CHI> Reading a book",
        "env <CHI> Ann is sleepy",
        "env <CHI> the red one",
        "lan <CHI> ball",
        "env <CHI> throws it",
        "lan <CHI> <0>",
        "lan <MOT> what's that there",
    ]


def test_strict_has_three_tiers_only() -> None:
    assert [s for s in flat(read_chat(chat(*BODY), "x.cha"), "strict") if s.startswith("env")] == [
        "env <MOT> points to the ball",
        "env <MOT> smiles",
        "env <CHI> Ann is sleepy",
        "env <CHI> throws it",
    ]


def test_fold_case() -> None:
    shown = flat(read_chat(chat(*BODY), "x.cha"), fold_case=True)
    assert "env <CHI> reading a book" in shown
    assert "lan <CHI> <0>" in shown


def test_lines_are_counted_as_they_stand() -> None:
    lines = read_chat(chat(*BODY), "x.cha").lines
    assert (lines["*"], lines["%act"], lines["%com"], lines["@Situation"], lines["%spa"]) == (5, 2, 1, 1, 1)


def test_corpus_and_line_numbers() -> None:
    found = read_chat(chat("*CHI:\ta .", "", "*CHI:\tb .", corpus="brown").replace(b"\n", b"\r\n"), "x.cha")
    assert found.corpus == "brown"
    assert [t.line for t in found.turns] == [7, 9]


PAIRS = [
    ("*CHI:\tthe dog .", '<u who="CHI"><w>the</w><w>dog</w><t type="p"/></u>'),
    ("*CHI:\t0 .\n%act:\topens it", '<u who="CHI"><e><action/></e><t type="p"/><a type="actions">opens it</a></u>'),
    ("*CHI:\t&=laughs .", '<u who="CHI"><e><happening>laughs</happening></e><t type="p"/></u>'),
    (
        "*CHI:\t<I want> [/] I want (be)cause oh: choo+choo .",
        '<u who="CHI"><g><w>I</w><w>want</w><k type="retracing"/></g><w>I</w><w>want</w>'
        '<w><shortening>be</shortening>cause</w><w>oh<p type="drawl"/></w><w>choo<wk type="cmp"/>choo</w></u>',
    ),
    (
        "*CHI:\t<the cat> [//] da [: the] dog [= Rex] [?] .",
        '<u who="CHI"><g><w>the</w><w>cat</w><k type="retracing with correction"/></g>'
        "<w>da<replacement><w>the</w></replacement></w>"
        '<g><w>dog</w><ga type="explanation">Rex</ga><k type="best guess"/></g></u>',
    ),
    (
        "*CHI:\tmoo@o ba@b bo@c nana@f &+fr &-um &~goo 0is xxx hola@s:spa .",
        '<u who="CHI"><w formType="onomatopoeia">moo</w><w formType="babbling">ba</w>'
        '<w formType="child-invented">bo</w><w formType="family-specific">nana</w><w type="fragment">fr</w>'
        '<w type="filler">um</w><w type="nonword">goo</w><w type="omission">is<mor><mw><stem>be</stem></mw></mor></w>'
        '<w untranscribed="unintelligible">xxx</w><w><langs><single>spa</single></langs>hola</w></u>',
    ),
    (
        "*CHI:\t<what <is that> [>]> [=! sings] „ now +//.",
        '<u who="CHI"><linker type="self completion"/><g><w>what</w><g><w>is</w><w>that</w>'
        '<overlap type="overlap follows"/></g><ga type="paralinguistics">sings</ga></g><tagMarker type="tag"/>'
        '<pause symbolic-length="simple"/><w>now</w><t type="self interruption"/></u>',
    ),
    (
        "*MOT:\tyes .\n%sit:\ta & b\n%gpx:\tnods\n%exp:\twhy\n%par:\tsings\n%com:\tno",
        '<u who="MOT"><w>yes</w><a type="situation">a &amp; b</a><a type="gesture">nods</a>'
        '<a type="explanation">why</a><a type="paralinguistics">sings</a><a type="comments">no</a></u>',
    ),
    (
        "@Situation:\tat home\n*MOT:\tyes [% to Ann] .",
        '<comment type="Situation">at home</comment><u who="MOT"><g><w>yes</w><ga type="comments">to Ann</ga></g></u>',
    ),
]


@pytest.mark.parametrize(("as_chat", "as_xml"), PAIRS)
@pytest.mark.parametrize("tiers", ["strict", "core"])
def test_xml_reads_as_the_chat_it_was_made_of(as_chat: str, as_xml: str, tiers: str) -> None:
    from_chat, from_xml = read_chat(chat(as_chat), "x.cha"), read_xml(xml(as_xml), "x.xml")
    assert flat(from_xml, tiers) == flat(from_chat, tiers)
    counted = {k: n for k, n in from_chat.lines.items() if k[0] in "*%"}
    assert {k: n for k, n in from_xml.lines.items() if k[0] in "*%"} == counted


def refused(read: object, data: bytes) -> str:
    with pytest.raises(FaultError) as caught:
        flat(read(data, "f"))  # type: ignore[operator]
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "f: the file is empty"),
        (b"\n \n", "f: the file is empty"),
        (b"@UTF8\n@Begin\n*CHI:\tcaf\xe9 .\n@End\n", "f, line 3: not UTF-8: byte 0xe9"),
        (b"some text\n", "f, line 1: expected '*', '%', '@' or a tab at the line's start, found 'some text'"),
        (b"\tsome text\n", "f, line 1: a continuation line continues nothing"),
        (b"@UTF8\n*CHI:\tyes .\n@End\n", "f, line 1: no @Begin: not a CHAT transcript"),
        (chat("*CHI:\tyes .", end=False), "f, line 7: the file ends without @End: is it cut short?"),
        (chat("*CHI:\tyes .") + b"*CHI:\tmore .\n", "f, line 9: text after @End: '*CHI:\\tmore .'"),
        (chat("%act:\tjumps"), "f, line 7: the tier %act annotates no utterance: none stands before it"),
        (chat("*CHI yes ."), "f, line 7: expected an utterance as '*CODE:<tab>…', found '*CHI yes .'"),
        (chat("*CHI:\ta .", "%act jumps"), "f, line 8: expected a tier as '%name:<tab>…', found '%act jumps'"),
        (chat("*MOT:\ta .", "*CHI:\tthe [= dog"), "f, line 8: '[' is not closed in the utterance of CHI"),
        (chat("*CHI:\tthe <dog ."), "f, line 7: '<' is not closed in the utterance of CHI"),
    ],
)
def test_broken_chat_names_line_and_reason(data: bytes, message: str) -> None:
    assert refused(read_chat, data) == message


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xml('<u who="CHI"><w>&b;</w></u>', head=BOMB), "f, line 2: a document type or entity is declared"),
        (xml('<u who="CHI"><w>&b;</w></u>'), "f, line 4: not well-formed XML: undefined entity"),
        (b'<!DOCTYPE r SYSTEM "file.dtd"><r/>', "f, line 1: a document type or entity is declared"),
        (xml('<u who="CHI"><w>yes</u>'), "f, line 4: not well-formed XML: mismatched tag"),
        (xml("<u who='CHI'><w>a</w></u>")[:-10], "f, line 4: not well-formed XML: unclosed token"),
        (b"<html></html>", "f, line 1: the root element is 'html', expected TalkBank's 'CHAT'"),
        (xml('<a type="actions">jumps</a>'), "f, line 4: the tier 'actions' annotates no utterance"),
        (xml("<u><w>a</w></u>"), "f, line 4: an utterance of '': expected a speaker's code in 'who'"),
        (xml("<u who='CHI'>" + "<g>" * 200 + "</g>" * 200 + "</u>"), "f, line 4: elements are nested more than 100"),
        (xml("<u who='CHI'><w>caf\xe9</w></u>").decode().encode("latin-1"), "f, line 4: not UTF-8: byte 0xe9"),
        (xml().decode().encode("utf-16")[:-1], "f, line 1: UTF-16 by its first bytes, and cut or damaged"),
        (b"\n\n" + xml("<u><w>a</w></u>"), "f, line 6: an utterance of ''"),
        (xml("<!-- <u> -->", "<u who='CHI'/>", "<u><w>a</w></u>"), "f, line 6: an utterance of ''"),
    ],
)
def test_broken_xml_names_line_and_reason(data: bytes, message: str) -> None:
    assert re.match(re.escape(message), refused(read_xml, data)), refused(read_xml, data)


ENCODED = "<u who='CHI'><w>café</w><w>niño</w></u>"


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("UTF-8", "utf-8-sig"),
        ("UTF-16", "utf-16"),
        ("UTF-8", "utf-16"),
        ("ISO-8859-1", "latin-1"),
        ("x", "utf-8"),
        ("ISO-8859-1", "utf-8"),
        ("windows-1252", "cp1252"),
    ],
)
def test_xml_in_the_encoding_that_it_declares_or_has(declared: str, encoding: str) -> None:
    data = xml(ENCODED).decode().replace('encoding="UTF-8"', f'encoding="{declared}"').encode(encoding)
    assert flat(read_xml(data, "x.xml")) == ["lan <CHI> café niño"]


GOOD = ("*CHI:\tthe hat", "\tis on .", "%act:\tputs on hat", "*MOT:\tyes .")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data + b"\x1a",
        lambda data: data + b"\r\n\x1a\x00\x00\x00",
        lambda data: data + bytes(100),
        lambda data: data.replace(b"\n\t", b"\n        "),
        lambda data: data.replace(b"%act:", b"%ACT:"),
        lambda data: data.replace(b"%act:\t", b"%act:"),
        lambda data: data.replace(b"*CHI:\t", b"*CHI: "),
        lambda data: data.replace(b"*MOT:\t", b"*MOT:"),
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"\xef\xbb\xbf" + data,
    ],
)
def test_the_same_transcript_however_an_editor_left_it(change: Callable[[bytes], bytes]) -> None:
    expected = read_chat(chat(*GOOD), "x.cha")
    found = read_chat(change(chat(*GOOD)), "x.cha")
    assert flat(found) == flat(expected)
    assert found.lines == expected.lines


ODD = ["*XB*:\tyes .", "%act jumps", "nothing of CHAT", "*CHI:\tthe [= dog .", "*CHI:\ta <b .", "*CHI yes"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*ODD, ""]), min_size=5, max_size=5))
def test_an_odd_line_costs_itself_only(odd: list[str]) -> None:
    """Odd lines anywhere between good utterances: those stay, and each odd one is named with its line."""
    lines: list[str] = []
    at: list[int] = []
    for i, line in enumerate(odd):
        lines += [f"*CHI:\tword{i} ."]
        if line:
            at.append(7 + len(lines))
            lines.append(line)
    faults: list[Fault] = []
    transcript = read_chat(chat(*lines), "f", faults)
    found = [" ".join(s.words) for u in utterances(transcript, tier_set("core"), odd=faults) for s in u]
    assert found == [f"word{i}" for i in range(5)]
    assert sorted(f.line or 0 for f in faults) == at


def test_the_tiers_of_an_odd_utterance_are_not_those_of_the_one_before() -> None:
    faults: list[Fault] = []
    lines = ("*CHI:\tone .", "*X*Y:\ttwo .", "%act:\tof the odd one", "*CHI:\tthree .", "%act:\tof three")
    assert flat(read_chat(chat(*lines), "f", faults)) == [
        "lan <CHI> one",
        "env <CHI> of three",
        "lan <CHI> three",
    ]
    assert [f.line for f in faults] == [8]


def test_an_odd_utterance_of_xml_costs_itself_only() -> None:
    faults: list[Fault] = []
    body = (
        "<u who='CHI'><w>one</w></u>",
        "<u><w>two</w></u>",
        "<a type='actions'>x</a>",
        "<u who='CHI'><w>three</w></u>",
    )
    assert flat(read_xml(xml(*body), "f", faults)) == ["lan <CHI> one", "lan <CHI> three"]
    assert [f.line for f in faults] == [5, 6]


@pytest.mark.parametrize("speaker", ["pad", "unk", "0", "CHI", "speaker"])
def test_no_tag_is_a_special_token(speaker: str) -> None:
    found = flat(read_chat(chat(f"*{speaker}:\tthe hat ."), "f"))
    tag = found[0].split()[1]
    assert tag not in SPECIAL
    assert speaker in tag
    assert flat(read_xml(xml(f"<u who='{speaker}'><w>the</w><w>hat</w></u>"), "f")) == found
