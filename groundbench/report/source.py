"""From a directory to its page: a run, a trajectory, or several trajectories."""

from __future__ import annotations

from pathlib import Path

from groundbench.errors import BadInputError
from groundbench.report.page import render_run, render_trajectories
from groundbench.result import Result
from groundbench.result_trajectory import FILE_NAME, Trajectory


def page_of(directory: Path) -> str:
    """The page of a run directory, a trajectory directory, or a folder of trajectory directories (by name).

    Raises:
        BadInputError: the directory is none of these, or a file in it is broken.
    """
    if (directory / FILE_NAME).is_file():
        return render_trajectories([Trajectory.load(directory)])
    if directory.is_file() or (directory / "result.json").is_file():
        return render_run(Result.load(directory))
    if not directory.is_dir():
        raise BadInputError(f"{directory}: no such directory; expected a run or trajectory directory")
    found = sorted(p.parent for p in directory.glob(f"*/{FILE_NAME}"))
    if not found:
        raise BadInputError(f"{directory}: holds neither result.json nor trajectory.json, nor folders with one")
    return render_trajectories([Trajectory.load(folder) for folder in found])
