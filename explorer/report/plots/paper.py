"""Figures 2-8 of the paper and training energy, drawn from a table with the paper's columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from explorer.paper.audit import quantities as q
from explorer.paper.audit.checks import groups, names
from explorer.paper.audit.cost_ranking import largest_energy
from explorer.paper.equations import training_energy, weighted_cost
from explorer.paper.tables import Table
from explorer.report.plots.style import GREY, base_layout, family_style

Draw = Callable[[Table], Any]

# The paper gives no alpha. The slider covers 0 to 1 and starts at the value for which its remarks on J are consistent.
ALPHAS = tuple(round(0.1 * i, 1) for i in range(11))
START_ALPHA = 0.3
_DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """One figure: file name, title, caption, and the function that draws it from a table."""

    key: str
    title: str
    caption: str
    draw: Draw


def figure_2(table: Table) -> Any:
    """Draw Fig. 2: the two terms of Eq. (1) for each sample, stacked, in joule."""
    figure = go.Figure(layout=base_layout(x="sample", y="energy, eq. (1) (J)"))
    style, labels = family_style(groups(table)), np.array(names(table))
    for quantity, shape in ((q.MAC_ENERGY, ""), (q.MEMORY_ENERGY, "/")):
        for family, rows in groups(table).items():
            pattern = {"shape": shape, "fgcolor": "white", "fillmode": "overlay", "size": 6}
            figure.add_bar(
                x=labels[rows], y=quantity.of(table)[rows], name=quantity.name, showlegend=False,
                marker={"color": style[family].colour, "pattern": pattern}, hovertemplate=_hover(quantity, "%{x}"),
            )  # fmt: skip
    for trace in _by_family(table, None, q.MAC_MEM_ENERGY):
        figure.add_trace(trace)
    return figure.update_layout(barmode="stack", yaxis={"tickformat": "~s", "ticksuffix": "J"})


def figure_3(table: Table) -> Any:
    """Draw Fig. 3: accuracy over pruning ratio; the dotted lines are the 0.45 and 0.90 of section 4.2."""
    figure = _over(table, q.PRUNING, q.ACCURACY, x="pruning ratio R (share of weights)", y="accuracy (share)")
    return figure.add_vline(x=0.45, **_DOTTED).add_hline(y=0.9, **_DOTTED)


def figure_4(table: Table) -> Any:
    """Draw Fig. 4: total energy over compression ratio; the fill is accuracy, the outline the family."""
    figure = _over(table, q.COMPRESSION, q.TOTAL_ENERGY, x="compression ratio CR", y="total energy (J)")
    style = family_style(groups(table))
    figure.update_traces(marker_size=19)
    # Accuracy is a separate trace on top, because the legend entry of a family needs one colour, not a scale.
    figure.add_scatter(
        x=q.COMPRESSION.of(table), y=q.TOTAL_ENERGY.of(table), mode="markers", name="accuracy", showlegend=False,
        customdata=names(table),
        marker={
            "color": q.ACCURACY.of(table), "coloraxis": "coloraxis", "size": 12,
            "symbol": [style[str(family)].symbol for family in table["family"]],
        },
        hovertemplate=_hover(q.TOTAL_ENERGY, "%{customdata}", q.COMPRESSION, extra="accuracy %{marker.color}"),
    )  # fmt: skip
    return figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": {"title": "accuracy", "thickness": 14}})


def figure_5(table: Table) -> Any:
    """Draw Fig. 5: power over voltage; the dotted lines are P = k V^2 from each family's highest voltage."""
    figure = _over(table, q.VOLTAGE, q.POWER, x="supply voltage (V)", y="power (W)")
    voltage, power, style = q.VOLTAGE.of(table), q.POWER.of(table), family_style(groups(table))
    for number, (family, rows) in enumerate(groups(table).items()):
        top = max(rows, key=lambda i: voltage[i])
        x = np.linspace(voltage[rows].min(), voltage[top], 21)
        figure.add_scatter(
            x=x, y=power[top] * (x / voltage[top]) ** 2, mode="lines", hoverinfo="skip", name="V² law",
            legendgroup="law", showlegend=number == 0,
            line={"dash": "dot", "color": style[family].colour, "width": 1.5},
        )  # fmt: skip
    return figure


