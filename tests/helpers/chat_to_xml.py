"""Real CHAT written as TalkBank XML by the rules of its schema, on purpose with nothing of the readers.

A main line with notation that is not translated here is left out and said, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

TIERS = {
    "act": "actions", "sit": "situation", "gpx": "gesture", "exp": "explanation", "par": "paralinguistics",
    "com": "comments", "spa": "speech act", "add": "addressee", "int": "intonation", "err": "errcoding",
}  # fmt: skip
FORMS = {
    "b": "babbling", "c": "child-invented", "d": "dialect", "f": "family-specific", "g": "generic",
    "i": "interjection", "l": "letter", "k": "multiple letters", "n": "neologism", "o": "onomatopoeia",
    "p": "phonology consistent", "q": "quoted metareference", "si": "singing", "sl": "signed language",
    "t": "test", "u": "UNIBET", "wp": "word play", "x": "words to be excluded", "fp": "filled pause",
}  # fmt: skip
SCOPED = {
    "/": '<k type="retracing"/>', "//": '<k type="retracing with correction"/>',
    "///": '<k type="retracing reformulation"/>', "/?": '<k type="retracing unclear"/>',
    "/-": '<k type="false start"/>', "e": '<k type="exclude"/>', "?": '<k type="best guess"/>',
    "!": '<k type="stressing"/>', "!!": '<k type="contrastive stressing"/>', "*": "<error></error>",
}  # fmt: skip
REMARKS = {"=": "explanation", "=!": "paralinguistics", "%": "comments", "=?": "alternative"}
INSIDE = {
    ":": '<p type="drawl"/>', "^": '<p type="pause"/>', "+": '<wk type="cmp"/>', "~": '<wk type="cli"/>',
    "ˈ": '<ss type="primary"/>', "ˌ": '<ss type="secondary"/>', "↑": '<ca-element type="pitch up"/>',
    "↓": '<ca-element type="pitch down"/>',
}  # fmt: skip
ENDS = {".": "p", "?": "q", "!": "e"}
TOKEN = re.compile(r"\x15[^\x15]*\x15|\+<|\[[^\[\]]*\]|[<>]|[^\s<>\[\]\x15]+")


class Untranslated(Exception):
    """Notation that has no rule here."""


@dataclass
class Item:
    """A word, an event or a group, and what is noted of it; `bare`: nothing can be noted of it (a pause, a linker)."""

    body: str
    marks: list[str] = field(default_factory=list)
    group: bool = False
    bare: bool = False

    def xml(self) -> str:
        inside = self.body + "".join(self.marks)
        if self.body.startswith("<e>"):
            return self.body.replace("</e>", "".join(self.marks) + "</e>")
        return f"<g>{inside}</g>" if self.group or self.marks else inside


def to_xml(data: bytes) -> tuple[bytes, list[int]]:
    """The transcript as XML, and which of its main lines (counted from 0) are not in it."""
    text = re.sub(r"\n\t", " ", data.decode("utf-8-sig").replace("\r\n", "\n"))
    out: list[str] = []
    left: list[int] = []
    number = -1
    kept = False
    for line in text.split("\n"):
        name, _, rest = line.partition(":")
        rest = rest.strip()
        if line.startswith("*"):
            number += 1
            if kept:
                out.append("</u>")
            try:
                body = main_line(rest)
                kept = True
                out.append(f"<u who={quoteattr(name[1:])} uID={quoteattr(f'u{number}')}>{body}")
            except Untranslated:
                kept = False
                left.append(number)
        elif line.startswith("%") and kept:
            kind = TIERS.get(name[1:])
            opening = f'type="{kind}"' if kind else f'type="extension" flavor={quoteattr(name[1:])}'
            out.append(f"<a {opening}>{escape(visible(rest))}</a>")
        elif line.startswith(("@Situation:", "@Activities:")):
            if kept:
                out.append("</u>")
                kept = False
            out.append(f"<comment type={quoteattr(name[1:])}>{escape(visible(rest))}</comment>")
    if kept:
        out.append("</u>")
    head = '<CHAT xmlns="http://www.talkbank.org/ns/talkbank" Version="2.16.0" Corpus="made">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{chr(10).join(out)}\n</CHAT>\n'.encode(), left


def visible(text: str) -> str:
    """Running text without time marks and the control signs that XML has no place for."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", re.sub("\x15[^\x15]*\x15?", " ", text))


