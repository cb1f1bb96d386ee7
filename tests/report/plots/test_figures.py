"""Figures for notebooks: values of the plotly figures equal those of the results."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer
from explorer.pareto.results.results import Results
from explorer.problem.columns import COLUMNS

pytestmark = pytest.mark.slow

PLOTS = ("front", "alpha", "convergence", "importance", "parallel")


@pytest.fixture(scope="module")
def paper(shared_run: Callable[[str], Path]) -> Results:
    return explorer.load_results(shared_run("paper"))


@pytest.fixture(scope="module")
def three(shared_run: Callable[[str], Path]) -> Results:
    return explorer.load_results(shared_run("energy-latency-accuracy"))


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("study", ["paper", "three"])
def test_every_plot_returns_a_plotly_figure(name: str, study: str, request: pytest.FixtureRequest) -> None:
    import plotly.graph_objects as go

    plot: Callable[[Results], Any] = getattr(explorer.plot, name)
    figure = plot(request.getfixturevalue(study))

    assert isinstance(figure, go.Figure)
    assert len(figure.data) > 0
    figure.to_json()


@pytest.mark.slow
def test_convergence_ends_at_the_reached_share(paper: Results) -> None:
    (trace,) = explorer.plot.convergence(paper).data

    assert trace.y[-1] == pytest.approx(paper.reached)
    assert trace.x[-1] == paper.n_complete


def test_convergence_without_exact_front_is_in_hypervolume(paper: Results) -> None:
    (trace,) = explorer.plot.convergence(replace(paper, exact=None)).data

    assert trace.y[-1] == pytest.approx(paper.hypervolume)


def test_importance_has_a_bar_with_interval_for_every_row(paper: Results) -> None:
    figure = explorer.plot.importance(paper)
    bars = {(trace.name, label): x for trace in figure.data for label, x in zip(trace.y, trace.x, strict=True)}

    assert len(bars) == len(paper.importance)
    assert bars["Weighted cost J", "Pruning ratio R"] == pytest.approx(
        next(r["total"] for r in paper.importance if r["objective"] == "weighted_cost" and r["knob"] == "pruning_ratio")
    )
    assert all(min(trace.error_x.array) >= 0 and min(trace.error_x.arrayminus) >= 0 for trace in figure.data)


def test_accuracy_and_energy_increase_with_alpha(paper: Results) -> None:
    for trace in explorer.plot.alpha(paper).data:
        assert np.all(np.diff(trace.y) >= 0)
        assert trace.x[0] == 0
        assert trace.x[-1] == 1


def test_parallel_coordinates_are_in_display_units(paper: Results) -> None:
    (trace,) = explorer.plot.parallel(paper).data
    by_label = {dimension.label: dimension.values for dimension in trace.dimensions}
    front = paper.front_columns

    assert by_label[COLUMNS["latency_s"].title] == pytest.approx(front["latency_s"] * 1e3)


@pytest.mark.slow
def test_three_objectives_give_a_3d_scatter_plot(three: Results) -> None:
    figure = explorer.plot.front_3d(three)
    (trace,) = figure.data

    assert trace.type == "scatter3d"
    assert len(trace.x) == len(three.front_columns["family"])
    assert figure.layout.scene.zaxis.title.text == COLUMNS["accuracy"].title


def test_a_3d_plot_of_two_objectives_needs_explicit_axes(paper: Results) -> None:
    with pytest.raises(explorer.ExplorerError, match="two objectives"):
        explorer.plot.front_3d(paper)

    assert explorer.plot.front_3d(paper, axes=("edp_js", "accuracy", "power_w")).data


@pytest.mark.slow
def test_stored_results_give_equal_figures(tmp_path: Path) -> None:
    done = explorer.run("edp-accuracy", trials=60, out=tmp_path).results
    again = explorer.load_results(tmp_path)

    assert explorer.plot.importance(again).to_json() == explorer.plot.importance(done).to_json()
    assert explorer.plot.convergence(again).to_json() == explorer.plot.convergence(done).to_json()


@pytest.mark.slow
def test_the_alpha_plot_needs_accuracy(paper: Results) -> None:
    table = {name: values for name, values in paper.table.items() if name != "accuracy"}
    with pytest.raises(explorer.ExplorerError, match="has no accuracy, which the cost J needs"):
        explorer.plot.alpha(replace(paper, table=table))
