"""Plots of results, each a plotly figure."""

from explorer.report.plots.comparison import plot_fronts as fronts
from explorer.report.plots.figures import plot_alpha as alpha
from explorer.report.plots.figures import plot_convergence as convergence
from explorer.report.plots.figures import plot_front_3d as front_3d
from explorer.report.plots.figures import plot_importance as importance
from explorer.report.plots.figures import plot_parallel as parallel
from explorer.report.plots.front import plot_front as front

__all__ = ["alpha", "convergence", "front", "front_3d", "fronts", "importance", "parallel"]
