"""The package as users get it: a built wheel, an editable install, and another author's package beside it."""

from __future__ import annotations

import json
import math
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.source_tree import FOLDERS, ROOT, modules, pyproject

from groundbench._version import __version__

FACTS = """
import json
from importlib.metadata import entry_points
import groundbench
from groundbench.registry import load_testbed
beds = {}
for entry in entry_points(group="groundbench.tasks"):
    if entry.dist.name == "groundbench":
        bed = load_testbed(entry.name)
        beds[bed.name] = [len(bed.nouns), bed.digest()]
import groundbench.adapters, groundbench.tasks
print(json.dumps({"home": groundbench.__file__, "version": groundbench.__version__, "beds": beds,
                  "adapters": groundbench.adapters.__file__, "tasks": groundbench.tasks.__file__}))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def facts(python: Run, path: Path | None = None) -> dict[str, object]:
    done = python("-c", FACTS, path=path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    own_board = tuple(
        f"groundbench/leaderboard/{name}"
        for name in ("entries/", "board.yaml", "pull_request_template.md", "validate_submission.yml")
    )  # of the repository alone
    assert {name for name in expected if not name.startswith(own_board)} <= held
    assert not any(name.startswith(own_board) for name in held)
    assert {name.split("/")[0] for name in held} == {"groundbench", f"groundbench-{_version()}.dist-info"}


def test_wheel_carries_licence_and_notice(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE"} <= held


def test_wheel_loads_its_testbeds_from_its_own_files(python: Run, installed: Path) -> None:
    found = facts(python, installed)
    for key in ("home", "adapters", "tasks"):
        assert str(found[key]).startswith(str(installed)), key
    assert found["version"] == _version()
    assert found["beds"] == facts(python)["beds"]
    assert set(found["beds"]) == set(pyproject()["project"]["entry-points"]["groundbench.tasks"])  # type: ignore[call-overload]


def test_this_install_reads_the_repository(python: Run) -> None:
    """The install of scripts/test is editable: the top-level folders are subpackages, from any working directory."""
    found = facts(python)
    if not str(found["home"]).startswith(str(ROOT)):
        pytest.skip("groundbench is not installed editable here")
    assert Path(str(found["adapters"])) == ROOT / "groundbench" / "adapters" / "__init__.py"
    assert Path(str(found["tasks"])) == ROOT / "groundbench" / "tasks" / "__init__.py"


@pytest.mark.parametrize("name", ["adapters", "tasks", "leaderboard"])
def test_no_top_level_package_of_that_name(python: Run, installed: Path, name: str) -> None:
    assert not (installed / name).exists()


def test_every_module_imports_from_the_wheel(python: Run, installed: Path) -> None:
    names = sorted(n for n in modules() if n != "groundbench.__main__")
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = python("-c", code, *names, path=installed)
    assert done.returncode == 0, done.stderr


def test_a_third_partys_testbed_is_listed(python: Run, third_party: Path) -> None:
    done = python("-m", "groundbench", "tasks", "list", "--json", path=third_party)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["toybox"]["package"] == "groundbench-toy 1.2"
    assert rows["toybox"]["nouns"] == 3
    assert "childworld" in rows


def test_a_third_partys_testbed_keeps_the_rules(python: Run, third_party: Path) -> None:
    done = python("-m", "groundbench", "tasks", "validate", "toybox", path=third_party)
    assert done.returncode == 0, done.stderr


def test_a_third_partys_model_is_measured(python: Run, third_party: Path) -> None:
    """Found by the registry before our own adapters; its gain is the one it was built to have."""
    command = ("-m", "groundbench", "run", "toy:one", "--testbed", "toybox", "--measure", "gain", "--json")
    done = python(*command, path=third_party)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["model"]["family"] == "toy"
    assert result["forms"][0]["gain"]["mean"] == pytest.approx(math.log(8), abs=1e-6)


def test_without_it_the_same_command_is_refused(python: Run) -> None:
    done = python("-m", "groundbench", "run", "toy:one", "--testbed", "toybox")
    assert done.returncode == 2
    assert done.stderr.startswith("groundbench: ")
    assert "Traceback" not in done.stderr


def test_a_plugin_that_does_not_load_hides_no_other(python: Run, third_party: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "bad-0.1.dist-info").mkdir(parents=True)
    (broken / "bad-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 0.1\n")
    (broken / "bad-0.1.dist-info" / "entry_points.txt").write_text("[groundbench.tasks]\nbad = no_such_module:load\n")
    done = python("-m", "groundbench", "tasks", "list", "--json", path=broken)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert "no_such_module" in rows["bad"]["error"]
    assert rows["childworld"]["nouns"] == 100


def _version() -> str:
    return __version__
