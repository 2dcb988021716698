"""The testbed childes: child-directed speech, what is done or there shown before what is said (protocol §2.1, §4)."""

from __future__ import annotations

from pathlib import Path

from groundbench.tasks.contexts import ContextTestbed, Layout, load_contexts

LAYOUT = Layout(roles={"CHI": "Child", "MOT": "Mother"}, shown="[{shown}]")
CONTEXTS = Path(__file__).parent / "contexts.yaml"


def load() -> ContextTestbed:
    """The testbed; 10 contexts of our own for each noun."""
    return load_contexts(CONTEXTS, LAYOUT, name="childes", version="1")
