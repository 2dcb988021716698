"""The Markdown documents of the repository, their fences and their commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from helpers.source_tree import ROOT

FENCE = re.compile(
    r"(?:^<!-- tested by (?P<by>\S+) -->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$", re.M | re.S
)
GENERATED = {"docs/reproduction/tables.md", "docs/families.md"}
"""Written by scripts, with the commands that made them."""


@dataclass(frozen=True)
class Fence:
    """A code block; `by`: the test file that runs it instead."""

    page: str
    line: int
    language: str
    body: str
    by: str | None


def documents() -> list[Path]:
    """README and its neighbours, and every page of docs that a person writes."""
    pages = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    return [p for p in pages if str(p.relative_to(ROOT)) not in GENERATED and "cards" not in p.parts]


def fences(*languages: str) -> list[Fence]:
    """The code blocks of these languages, or of any, page by page."""
    found = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if not languages or match["language"] in languages:
                line = text[: match.start("body")].count("\n") + 1
                page = str(path.relative_to(ROOT))
                found.append(Fence(page, line, match["language"], match["body"], match["by"]))
    return found


def commands() -> list[tuple[Fence, str]]:
    """(its block, command) of every line of a shell block that calls a program, without its remark."""
    found = []
    for fence in fences("", "sh", "bash", "console"):
        for line in fence.body.replace("\\\n", "  ").splitlines():
            command = line.partition(" #")[0].strip()
            if re.match(r"(?:groundbench |pip |scripts/\w|\.venv/bin/python )", command):
                found.append((fence, command))
    return found
