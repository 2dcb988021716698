"""Surprisal by layer: of a testbed's nouns, or of one text's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groundbench.plots.style import COLOURS, INK, axes_of, form_of, not_measured, put_heading, put_title
from groundbench.results.run import Result
from groundbench.results.single_prompts import TextLens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def lens(result: Result | TextLens, *, form: str | None = None, record: int = 0, ax: Axes | None = None) -> Figure:
    """Draw surprisal by layer (nats): of nouns that were shown, of nouns that were not, and the difference.

    Args:
        result: a result with the measure lens, or what `groundbench.lens` returns (then: a map of tokens by layers,
            with the token that each layer expects next).
        form: the ENV form; by default the headline's.
        record: which of the form's lenses; 0 is the headline.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form's lens was not measured, or there is no such record.

    Example:
        >>> import groundbench
        >>> figure = groundbench.plots.lens(RESULT)
        >>> figure.axes[0].get_ylabel()
        'nats'
    """
    if isinstance(result, TextLens):
        return _text(result, ax)
    records = form_of(result, form).lens
    if not 0 <= record < len(records):
        raise not_measured(result, f"the lens {record} was", "--measure lens")
    figure, ax = axes_of(ax)
    rows = records[record].layers
    for name, colour in (("gain", COLOURS[0]), ("matched", COLOURS[1]), ("mismatched", COLOURS[2])):
        points = [(r.layer, getattr(r, name)) for r in rows if getattr(r, name) is not None]
        if points:
            ax.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3.5, label=name)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("layer")
    ax.set_ylabel("nats")
    ax.legend(frameon=False, fontsize="small")
    put_title(ax, result, f"{records[record].kind} lens")
    return figure


def _text(read: TextLens, ax: Axes | None) -> Figure:
    figure, ax = axes_of(ax, 1.6 + 0.75 * len(read.tokens), 1.4 + 0.24 * len(read.layers))
    image = ax.imshow(read.entropy, origin="lower", cmap="Blues_r", aspect="auto", interpolation="nearest")
    middle = float(np.median(read.entropy))
    for y, row in enumerate(read.top):
        for x, token in enumerate(row):
            colour = "white" if read.entropy[y, x] < middle else INK
            ax.text(x, y, _printable(token)[:9], ha="center", va="center", fontsize=6, color=colour)
    names = [_printable(token) for token in read.tokens]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    ax.set_yticks(range(len(read.layers)), [str(layer) for layer in read.layers], fontsize=7)
    ax.set_ylabel("layer")
    put_heading(ax, f"{read.model}: expected next token")
    figure.colorbar(image, ax=ax, label="entropy (nats)")
    return figure


def _printable(token: str) -> str:
    """Return a token as matplotlib can draw it: no mathematics, no control characters, blanks as a sign."""
    visible = "".join(c if c.isprintable() else "·" for c in token.strip()) or "␣"
    return visible.replace("$", r"\$")
