"""The rooms of ARCHITECTURE.md in their order: a room imports only rooms before it, at any depth of a file."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest
from helpers.source_tree import imports, modules

MODULES = modules()
ROOMS = (
    *("_version", "api", "util", "stats", "results", "engine"),
    *("measures.gain", "measures.heads", "measures.lens", "measures.ablation", "measures.causal", "measures.image"),
    *("registry", "evaluation", "screening", "training", "report", "plots", "export", "leaderboard", "studies"),
    *("integrations", "cli", "__main__"),
)
PLUGINS = {"tasks": {"_version", "util", "api"}, "adapters": {"_version", "util", "api"}}
"""Rooms beside the order: what they may import."""
INTO_PLUGINS = {
    "registry": {"tasks"},
    "evaluation": {"tasks.corpora", "adapters.loading.hub"},
    "training": {"tasks.corpora", "adapters.architectures"},
}
"""Rooms that may name a plugin's folder, with the part they may name; those after `leaderboard` may name any."""
FREE = ROOMS[ROOMS.index("studies") :]
NO_TORCH = {"_version", "api", "stats", "results", "registry", "tasks"}
NO_TRANSFORMERS = {*ROOMS[: ROOMS.index("training")]} - {"registry"}


def room(module: str) -> str:
    """`groundbench.measures.gain.measure` -> `measures.gain`; `groundbench.engine.scoring` -> `engine`."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    return ".".join(parts[:2]) if parts[0] == "measures" and len(parts) > 1 else parts[0]


def allowed(importer: str, imported: str) -> bool:
    here, there = room(importer), room(imported)
    if here == there or there in ("", "measures"):
        return there != "" or importer == "groundbench" or here in FREE
    if here in PLUGINS:
        return there in PLUGINS[here]
    if there in PLUGINS:
        below = imported.removeprefix("groundbench.")
        return here in FREE or any(f"{below}.".startswith(f"{part}.") for part in INTO_PLUGINS.get(here, ()))
    return here in ROOMS and there in ROOMS and ROOMS.index(there) < ROOMS.index(here)


def ours(name: str) -> dict[str, bool]:
    """The modules of ours that a module imports, with whether they are needed at run time."""
    found: dict[str, bool] = {}
    for imported, runs in imports(MODULES[name], name):
        if imported in MODULES and imported != name:
            found[imported] = found.get(imported, False) or runs
    return found


@pytest.mark.parametrize("name", sorted(m for m in MODULES if m != "groundbench"))
def test_nothing_imports_a_room_to_its_right(name: str) -> None:
    wrong = sorted(m for m in ours(name) if not allowed(name, m))
    assert not wrong, f"{name} imports {', '.join(wrong)}"


def test_every_room_has_its_place() -> None:
    assert {room(m) for m in MODULES} - {"", "measures"} <= {*ROOMS, *PLUGINS}


def test_the_public_face_imports_nothing_but_the_version() -> None:
    """It names its attributes for type checkers and imports them late."""
    assert {m for m, runs in ours("groundbench").items() if runs} == {"groundbench._version"}


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("groundbench.api.testbed", "groundbench.util.progress"),
        ("groundbench.measures.gain.measure", "groundbench.adapters.huggingface"),
        ("groundbench.measures.gain.measure", "groundbench.measures.heads.heads"),
        ("groundbench.engine.scoring", "groundbench.registry"),
        ("groundbench.evaluation.evaluate", "groundbench.tasks.nouns"),
        ("groundbench.tasks.nouns", "groundbench.engine.scoring"),
        ("groundbench.adapters.huggingface", "groundbench.engine.scoring"),
        ("groundbench.training.trainer", "groundbench.adapters.huggingface"),
        ("groundbench.leaderboard.board", "groundbench.studies.demo"),
        ("groundbench.studies.demo", "groundbench.cli.console"),
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


@pytest.mark.parametrize("name", sorted(m for m in MODULES if room(m) in NO_TRANSFORMERS))
def test_transformers_is_named_by_adapters_and_training_only(name: str) -> None:
    roots = {imported.split(".")[0] for imported, _ in imports(MODULES[name], name)}
    assert not roots & {"transformers", "accelerate", "huggingface_hub", "typer"}


@pytest.mark.parametrize("name", sorted(m for m in MODULES if room(m) in NO_TORCH))
def test_contracts_results_and_testbeds_need_no_torch(name: str) -> None:
    """A tokenizer may be made (late) for those who train on a testbed's corpus; a model never."""
    roots = {imported.split(".")[0] for imported, runs in imports(MODULES[name], name) if runs}
    assert not roots & ({"torch"} if room(name) == "tasks" else {"torch", "transformers"})
