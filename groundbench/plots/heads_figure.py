"""Attention heads by layer: how often each is detected, or its share of one prompt."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from groundbench.plots.style import axes_of, form_of, not_measured, put_heading, put_title
from groundbench.results.run import Result
from groundbench.results.single_prompts import PromptHeads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def heads(result: Result | PromptHeads, *, form: str | None = None, record: int = 0, ax: Axes | None = None) -> Figure:
    """Draw a map of heads, layers upward: the part of the items in which each was detected.

    Args:
        result: a result with the measure heads, or what `groundbench.heads` returns (then: each head's share).
        form: the ENV form; by default the headline's.
        record: which of the form's definitions of a head; 0 is the headline.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form's heads were not measured, or there is no such record.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.heads(RESULT)
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('head', 'layer')
    """
    if isinstance(result, PromptHeads):
        values, label = result.grid("share"), f"share of the {result.denominator}"
    else:
        records = form_of(result, form).heads
        if not 0 <= record < len(records):
            raise not_measured(result, f"the record {record} of heads was", "--measure heads")
        label = f"part of the items ({records[record].kind}, {records[record].denominator})"
        layers = max([m.layer for m in result.model.mixers], default=1)
        in_layer = Counter[int]()
        for mixer in result.model.mixers:
            in_layer[mixer.layer] += mixer.n_heads
        values = np.full((layers, max(in_layer.values(), default=1)), np.nan)
        for layer, count in in_layer.items():
            values[layer - 1, :count] = 0.0
        for head in records[record].by_head:
            values[head.layer - 1, head.head] = head.rate
    figure, ax = axes_of(ax, 1.9 + 0.3 * values.shape[1], 1.3 + 0.22 * values.shape[0])
    image = ax.imshow(values, origin="lower", cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(0, values.shape[1], max(1, values.shape[1] // 12)))
    ticks = range(0, values.shape[0], max(1, values.shape[0] // 10))
    ax.set_yticks(ticks, [str(t + 1) for t in ticks])
    ax.set_xlabel("head")
    ax.set_ylabel("layer")
    if isinstance(result, PromptHeads):
        put_heading(ax, f"{result.shown!r} to {result.word!r}")
    else:
        put_title(ax, result, "heads")
    figure.colorbar(image, ax=ax, label=label)
    return figure