def main_line(text: str) -> str:
    """The elements of an utterance."""
    groups: list[list[Item]] = [[]]
    after: list[str] = []
    for token in TOKEN.findall(text):
        if token[0] == "\x15":
            continue  # a medium's times, in XML an element without words
        if token == "<":
            groups.append([])
        elif token == ">":
            if len(groups) == 1:
                raise Untranslated(text)
            inner = groups.pop()
            groups[-1].append(Item("".join(i.xml() for i in inner), group=True))
        elif token[0] == "[":
            annotate(token[1:-1], groups[-1], after)
        else:
            groups[-1] += items(token)
    if len(groups) > 1 or re.search(r"[\[\]\x15]", TOKEN.sub("", text)):
        raise Untranslated(text)
    return "".join(i.xml() for i in groups[0]) + "".join(after)


def annotate(note: str, items: list[Item], after: list[str]) -> None:
    """Put what stands in brackets on the item before it."""
    kind, _, text = note.partition(" ")
    if kind == "+" and text:
        after.append(f"<postcode>{escape(text)}</postcode>")
        return
    if kind == "-":
        return  # the utterance's language, in XML an attribute
    if not items or items[-1].bare:
        raise Untranslated(note)
    item = items[-1]
    if kind in SCOPED and (not text or kind == "*"):
        item.marks.append(SCOPED[kind])
    elif kind in REMARKS and text:
        item.marks.append(f'<ga type="{REMARKS[kind]}">{escape(visible(text))}</ga>')
    elif kind in (":", "::") and text and item.body.startswith("<w") and not item.marks and not item.group:
        real = ' real="true"' if kind == "::" else ""
        words = "".join(word(w) for w in text.split())
        item.body = item.body.removesuffix("</w>") + f"<replacement{real}>{words}</replacement></w>"
    elif re.fullmatch(r"[<>]\d?", note):
        item.marks.append('<overlap type="overlap follows"/>')
    elif kind == "x" and text.isdigit():
        item.marks.append(f'<r times="{text}"/>')
    else:
        raise Untranslated(note)


def items(token: str) -> list[Item]:
    """The items of a token: a word with the comma or terminator that hangs on it, an event, a pause, a linker."""
    if token in ENDS:
        return [Item(f'<t type="{ENDS[token]}"/>', bare=True)]
    if token in (",", "„", "‡", ";"):
        return [Item('<tagMarker type="comma"/>', bare=True)]
    if re.fullmatch(r"\+\W*", token):
        return [Item('<linker type="quick uptake"/>', bare=True)]
    if re.fullmatch(r"#|\(\.+\)|\([\d:.]+\)", token):
        return [Item('<pause symbolic-length="simple"/>', bare=True)]
    if token.startswith("&="):
        return [Item(f"<e><happening>{escape(token[2:])}</happening></e>")]
    if re.match(r"&\*\w+[:=]", token):
        return [Item(f'<e><otherSpokenEvent who="X" said={quoteattr(token)}/></e>')]
    if token == "0":
        return [Item("<e><action/></e>")]
    if len(token) > 1 and token[-1] in ".?!," and token[:-1].isalpha():
        return [Item(word(token[:-1])), *items(token[-1])]
    return [Item(word(token))]


def word(token: str) -> str:
    """A `<w>`."""
    kinds = {"&-": "filler", "&+": "fragment", "&~": "nonword"}
    attributes = ""
    if token[:2] in kinds:
        attributes, token = f' type="{kinds[token[:2]]}"', token[2:]
    elif token[0] == "&":  # of old, before the three signs
        token = token.rstrip(".,?!")
        filler = token.replace(":", "") in ("&um", "&uh", "&er", "&eh")
        attributes, token = f' type="{"filler" if filler else "fragment"}"', token[1:]
    elif re.match(r"0[^\W\d_]", token):
        attributes, token = ' type="omission"', token[1:]
    elif token in ("xxx", "yyy", "www"):
        return f'<w untranscribed="unintelligible">{token}</w>'
    base, _, form = token.partition("@")
    tail = ""
    if form == "s" or form.startswith("s:"):
        tail = f"<langs><single>{escape(form[2:] or 'und')}</single></langs>"
    elif form:
        if form not in FORMS:
            raise Untranslated(token)
        attributes += f' formType="{FORMS[form]}"'
    return f"<w{attributes}>{letters(base)}{tail}</w>"


def letters(text: str) -> str:
    """What is in a `<w>`: letters, and elements for what is noted among them."""
    out, rest = "", text
    while rest:
        shortened = re.match(r"\(([^\W\d_']+)\)", rest)
        if shortened:
            out += f"<shortening>{shortened[1]}</shortening>"
            rest = rest[shortened.end() :]
            continue
        sign, rest = rest[0], rest[1:]
        if sign in INSIDE:
            out += INSIDE[sign]
        elif sign.isalnum() or sign in "'_-":
            out += sign
        else:
            raise Untranslated(text)
    if not re.search(r"\w", re.sub("<[^>]*>", "", out)):
        raise Untranslated(text)
    return out
