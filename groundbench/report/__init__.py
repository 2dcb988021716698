"""The report: one run, or training runs side by side, as a self-contained HTML page of plots and tables."""

from groundbench.report.pages import render_run, render_trajectories

__all__ = ["render_run", "render_trajectories"]
