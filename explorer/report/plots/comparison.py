"""Several fronts in one plot: one colour and one marker for each study, one panel for each pair of objectives."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pareto.comparison.compare import ComparedResults, Comparison, compare
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, KNOBS, Columns, bounds, n_rows, take
from explorer.problem.objectives import Objective
from explorer.report.plots.front import hover_texts
from explorer.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    TEXT,
    VERMILLION,
    FamilyStyle,
    base_layout,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_MARKERS_PER_FRONT = 1000
# In all panels together: each marker carries its text, and a page is to stay small enough for a mail.
_MAX_MARKERS = 3000
_LEAST_SHOWN = 20
_PANEL_HEIGHT = 440
_LEGEND_ROW, _PHONE_PX, _MARK_PX, _LETTER_PX = 22, 320, 50, 8
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")


def plot_fronts(
    results: Sequence[Results], *, labels: Sequence[str] | None = None, objectives: Sequence[str] | None = None
) -> "go.Figure":
    """Return the fronts of several results as one plotly figure, with the common reference point.

    Args:
        results: two or more.
        labels: what to call them; default: the studies' names.
        objectives: draw these; default: those that the results can be compared by (see `pareto.common`).

    Raises:
        WrongUsage: they cannot be compared.
        NoFeasibleDesign: no study has a feasible design.
    """
    return plot_comparison(compare(results, labels=labels, objectives=objectives))


def plot_comparison(comparison: Comparison) -> "go.Figure":
    """Return the fronts of a comparison as one plotly figure, a panel for each pair of objectives.

    Markers are open, so that a design that two fronts share shows both. Of a front of more than 1,000 designs (of
    fewer where there are many studies and panels) an even part is drawn, and the legend says so.
    """
    from plotly.subplots import make_subplots

    pairs = list(combinations(comparison.objectives, 2))
    figure = make_subplots(rows=len(pairs), cols=1, vertical_spacing=0.4 / max(len(pairs), 2) * 0.6)
    for row, (x, y) in enumerate(pairs, start=1):
        for i, side in enumerate(comparison.sides):
            figure.add_trace(_front_trace(side, x, y, study_style(i), comparison, show=row == 1), row=row, col=1)
        figure.add_trace(_reference_trace(comparison, x, y, show=row == 1), row=row, col=1)
    above = 16 + _LEGEND_ROW * _legend_rows([trace.name for trace in figure.data if trace.showlegend])
    layout = base_layout(x="", y="", height=above + 48 + _PANEL_HEIGHT * len(pairs))
    axis = {key: value for key, value in layout["xaxis"].items() if key != "title"}
    figure.update_layout({key: value for key, value in layout.items() if key not in {"xaxis", "yaxis"}})
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0}
    figure.update_layout(legend=legend, hovermode="closest", margin={**layout["margin"], "t": above})
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": TEXT})
    for row, (x, y) in enumerate(pairs, start=1):
        # In two lines, for a phone is narrower than one.
        figure.update_xaxes(axis, title_text=_axis_title(x).replace(", ", ",<br>"), row=row, col=1)
        figure.update_yaxes(axis, title_text=_axis_title(y), row=row, col=1)
    return figure


def study_style(index: int) -> FamilyStyle:
    """Return the colour and marker of the index-th study; 56 of them differ pairwise.

    >>> study_style(0)
    FamilyStyle(colour='#0072B2', symbol='circle')
    """
    return FamilyStyle(_COLOURS[index % len(_COLOURS)], _SYMBOLS[index % len(_SYMBOLS)])


def _front_trace(
    side: ComparedResults, x: Objective, y: Objective, style: FamilyStyle, comparison: Comparison, *, show: bool
) -> Any:
    import plotly.graph_objects as go

    n = n_rows(side.front)
    n_traces = len(comparison.sides) * math.comb(len(comparison.objectives), 2)
    most = min(MAX_MARKERS_PER_FRONT, max(_LEAST_SHOWN, _MAX_MARKERS // n_traces))
    rows = take(side.front, np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)))
    shown = n_rows(rows)
    count = f"{n:,}" if shown == n else f"{n:,}, {shown:,} shown"
    # Between two neighbours nothing better than the worse of them was found: a step, not a slope. With three or more
    # objectives a panel is a shadow of the front, and a line through it would mean nothing.
    is_line = len(comparison.objectives) == 2
    line = {"color": style.colour, "width": 1, "shape": "hv" if x.sign > 0 else "vh"}
    outside = is_extrapolated(rows["domain_distance"]) if "domain_distance" in rows else np.zeros(shown, dtype=np.bool_)
    heading = [
        f"{side.label}, design {number}{' (EXTRAPOLATED)' if far else ''}"
        for number, far in zip(rows["design_id"], outside.tolist(), strict=True)
    ]
    # SVG, not WebGL: a page from a mail attachment is opened where WebGL may be off, and then shows nothing at all.
    return go.Scatter(
        x=_shown(rows, x),
        y=_shown(rows, y),
        mode="lines+markers" if is_line else "markers",
        name=f"{side.label} ({count})",
        legendgroup=side.label,
        showlegend=show,
        line=line if is_line else None,
        marker={"color": style.colour, "symbol": f"{style.symbol}-open", "size": 9, "line": {"width": 1.8}},
        text=hover_texts({name: rows[name] for name in _told(comparison) if name in rows}, heading),
        hovertemplate="%{text}<extra></extra>",
    )


def _reference_trace(comparison: Comparison, x: Objective, y: Objective, *, show: bool) -> Any:
    import plotly.graph_objects as go

    names = [objective.name for objective in comparison.objectives]
    point = {name: value / COLUMNS[name].scale for name, value in zip(names, comparison.reference_point, strict=True)}
    return go.Scatter(
        x=[point[x.name]],
        y=[point[y.name]],
        mode="markers",
        name="reference point",
        legendgroup="reference point",
        showlegend=show,
        # It may lie far from the fronts: on demand, so that it does not squeeze them into a corner.
        visible="legendonly",
        marker={"color": GREY, "symbol": "asterisk-open", "size": 12, "line": {"width": 1.5}},
        hovertemplate="reference point<extra></extra>",
    )


def _legend_rows(names: Sequence[str]) -> int:
    """Return how many lines a legend of these names takes on a phone, the narrowest page there is."""
    rows, used = 1, 0
    for name in names:
        width = _MARK_PX + _LETTER_PX * len(name)
        rows, used = (rows, used + width) if used + width <= _PHONE_PX or not used else (rows + 1, width)
    return rows


def _told(comparison: Comparison) -> list[str]:
    """Name what hovering tells: the configuration, and what is compared with its intervals."""
    return [*KNOBS, *(name for o in comparison.objectives for name in (o.name, *bounds(o.name)))]


def _axis_title(objective: Objective) -> str:
    return f"{objective.title}, {'less' if objective.direction == 'minimize' else 'more'} is better"


def _shown(columns: Columns, objective: Objective) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return an objective in the unit that people read."""
    return columns[objective.name].astype(np.float64) / COLUMNS[objective.name].scale
