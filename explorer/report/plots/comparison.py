"""Fronts of several studies in one plot: one colour and marker per study, one panel per pair of objectives."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pareto.comparison.compare import ComparedResults, Comparison, compare_results
from explorer.pareto.decision.rules import wanted_objective
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import KNOBS, bounds, column_of, n_rows, take
from explorer.problem.objectives import Objective
from explorer.report.plots.front import companion, display_values, format_count, hover_texts, style_panels
from explorer.report.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, FamilyStyle

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_MARKERS_PER_FRONT = 1000
# Over all panels: each marker carries its hover text, and a page must stay small enough for a mail attachment.
_MAX_MARKERS = 3000
_MIN_MARKERS_PER_FRONT = 20
# Pixels: panel, legend row, width of a phone, legend symbol, letter.
_PANEL_HEIGHT, _LEGEND_ROW, _PHONE_WIDTH, _SYMBOL_WIDTH, _LETTER_WIDTH = 440, 22, 320, 50, 8
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")


def plot_fronts(
    results: Sequence[Results], *, labels: Sequence[str] | None = None, objectives: Sequence[str] | None = None
) -> "go.Figure":
    """Return the fronts of several results as one plotly figure, with the common reference point.

    Args:
        results: results of two or more studies.
        labels: a label for each; default: the names of the studies.
        objectives: names of the objectives to draw; default: those that the results have in common.

    Raises:
        WrongUsage: the results cannot be compared.
        NoFeasibleDesign: no study has a feasible design.
    """
    return plot_comparison(compare_results(results, labels=labels, objectives=objectives))


def plot_comparison(comparison: Comparison) -> "go.Figure":
    """Return the fronts of a comparison as one plotly figure with one panel for each pair of objectives.

    Markers are open, so both are visible if two fronts share a design. A front of more than 1,000 designs (fewer with
    many studies and panels) is thinned evenly; the legend gives both counts.
    """
    from plotly.subplots import make_subplots

    pairs = _pairs(comparison)
    figure = make_subplots(rows=len(pairs), cols=1, vertical_spacing=0.4 / max(len(pairs), 2) * 0.6)
    for row, (x, y) in enumerate(pairs, start=1):
        for i, side in enumerate(comparison.sides):
            figure.add_trace(_front_trace(side, x, y, study_style(i), comparison, show=row == 1), row=row, col=1)
        if len(comparison.objectives) > 1:
            figure.add_trace(_reference_trace(comparison, x, y, show=row == 1), row=row, col=1)
    above = 16 + _LEGEND_ROW * _legend_rows([trace.name for trace in figure.data if trace.showlegend])
    # A phone is narrower than an axis title on one line.
    height = above + 48 + _PANEL_HEIGHT * len(pairs)
    style_panels(figure, pairs, height=height, top=above, title_break="<br>")
    return figure


def _pairs(comparison: Comparison) -> list[tuple[Objective, Objective]]:
    """Return the pairs of objectives; one objective is plotted over another column that all studies have."""
    if len(comparison.objectives) > 1:
        return list(combinations(comparison.objectives, 2))
    (objective,) = comparison.objectives
    fronts = [side.front for side in comparison.sides if n_rows(side.front)]
    return [(wanted_objective(companion(fronts, objective.name)), objective)]


def study_style(index: int) -> FamilyStyle:
    """Return the colour and marker of a study by its index; the first 56 differ pairwise.

    >>> study_style(0)
    FamilyStyle(colour='#0072B2', symbol='circle')
    """
    return FamilyStyle(_COLOURS[index % len(_COLOURS)], _SYMBOLS[index % len(_SYMBOLS)])


def _front_trace(
    side: ComparedResults, x: Objective, y: Objective, style: FamilyStyle, comparison: Comparison, *, show: bool
) -> Any:
    import plotly.graph_objects as go

    n = n_rows(side.front)
    n_traces = len(comparison.sides) * max(1, math.comb(len(comparison.objectives), 2))
    n_max = min(MAX_MARKERS_PER_FRONT, max(_MIN_MARKERS_PER_FRONT, _MAX_MARKERS // n_traces))
    rows = take(side.front, np.unique(np.linspace(0, n - 1, min(n, n_max)).astype(np.int64)))
    n_markers = n_rows(rows)
    # A step, not a slope: between two neighbours no design better than the worse of them was evaluated. With three or
    # more objectives a panel is a projection of the front, in which a line has no meaning.
    is_line = len(comparison.objectives) == 2
    line = {"color": style.colour, "width": 1, "shape": "hv" if x.sign > 0 else "vh"}
    has_distance = "domain_distance" in rows
    outside = is_extrapolated(rows["domain_distance"]) if has_distance else np.zeros(n_markers, dtype=np.bool_)
    heading = [
        f"{side.label}, design {number}{' (EXTRAPOLATED)' if far else ''}"
        for number, far in zip(rows["design_id"], outside.tolist(), strict=True)
    ]
    # SVG, not WebGL: a page opened from a mail attachment may run without WebGL, and would show nothing.
    return go.Scatter(
        x=display_values(rows, x),
        y=display_values(rows, y),
        mode="lines+markers" if is_line else "markers",
        name=f"{side.label} ({format_count(n, n_markers)})",
        legendgroup=side.label,
        showlegend=show,
        line=line if is_line else None,
        marker={"color": style.colour, "symbol": f"{style.symbol}-open", "size": 9, "line": {"width": 1.8}},
        text=hover_texts({name: rows[name] for name in _hover_columns(comparison) if name in rows}, heading),
        hovertemplate="%{text}<extra></extra>",
    )


def _reference_trace(comparison: Comparison, x: Objective, y: Objective, *, show: bool) -> Any:
    import plotly.graph_objects as go

    names = [objective.name for objective in comparison.objectives]
    point = {name: value / column_of(name).scale for name, value in zip(names, comparison.reference_point, strict=True)}
    return go.Scatter(
        x=[point[x.name]],
        y=[point[y.name]],
        mode="markers",
        name="reference point",
        legendgroup="reference point",
        showlegend=show,
        # Hidden by default: it may be far from the fronts and would compress them into a corner.
        visible="legendonly",
        marker={"color": GREY, "symbol": "asterisk-open", "size": 12, "line": {"width": 1.5}},
        hovertemplate="reference point<extra></extra>",
    )


def _legend_rows(names: Sequence[str]) -> int:
    """Return the number of rows of a legend with these names on a page as narrow as a phone."""
    rows, used = 1, 0
    for name in names:
        width = _SYMBOL_WIDTH + _LETTER_WIDTH * len(name)
        rows, used = (rows, used + width) if used + width <= _PHONE_WIDTH or not used else (rows + 1, width)
    return rows


def _hover_columns(comparison: Comparison) -> list[str]:
    """Return the columns of the hover text: the knobs, and the compared objectives with their intervals."""
    return [*KNOBS, *(name for o in comparison.objectives for name in (o.name, *bounds(o.name)))]
