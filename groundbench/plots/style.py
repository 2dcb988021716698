"""Colours, empty figures and the form of a result that a figure shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groundbench.api.errors import BadInputError
from groundbench.results.run import FormRecord, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0b5cad", "#b8460b", "#00755a", "#84449c", "#8a6a00", "#5a6472")
"""Told apart by people with any colour vision; those of the pages."""
INK, SOFT, GRID = "#1c2026", "#59616c", "#e4e3de"


def axes_of(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return the given axes with their figure, or new ones of this size in inches.

    Raises:
        BadInputError: matplotlib is not installed.
    """
    if ax is None:
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise BadInputError('figures need matplotlib: pip install "groundbench[plots]"') from None
        ax = Figure(figsize=(width, height), dpi=150, layout="constrained").subplots()
    figure: Any = ax.get_figure()
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(SOFT)
    ax.tick_params(colors=SOFT, labelsize="small")
    return figure, ax


def put_heading(ax: Axes, title: str) -> None:
    """Put a title above the axes."""
    ax.set_title(title, loc="left", fontsize="medium", color=INK)


def put_title(ax: Axes, result: Result, what: str) -> None:
    """Put the model's name and what is shown above the axes."""
    put_heading(ax, f"{result.model.name}: {what}")


def form_of(result: Result, name: str | None) -> FormRecord:
    """Return the record of one form; by default the headline's.

    Raises:
        BadInputError: the form was not measured.
    """
    wanted = name or result.testbed.env_form
    for form in result.forms:
        if form.env_form == wanted:
            return form
    known = ", ".join(f.env_form for f in result.forms)
    raise BadInputError(f"the result has no form {wanted!r}; it has {known}")


def not_measured(result: Result, what: str, how: str) -> BadInputError:
    """Return the error for a figure of something that the result does not hold."""
    return BadInputError(f"{result.model.name}: {what} not measured; measure it with {how}")