def figure_6(table: Table) -> Any:
    """Draw Fig. 6: operations per second and watt, Eq. (8), of each sample."""
    figure = _stems(table, q.EFFICIENCY.of(table), q.EFFICIENCY, y="efficiency (OPS/W)")
    return figure.update_layout(yaxis={"tickformat": "~s"})


def figure_7(table: Table) -> Any:
    """Draw Fig. 7: the energy-delay product, Eq. (9), of each sample."""
    return _stems(table, q.EDP.of(table), q.EDP, y="energy-delay product (J·s)")


def figure_8(table: Table) -> Any:
    """Draw Fig. 8: the cost J, Eq. (10), of each sample with a slider for alpha; E_max is the largest Total Energy."""
    start = cost(table, START_ALPHA)
    figure = _stems(table, start, q.Quantity("J", "", lambda _: start), y="cost index J")
    steps = []
    for alpha in ALPHAS:
        values = [cost(table, alpha)[rows].tolist() for rows in groups(table).values()]
        change = {"y": values, "error_y.arrayminus": values}
        steps.append({"method": "restyle", "label": f"{alpha:.1f}", "args": [change]})
    slider = {
        "active": ALPHAS.index(START_ALPHA), "steps": steps, "currentvalue": {"prefix": "weight of accuracy α = "},
        "pad": {"t": 130}, "bgcolor": GREY, "bordercolor": GREY, "tickcolor": GREY,
    }  # fmt: skip
    figure.add_hline(y=0.6, **_DOTTED)
    return figure.update_layout(sliders=[slider], height=580, yaxis={"range": [0, 1.05]})


