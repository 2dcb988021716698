"""Reading a built page: its elements, its text, and whether anything in it could run or load what is not ours."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_inert(site: Path) -> None:
    """Only our scripts, by file; nothing that loads, no handler; data files are a call with plain JSON."""
    for page in site.rglob("*.html"):
        found = Page(page.read_text())
        scripts = [a for t, a in found.elements if t == "script"]
        assert all(set(a) <= {"src", "defer"} and not urlsplit(a["src"]).scheme for a in scripts)
        assert not [t for t, _ in found.elements if t in ("img", "iframe", "object", "embed")]
        assert not [k for _, a in found.elements for k in a if k.startswith("on")]
    for script in (site / "data").glob("*.js"):
        text = script.read_text()
        assert "<" not in text
        assert re.fullmatch(r"groundbench(Index|Entry|Board|More)\(.*\);\n", text)
        json.loads(f"[{text[text.index('(') + 1 : -3]}]")
