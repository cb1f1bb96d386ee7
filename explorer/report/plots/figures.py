"""Figures of a study apart from its Pareto plot: convergence, importance, alpha, parallel coordinates, 3-D front."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import WrongUsage
from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.pareto.results.results import Results, hypervolume_history
from explorer.problem.columns import Columns, bounds, column_of, knobs_of, n_rows, take
from explorer.problem.objectives import Constants
from explorer.report.plots.front import design_columns
from explorer.report.plots.style import BLUE, GREY, ORANGE, VERMILLION, base_layout, family_style
from explorer.report.plots.thinning import MAX_FRONT, select_evenly

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Dimensions of the design space that are not a column of designs: clock share, operating point, table row.
_DIMENSION_LABELS = {
    "clock_share": "Clock f (share of its maximum at V)",
    "operating_point": "Operating point (V, f)",
    "row": "Row of the table",
}
_LABEL_WIDTH = 24
_BAR_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", VERMILLION)


def plot_convergence(results: Results) -> "go.Figure":
    """Return hypervolume over the number of evaluated designs, as a share of the exact front's if that is known."""
    import plotly.graph_objects as go

    count, volume = hypervolume_history(results)
    exact = results.exact
    is_share = exact is not None and exact.hypervolume > 0
    top = exact.hypervolume if exact is not None and is_share else 1.0
    figure = go.Figure(go.Scatter(x=count, y=volume / top, mode="lines+markers", name="search", line={"color": BLUE},
                                  hovertemplate="%{x} designs: %{y:.4g}<extra></extra>"))  # fmt: skip
    if is_share:
        figure.add_hline(y=1.0, line={"color": GREY, "dash": "dot"}, annotation_text="exact front")
    figure.update_layout(
        base_layout(x="Evaluated designs", y="Share of exact hypervolume" if is_share else "Hypervolume", height=320)
    )
    figure.update_layout(xaxis={"type": "log", "dtick": 1}, yaxis={"rangemode": "tozero"}, showlegend=False)
    return figure


def plot_importance(results: Results) -> "go.Figure":
    """Return each knob's total Sobol index for every objective, with its 90 % posterior interval as an error bar.

    One group of bars for each family and knob, one colour and pattern for each objective.
    """
    import plotly.graph_objects as go

    several = len({row["family"] for row in results.importance}) > 1
    figure = go.Figure()
    for i, objective in enumerate(results.objectives):
        rows = [row for row in results.importance if row["objective"] == objective.name]
        total = np.array([row["total"] for row in rows], dtype=np.float64)
        low, high = (np.array([_number(row[f"total_{end}"]) for row in rows]) for end in ("lo", "hi"))
        error = {"type": "data", "symmetric": False, "array": high - total, "arrayminus": total - low,
                 "color": GREY, "thickness": 1.2, "width": 3}  # fmt: skip
        figure.add_bar(
            y=[_wrapped((f"{row['family']}: " if several else "") + _knob(results, row["knob"])) for row in rows],
            x=total, name=objective.title, orientation="h", error_x=error,
            marker={"color": _BAR_COLOURS[i % len(_BAR_COLOURS)], "pattern": {"shape": ("", "/", "x", ".")[i % 4]}},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    n_bars = max(len(results.importance), 1)
    figure.update_layout(base_layout(x="Total Sobol index", y="", height=160 + 26 * n_bars))
    figure.update_layout(barmode="group", xaxis={"range": [0, 1.02]}, yaxis={"autorange": "reversed"})
    return figure


def plot_alpha(results: Results) -> "go.Figure":
    """Return accuracy and energy of the design with the least weighted cost, Eq. (10), for alpha from 0 to 1.

    E_max is that of the study. A step marks the alpha at which another design has the least cost.

    Raises:
        WrongUsage: the results have no accuracy or no energy, which the weighted cost needs.
    """
    from plotly.subplots import make_subplots

    energy_max_j = results.provenance.get("question", {}).get("energy_max_j", Constants().energy_max_j)
    front = results.front_columns
    missing = [name for name in ("accuracy", "energy_j") if name not in front]
    if missing:
        raise WrongUsage(
            f"study '{results.study}' has no {', '.join(missing)}, which the cost J needs", fix="plot its front"
        )
    sweep = alpha_sweep(front, energy_max_j=float(energy_max_j))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    rows = [*sweep.rows.tolist(), *sweep.rows[-1:].tolist()]
    for panel, (name, colour) in enumerate((("accuracy", BLUE), ("energy_j", VERMILLION)), start=1):
        values = front[name][rows] / column_of(name).scale
        text = [f"design {front['design_id'][row]}" for row in rows]
        figure.add_scatter(x=[*sweep.begins, 1.0], y=values, text=text, line={"shape": "hv", "color": colour},
                           mode="lines+markers", hovertemplate="from alpha %{x:.3f}: %{text}, %{y:.4g}<extra></extra>",
                           row=panel, col=1)  # fmt: skip
        figure.update_yaxes(title_text=column_of(name).title, row=panel, col=1)
    layout = {key: value for key, value in base_layout(x="", y="", height=420).items() if key not in {"xaxis", "yaxis"}}
    figure.update_layout(layout, showlegend=False)
    figure.update_xaxes(title_text="alpha (0: energy only, 1: accuracy only)", range=[0, 1], row=2, col=1)
    return figure


def plot_parallel(results: Results) -> "go.Figure":
    """Return the knobs, objectives and predictions of the front as parallel coordinates; drag along an axis to filter.

    Plotly needs WebGL for this figure; the report page draws its own without it. A front of more than 3,000 designs
    is thinned evenly.
    """
    import plotly.graph_objects as go

    front = _thinned_front(results)
    candidates = (*knobs_of(front), *design_columns(), *(o.name for o in results.objectives))
    names = [n for n in dict.fromkeys(candidates) if n in front and front[n].dtype != object]
    varying = [name for name in names if len(front[name]) and np.ptp(front[name]) > 0]
    dimensions = [{"label": results.column(n).title, "values": front[n] / results.column(n).scale} for n in varying]
    first = results.objectives[0]
    line = {"color": front[first.name] / column_of(first.name).scale, "colorscale": "Cividis", "showscale": True,
            "colorbar": {"title": {"text": first.title, "side": "right"}}}  # fmt: skip
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line, labelangle=-20))
    figure.update_layout(template="none", height=460, margin={"l": 60, "r": 20, "t": 110, "b": 30})
    return figure


