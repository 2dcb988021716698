"""First lines of docstrings are plain sentences: they begin with a verb or name the thing."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import pytest
from helpers.source_tree import ROOT, modules

QUESTIONS = {"What", "Whether", "Which", "How", "Why"}
TESTS = {str(p.relative_to(ROOT)): p for p in sorted((ROOT / "tests").rglob("*.py"))}
EVERY = {**modules(), **TESTS}
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
