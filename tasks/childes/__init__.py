"""The testbed childes: child-directed speech, what is done or there shown before what is said (protocol §2.1, §4)."""

from __future__ import annotations

from pathlib import Path

from groundbench.tasks.written_contexts import ContextTestbed, Layout, load_contexts

LAYOUT = Layout(roles={"CHI": "Child", "MOT": "Mother"}, shown="[{shown}]")
CONTEXTS = Path(__file__).parent / "contexts.yaml"


def load(corpus: str | Path | None = None, at_least: int | None = None) -> ContextTestbed:
    """The testbed; 10 contexts of our own for each noun.

    Args:
        corpus, at_least: keep the nouns that an imported corpus has often enough, see `load_contexts`.
    """
    return load_contexts(CONTEXTS, LAYOUT, name="childes", version="1", corpus=corpus, at_least=at_least)
