"""Completion of names in a shell: testbeds, forms, question sets, presets."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from groundbench.api.errors import GroundbenchError


def complete_testbed(incomplete: str) -> list[str]:
    """Return the installed testbeds that begin so."""
    return _named("groundbench.tasks", incomplete)


def complete_questions(incomplete: str) -> list[str]:
    """Return the installed question sets that begin so."""
    return _named("groundbench.questions", incomplete)


def complete_form(ctx: Any, incomplete: str) -> list[str]:
    """Return the forms of the testbed that was named before, else of the ladder."""
    from groundbench.registry import load_testbed

    try:
        bed = load_testbed(str(ctx.params.get("testbed") or "ladder"))
    except (GroundbenchError, OSError):
        return []
    return [f.name for f in (*bed.forms, *bed.image_forms) if f.name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[str]:
    """Return the training presets that begin so."""
    from groundbench.training.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def _named(group: str, incomplete: str) -> list[str]:
    return sorted({e.name for e in entry_points(group=group) if e.name.startswith(incomplete)})
