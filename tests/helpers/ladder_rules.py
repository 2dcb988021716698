"""The rules that the ladder's tables keep, computed: likeness of words, shared stems, and what their comments say."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest

from groundbench.api.testbed import EnvSegment
from groundbench.registry import load_testbed
from groundbench.tasks.yaml_testbed import TextTestbed

TABLES = Path(__file__).resolve().parents[2] / "tasks" / "ladder"

_ROMAN = "a b v g d e zh z i i k l m n o p r s t u f kh ts ch sh shch y e iu ia"
_CYRILLIC = dict(zip("абвгдежзийклмнопрстуфхцчшщыэюя", _ROMAN.split(), strict=True))
_LATIN = {"ı": "i", "œ": "oe", "ь": "", "ъ": ""}


def romanised(word: str) -> str:
    """Lower-case Latin letters: Cyrillic transliterated, accents and everything but letters taken away."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    letters = (c for c in plain if not unicodedata.combining(c))
    return "".join(c for c in ("".join({**_CYRILLIC, **_LATIN}.get(c, c) for c in letters)) if c.isalpha())


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions from one to the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def likeness(word: str, noun: str) -> float:
    """Normalised edit similarity of protocol §13, from 0 to 1; 1 too where four letters in a row are shared."""
    a, b = romanised(word), romanised(noun)
    if any(a[i : i + 4] in b for i in range(len(a) - 3)):
        return 1.0
    return 1 - edit_distance(a, b) / max(len(a), len(b))


def stems(word: str) -> set[str]:
    """Return the words that a word may be an inflected or derived form of, itself included."""
    found = {word}
    for ending in ("s", "es", "ing", "ed", "er", "y", "ies", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            found |= {stem, f"{stem}e", f"{stem}y"}
            if len(stem) > 2 and stem[-1] == stem[-2]:
                found.add(stem[:-1])
    return found


def shared_stem(noun: str, text: str) -> str | None:
    """A word of the text that shares a stem, or a part of a compound, with the noun; None if there is none."""
    for word in re.findall(r"[a-z]+", text.lower()):
        if stems(word) & stems(noun) or noun in word:
            return word
        if len(word) >= 3 and (noun.startswith(word) or noun.endswith(word)):
            return word
    return None


def text_testbed(name: str) -> TextTestbed:
    """Load a ladder by its name."""
    testbed = load_testbed(name)
    assert isinstance(testbed, TextTestbed)
    return testbed


def shown(bed: TextTestbed, name: str) -> dict[str, str]:
    """Return the text that each noun is shown as in a form."""
    form = bed.form(name)
    frame = bed.frames(form)[0]
    segments = {n.word: bed.prompt(frame, n, form).segments for n in bed.nouns_of(form)}
    return {word: next(s.text for s in row if isinstance(s, EnvSegment)) for word, row in segments.items()}


@cache
def comments(table: str, folder: Path = TABLES) -> dict[str, str]:
    """Read what a table says of each noun after '#'."""
    lines = (folder / table).read_text(encoding="utf-8").splitlines()
    rows = (re.fullmatch(r"(\w+): .*?  # (.+)", line) for line in lines)
    return {row[1]: row[2] for row in rows if row}


@cache
def wordnet() -> tuple[dict[str, str], frozenset[str]]:
    """WordNet 3.0: glosses of noun synsets by offset, and all lemmas and irregular forms. Skips if it is not there.

    WordNet's own variable WNSEARCHDIR names its folder; else it is sought where Debian's wordnet-base puts it.
    """
    folder = Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
    if not (folder / "data.noun").is_file():
        pytest.skip(f"no WordNet at {folder}; install wordnet-base or set WNSEARCHDIR")
    glosses: dict[str, str] = {}
    words: set[str] = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                fields, _, gloss = line.partition(" | ")
                row = fields.split()
                words.update(w.partition("(")[0] for w in row[4 : 4 + 2 * int(row[3], 16) : 2])
                if part == "noun":
                    glosses[f"n{row[0]}"] = gloss.strip()
        irregular = (folder / f"{part}.exc").read_text(encoding="latin-1").splitlines()
        words.update(line.split()[0] for line in irregular if line)
    return glosses, frozenset(words)
