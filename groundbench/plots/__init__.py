"""Figures of results for papers and notebooks: one function a figure, each returns a matplotlib Figure.

Needs the extra `plots` (`pip install "groundbench[plots]"`). The figures use matplotlib's objects without pyplot, so
nothing global changes; every function takes `ax=` to draw into a figure of yours.
"""

from __future__ import annotations

from groundbench.plots.ablation import ablation
from groundbench.plots.gain import gain
from groundbench.plots.heads import heads
from groundbench.plots.ladder import ladder
from groundbench.plots.lens import lens
from groundbench.plots.trajectory import trajectory

__all__ = ["ablation", "gain", "heads", "ladder", "lens", "trajectory"]
