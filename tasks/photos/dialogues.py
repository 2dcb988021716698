"""An image's own dialogue (Visual Dialog), cut right before a noun."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from groundbench.tasks.corpora.formats.located_json import wrong
from groundbench.tasks.corpora.formats.visdial import dialogs_of
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.nouns import inventory
from groundbench.tasks.photos.categories import named_nouns

ARTICLES = frozenset({"a", "an"})
_NUMBER = re.compile(r"(\d+)(?:\.\w+)?$")


def read_dialogues(files: Sequence[tuple[str, Any]], faults: list[Fault]) -> dict[int, list[tuple[str, str]]]:
    """Map photo numbers to questions and answers of native and flat files; faulty dialogues are left out.

    Raises:
        FaultError: a file of neither schema.
    """
    found: dict[int, list[tuple[str, str]]] = {}
    for name, value in files:
        dialogs, read, prefix = dialogs_of(value, name)
        for i, dialog in enumerate(dialogs):
            place = f"{prefix}[{i}]"
            try:
                image, _, turns = read(dialog, name, place)
                number = _NUMBER.search(image)
                if number is None:
                    raise wrong(name, place, f"the image {image!r} has no number, expected COCO's")
                found.setdefault(int(number[1]), list(turns))
            except FaultError as error:
                faults.append(error.fault)
    return found


def cuts(turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield (noun, text cut before it) of every noun's first singular mention that can be asked for.

    Turns before it that mention any noun of the inventory are dropped, so that the image alone tells; a mention
    after a/an, or after another noun in the same turn, is no cut.
    """
    kept: list[str] = []
    done: set[str] = set()
    words = {n.word for n in inventory()}
    for question, answer in turns:
        said = answer.rstrip(".,; ")
        text = f"Question: {question.rstrip('?., ')}?" + (f" Answer: {said}." if said else "")
        for match in re.finditer(r"[^\W\d_]+", text):
            word = match[0].lower()
            if not named_nouns(word):
                continue
            before = text[: match.start()].rstrip()
            last = re.findall(r"[^\W\d_]+", before)[-1:]
            if word in words and word not in done and before[-1].isalpha() and last[0].lower() not in ARTICLES:
                yield word, " ".join([*kept, before])
            break  # what follows stands after a noun
        done |= named_nouns(text)
        if not named_nouns(text):
            kept.append(text)
