"""The examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest
from helpers.doc_world import names
from helpers.source_tree import modules

import groundbench

WITH_EXAMPLES = sorted(m for m, path in modules().items() if "\n" in (text := path.read_text()) and ">>> " in text)
PUBLIC = sorted({*groundbench.__all__} - {"Result", "Screener", "__version__", "load_testbed", "plots"})


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_say(module, tmp_path, monkeypatch) -> None:
    if module.startswith("groundbench.plots."):
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    shared = names(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(import_module(module), module, extraglobs=shared):
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_has_an_example(name) -> None:
    assert ">>> " in (getattr(groundbench, name).__doc__ or "")


@pytest.mark.parametrize("name", ["ablation", "gain", "heads", "ladder", "lens", "trajectory"])
def test_every_figure_has_an_example(name) -> None:
    assert ">>> " in (getattr(groundbench.plots, name).__doc__ or "")


@pytest.mark.parametrize("name", groundbench.__all__)
def test_every_public_name_can_be_imported(name) -> None:
    assert getattr(groundbench, name) is not None
