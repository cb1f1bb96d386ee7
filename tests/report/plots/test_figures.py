"""Figures for notebooks: each takes results, returns a plotly figure, and shows the numbers that the results hold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorer.pareto.results.results import Results

import explorer
from explorer.problem.columns import COLUMNS

PLOTS = ("plot_front", "plot_alpha", "plot_convergence", "plot_importance", "plot_parallel")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return explorer.run("paper", trials=120, out=tmp_path_factory.mktemp("run")).results


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return explorer.run("energy-latency-accuracy", trials=120, out=tmp_path_factory.mktemp("run")).results


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("study", ["paper", "three"])
def test_every_plot_takes_results_and_returns_a_figure(name: str, study: str, request: pytest.FixtureRequest) -> None:
    import plotly.graph_objects as go

    plot: Callable[[Results], Any] = getattr(explorer, name)
    figure = plot(request.getfixturevalue(study))

    assert isinstance(figure, go.Figure)
    assert len(figure.data) > 0
    figure.to_json()


def test_convergence_ends_at_the_share_that_the_run_reported(paper: Results) -> None:
    (trace,) = explorer.plot_convergence(paper).data

    assert trace.y[-1] == pytest.approx(paper.reached)
    assert trace.x[-1] == paper.n_complete


def test_without_an_exact_front_convergence_shows_the_hypervolume_itself(paper: Results) -> None:
    (trace,) = explorer.plot_convergence(replace(paper, exact=None)).data

    assert trace.y[-1] == pytest.approx(paper.hypervolume)


def test_importance_shows_every_row_with_its_interval(paper: Results) -> None:
    figure = explorer.plot_importance(paper)
    shown = {(trace.name, label): x for trace in figure.data for label, x in zip(trace.y, trace.x, strict=True)}

    assert len(shown) == len(paper.importance)
    assert shown["Weighted cost J", "Pruning ratio R"] == pytest.approx(
        next(r["total"] for r in paper.importance if r["objective"] == "weighted_cost" and r["knob"] == "pruning_ratio")
    )
    assert all(min(trace.error_x.array) >= 0 and min(trace.error_x.arrayminus) >= 0 for trace in figure.data)


def test_alpha_steps_up_in_accuracy_and_energy(paper: Results) -> None:
    for trace in explorer.plot_alpha(paper).data:
        assert np.all(np.diff(trace.y) >= 0)
        assert trace.x[0] == 0
        assert trace.x[-1] == 1


def test_parallel_coordinates_carry_the_front_in_shown_units(paper: Results) -> None:
    (trace,) = explorer.plot_parallel(paper).data
    by_label = {dimension.label: dimension.values for dimension in trace.dimensions}
    front = paper.front_columns

    assert by_label[COLUMNS["latency_s"].title] == pytest.approx(front["latency_s"] * 1e3)


def test_three_objectives_are_drawn_in_space(three: Results) -> None:
    figure = explorer.plot_front_3d(three)
    (trace,) = figure.data

    assert trace.type == "scatter3d"
    assert len(trace.x) == len(three.front_columns["family"])
    assert figure.layout.scene.zaxis.title.text == COLUMNS["accuracy"].title


def test_two_objectives_have_no_space_to_be_drawn_in_unless_three_columns_are_named(paper: Results) -> None:
    with pytest.raises(explorer.ExplorerError, match="two objectives"):
        explorer.plot_front_3d(paper)

    assert explorer.plot_front_3d(paper, axes=("edp_js", "accuracy", "power_w")).data


def test_results_read_back_from_a_folder_draw_the_same(tmp_path: Path) -> None:
    done = explorer.run("edp-accuracy", trials=60, out=tmp_path).results
    again = explorer.load_results(tmp_path)

    assert explorer.plot_importance(again).to_json() == explorer.plot_importance(done).to_json()
    assert explorer.plot_convergence(again).to_json() == explorer.plot_convergence(done).to_json()


def test_without_accuracy_there_is_no_j_to_draw_over_alpha(paper: Results) -> None:
    table = {name: values for name, values in paper.table.items() if name != "accuracy"}
    with pytest.raises(explorer.ExplorerError, match="has no accuracy, of which J is made"):
        explorer.plot_alpha(replace(paper, table=table))
