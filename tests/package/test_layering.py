"""The layering rule of ARCHITECTURE.md, read from the source: nothing imports upward, at any depth of the file."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest
from source_tree import imports, modules

MODULES = modules()
CORE = {"errors", "testbed", "question", "adapter", "table", "record", "result"} | {
    f"result_{part}" for part in ("trajectory", "screening", "image", "pictures", "unknown")
}
# What may be imported, by module or package (its own package always may). Everything else in groundbench/*.py is a
# measurement; the modules of TOP may import all but `cli`.
ALLOWED = {
    "groundbench": set(),
    "errors": set(),
    "testbed": {"errors"},
    "question": {"errors", "testbed"},
    "adapter": {"errors", "testbed"},
    "table": {"testbed"},
    "record": set(),
    "result_image": {"record"},
    "result_unknown": {"record"},
    "result": {"errors", "record", "result_image"},
    "result_pictures": {"errors", "result"},
    "result_trajectory": {"errors", "result"},
    "result_screening": {"errors", "result"},
    "progress": set(),
    "machine": set(),
    "tasks": {"groundbench", "errors", "testbed", "question", "progress", "machine"},
    "adapters": {"errors", "testbed", "adapter"},
    "registry": {"errors", "testbed", "question", "adapter"}
    | {"tasks.text", "tasks.screening", "tasks.importers", "tasks.pictures"},
    "trained": {"errors", "testbed", "adapter", "registry", "tasks.importers"},
    "training": {*CORE, "tasks.importers", "groundbench", "progress", "machine", "registry", "adapters.architectures"},
    "report": {
        "groundbench",
        "errors",
        "result",
        "result_trajectory",
        "result_screening",
        "result_image",
        "result_pictures",
        "result_unknown",
    },
    "export": {"groundbench", "errors", "result", "result_trajectory"},
    "leaderboard": {"groundbench", "errors", "result", "result_trajectory", "result_image", "report"},
}
IN_ORDER = {"choices", "evaluate", "dryrun", "trajectory", "seeds", "screen", "screener"}
"""What puts the measurements in order also opens models and testbeds, through the registry and never directly."""
TOP = {"cli", "demo", "reproduction", "integrations", "__main__"}
ABOVE_MEASUREMENT = (
    IN_ORDER | TOP | {"registry", "trained", "report", "export", "training", "leaderboard", "adapters", "tasks"}
)


def room(module: str) -> str:
    """`groundbench.tasks.nouns` -> `tasks`; `groundbench.gain` -> `gain`; the package itself by its name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def is_measurement(name: str) -> bool:
    return name not in CORE | ABOVE_MEASUREMENT | {"groundbench", "progress", "machine"}


def ours(name: str) -> dict[str, bool]:
    """The modules of ours that a module imports, with whether they are needed at run time."""
    found: dict[str, bool] = {}
    for imported, runs in imports(MODULES[name], name):
        if imported in MODULES and imported != name:
            found[imported] = found.get(imported, False) or runs
    return found


def allowed(importer: str, imported: str) -> bool:
    here, there = room(importer), room(imported)
    below = imported.removeprefix("groundbench.")
    if here == there:
        return True
    if here in TOP:
        return there != "cli" or here in {"cli", "__main__"}
    if here in ALLOWED:
        return any(below == a or below.startswith(a + ".") for a in ALLOWED[here])
    if there in CORE | {"progress", "machine", "groundbench"} or is_measurement(there):
        return True
    return here in IN_ORDER and there in {"registry", "trained", "choices", "evaluate", "trajectory"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_imports_upward(name: str) -> None:
    found = ours(name)
    if name == "groundbench":  # the public face names its attributes for type checkers and imports them late
        found = {m: runs for m, runs in found.items() if runs}
    wrong = sorted(m for m in found if not allowed(name, m))
    assert not wrong, f"{name} imports {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("groundbench.testbed", "groundbench.adapter"),
        ("groundbench.gain", "groundbench.adapters.causal"),
        ("groundbench.gain", "groundbench.evaluate"),
        ("groundbench.scoring", "groundbench.registry"),
        ("groundbench.evaluate", "groundbench.tasks.nouns"),
        ("groundbench.tasks.nouns", "groundbench.adapter"),
        ("groundbench.adapters.causal", "groundbench.scoring"),
        ("groundbench.report.page", "groundbench.gain"),
        ("groundbench.training.loop", "groundbench.adapters.causal"),
        ("groundbench.evaluate", "groundbench.cli.console"),
        ("groundbench.registry", "groundbench.tasks.childworld"),
        ("groundbench.trajectory", "groundbench.training.seeds"),
        ("groundbench.demo", "groundbench.cli.console"),
    ],
)
def test_the_rule_refuses(importer: str, imported: str) -> None:
    assert not allowed(importer, imported)


def test_no_cycle_at_run_time() -> None:
    graph = {name: {m for m, runs in ours(name).items() if runs and not name.startswith(m + ".")} for name in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", sorted(m for m in MODULES if is_measurement(room(m))))
def test_measurements_never_name_transformers(name: str) -> None:
    roots = {imported.split(".")[0] for imported, _ in imports(MODULES[name], name)}
    assert not roots & {"transformers", "accelerate", "huggingface_hub", "typer"}


@pytest.mark.parametrize("name", sorted(m for m in MODULES if room(m) in {*CORE, "progress", "registry"}))
def test_the_core_needs_no_torch(name: str) -> None:
    roots = {imported.split(".")[0] for imported, runs in imports(MODULES[name], name) if runs}
    assert not roots & {"torch", "transformers"}


@pytest.mark.parametrize("name", sorted(m for m in MODULES if room(m) == "tasks"))
def test_testbeds_know_no_models(name: str) -> None:
    """A tokenizer may be made (late) for those who train on a testbed's corpus; a model never."""
    roots = {imported.split(".")[0] for imported, _ in imports(MODULES[name], name)}
    assert "torch" not in roots
