"""The gain of every ENV form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.plots.style import COLOURS, SOFT, axes_of, not_measured, put_title
from groundbench.results.run import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ladder(result: Result, *, ax: Axes | None = None) -> Figure:
    """Draw the grounding gain of every ENV form (nats) with its 95 % interval and its number of nouns.

    Args:
        result: a result on the testbed `ladder` (or any with several forms).
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: no form's gain was measured.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.ladder(RESULT)
        >>> figure.axes[0].get_xlabel()
        'gain (nats)'
    """
    forms = [f for f in result.forms if f.gain is not None and f.gain.mean is not None]
    if not forms:
        raise not_measured(result, "no form's gain was", "--measure gain --env-form all")
    figure, ax = axes_of(ax, 6.0, 1.1 + 0.34 * len(forms))
    ax.axvline(0, color=SOFT, linewidth=0.8)
    for y, form in enumerate(reversed(forms)):
        record = form.gain
        if record is None or record.mean is None:
            continue
        if record.ci_low is not None and record.ci_high is not None:
            ax.plot([record.ci_low, record.ci_high], [y, y], color=COLOURS[0], linewidth=2.2, solid_capstyle="butt")
        ax.scatter([record.mean], [y], s=34, color=COLOURS[0], zorder=3)
    ax.set_yticks(range(len(forms)), [f"{f.env_form} ({f.n_nouns})" for f in reversed(forms)])
    ax.set_ylim(-0.6, len(forms) - 0.4)
    ax.set_xlabel("gain (nats)")
    put_title(ax, result, "gain by form (nouns)")
    return figure
