"""The Python scripts of the repository find what they import from the package."""

from __future__ import annotations

import ast
from importlib import import_module

import pytest
from helpers.source_tree import ROOT

SCRIPTS = sorted(
    p for p in (ROOT / "scripts").rglob("*") if p.is_file() and p.read_bytes().startswith(b"#!/usr/bin/env python")
)


def test_there_are_scripts() -> None:
    assert {"scoring", "mechanism"} <= {p.name for p in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_name_that_a_script_imports_exists(script) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "groundbench":
            module = import_module(str(node.module))
            assert [n.name for n in node.names if not hasattr(module, n.name)] == [], node.module
