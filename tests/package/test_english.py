"""First lines of docstrings are plain sentences: they begin with a verb or name the thing; so do names of functions."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import pytest
from helpers.source_tree import ROOT, modules

QUESTIONS = {"What", "Whether", "Which", "How", "Why"}
TESTS = {str(p.relative_to(ROOT)): p for p in sorted((ROOT / "tests").rglob("*.py"))}
EVERY = {**modules(), **TESTS}
IRREGULAR = re.compile(
    r"(un)?(begun|born|bought|bound|broken|brought|built|caught|chosen|done|drawn|driven|fed|felt|forgotten|found|"
    r"frozen|given|gone|grown|held|hidden|kept|known|laid|left|lost|made|meant|met|misspelt|paid|redone|"
    r"redrawn|rewritten|seen|sent|shown|sold|sought|spent|spoken|stolen|stood|stuck|struck|taken|taught|"
    r"thought|thrown|told|torn|undone|woken|worn|written)"
)
"""Participles without -ed; words that are also a verb's plain form (cut, put, read, run, set, split) are not here."""
ENDS_IN_ED = {"embed", "unembed", "feed", "need", "seed", "speed", "testbed"}
"""Verbs and nouns that end in -ed by chance."""
PARTICIPLES_THAT_STAY = {
    "excluded": "a method of `Testbed` that testbeds of other packages override",
    "untrained": "a method of `Untrainable` that other packages' adapters have, and a reference model that cards name",
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def first_lines(name: str) -> list[tuple[str, str]]:
    """(name of the thing, first line of its docstring) for everything in a module that has one."""
    tree = ast.parse(EVERY[name].read_text(encoding="utf-8"))
    documented = ((node, ast.get_docstring(node)) for node in ast.walk(tree) if isinstance(node, DOCUMENTED))
    return [(getattr(node, "name", name), text.splitlines()[0]) for node, text in documented if text]


def of_values(name: str) -> list[tuple[str, str]]:
    """(the assignment, first line of the text under it) for every constant and field of a module that has one."""
    found = []
    for node in ast.walk(ast.parse(EVERY[name].read_text(encoding="utf-8"))):
        body = node.body if isinstance(node, (ast.Module, ast.ClassDef)) else []
        for value, text in pairwise(body):
            said = text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else None
            if isinstance(value, (ast.Assign, ast.AnnAssign)) and isinstance(said, str):
                found.append((ast.unparse(value).splitlines()[0], said.strip().splitlines()[0]))
    return found


@pytest.mark.parametrize("name", sorted(EVERY))
def test_no_docstring_begins_with_a_question_word(name: str) -> None:
    lines = first_lines(name) + of_values(name)
    asking = [(thing, line) for thing, line in lines if re.split(r"\W", line)[0] in QUESTIONS]
    assert asking == []


def test_most_functions_begin_with_a_verb() -> None:
    """A first line that names a thing suits classes, modules and properties."""
    lines = [line for name in modules() for _, line in first_lines(name)]
    naming = [line for line in lines if re.match(r"(The|A|An|One|Every|All|Each|Its|Their)\b", line)]
    assert len(naming) / len(lines) < 0.35


def is_participle(name: str) -> bool:
    """True for one bare participle: `kept`, `_answered`, `unmeasured`; not for `matched_pairs` or `keep`."""
    word = name.strip("_")
    return "_" not in word and word not in ENDS_IN_ED and (word.endswith("ed") or IRREGULAR.fullmatch(word) is not None)


def functions(name: str) -> list[str]:
    """Names of the functions and methods of a module, without properties: those are named as fields are."""
    found = (n for n in ast.walk(ast.parse(EVERY[name].read_text(encoding="utf-8"))) if isinstance(n, DOCUMENTED[2:]))
    return [f.name for f in found if not any("property" in ast.unparse(d) for d in f.decorator_list)]


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_function_is_named_by_a_bare_participle(name: str) -> None:
    """A verb says what it does (`keep_rows`), a noun what it returns (`kept_rows`)."""
    bare = [f for f in functions(name) if is_participle(f) and f not in PARTICIPLES_THAT_STAY]
    assert bare == []


def test_participles_are_told_from_other_words() -> None:
    assert all(map(is_participle, ("kept", "_answered", "unmeasured", "unknown", "shown", "resolved")))
    assert not any(map(is_participle, ("keep", "matched_pairs", "unembed", "_seed", "cut", "split", "__init__")))


def test_participles_that_stay_are_still_there() -> None:
    there = {f for name in modules() for f in functions(name)}
    assert there >= PARTICIPLES_THAT_STAY.keys()
