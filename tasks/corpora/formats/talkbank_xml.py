"""Reads TalkBank XML: each `<u>` is written back as the CHAT main line it stands for, so that one cleaner reads both.

The reader takes no document type and no entity of the file's own: a file that declares one is refused, so none can
grow in memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from groundbench.tasks.corpora.formats.chat import SPEAKER, decode
from groundbench.tasks.corpora.formats.transcript import ORIGIN, PID, Transcript, Turn
from groundbench.tasks.corpora.importing.faults import fault

NAMESPACE = "http://www.talkbank.org/ns/talkbank"
DEEPEST = 100
"""Elements inside one another; the format itself uses about ten."""

TIERS = {
    "actions": "act",
    "addressee": "add",
    "alternative": "alt",
    "coding": "cod",
    "cohesion": "coh",
    "comments": "com",
    "english translation": "eng",
    "errcoding": "err",
    "explanation": "exp",
    "flow": "flo",
    "gesture": "gpx",
    "intonation": "int",
    "orthography": "ort",
    "paralinguistics": "par",
    "situation": "sit",
    "speech act": "spa",
    "target gloss": "gls",
    "time stamp": "tim",
}
PREFIX = {"fragment": "&+", "filler": "&-", "nonword": "&~", "omission": "0"}
FORM = {
    "babbling": "b",
    "child-invented": "c",
    "dialect": "d",
    "family-specific": "f",
    "filled pause": "fp",
    "generic": "g",
    "interjection": "i",
    "letter": "l",
    "multiple letters": "k",
    "neologism": "n",
    "onomatopoeia": "o",
    "phonology consistent": "p",
    "quoted metareference": "q",
    "sign speech": "sas",
    "signed language": "sl",
    "singing": "si",
    "test": "t",
    "UNIBET": "u",
    "word play": "wp",
    "words to be excluded": "x",
}
MARK = {
    "retracing": "[/]",
    "retracing with correction": "[//]",
    "retracing reformulation": "[///]",
    "retracing unclear": "[/?]",
    "false start": "[/-]",
    "exclude": "[e]",
}
COMMENT = {"explanation": "=", "paralinguistics": "=!", "comments": "%", "actions": "%"}
JOINT = {"cmp": "+", "cli": "~"}
_UNSAFE = re.compile(r"[\[\]<>\s\x15]+")


@dataclass
class Element:
    """An element of an utterance: text and elements in order."""

    tag: str
    attributes: dict[str, str]
    line: int
    parts: list[Any] = field(default_factory=list)

    def text(self) -> str:
        """All text inside it, spaces folded."""
        return " ".join("".join(p if isinstance(p, str) else p.text() for p in self.parts).split())

    def elements(self) -> list[Element]:
        """The elements directly inside it."""
        return [p for p in self.parts if isinstance(p, Element)]


def read_xml(data: bytes, name: str) -> Transcript:
    """One transcript.

    Raises:
        FaultError: not UTF-8 or not well-formed XML, a document type or entity declared, another root element than
            TalkBank's CHAT, or a tier outside an utterance.
    """
    reader = _Reader(name)
    # The text goes in as UTF-8 whatever its declaration says: one encoding, checked above.
    try:
        reader.parser.Parse(decode(data, name).lstrip().encode("utf-8"), True)
    except expat.ExpatError as error:
        raise fault(name, error.lineno, f"not well-formed XML: {expat.ErrorString(error.code)}") from None
    return reader.found


class _Reader:
    """Keeps only the element being read: one utterance at most."""

    def __init__(self, name: str) -> None:
        self.found = Transcript(name)
        self.open: list[Element] = []
        self.before: list[tuple[str, str]] = []
        self.depth = 0
        parser = self.parser = expat.ParserCreate("utf-8", "}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise fault(
            self.found.name,
            self.parser.CurrentLineNumber,
            "a document type or entity is declared; TalkBank XML needs none, and none is read",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line, name = self.parser.CurrentLineNumber, self.found.name
        tag = tag.removeprefix(NAMESPACE + "}")
        self.depth += 1
        if self.depth == 1:
            if tag != "CHAT":
                raise fault(name, line, f"the root element is {tag!r}, expected TalkBank's 'CHAT'")
            self.found.corpus = attributes.get("Corpus", "")
            if attributes.get(PID):
                self.found.origin[PID] = attributes[PID]
        elif self.depth > DEEPEST:
            raise fault(name, line, f"elements are nested more than {DEEPEST} deep")
        elif not self.open and tag == "a":
            raise fault(name, line, f"the tier {attributes.get('type', '')!r} annotates no utterance")
        elif self.open or tag in ("u", "comment"):
            self.open.append(Element(tag, attributes, line))

    def _text(self, text: str) -> None:
        if self.open:
            self.open[-1].parts.append(text)

    def _end(self, _: str) -> None:
        self.depth -= 1
        if not self.open:
            return
        element = self.open.pop()
        if self.open:
            self.open[-1].parts.append(element)
        elif element.tag == "u":
            self._utterance(element)
        else:
            header, text = element.attributes.get("type", ""), element.text()
            self.found.lines["@" + header] += 1
            if header in ORIGIN and text:
                self.found.origin.setdefault(header, text)
            else:
                self.before.append((header, text))

    def _utterance(self, u: Element) -> None:
        speaker = u.attributes.get("who", "")
        if not re.fullmatch(SPEAKER, speaker):
            raise fault(self.found.name, u.line, f"an utterance of {speaker!r}: expected a speaker's code in 'who'")
        tiers = [(_tier(e.attributes), e.text()) for e in u.elements() if e.tag == "a"]
        self.found.lines["*"] += 1
        self.found.lines.update("%" + name for name, _ in tiers)
        main = " ".join(piece for e in u.elements() for piece in _pieces(e))
        self.found.turns.append(Turn(u.line, speaker, main, self.before, tiers))
        self.before = []


def _tier(attributes: dict[str, str]) -> str:
    kind = attributes.get("type", "")
    return TIERS.get(kind, attributes.get("flavor", "") or kind)


def _pieces(element: Element) -> list[str]:
    """What an element of an utterance is in CHAT; nothing for what holds no words."""
    tag, attributes = element.tag, element.attributes
    if tag == "w":
        return [_word(element)]
    if tag in ("g", "pg", "sg", "e"):
        return _group(element)
    if tag == "action":
        return ["0"]
    if tag == "happening":
        return ["&=" + (_UNSAFE.sub("_", element.text()) or "event")]
    if tag == "k":
        return [MARK[attributes["type"]]] if attributes.get("type") in MARK else []
    if tag == "ga" and attributes.get("type") in COMMENT:
        return [f"[{COMMENT[attributes['type']]} {_UNSAFE.sub(' ', element.text())}]"]
    return []


def _group(element: Element) -> list[str]:
    """A scope: its words in angle brackets, then the marks that apply to them."""
    inner = [(e.tag in ("k", "ga"), _pieces(e)) for e in element.elements()]
    words = [p for is_mark, pieces in inner if not is_mark for p in pieces]
    marks = [p for is_mark, pieces in inner if is_mark for p in pieces]
    return ["<", *words, ">", *marks]


def _word(element: Element) -> str:
    form = FORM.get(element.attributes.get("formType", ""), "")
    prefix = PREFIX.get(element.attributes.get("type", ""), "")
    base, after = [], ""
    for part in element.parts:
        if isinstance(part, str):
            base.append(_UNSAFE.sub("", part))
        elif part.tag == "shortening":
            base.append(_UNSAFE.sub("", part.text()))
        elif part.tag == "wk":
            base.append(JOINT.get(part.attributes.get("type", ""), ""))
        elif part.tag == "replacement":
            sign = "::" if part.attributes.get("real") == "true" else ":"
            after = f" [{sign} {' '.join(_word(w) for w in part.elements() if w.tag == 'w')}]"
    return prefix + "".join(base) + (f"@{form}" if form else "") + after
