"""Pareto plot: the front over a light background of dominated designs, with the measured samples marked."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pareto.decision.rules import wanted_objective
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import (
    KNOBS,
    Columns,
    bounds,
    column_of,
    knobs_of,
    n_rows,
    numeric_knobs,
    own_knobs,
    take,
)
from explorer.problem.constraints import parse_constraint
from explorer.problem.objectives import Objective, is_objective
from explorer.problem.targets import declared_targets
from explorer.report.plots.style import GREY, SKY, TEXT, FamilyStyle, base_layout, family_style
from explorer.report.plots.thinning import select_evenly

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_BACKGROUND = 2000
MAX_FRONT_MARKERS = 1500  # per trace: each marker carries the full text of its design
_PANEL_HEIGHT = 460  # pixels
# Predictions and computed columns that describe a design, besides its knobs.
_DESCRIBING = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "edp_js", "weighted_cost")
# What a single objective is plotted over, the first that varies.
_COMPANIONS = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes")


def design_columns() -> tuple[str, ...]:
    """Return the columns that describe a design: knobs, declared targets, predictions and computed columns."""
    return (*KNOBS, *(target.name for target in declared_targets()), *_DESCRIBING)


def plot_front(results: Results) -> "go.Figure":
    """Return the front as a plotly figure with one panel for each pair of objectives.

    One objective is plotted over another column (`companion`).

    The hover text of a design lists its knobs and predictions. More than 2,000 dominated designs, or more than 1,500
    front designs in one trace, are thinned evenly; the legend gives both counts.
    """
    from plotly.subplots import make_subplots

    pairs = objective_pairs(results)
    figure = make_subplots(rows=len(pairs), cols=1, vertical_spacing=0.4 / max(len(pairs), 2) * 0.6)
    for row, (x, y) in enumerate(pairs, start=1):
        for trace in _traces(results, x, y, has_legend=row == 1):
            figure.add_trace(trace, row=row, col=1)
    # The legend is above the plot; the top margin keeps it clear of plotly's buttons.
    style_panels(figure, pairs, height=40 + _PANEL_HEIGHT * len(pairs), top=90)
    return figure


def objective_pairs(results: Results) -> list[tuple[Objective, Objective]]:
    """Return the pairs of objectives to plot; one objective is paired with its companion, which is on the x axis."""
    if len(results.objectives) > 1:
        return list(combinations(results.objectives, 2))
    (objective,) = results.objectives
    own = own_knobs(results.table)
    limited = [parse_constraint(text, own=own).column for text in results.constraints]
    feasible = take(results.table, results.table["is_feasible"].astype(np.bool_))
    return [(wanted_objective(companion([feasible], objective.name, limited)), objective)]


def companion(tables: Sequence[Columns], objective: str, limited: Sequence[str] = ()) -> str:
    """Return the column that a single objective is plotted over: a limited one, accuracy first, or another that varies.

    Args:
        tables: designs; all have the column.
        objective: the objective.
        limited: the columns of the study's limits.
    """
    preferred = [
        *(["accuracy"] if "accuracy" in limited else []),
        *limited,
        *(one.name for one in declared_targets()),
        *_COMPANIONS,
    ]
    names = [name for name in dict.fromkeys((*preferred, *numeric_knobs(tables[0]))) if name != objective]
    for name in names:
        if all(name in table and table[name].dtype != object for table in tables):
            values = np.concatenate([table[name].astype(np.float64) for table in tables])
            if len(values) and np.isfinite(values).all() and np.ptp(values) > 0:
                return name
    return next((name for name in names if all(name in table for table in tables)), objective)


def style_panels(
    figure: "go.Figure", pairs: Sequence[tuple[Objective, Objective]], *, height: int, top: int, title_break: str = " "
) -> None:
    """Apply the common layout to a figure with one panel for each pair of objectives.

    Args:
        figure: a plotly figure with one row for each pair.
        pairs: the objectives on x and y of each panel.
        height: height of the figure in pixels.
        top: top margin in pixels, which holds the legend.
        title_break: separator after the comma in the titles of the x axes; "<br>" for narrow pages.
    """
    layout = base_layout(x="", y="", height=height)
    axis = {key: value for key, value in layout["xaxis"].items() if key != "title"}
    figure.update_layout({key: value for key, value in layout.items() if key not in {"xaxis", "yaxis"}})
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0}
    figure.update_layout(legend=legend, hovermode="closest", margin={**layout["margin"], "t": top})
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": TEXT})
    for row, (x, y) in enumerate(pairs, start=1):
        figure.update_xaxes(axis, title_text=_axis_title(x).replace(", ", f",{title_break}"), row=row, col=1)
        figure.update_yaxes(axis, title_text=_axis_title(y), row=row, col=1)


def _axis_title(objective: Objective) -> str:
    if not is_objective(objective.name):
        return objective.title
    return f"{objective.title}, {'less' if objective.direction == 'minimize' else 'more'} is better"


def _traces(results: Results, x: Objective, y: Objective, *, has_legend: bool) -> list[Any]:
    front = results.front_columns
    families = [*front["family"].tolist(), *results.samples.get("family", np.array([])).tolist()]
    styles = family_style(families)
    traces = _background(results, x, y, has_legend=has_legend)
    for family, style in styles.items():
        own = take(front, (front["family"] == family) & (front["design_id"] >= 0))
        if n_rows(own):
            traces += _front_traces(own, x, y, family=family, style=style, has_legend=has_legend)
    labels = np.array(results.sample_labels, dtype=object)
    for family, style in styles.items() if len(labels) else ():
        mask = results.samples["family"] == family
        rows = take(results.samples, mask)
        if n_rows(rows) and np.isfinite(display_values(rows, x) * display_values(rows, y)).any():
            marker = {"color": style.colour, "symbol": f"{style.symbol}-open-dot", "size": 13, "line": {"width": 2}}
            heading = [f"{label} (measured)" for label in labels[mask]]
            traces.append(_markers(rows, x, y, f"measured, {family}", marker, heading=heading, show=has_legend))
    return traces


def _background(results: Results, x: Objective, y: Objective, *, has_legend: bool) -> list[Any]:
    """Draw the feasible designs behind the front (dominated, possibly on the front) and the line of the exact front."""
    import plotly.graph_objects as go

    table, is_front = results.table, results.is_front
    words = table.get("certainty", np.full(n_rows(table), "dominated", dtype=object))
    is_behind = ~is_front & ~results.is_measured & table["is_feasible"].astype(bool)  # measured rows are drawn on top
    traces = []
    groups = (("dominated", "dominated", GREY, 0.35), ("possible", "possibly on the front", SKY, 0.6))
    for word, name, colour, opacity in groups:
        behind = np.flatnonzero(is_behind & ((words == "possible") == (word == "possible")))
        rows = behind[:: max(1, -(-len(behind) // MAX_BACKGROUND))]
        if not len(rows):
            continue
        # SVG, not WebGL: a page opened from a mail attachment may run without WebGL, and would show nothing.
        traces.append(
            go.Scatter(
                x=display_values(table, x)[rows],
                y=display_values(table, y)[rows],
                mode="markers",
                name=f"{name} ({format_count(len(behind), len(rows))})",
                legendgroup=word,
                showlegend=has_legend,
                hoverinfo="skip",
                marker={"color": colour, "size": 5, "opacity": opacity},
            )
        )
    if results.exact is not None and len(results.objectives) == 2:
        exact = {o.name: results.exact.values[:, j] / column_of(o.name).scale for j, o in enumerate(results.objectives)}
        line = {"color": GREY, "width": 1.5}
        traces.append(
            go.Scatter(x=exact[x.name], y=exact[y.name], mode="lines", name="exact front", line=line, hoverinfo="skip")
        )
    return traces


def _front_traces(
    own: Columns, x: Objective, y: Objective, *, family: str, style: FamilyStyle, has_legend: bool
) -> list[Any]:
    """Draw one family's front: filled markers for front probability >= 95 %, open ones below; intervals hidden."""
    import plotly.graph_objects as go

    words = own.get("certainty", np.full(n_rows(own), "sure", dtype=object))
    traces = []
    rows = take(own, select_evenly(n_rows(own), MAX_FRONT_MARKERS))
    if f"{x.name}_lo" in own:
        traces.append(
            go.Scatter(
                x=display_values(rows, x),
                y=display_values(rows, y),
                error_x=_error_bar(rows, x),
                error_y=_error_bar(rows, y),
                mode="markers",
                marker={"size": 1, "color": style.colour, "opacity": 0.4},
                name=f"90 % intervals, {family}",
                legendgroup=f"bars {family}",
                showlegend=has_legend,
                visible="legendonly",
                hoverinfo="skip",
            )
        )
    for is_sure, word in ((True, "front, p ≥ 95 %"), (False, "front, p < 95 %")):
        every = np.flatnonzero((words == "sure") == is_sure)
        rows = take(own, every[select_evenly(len(every), MAX_FRONT_MARKERS)])
        if not len(every):
            continue
        symbol = style.symbol if is_sure or "certainty" not in own else f"{style.symbol}-open"
        marker = {"color": style.colour, "symbol": symbol, "size": 9 if is_sure else 8, "line": {"width": 1.5}}
        name = f"{word if 'certainty' in own else 'front'}, {family} ({format_count(len(every), n_rows(rows))})"
        outside = is_extrapolated(rows["domain_distance"]).tolist()
        heading = [
            f"design {i} ({'EXTRAPOLATED' if far else 'predicted'})"
            for i, far in zip(rows["design_id"], outside, strict=True)
        ]
        traces.append(_markers(rows, x, y, name, marker, heading=heading, show=has_legend))
    return traces


