"""Plots of results, each a plotly figure: of a study's name, a result folder, results, or the outcome of a run."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from explorer.api.results import HasResults, as_results
from explorer.pareto.results.results import Results
from explorer.report.plots.comparison import plot_fronts
from explorer.report.plots.figures import plot_alpha, plot_convergence, plot_front_3d, plot_importance, plot_parallel
from explorer.report.plots.front import plot_front

__all__ = ["alpha", "convergence", "front", "front_3d", "fronts", "importance", "parallel"]

Source = str | Path | Results | HasResults
_Options = ParamSpec("_Options")


def _of_any(plot: Callable[Concatenate[Results, _Options], Any]) -> Callable[Concatenate[Source, _Options], Any]:
    @wraps(plot)
    def of_any(source: Source, /, *args: _Options.args, **options: _Options.kwargs) -> Any:
        return plot(as_results(source), *args, **options)

    return of_any


alpha = _of_any(plot_alpha)
convergence = _of_any(plot_convergence)
front = _of_any(plot_front)
front_3d = _of_any(plot_front_3d)
importance = _of_any(plot_importance)
parallel = _of_any(plot_parallel)


@wraps(plot_fronts)
def fronts(sources: Sequence[Source], /, **options: Any) -> Any:
    """Draw the fronts of several studies; see `plot_fronts`."""
    return plot_fronts([as_results(source) for source in sources], **options)
