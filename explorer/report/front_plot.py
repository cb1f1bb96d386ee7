"""The Pareto plot: the front over a light background of dominated designs, with the measured samples marked."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pareto.results import Results
from explorer.problem.columns import COLUMNS, Columns, n_rows, take
from explorer.problem.objectives import Objective
from explorer.report.style import GREY, TEXT, base_layout, family_style

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_BACKGROUND = 2000
_PANEL_HEIGHT = 460
_HOVER = (
    "family",
    "pruning_ratio",
    "quant_step",
    "voltage_v",
    "frequency_hz",
    "accuracy",
    "latency_s",
    "energy_j",
    "power_w",
    "size_bytes",
    "edp_js",
    "weighted_cost",
)


def plot_front(results: Results) -> "go.Figure":
    """Return the front as a plotly figure: one panel for two objectives, one for each pair where there are more.

    Hovering over a design tells its whole configuration. Of more than 2,000 dominated designs every k-th is drawn, and
    the legend says so.
    """
    from plotly.subplots import make_subplots

    pairs = list(combinations(results.objectives, 2))
    figure = make_subplots(rows=len(pairs), cols=1, vertical_spacing=0.4 / max(len(pairs), 2) * 0.6)
    for row, (x, y) in enumerate(pairs, start=1):
        for trace in _traces(results, x, y, has_legend=row == 1):
            figure.add_trace(trace, row=row, col=1)
    layout = base_layout(x=pairs[0][0].title, y=pairs[0][1].title, height=40 + _PANEL_HEIGHT * len(pairs))
    axis = {key: value for key, value in layout["xaxis"].items() if key != "title"}
    figure.update_layout({key: value for key, value in layout.items() if key not in {"xaxis", "yaxis"}})
    # The legend stands above the plot, and the top margin keeps it clear of plotly's buttons.
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0}
    figure.update_layout(legend=legend, hovermode="closest", margin={**layout["margin"], "t": 90})
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": TEXT})
    for row, (x, y) in enumerate(pairs, start=1):
        figure.update_xaxes(axis, title_text=_axis_title(x), row=row, col=1)
        figure.update_yaxes(axis, title_text=_axis_title(y), row=row, col=1)
    return figure


def _axis_title(objective: Objective) -> str:
    return f"{objective.title}, {'less' if objective.direction == 'minimize' else 'more'} is better"


def _traces(results: Results, x: Objective, y: Objective, *, has_legend: bool) -> list[Any]:
    import plotly.graph_objects as go

    table, is_front = results.table, results.is_front
    dominated = np.flatnonzero(~is_front & table["is_feasible"].astype(bool))
    shown = dominated[:: max(1, -(-len(dominated) // MAX_BACKGROUND))]
    name = f"dominated ({len(dominated):,}{'' if len(shown) == len(dominated) else f', {len(shown):,} shown'})"
    # SVG, not WebGL: a page from a mail attachment is opened where WebGL may be off, and then shows nothing at all.
    traces = (
        [
            go.Scatter(
                x=_shown(table, x)[shown],
                y=_shown(table, y)[shown],
                mode="markers",
                name=name,
                legendgroup="dominated",
                showlegend=has_legend,
                hoverinfo="skip",
                marker={"color": GREY, "size": 5, "opacity": 0.35},
            )
        ]
        if len(shown)
        else []
    )
    front = results.front_columns
    styles = family_style([*front["family"].tolist(), *results.samples.get("family", np.array([])).tolist()])
    for family, style in styles.items():
        rows = take(front, front["family"] == family)
        if n_rows(rows):
            traces.append(
                _marked(
                    rows,
                    x,
                    y,
                    name=f"front, {family} ({n_rows(rows)})",
                    show=has_legend,
                    marker={
                        "color": style.colour,
                        "symbol": style.symbol,
                        "size": 8,
                        "line": {"width": 0.5, "color": "white"},
                    },
                    heading=[f"design {i} (predicted)" for i in rows["design_id"]],
                )
            )
    if not results.sample_labels:
        return traces
    labels = np.array(results.sample_labels, dtype=object)
    for family, style in styles.items():
        mask = results.samples["family"] == family
        rows = take(results.samples, mask)
        if n_rows(rows) and np.isfinite(_shown(rows, x) * _shown(rows, y)).any():
            traces.append(
                _marked(
                    rows,
                    x,
                    y,
                    name=f"measured, {family}",
                    show=has_legend,
                    marker={
                        "color": style.colour,
                        "symbol": f"{style.symbol}-open-dot",
                        "size": 13,
                        "line": {"width": 2},
                    },
                    heading=[f"{label} (measured)" for label in labels[mask]],
                )
            )
    return traces


def _marked(
    rows: Columns, x: Objective, y: Objective, *, name: str, show: bool, marker: dict[str, Any], heading: list[str]
) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=_shown(rows, x),
        y=_shown(rows, y),
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=show,
        marker=marker,
        text=hover_texts(rows, heading),
        hovertemplate="%{text}<extra></extra>",
    )


def hover_texts(rows: Columns, heading: list[str]) -> list[str]:
    """Return one text a row that tells its whole configuration and what is known of it."""
    names = [name for name in _HOVER if name in rows]
    lines = []
    for i in range(n_rows(rows)):
        parts = [f"<b>{heading[i]}</b>"]
        for name in names:
            value = rows[name][i]
            if isinstance(value, str):
                parts.append(str(value))
            elif np.isfinite(value):
                parts.append(f"{COLUMNS[name].label}: {COLUMNS[name].text(float(value))}")
        lines.append("<br>".join(parts))
    return lines


def _shown(columns: Columns, objective: Objective) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return an objective in the unit that people read."""
    return columns[objective.name].astype(np.float64) / COLUMNS[objective.name].scale
