"""The gain along a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from groundbench.api.errors import BadInputError
from groundbench.plots.style import COLOURS, SOFT, axes_of, put_heading
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: tuple[tuple[str, Callable[[TrajectoryPoint], float | None]], ...] = (
    ("gain", lambda p: None if p.result.gain is None else p.result.gain.mean),
    ("matched surprisal", lambda p: None if p.result.gain is None else p.result.gain.matched),
    ("mismatched surprisal", lambda p: None if p.result.gain is None else p.result.gain.mismatched),
)


def trajectory(result: Trajectory | Sequence[Trajectory], *, ax: Axes | None = None) -> Figure:
    """Draw the gain over training steps (nats) with its 95 % interval.

    Of one run the matched and mismatched surprisals are drawn too; of several runs the gain of each.

    Args:
        result: what `groundbench trajectory` writes (`Trajectory.load(folder)`), or several of them.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: there is no run, or no checkpoint's gain was measured.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.trajectory(TRAJECTORY)
        >>> figure.axes[0].get_xlabel()
        'training step'
    """
    runs = [result] if isinstance(result, Trajectory) else list(result)
    if not any(LINES[0][1](p) is not None for run in runs for p in run.points):
        raise BadInputError("no checkpoint's gain was measured; expected a trajectory with the measure gain")
    figure, ax = axes_of(ax)
    ax.axhline(0, color=SOFT, linewidth=0.8)
    if len(runs) == 1:
        for (name, read), colour in zip(LINES, COLOURS, strict=False):
            _line(ax, runs[0], read, name, colour)
    else:
        for i, run in enumerate(runs):
            _line(ax, run, LINES[0][1], run.name, COLOURS[i % len(COLOURS)])
    for i, run in enumerate(runs):
        rows = [(p.step, g.ci_low, g.ci_high) for p in run.points if (g := p.result.gain) is not None]
        band = [(s, low, high) for s, low, high in rows if low is not None and high is not None]
        if band:
            steps, low, high = zip(*band, strict=True)
            ax.fill_between(steps, low, high, color=COLOURS[i % len(COLOURS)], alpha=0.18, linewidth=0)
    ax.set_xlabel("training step")
    ax.set_ylabel("nats")
    ax.legend(frameon=False, fontsize="small")
    put_heading(ax, runs[0].name if len(runs) == 1 else "gain along training")
    return figure


def _line(ax: Axes, run: Trajectory, read: Callable[[TrajectoryPoint], float | None], name: str, colour: str) -> None:
    points = [(p.step, value) for p in run.points if (value := read(p)) is not None]
    if points:
        ax.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3.5, label=name)
