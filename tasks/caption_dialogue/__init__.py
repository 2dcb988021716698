"""The testbed caption-dialogue: an image's caption shown before questions and answers about it (protocol §2.2, §4)."""

from __future__ import annotations

from pathlib import Path

from groundbench.tasks.contexts import ContextTestbed, Layout, load_contexts

LAYOUT = Layout(roles={"Q": "Question", "A": "Answer"}, shown="Caption: {shown}")
CONTEXTS = Path(__file__).parent / "contexts.yaml"


def load() -> ContextTestbed:
    """The testbed; 10 contexts of our own for each noun."""
    return load_contexts(CONTEXTS, LAYOUT, name="caption-dialogue", version="1")
