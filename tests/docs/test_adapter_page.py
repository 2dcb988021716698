"""The adapter page shows the example that `models new` writes, and names every method of the contract."""

from __future__ import annotations

import inspect

from helpers.documents import fences
from helpers.source_tree import ROOT

from groundbench.adapters.bigram_example import Bigram
from groundbench.api.adapter import Adapter

PAGE = "docs/how-to/add_adapter.md"


def test_the_example_is_the_file() -> None:
    (shown,) = [f.body for f in fences("python") if f.page == PAGE]
    assert shown == (ROOT / "adapters" / "bigram_example.py").read_text(encoding="utf-8")


def test_every_method_of_the_example_is_explained() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8").partition("## The whole")[0]
    for name in ("info", "encode", "encode_targets", "forward", "prefill", "unembed"):
        assert hasattr(Adapter, name)
        assert f"| `{name}" in text
    for name, _ in inspect.getmembers(Bigram, inspect.isfunction):
        if not name.startswith("_"):
            assert f"`{name}(" in text, name