def figure_8_alphas(table: Table) -> Any:
    """Draw the cost J of every sample over alpha; the dotted line is the 0.6 of section 4.8."""
    figure = go.Figure(layout=base_layout(x="weight of accuracy α", y="cost index J", height=480))
    costs = np.array([cost(table, alpha) for alpha in ALPHAS])
    style = family_style(groups(table))
    for family, rows in groups(table).items():
        for dash, i in zip(_DASHES, rows, strict=False):
            name = names(table)[i]
            figure.add_scatter(
                x=ALPHAS, y=costs[:, i], mode="lines+markers", name=name, customdata=[name] * len(ALPHAS),
                line={"color": style[family].colour, "dash": dash},
                marker={"symbol": style[family].symbol, "size": 7},
                hovertemplate=f"<b>{name}</b><br>α %{{x}}<br>J %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    return figure.add_hline(y=0.6, **_DOTTED)


def figure_training(table: Table) -> Any:
    """Draw Eq. (2) with an assumed E_batch, which the paper does not give: Eq. (1) of one inference."""
    values = training_energy(
        epochs=q.EPOCHS.of(table), batches=q.BATCHES.of(table), batch_energy=q.MAC_MEM_ENERGY.of(table)
    )
    quantity = q.Quantity("training energy", "J", lambda _: values)
    return _stems(table, values, quantity, y="training energy, assumed E_batch (J)")


def cost(table: Table, alpha: float) -> q.Float:
    """Return J of Eq. (10) with Total Energy as E and its largest value as E_max, shape (n,)."""
    return weighted_cost(q.ACCURACY.of(table), q.TOTAL_ENERGY.of(table), energy_max=largest_energy(table), alpha=alpha)


FIGURES = (
    PaperFigure(
        "figure-2",
        "Figure 2: computation and memory energy",
        "The two terms of eq. (1), stacked. Plain: computation. Hatched: memory access. Marker: their sum, in joule.",
        figure_2,
    ),
    PaperFigure(
        "figure-3",
        "Figure 3: accuracy over pruning ratio",
        "The dotted lines are the pruning ratio 0.45 and the accuracy 0.90 of section 4.2.",
        figure_3,
    ),
    PaperFigure(
        "figure-4",
        "Figure 4: total energy over compression ratio",
        "Fill: accuracy. Outline and shape: family. Compare the line of each family with all points together.",
        figure_4,
    ),
    PaperFigure(
        "figure-5",
        "Figure 5: power over voltage",
        "Dotted: power proportional to the square of the voltage, scaled to the highest voltage of each family.",
        figure_5,
    ),
    PaperFigure(
        "figure-6",
        "Figure 6: operations per second and watt",
        "Eq. (8): throughput over the power of Table 2. Higher is better.",
        figure_6,
    ),
    PaperFigure(
        "figure-7",
        "Figure 7: energy-delay product",
        "Eq. (9): Total Energy times inference time. Lower is better.",
        figure_7,
    ),
    PaperFigure(
        "figure-8",
        "Figure 8: cost index J",
        "Eq. (10); lower is better. The paper gives neither alpha nor E_max: the slider sets alpha, and E_max is the "
        "largest Total Energy of the table. The dotted line is the 0.6 of section 4.8.",
        figure_8,
    ),
    PaperFigure(
        "figure-8-alphas",
        "Figure 8 over alpha",
        "The cost J for every weight: alpha = 0 counts energy only, 1 accuracy only. Ranks change where lines cross.",
        figure_8_alphas,
    ),
    PaperFigure(
        "training-energy",
        "Training energy, eq. (2), with an assumed batch energy",
        "The tables give the numbers of epochs and batches, but not the energy of a batch. Assumed here: the energy "
        "of one inference, eq. (1). A real batch holds many samples and includes the backward pass, so only ratios "
        "between samples are meaningful.",
        figure_training,
    ),
)

_DOTTED: Mapping[str, Any] = {"line": {"color": GREY, "dash": "dot", "width": 1}}


def _over(table: Table, x_of: q.Quantity, y_of: q.Quantity, *, x: str, y: str) -> Any:
    """Draw one quantity over another, a line with markers for each family."""
    figure = go.Figure(layout=base_layout(x=x, y=y))
    for trace in _by_family(table, x_of, y_of):
        figure.add_trace(trace.update(mode="lines+markers"))
    return figure


def _stems(table: Table, values: q.Float, quantity: q.Quantity, *, y: str) -> Any:
    """Draw a stem plot over the samples; a stem is an error bar down to zero, so the values stay in the trace."""
    figure = go.Figure(layout=base_layout(x="sample", y=y))
    fixed = q.Quantity(quantity.name, quantity.unit, lambda _: values)
    for trace in _by_family(table, None, fixed):
        stem = {"type": "data", "symmetric": False, "array": [0] * len(trace.y), "arrayminus": trace.y, "width": 0}
        figure.add_trace(trace.update(error_y={**stem, "thickness": 3, "color": trace.marker.color}))
    return figure.update_layout(yaxis={"rangemode": "tozero"})


def _by_family(table: Table, x_of: q.Quantity | None, y_of: q.Quantity) -> list[Any]:
    """Return one trace for each family: sample names (x_of is None) or a quantity on x, a quantity on y."""
    style, labels = family_style(groups(table)), np.array(names(table))
    x, y = labels if x_of is None else x_of.of(table), y_of.of(table)
    return [
        go.Scatter(
            x=x[rows], y=y[rows], mode="markers", name=family, customdata=labels[rows],
            marker={"color": style[family].colour, "symbol": style[family].symbol, "size": 12},
            line={"color": style[family].colour}, hovertemplate=_hover(y_of, "%{customdata}", x_of),
        )
        for family, rows in groups(table).items()
    ]  # fmt: skip


def _hover(y_of: q.Quantity, sample: str, x_of: q.Quantity | None = None, *, extra: str = "") -> str:
    lines = [
        f"<b>{sample}</b>",
        f"{x_of.name} %{{x:.4~g}} {x_of.unit}" if x_of else "",
        f"{y_of.name} %{{y:.4~g}} {y_of.unit}",
    ]
    return "<br>".join(filter(None, (*lines, extra))) + "<extra></extra>"
