"""The testbed caption-dialogue: an image's caption shown before questions and answers about it (protocol §2.2, §4)."""

from __future__ import annotations

from pathlib import Path

from groundbench.tasks.written_contexts import ContextTestbed, Layout, load_contexts

LAYOUT = Layout(roles={"Q": "Question", "A": "Answer"}, shown="Caption: {shown}")
CONTEXTS = Path(__file__).parent / "contexts.yaml"


def load(corpus: str | Path | None = None, at_least: int | None = None) -> ContextTestbed:
    """Return the testbed; 10 contexts of our own for each noun.

    Args:
        corpus, at_least: keep the nouns that an imported corpus has often enough, see `load_contexts`.
    """
    return load_contexts(CONTEXTS, LAYOUT, name="caption-dialogue", version="1", corpus=corpus, at_least=at_least)
