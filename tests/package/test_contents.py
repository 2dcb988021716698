"""pyproject.toml lists what there is: every package folder, every data file, every entry point."""

from __future__ import annotations

import importlib
from fnmatch import fnmatch

import pytest
from helpers.source_tree import FOLDERS, ROOT, modules, pyproject

SETUP = pyproject()["tool"]["setuptools"]
# The board's own submissions, settings and what a forge needs: read from a checkout, no part of the package.
NOT_SHIPPED = (
    "leaderboard/entries/*",
    "leaderboard/board.yaml",
    "leaderboard/pull_request_template.md",
    "leaderboard/validate_submission.yml",
)


def test_no_module_lies_outside_a_package() -> None:
    packages = {path.parent for path in modules().values() if path.name == "__init__.py"}
    stray = [str(p.relative_to(ROOT)) for p in modules().values() if p.parent not in packages]
    assert stray == []


def test_every_data_file_is_package_data() -> None:
    missing = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_dir() or path.is_symlink() or path.suffix in {".py", ".pyc"} or "__pycache__" in path.parts:
                continue
            if any(fnmatch(path.relative_to(ROOT).as_posix(), pattern) for pattern in NOT_SHIPPED):
                continue
            shown = path.name if (path.parent / "__init__.py").is_file() else f"{path.parent.name}/{path.name}"
            if not any(fnmatch(shown, pattern) for pattern in SETUP["package-data"]["*"]):
                missing.append(str(path.relative_to(ROOT)))
    assert missing == []


@pytest.mark.parametrize(
    ("group", "name", "target"),
    [
        (group, name, target)
        for group, entries in pyproject()["project"]["entry-points"].items()
        for name, target in entries.items()
        if group.startswith("groundbench.")
    ],
)
def test_every_plugin_of_ours_loads(group: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute)), f"{group}: {name} = {target}"


def test_constraints_pin_torch_first_and_nothing_local() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "torch==2.13.0"
    names = [line.partition("==")[0].lower().replace("_", "-") for line in lines]
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in lines)
    assert len(set(names)) == len(names)
    assert "groundbench" not in names


def test_constraints_meet_every_requirement() -> None:
    from packaging.requirements import Requirement

    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["lint"], *extras["childes"], *extras["smollm2"]]
    wanted += [*extras["plots"], *extras["docs"]]
    rows = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {name.lower().replace("_", "-"): version for name, version in rows}
    for requirement in map(Requirement, wanted):
        pin = pins[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin, prereleases=True), f"{requirement} against {pin}"
