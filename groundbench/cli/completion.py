"""Completion of names in a shell: testbeds, forms, question sets, presets, run folders."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from groundbench.api.errors import GroundbenchError


def complete_testbed(incomplete: str) -> list[str]:
    """Return the installed testbeds that begin so."""
    return _names_beginning("groundbench.tasks", incomplete)


def complete_questions(incomplete: str) -> list[str]:
    """Return the installed question sets that begin so."""
    return _names_beginning("groundbench.questions", incomplete)


def complete_form(ctx: Any, incomplete: str) -> list[str]:
    """Return the forms of the testbed that was named before, by an option or as an argument, else of the ladder."""
    from groundbench.registry import load_testbed, testbed_names

    # While an option waits for its value, arguments are not yet told apart: they are in ctx.args.
    words = [ctx.params.get("name"), *getattr(ctx, "args", ())]
    argument = next((w for w in words if w and (w in testbed_names() or w.endswith((".yaml", ".yml")))), None)
    try:
        bed = load_testbed(str(ctx.params.get("testbed") or argument or "ladder"))
    except (GroundbenchError, OSError):
        return []
    return [f.name for f in (*bed.forms, *bed.image_forms) if f.name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[str]:
    """Return the training presets that begin so."""
    from groundbench.training.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


RUNS = ("result.json", "trajectory.json", "card.json")
"""Files by which a run's folder is known."""
DEEPEST = 3


def complete_run(incomplete: str) -> list[str]:
    """Return the run folders that begin so, and the folders that may hold some."""
    typed = Path(incomplete).expanduser()
    parent = typed if incomplete.endswith("/") or not incomplete else typed.parent
    found = []
    try:
        for folder in sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith(".")):
            name = str(folder)
            if name.startswith(str(typed) if incomplete else "") and _holds_run(folder):
                found.append(name)
    except OSError:
        return []
    return found


def _holds_run(folder: Path, depth: int = DEEPEST) -> bool:
    """Return True if a folder holds a run, at most three folders down."""
    if any((folder / name).is_file() for name in RUNS):
        return True
    try:
        return depth > 1 and any(_holds_run(p, depth - 1) for p in folder.iterdir() if p.is_dir())
    except OSError:
        return False


def _names_beginning(group: str, incomplete: str) -> list[str]:
    return sorted({e.name for e in entry_points(group=group) if e.name.startswith(incomplete)})
