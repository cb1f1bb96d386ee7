"""Figures of the paper: values equal those of the tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from explorer.paper.audit import quantities as q
from explorer.paper.equations import training_energy, weighted_cost
from explorer.paper.tables import paper_table, parse_table, shipped_text
from explorer.report.plots import paper as pf
from explorer.report.plots.style import family_style

TABLE = paper_table()
NAMES = [str(name) for name in TABLE["name"]]
FAMILIES = ["CNN", "DNN", "RNN", "Transformer"]
SHARED_MAX = 39.6


def values_on(figure: Any, axis: str, *, kind: str = "scatter", name: str = "") -> list[Any]:
    """Return the values on an axis of the traces of the families, or of one name, in the order of the table."""
    wanted = [name] if name else FAMILIES
    traces = [trace for trace in figure.data if trace.type == kind and trace.name in wanted]
    return [value for trace in traces for value in trace[axis]]


def bars(figure: Any, name: str) -> list[float]:
    return values_on(figure, "y", kind="bar", name=name)


@pytest.mark.parametrize(
    ("draw", "x", "y"),
    [
        pytest.param(pf.figure_3, "pruning_ratio", "accuracy", id="figure-3"),
        pytest.param(pf.figure_4, "compression_ratio", "total_energy_j", id="figure-4"),
        pytest.param(pf.figure_5, "voltage_v", "power_w", id="figure-5"),
    ],
)
def test_a_figure_over_a_column_has_both_columns(draw: Callable[..., Any], x: str, y: str) -> None:
    figure = draw(TABLE)
    assert values_on(figure, "x") == TABLE[x].tolist()
    assert values_on(figure, "y") == TABLE[y].tolist()
    assert values_on(figure, "customdata") == NAMES


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        pytest.param(pf.figure_6, TABLE["throughput_ops"] / TABLE["power_w"], id="figure-6"),
        pytest.param(pf.figure_7, TABLE["total_energy_j"] * TABLE["inference_time_s"], id="figure-7"),
        pytest.param(
            pf.figure_8,
            weighted_cost(TABLE["accuracy"], TABLE["total_energy_j"], energy_max=SHARED_MAX, alpha=pf.START_ALPHA),
            id="figure-8",
        ),
        pytest.param(
            pf.figure_training,
            training_energy(epochs=TABLE["epochs"], batches=TABLE["batches"], batch_energy=q.MAC_MEM_ENERGY.of(TABLE)),
            id="training-energy",
        ),
    ],
)
def test_a_figure_over_the_samples_follows_its_equation(draw: Callable[..., Any], expected: q.Float) -> None:
    figure = draw(TABLE)
    assert values_on(figure, "x") == NAMES
    assert values_on(figure, "y") == pytest.approx(expected.tolist())


def test_figure_2_stacks_the_two_terms_of_equation_1() -> None:
    figure = pf.figure_2(TABLE)
    assert figure.layout.barmode == "stack"
    assert bars(figure, "computation energy") == pytest.approx((TABLE["mac_ops"] * TABLE["mac_energy_j"]).tolist())
    assert bars(figure, "memory energy") == pytest.approx((TABLE["mem_accesses"] * TABLE["access_energy_j"]).tolist())


def test_figure_2_marks_the_sum_of_its_bars() -> None:
    figure = pf.figure_2(TABLE)
    total = np.add(bars(figure, "computation energy"), bars(figure, "memory energy"))
    assert values_on(figure, "y") == pytest.approx(total.tolist())


def test_figure_4_colours_by_accuracy() -> None:
    (trace,) = (trace for trace in pf.figure_4(TABLE).data if trace.name == "accuracy")
    assert list(trace.marker.color) == TABLE["accuracy"].tolist()
    assert list(trace.x) == TABLE["compression_ratio"].tolist()
    assert list(trace.y) == TABLE["total_energy_j"].tolist()


def test_figure_5_draws_the_square_law_through_each_family() -> None:
    laws = [trace for trace in pf.figure_5(TABLE).data if trace.name == "V² law"]
    constants = [np.divide(trace.y, np.square(trace.x)) for trace in laws]
    assert [float(k[0]) for k in constants] == pytest.approx([25 / 1.0, 18 / 0.64, 13 / 0.64, 30 / 1.21])
    assert all(np.ptp(k) < 1e-9 for k in constants)


def test_the_slider_of_figure_8_has_the_cost_at_every_alpha() -> None:
    (slider,) = pf.figure_8(TABLE).layout.sliders
    for step in slider.steps:
        heights = [value for family in step.args[0]["y"] for value in family]
        expected = weighted_cost(
            TABLE["accuracy"], TABLE["total_energy_j"], energy_max=SHARED_MAX, alpha=float(step.label)
        )
        assert heights == pytest.approx(expected.tolist())
        assert step.args[0]["error_y.arrayminus"] == step.args[0]["y"]
    assert [step.label for step in slider.steps] == [f"{alpha / 10}" for alpha in range(11)]


def test_figure_8_for_every_alpha_has_a_line_for_each_sample() -> None:
    figure = pf.figure_8_alphas(TABLE)
    assert [trace.name for trace in figure.data] == NAMES
    ends = [(trace.y[0], trace.y[-1]) for trace in figure.data]
    assert [start for start, _ in ends] == pytest.approx((TABLE["total_energy_j"] / SHARED_MAX).tolist())
    assert [end for _, end in ends] == pytest.approx((1 - TABLE["accuracy"]).tolist())


def test_the_figures_follow_a_changed_table() -> None:
    table = parse_table(shipped_text().replace(",25,0.94,22.5,3.38", ",25,0.99,22.5,3.38"))
    assert values_on(pf.figure_3(table), "y")[0] == 0.99


@pytest.mark.parametrize("figure", pf.FIGURES, ids=lambda figure: figure.key)
def test_every_figure_has_axis_titles_title_and_caption(figure: pf.PaperFigure) -> None:
    layout = figure.draw(TABLE).layout
    assert layout.xaxis.title.text
    assert layout.yaxis.title.text
    assert figure.title
    assert figure.caption


@pytest.mark.parametrize("figure", pf.FIGURES, ids=lambda figure: figure.key)
def test_families_differ_in_colour_and_marker_in_every_figure(figure: pf.PaperFigure) -> None:
    style = family_style(FAMILIES)
    styles = {
        (trace.marker.color if trace.line.color is None else trace.line.color, trace.marker.symbol)
        for trace in figure.draw(TABLE).data
        if trace.type == "scatter" and "markers" in trace.mode and trace.name != "accuracy"
    }
    assert styles == {(style[family].colour, style[family].symbol) for family in FAMILIES}


@pytest.mark.parametrize("figure", pf.FIGURES, ids=lambda figure: figure.key)
def test_hover_texts_name_the_sample(figure: pf.PaperFigure) -> None:
    without_name = [
        trace.name
        for trace in figure.draw(TABLE).data
        if trace.hoverinfo != "skip" and not trace.hovertemplate.startswith("<b>")
    ]
    assert without_name == []


def test_all_figures_of_section_4_exist() -> None:
    keys = {figure.key for figure in pf.FIGURES}
    assert {f"figure-{number}" for number in range(2, 9)} | {"training-energy"} <= keys
