"""The gain that is left when heads are switched off, beside control heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.plots.style import COLOURS, SOFT, axes_of, form_of, not_measured, put_title
from groundbench.results.run import AblationRecord, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ablation(result: Result, *, form: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the gain (nats) of the whole model, without the detected heads, and without each draw of control heads.

    Args:
        result: a result with the measure ablation.
        form: the ENV form; by default the headline's.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form's ablation was not measured, or no heads were detected.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.ablation(RESULT)
        >>> figure.axes[0].get_xlabel()
        'gain (nats)'
    """
    records = [a for a in form_of(result, form).ablations if a.gain_ablated is not None]
    if not records:
        raise not_measured(result, "the ablation was", "--measure ablation")
    own = ax is None
    figure, ax = axes_of(ax, 7.0, 1.5 + 0.45 * len(records))
    ax.axvline(0, color=SOFT, linewidth=0.8)
    for y, record in enumerate(reversed(records)):
        first = y == 0
        draws = record.gain_control_draws
        ax.scatter(draws, [y - 0.14] * len(draws), s=9, color=SOFT, alpha=0.5, label="control draws" if first else None)
        for value, marker, colour, name in (
            (record.gain_original, "|", SOFT, "whole model"),
            (record.gain_control, "D", COLOURS[5], "control heads (mean)"),
            (record.gain_ablated, "o", COLOURS[1], "detected heads off"),
        ):
            if value is not None:
                size = 150 if marker == "|" else 34
                ax.scatter([value], [y], s=size, marker=marker, color=colour, zorder=3, label=name if first else None)
    ax.set_yticks(range(len(records)), [_label(r) for r in reversed(records)], fontsize="small")
    ax.set_ylim(-0.6, len(records) - 0.4)
    ax.set_xlabel("gain (nats)")
    if own:
        figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=4)
    else:
        ax.legend(frameon=False, fontsize="small")
    put_title(ax, result, "gain with heads switched off")
    return figure


def _label(record: AblationRecord) -> str:
    kind = "" if record.kind == "aggregate" else "gather, "
    return f"{kind}{record.selection}, {record.denominator}\n{record.mode}, control: {record.control}"
