"""Figures of results for papers and notebooks: one function a figure, each returns a matplotlib Figure.

Needs the extra `plots` (`pip install "groundbench[plots]"`). The figures use matplotlib's objects without pyplot, so
nothing global changes; every function takes `ax=` to draw into a figure of yours.
"""

from __future__ import annotations

from groundbench.plots.ablation_figure import ablation
from groundbench.plots.causal_figure import causal_curve, cross_form, head_identity, knockout
from groundbench.plots.gain_figure import gain
from groundbench.plots.heads_figure import heads
from groundbench.plots.ladder_figure import ladder
from groundbench.plots.lens_figure import lens
from groundbench.plots.trajectory_figure import trajectory

__all__ = [
    "ablation",
    "causal_curve",
    "cross_form",
    "gain",
    "head_identity",
    "heads",
    "knockout",
    "ladder",
    "lens",
    "trajectory",
]