def plot_front_3d(results: Results, *, axes: tuple[str, str, str] | None = None) -> "go.Figure":
    """Return the front as a 3-D scatter plot with the intervals of the third axis as error bars.

    A front of more than 3,000 designs is thinned evenly.

    Args:
        results: results of a study.
        axes: names of three columns; default: the first three objectives.

    Raises:
        WrongUsage: the study has fewer than three objectives and no axes are given, or an axis is no numeric column.
    """
    import plotly.graph_objects as go

    if axes is None and len(results.objectives) < 3:
        count = ("one objective", "two objectives")[len(results.objectives) - 1]
        raise WrongUsage(f"study '{results.study}' has {count}", fix="name three columns: axes=(x, y, z)")
    x, y, z = axes or tuple(o.name for o in results.objectives[:3])
    front = _thinned_front(results)
    numeric = [name for name, values in front.items() if values.dtype != object]
    if unknown := [name for name in (x, y, z) if name not in numeric]:
        raise WrongUsage(f"the front has no numbers {', '.join(unknown)}", fix=f"it has {', '.join(numeric)}")
    figure = go.Figure()
    for family, style in family_style(front["family"].tolist()).items():
        own = {name: values[front["family"] == family] for name, values in front.items()}
        at: dict[str, Any] = {axis: own[name] / results.column(name).scale
                              for axis, name in (("x", x), ("y", y), ("z", z))}  # fmt: skip
        low, high = (own.get(end, own[z]) / results.column(z).scale for end in bounds(z))
        figure.add_scatter3d(
            **at, mode="markers", name=family, marker={"size": 4, "color": style.colour},
            error_z={"type": "data", "symmetric": False, "array": high - at["z"], "arrayminus": at["z"] - low,
                     "thickness": 1, "width": 0},
            text=[f"design {i}" for i in own["design_id"]],
        )  # fmt: skip
    scene = {
        f"{axis}axis": {"title": {"text": results.column(name).title}} for axis, name in (("x", x), ("y", y), ("z", z))
    }
    figure.update_layout(template="none", height=560, scene=scene, margin={"l": 0, "r": 0, "t": 24, "b": 0})
    return figure


def _thinned_front(results: Results) -> Columns:
    """Return the front, thinned evenly to at most 3,000 designs."""
    front = results.front_columns
    return take(front, select_evenly(n_rows(front), MAX_FRONT))


def _knob(results: Results, name: str) -> str:
    return _DIMENSION_LABELS.get(name) or results.column(name).label


def _wrapped(label: str) -> str:
    """Wrap a long label, so that the bars keep part of the width on a phone."""
    return "<br>".join(textwrap.wrap(label, _LABEL_WIDTH))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
