"""Whatever the bytes, a reader gives a transcript or one clear fault, and never anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.corpus_fixtures import HEAD, chat, xml
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.chat_main_line import BracketError, read_main
from groundbench.tasks.corpora.formats.chat_words import UNK, plain
from groundbench.tasks.corpora.formats.coco_captions import read_coco
from groundbench.tasks.corpora.formats.segments import tier_set, utterances
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml
from groundbench.tasks.corpora.formats.visdial import read_visdial
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.corpora.importing.sources import Source

CHAT_PIECES = st.sampled_from(
    [
        "*CHI:\t",
        "%act:\t",
        "@Situation:\t",
        "@End",
        "\t",
        "\n",
        " ",
        "<",
        ">",
        "[",
        "]",
        "[/]",
        "[: ",
        "[= ",
        "(",
        ")",
        "+...",
        "&-",
        "&=",
        "0",
        "0is",
        "xxx",
        "@b",
        "@",
        ":",
        "dog",
        "„",
        "\x15",
        "\x00",
        "\u2028",
        "é",
        "<0>\n<unk>",
    ]
)
XML_PIECES = st.sampled_from(
    [
        "<u who='CHI'>",
        "</u>",
        "<w>",
        "</w>",
        "<g>",
        "</g>",
        "<e>",
        "</e>",
        "<action/>",
        "<a type='actions'>",
        "</a>",
        "<replacement>",
        "</replacement>\n<k type='retracing'/>",
        "<comment type='Situation'>",
        "</comment>",
        "&amp;",
        "&lt;",
        "]]>",
        "dog",
        " ",
        "<!DOCTYPE x>",
        "<!-- -->",
        "<?x y?>",
    ]
)


def sound(error: FaultError) -> None:
    """A fault says why, and a line that exists if any."""
    assert error.fault.reason
    assert error.fault.line is None or error.fault.line >= 1


def checked(read: Any, data: bytes) -> None:
    """Reads it; what it says is words that a tokenizer keeps apart."""
    try:
        found = [u for tiers in ("strict", "core") for u in utterances(read(data, "f"), tier_set(tiers))]
    except FaultError as error:
        sound(error)
        return
    for segment in (s for u in found for s in u):
        assert segment.words
        for word in (segment.tag, *segment.words):
            assert word.split() == [word]
        for word in segment.words:
            assert word in (UNK, "<0>") or not set("<>[]") & set(word)


@settings(max_examples=400, deadline=None)
@given(st.lists(CHAT_PIECES, max_size=40).map("".join))
def test_chat_text(text: str) -> None:
    checked(read_chat, chat(text))
    checked(read_chat, HEAD.format(corpus="x").encode() + text.encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (read_chat, read_xml):
        checked(read, data)
    checked(read_chat, chat("*CHI:\tyes .") + data)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_main_line_and_any_running_text(text: str) -> None:
    checked(read_chat, chat("*CHI:\t" + text.replace("\n", " ")))
    assert all(word.split() == [word] and not set("<>[]") & set(word) for word in plain(text))
    with suppress(BracketError):
        read_main(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(XML_PIECES, max_size=30).map("".join))
def test_xml_text(text: str) -> None:
    checked(read_xml, xml(text))


KEYS = [
    "data",
    "dialogs",
    "dialog",
    "questions",
    "answers",
    "question",
    "answer",
    "caption",
    "image_id",
    "img",
    "annotations",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_any_json(value: Any) -> None:
    for read in (read_visdial, read_coco):
        faults: list[Fault] = []
        try:
            records = list(
                read(json.dumps(value).encode(), Source("f.json", Path("f.json"), 0), faults, fold_case=True)
            )
        except FaultError as error:
            sound(error)
            continue
        assert all(isinstance(f, Fault) for f in faults)
        assert all(s.words for r in records for u in r.utterances for s in u)
