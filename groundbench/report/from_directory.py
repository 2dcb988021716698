"""From a directory to its page: a run, a trajectory, several trajectories, or a screening."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.report.pages import render_card, render_run, render_seeds, render_trajectories
from groundbench.report.sections.images import Gallery
from groundbench.results.image_examples import FOLDER, ImageExamples
from groundbench.results.risk_card import FILE_NAME as CARD
from groundbench.results.risk_card import RiskCard
from groundbench.results.run import Result
from groundbench.results.trajectory import AGGREGATE, FILE_NAME, MeanTrajectory, Trajectory


def page_of(directory: Path) -> str:
    """Render the page of a run, a trajectory, several seeds, a folder of these (by name), or a screening.

    Raises:
        BadInputError: the directory is none of these, or a file in it is broken.
    """
    if (directory / FILE_NAME).is_file():
        return render_trajectories([Trajectory.load(directory)])
    if directory.is_file() or (directory / "result.json").is_file():
        return render_run(Result.load(directory), _gallery(directory))
    if (directory / AGGREGATE).is_file():
        return render_seeds([MeanTrajectory.load(directory)])
    if (directory / CARD).is_file():
        return render_card(RiskCard.load(directory))
    if not directory.is_dir():
        raise BadInputError(f"{directory}: no such directory; expected a run or trajectory directory")
    if several := sorted(p.parent for p in directory.glob(f"*/{AGGREGATE}")):
        return render_seeds([MeanTrajectory.load(folder) for folder in several])
    found = sorted(p.parent for p in directory.glob(f"*/{FILE_NAME}"))
    if not found:
        raise BadInputError(
            f"{directory}: holds neither result.json, trajectory.json nor card.json, nor folders with one"
        )
    return render_trajectories([Trajectory.load(folder) for folder in found])


def _gallery(directory: Path) -> Gallery | None:
    """Return the images that a run kept, with their files."""
    examples = ImageExamples.load(directory)
    if examples is None:
        return None
    paths = {p.file: directory / FOLDER / p.file for p in examples.items}
    return Gallery(examples, {name: path.read_bytes() for name, path in paths.items() if path.is_file()})