def format_count(n: int, n_displayed: int) -> str:
    """Return the text of a count in a legend.

    >>> format_count(2_500, 1_500), format_count(40, 40)
    ('2,500, 1,500 shown', '40')
    """
    return f"{n:,}" if n == n_displayed else f"{n:,}, {n_displayed:,} shown"


def _error_bar(rows: Columns, objective: Objective) -> dict[str, Any]:
    middle, scale = display_values(rows, objective), column_of(objective.name).scale
    ends = [end if end in rows else objective.name for end in bounds(objective.name)]
    low, high = (rows[end].astype(np.float64) / scale for end in ends)
    return {
        "type": "data",
        "symmetric": False,
        "array": high - middle,
        "arrayminus": middle - low,
        "thickness": 0.7,
        "width": 0,
    }


def _markers(
    rows: Columns, x: Objective, y: Objective, name: str, marker: dict[str, Any], *, heading: list[str], show: bool
) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=display_values(rows, x),
        y=display_values(rows, y),
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=show,
        marker=marker,
        text=hover_texts(rows, heading),
        hovertemplate="%{text}<extra></extra>",
    )


def hover_texts(rows: Columns, heading: list[str]) -> list[str]:
    """Return one HTML text per row: its heading, then its knobs and finite predictions with their intervals."""
    names = [name for name in (*knobs_of(rows), *design_columns()[len(KNOBS) :], "p_front") if name in rows]
    lines = []
    for i in range(n_rows(rows)):
        parts = [f"<b>{heading[i]}</b>"]
        for name in names:
            value = rows[name][i]
            if isinstance(value, str):
                parts.append(str(value))
            elif np.isfinite(value):
                parts.append(
                    f"{column_of(name).label}: {column_of(name).text(float(value))}{_range_text(rows, name, i)}"
                )
        lines.append("<br>".join(parts))
    return lines


def _range_text(rows: Columns, name: str, i: int) -> str:
    low, high = bounds(name)
    if low not in rows or not np.isfinite(rows[low][i]):
        return ""
    return f" ({column_of(name).text(float(rows[low][i]))} to {column_of(name).text(float(rows[high][i]))})"


def display_values(columns: Columns, objective: Objective) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return an objective in its display unit (milliseconds for latency), shape (n,)."""
    return columns[objective.name].astype(np.float64) / column_of(objective.name).scale
