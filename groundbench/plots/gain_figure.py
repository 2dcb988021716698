"""The gain of every noun, with the mean and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.plots.style import COLOURS, SOFT, axes_of, form_of, not_measured, put_title
from groundbench.results.run import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def gain(result: Result, *, form: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the grounding gain of every noun (nats), sorted, with the mean over nouns and its 95 % interval.

    Args:
        result: a result with the measure gain.
        form: the ENV form; by default the headline's.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form, or its gain, was not measured.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.gain(RESULT)
        >>> figure.axes[0].get_xlabel()
        'gain (nats)'
        >>> figure.savefig("gain.pdf")
    """
    record = form_of(result, form).gain
    nouns = [] if record is None else [(n.gain, n.noun) for n in record.by_noun if n.gain is not None]
    if record is None or not nouns:
        raise not_measured(result, "the gain was", "--measure gain")
    nouns.sort()
    figure, ax = axes_of(ax, 5.2, max(2.4, 0.9 + 0.135 * len(nouns)))
    ax.axvline(0, color=SOFT, linewidth=0.8)
    if record.mean is not None:
        if record.ci_low is not None and record.ci_high is not None:
            ax.axvspan(record.ci_low, record.ci_high, color=COLOURS[0], alpha=0.18, linewidth=0)
        ax.axvline(record.mean, color=COLOURS[0], linewidth=1.4)
    ax.scatter([g for g, _ in nouns], range(len(nouns)), s=12, color=COLOURS[0], zorder=3)
    ax.set_yticks(range(len(nouns)), [word for _, word in nouns], fontsize=6)
    ax.set_ylim(-0.8, len(nouns) - 0.2)
    ax.set_xlabel("gain (nats)")
    put_title(ax, result, f"gain by noun, form {form or result.testbed.env_form}")
    return figure
