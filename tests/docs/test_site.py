"""The site builds without a warning; every cited section, public name and generated page is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from html import unescape
from pathlib import Path

import pytest
from helpers.documents import documents
from helpers.source_tree import FOLDERS, ROOT

import groundbench

CITED = re.compile(r"§ ?(\d+(?:\.\d)?)(?: ?([A-E])\b)?")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The built site; a broken link or anchor, or a page without a place in `nav`, fails."""
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("site")
    # without --quiet: it drops the warnings that strictness counts
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_site_builds_strictly(site) -> None:
    for page in ("index", "quickstart/index", "concepts/index", "reference/commands/index", "reproduction/index"):
        assert (site / f"{page}.html").is_file()


def test_a_broken_link_and_a_page_without_a_place_fail(site, tmp_path) -> None:
    """The strictness itself: the same settings on pages with one fault each."""
    pytest.importorskip("mkdocs")
    settings = (ROOT / "mkdocs.yml").read_text()
    kept = settings[settings.index("validation:") : settings.index("nav:")]
    for name, body in (("link", "[x](missing.md)"), ("anchor", "[x](index.md#missing)"), ("none", "fine")):
        docs = tmp_path / name / "docs"
        docs.mkdir(parents=True)
        (docs / "index.md").write_text(f"# Title\n\n{body}\n")
        if name == "none":
            (docs / "stray.md").write_text("# Stray\n")
        (docs.parent / "mkdocs.yml").write_text(f"site_name: x\n{kept}\nnav: [index.md]\n")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        assert subprocess.run(command, cwd=docs.parent, capture_output=True).returncode != 0, name


@pytest.mark.parametrize("name", [n for n in groundbench.__all__ if n not in ("__version__", "plots")])
def test_every_public_name_is_in_the_reference(name, site) -> None:
    page = unescape((site / "reference/python/index.html").read_text(encoding="utf-8"))
    assert f'id="groundbench.{name}"' in page


@pytest.mark.parametrize("name", groundbench.plots.__all__)
def test_every_figure_is_in_the_reference(name, site) -> None:
    page = (site / "reference/python/index.html").read_text(encoding="utf-8")
    assert f'id="groundbench.plots.{name}"' in page


def test_every_command_is_in_the_reference(site) -> None:
    from groundbench.cli.app import COMMANDS

    page = (site / "reference/commands/index.html").read_text(encoding="utf-8")
    assert [c for c in COMMANDS if f">groundbench {c}<" not in page] == []


def test_every_field_of_a_result_is_in_the_reference(site) -> None:
    from groundbench.results.run import Result

    page = (site / "reference/result_fields/index.html").read_text(encoding="utf-8")
    assert [f for f in Result.model_fields if f"<code>{f}</code>" not in page] == []


def test_cited_sections_become_links(site) -> None:
    page = (site / "reference/python/index.html").read_text(encoding="utf-8")
    assert re.search(r'<a href="[./]*concepts/#5-gain">§5</a>', page)


@cache
def sections() -> dict[str, str]:
    """The text of every numbered section of docs/concepts.md."""
    text = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ §(\d+(?:\.\d)?) .*$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def cited() -> dict[tuple[str, str], str]:
    """(section, letter) with the first place that cites it, over all source and documents."""
    found: dict[tuple[str, str], str] = {}
    roots = [*(ROOT / f for f in FOLDERS), ROOT / "scripts", ROOT / "tests"]
    kinds = {".py", ".yaml", ".j2", ".js", ""}
    files = [
        p
        for root in roots
        for p in root.rglob("*")
        if p.is_file() and p.suffix in kinds and "__pycache__" not in p.parts
    ]
    for path in [*files, *documents()]:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, letter in CITED.findall(text):
            found.setdefault((number, letter), str(path.relative_to(ROOT)))
    return found


def test_every_section_that_is_cited_exists() -> None:
    assert len(cited()) >= 15
    lost = {f"§{n} {letter}".strip(): where for (n, letter), where in cited().items() if n not in sections()}
    lost |= {
        f"§{n} {letter}": where
        for (n, letter), where in cited().items()
        if letter and n in sections() and f"**{letter}.**" not in sections()[n]
    }
    assert lost == {}


def test_concepts_has_sections_1_to_16_in_order() -> None:
    whole = [int(n) for n in sections() if "." not in n]
    assert whole == list(range(1, 17))


@pytest.mark.parametrize("script", ["drawings", "result_pages"])
def test_what_is_generated_is_what_its_script_makes(script) -> None:
    command = [sys.executable, str(ROOT / "scripts/generate" / script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_is_short_and_shows_python_early() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(text.split()) <= 900
    assert lines.index("```python") < 60
    assert any(line.startswith("![") for line in lines[:25])
    code = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    assert len(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", re.sub(r"\]\([^)]*\)", "", code))) <= 10


def test_architecture_is_a_map_and_lists_the_rooms_in_the_tested_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert 80 <= len(text.splitlines()) <= 120
    layering = (ROOT / "tests/package/test_layering.py").read_text(encoding="utf-8")
    tested = re.findall(r'"([\w.]+)"', layering[layering.index("ROOMS = (") : layering.index("PLUGINS")])
    order = re.search(r"^_version <.*?(?=\ntasks)", text, re.M | re.S)
    assert order is not None
    shown = [room.strip().replace("/", ".") for room in order[0].replace("\n", " ").split("<")]
    assert shown == [room for room in tested if room != "__main__"]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "README.md"])
def test_the_tree_that_is_shown_is_the_tree(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tree = re.search(r"^```\n(groundbench/\n.*?)^```", text, re.M | re.S)
    assert tree is not None
    inside, outside = set(), set()
    for line in tree[1].splitlines()[1:]:
        names = re.match(r" *((?:[a-z_]+(?:/|\.py) ?)+)", line)
        assert names is not None, line
        (inside if line.startswith(" ") else outside).update(names[1].split())
    rooms = {f"{p.parent.name}/" for p in (ROOT / "groundbench").glob("*/__init__.py")}
    top = {"adapters/", "tasks/", "leaderboard/"}
    assert {x for x in inside if x.endswith("/")} == rooms - top
    assert all((ROOT / "groundbench" / x).exists() for x in inside)
    assert top <= outside
    assert all((ROOT / x).is_dir() for x in outside)


@pytest.mark.parametrize("page", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page) -> None:
    """Also those of README and its neighbours, which the site does not hold."""
    made = {"commands.md", "result_fields.md", "yaml.md"}  # when the site is built
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = [x for x in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text) if "://" not in x and Path(x).name not in made]
    assert [link for link in links if not (page.parent / link).exists()] == []
