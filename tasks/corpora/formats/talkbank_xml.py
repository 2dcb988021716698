"""Read TalkBank XML: each `<u>` is written back as its CHAT main line, so that one cleaner reads both.

The reader takes no document type and no entity of the file's own: a file that declares one is refused, so none can
grow in memory.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from groundbench.tasks.corpora.formats.chat import SPEAKER, decode
from groundbench.tasks.corpora.formats.transcript import ORIGIN, PID, Transcript, Turn
from groundbench.tasks.corpora.importing.faults import Fault, fault

NAMESPACE = "http://www.talkbank.org/ns/talkbank"
_DEFAULT = f' xmlns="{NAMESPACE}"'
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
PREFIX = {"fragment": "&+", "incomplete": "&+", "ellipsis": "0", "filler": "&-", "nonword": "&~", "omission": "0"}
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


_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
_PROLOG = re.compile(r"(?:<\?.*?\?>|<!--.*?-->|\s)*", re.DOTALL)
_MORPHOLOGY = re.compile(r"<mor(?:\s[^<>]*)?(?<!/)>.*?</mor>", re.DOTALL)
_SPEAKER = re.compile(SPEAKER)
_NO_MARKUP = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>", re.DOTALL)


class _OddError(Exception):
    """An utterance that cannot be read, and why."""


def read_xml(data: bytes, name: str, odd: list[Fault] | None = None) -> Transcript:
    """Return one transcript.

    Args:
        odd: takes the faults of utterances and tiers that cannot be read, which are then left out.

    Raises:
        FaultError: no text in UTF-8 or the encoding that it declares, not well-formed XML, a document type or entity
            declared, another root element than TalkBank's CHAT; without `odd` also the first odd utterance or tier.
    """
    declared = _DECLARED.match(data)
    text = decode(data, name, declared[1].decode("ascii") if declared else None)
    body = text.lstrip()
    skipped = text[: len(text) - len(body)].count("\n")
    prolog = _PROLOG.match(body)
    start = prolog.end() if prolog else 0
    if body.startswith("<!DOCTYPE", start):
        reason = "a document type or entity is declared; TalkBank XML needs none, and none is read"
        raise fault(name, skipped + body.count("\n", 0, start) + 1, reason)
    try:
        root = _parse(body)
    except ElementTree.ParseError as error:
        line = skipped + error.position[0]
        raise fault(name, line, f"not well-formed XML: {expat.ErrorString(error.code)}") from None
    return _Reader(name, body, skipped, odd).read(root)


def _line_breaks(found: re.Match[str]) -> str:
    """Keep the line numbers of what comes after something left out."""
    return "\n" * found[0].count("\n")


def _parse(text: str) -> Element:
    """Return the root, all tags without their namespace."""
    collects = gc.isenabled()
    gc.disable()  # no cycles arise, and looking for some among so many new elements takes half of the time
    try:
        parser = ElementTree.XMLParser(encoding="utf-8")  # the text goes in as UTF-8 whatever its declaration says
        text = _MORPHOLOGY.sub(_line_breaks, text)  # half of a file, and no word of it is read
        parser.feed(text.replace(_DEFAULT, "", 1).encode("utf-8", "surrogatepass"))
        root = parser.close()
    finally:
        if collects:
            gc.enable()
    if "}" in root.tag:  # a namespace written otherwise
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


class _Reader:
    """Walks the elements under the root: utterances, and the headers between them."""

    def __init__(self, name: str, text: str, skipped: int, odd: list[Fault] | None) -> None:
        self.found = Transcript(name)
        self.text, self.skipped, self.odd = text, skipped, odd
        self.before: list[tuple[str, str]] = []

    def read(self, root: Element) -> Transcript:
        """Return the transcript."""
        tag = root.tag
        if tag != "CHAT":
            raise fault(self.found.name, self._line("", 0), f"the root element is {tag!r}, expected TalkBank's 'CHAT'")
        self.found.corpus = root.get("Corpus", "")
        if pid := root.get(PID):
            self.found.origin[PID] = pid
        lines = self._lines("u", sum(1 for _ in root.iter("u")))
        tiers = 0
        for element in _outer(root):
            tag = element.tag
            if tag == "u":
                line = next(lines)
                try:
                    self._utterance(element, line)
                except _OddError as error:
                    self._note(line, str(error))
            elif tag == "comment":
                self._header(element.get("type", ""), _text(element))
            elif tag == "a":
                reason = f"the tier {element.get('type', '')!r} annotates no utterance"
                self._note(self._line("a", tiers), reason)
                tiers += 1
        return self.found

    def _note(self, line: int, reason: str) -> None:
        wrong = fault(self.found.name, line, reason)
        if self.odd is None:
            raise wrong
        self.odd.append(wrong.fault)

    def _lines(self, tag: str, expected: int) -> Iterator[int]:
        """Yield the line of each element of that tag, in order; that of the root where the text does not tell."""
        text = self.text
        if "<!--" in text or "<![CDATA[" in text:
            text = _NO_MARKUP.sub(_line_breaks, text)
        at, line = 0, 1 + self.skipped
        starts = [m.start() for m in re.finditer(rf"<(?:[\w.-]+:)?{tag}[\s/>]", text)]
        for start in starts if len(starts) == expected else [0] * expected:
            line += text.count("\n", at, start)
            at = start
            yield line

    def _line(self, tag: str, number: int) -> int:
        """Return the line of one element of that tag (of the root where `tag` is empty)."""
        starts = [m.start() for m in re.finditer(rf"<(?:[\w.-]+:)?{tag or '[A-Za-z_]'}[\w.:-]*[\s/>]", self.text)]
        at = starts[number] if number < len(starts) else 0
        return 1 + self.skipped + self.text.count("\n", 0, at)

    def _header(self, header: str, text: str) -> None:
        self.found.lines["@" + header] += 1
        if header in ORIGIN and text:
            self.found.origin.setdefault(header, text)
        else:
            self.before.append((header, text))

    def _utterance(self, u: Element, line: int) -> None:
        speaker = u.get("who", "")
        if not _SPEAKER.fullmatch(speaker):
            raise _OddError(f"an utterance of {speaker!r}: expected a speaker's code in 'who'")
        tiers: list[tuple[str, str]] = []
        main: list[str] = []
        for element in u:
            if element.tag == "a":
                tiers.append((_tier(element), _text(element)))
            else:
                main += _pieces(element, 2)
        self.found.lines["*"] += 1
        self.found.lines.update("%" + name for name, _ in tiers)
        self.found.turns.append(Turn(line, speaker, " ".join(main), self.before, tiers))
        self.before = []


def _outer(root: Element) -> Iterator[Element]:
    """Utterances, headers and stray tiers in order, also those inside other elements; nothing of what is in them."""
    waiting = list(reversed(root))
    while waiting:
        element = waiting.pop()
        if element.tag in ("u", "comment", "a"):
            yield element
        else:
            waiting += reversed(element)


def _text(element: Element) -> str:
    """Return all text inside it, spaces folded."""
    return " ".join("".join(element.itertext()).split())


def _tier(element: Element) -> str:
    kind = element.get("type", "")
    return TIERS.get(kind, element.get("flavor", "") or kind).lower()


def _pieces(element: Element, depth: int) -> list[str]:
    """Return an element of an utterance as CHAT; nothing for one that holds no words."""
    tag = element.tag
    if tag == "w":
        text = (element.text or "").strip()
        if text.isalpha() and not len(element) and not element.attrib:
            return [text]
        return [_word(element, depth)]
    if tag in ("g", "pg", "sg", "e"):
        return _group(element, depth)
    if tag == "action":
        return ["0"]
    if tag == "happening":
        return ["&=" + (_UNSAFE.sub("_", _text(element)) or "event")]
    if tag == "k":
        return [MARK[element.get("type", "")]] if element.get("type") in MARK else []
    if tag == "ga" and element.get("type") in COMMENT:
        return [f"[{COMMENT[element.get('type', '')]} {_UNSAFE.sub(' ', _text(element))}]"]
    return []


def _group(element: Element, depth: int) -> list[str]:
    """Return a scope: its words in angle brackets, then the marks that apply to them."""
    if depth > DEEPEST:
        raise _OddError(f"elements are nested more than {DEEPEST} deep")
    words: list[str] = []
    marks: list[str] = []
    for e in element:
        (marks if e.tag in ("k", "ga") else words).extend(_pieces(e, depth + 1))
    return ["<", *words, ">", *marks]


def _word(element: Element, depth: int) -> str:
    if depth > DEEPEST:
        raise _OddError(f"elements are nested more than {DEEPEST} deep")
    form = FORM.get(element.get("formType", ""), "")
    prefix = PREFIX.get(element.get("type", ""), "")
    base, after = [_UNSAFE.sub("", element.text or "")], ""
    repeated = False  # inside a repeated segment
    for part in element:
        tag = part.tag
        if tag == "ca-delimiter" and "repe" in part.get("label", ""):
            repeated = part.get("type") == "begin"
        elif tag == "shortening" and not repeated:
            base.append(_UNSAFE.sub("", _text(part)))
        elif tag == "wk" and not repeated:
            base.append(JOINT.get(part.get("type", ""), ""))
        elif tag == "replacement":
            sign = "::" if part.get("real") == "true" else ":"
            after = f" [{sign} {' '.join(_word(w, depth + 1) for w in part if w.tag == 'w')}]"
        if not repeated:
            base.append(_UNSAFE.sub("", part.tail or ""))
    return prefix + "".join(base) + (f"@{form}" if form else "") + after
