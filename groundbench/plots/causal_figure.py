"""Cause by interchange: faithfulness curves, the cross-form matrix, edge knockout, and what each head is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.plots.style import COLOURS, INK, SOFT, axes_of, not_measured, put_title
from groundbench.results.causal import CausalRecord
from groundbench.results.run import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOW = "--measure causal"
RANKINGS = {"contrast": 0, "share": 1, "exact": 2, "contrast-ig": 3, "random": 5}
Point = tuple[float, float, float | None, float | None]
"""Where it is on the axis, its value, and the ends of its interval."""
EDGES = {"direct": "prediction from noun", "write": "later words from noun", "read": "prediction from later words"}


def causal_curve(result: Result, *, form: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the faithfulness curves of one form: the share of the gain left by the number of heads that stay clean.

    Args:
        result: a result with the measure causal.
        form: the ENV form; by default the first.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form's causes were not measured.
    """
    record = _record(result, form)
    figure, ax = axes_of(ax)
    for curve in record.curves:
        points = [(p.k, p.f, p.ci_low, p.ci_high) for p in curve.points if p.f is not None]
        if curve.crossfit and points:
            style = "--" if curve.ranking == "random" else "-"
            _line(ax, points, COLOURS[RANKINGS[curve.ranking]], curve.ranking, style)
    ax.axhline(1, color=SOFT, linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlabel(f"heads that stay clean (of {record.n_heads})")
    ax.set_ylabel("share of the gain")
    ax.legend(frameon=False, fontsize="small")
    put_title(ax, result, f"faithfulness, {record.env_form}")
    return figure


def cross_form(result: Result, *, ax: Axes | None = None) -> Figure:
    """Draw the cross-form matrix: recovered by each form's heads with outputs from every form.

    Args:
        result: a result with the measure causal of several forms.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: there is no matrix.
    """
    rows = [r for r in result.causal if r.matrix]
    if not rows:
        raise not_measured(result, "the cross-form matrix was", f"{HOW} --env-form all")
    donors = [c.donor_form for c in rows[0].matrix]
    values = np.array(
        [[np.nan if c.recovered.value is None else c.recovered.value for c in r.matrix] for r in rows], dtype=float
    )
    figure, ax = axes_of(ax, 2.2 + 0.5 * len(donors), 1.8 + 0.42 * len(rows))
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            ax.text(
                j, i, f"{value:.2f}", ha="center", va="center", fontsize="x-small", color="w" if value > 0.55 else INK
            )
    ax.set_xticks(range(len(donors)), donors, rotation=45, ha="right")
    ax.set_yticks(range(len(rows)), [r.env_form for r in rows])
    ax.set_xlabel("outputs from")
    ax.set_ylabel("heads ranked and tested in")
    figure.colorbar(image, ax=ax, label="recovered")
    put_title(ax, result, "cross-form")
    return figure


def knockout(result: Result, *, form: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw what cutting edges loses of one form's gain, by sliding windows of layers.

    Args:
        result: a result with the measure causal.
        form: the ENV form; by default the first.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: the form's edges were not cut.
    """
    record = _record(result, form)
    windows = [k for k in record.knockout if k.heads == "all" and k.lost.value is not None]
    if not windows:
        raise not_measured(result, f"edge knockout of {record.env_form} was", HOW)
    figure, ax = axes_of(ax)
    for colour, (step, label) in zip(COLOURS, EDGES.items(), strict=False):
        points = [
            ((k.first_layer + k.last_layer) / 2, k.lost.value, k.lost.ci_low, k.lost.ci_high)
            for k in windows
            if k.step == step and k.lost.value is not None
        ]
        _line(ax, points, colour, label)
    ax.axhline(0, color=SOFT, linewidth=0.8)
    ax.set_xlabel(f"middle of {windows[0].last_layer - windows[0].first_layer + 1} layers")
    ax.set_ylabel("share of the gain lost")
    ax.legend(frameon=False, fontsize="small")
    put_title(ax, result, f"edge knockout, {record.env_form}")
    return figure


def head_identity(result: Result, *, form: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw every head's contrast against its induction score, one dot a head; the headline's heads are filled.

    Args:
        result: a result with the measure causal.
        form: the ENV form; by default the first.
        ax: axes to draw into; by default a new figure.

    Raises:
        BadInputError: what the heads are was not measured.
    """
    record = _record(result, form)
    known = {(h.layer, h.head): h.induction for r in result.causal for h in r.identity if h.induction is not None}
    if not known:
        raise not_measured(result, "the identity of heads was", HOW)
    best = {(h.layer, h.head) for h in (record.headline.heads if record.headline else ())}
    figure, ax = axes_of(ax)
    for strong in (False, True):
        own = [s for s in record.scores if ((s.layer, s.head) in best) == strong and s.contrast is not None]
        x, y = [known[s.layer, s.head] for s in own], [s.contrast for s in own if s.contrast is not None]
        colour = COLOURS[1] if strong else COLOURS[0]
        ax.scatter(x, y, s=26, facecolors=colour if strong else "none", edgecolors=colour)
        for s in own if strong else ():
            ax.annotate(
                f"{s.layer}.{s.head}", (known[s.layer, s.head], s.contrast or 0.0), fontsize="x-small", color=SOFT
            )
    ax.set_xlabel("induction score")
    ax.set_ylabel("contrast (nats)")
    put_title(ax, result, f"heads, {record.env_form}")
    return figure


def _line(ax: Axes, points: Sequence[Point], colour: str, label: str, style: str = "-") -> None:
    """Draw a line through points, with the band of their intervals where all have one."""
    x, y = [p[0] for p in points], [p[1] for p in points]
    ax.plot(x, y, color=colour, label=label, linestyle=style, marker=".")
    ends = [(low, high) for _, _, low, high in points if low is not None and high is not None]
    if ends and len(ends) == len(points):
        ax.fill_between(x, [e[0] for e in ends], [e[1] for e in ends], color=colour, alpha=0.15, linewidth=0)


def _record(result: Result, form: str | None) -> CausalRecord:
    if not result.causal:
        raise not_measured(result, "causes were", HOW)
    found = next((r for r in result.causal if form in (None, r.env_form)), None)
    if found is None:
        known = ", ".join(r.env_form for r in result.causal)
        raise BadInputError(f"causes were not measured for the form {form!r}; found {known}")
    return found
