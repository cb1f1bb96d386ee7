"""Comparison plot and page: distinct studies, all compared objectives."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from explorer.errors import WrongUsage
from explorer.pareto.comparison.compare import Comparison, compare_results
from explorer.pareto.results.results import Results
from explorer.problem.columns import COLUMNS, KNOBS
from explorer.problem.objectives import OBJECTIVES
from explorer.report.pages.comparison import comparison_page
from explorer.report.plots.comparison import MAX_MARKERS_PER_FRONT, plot_comparison, plot_fronts, study_style

Opened = tuple[dict[int, dict[str, Any]], list[str]]


def make_results(n: int = 12, *, name: str = "one", seed: int = 0, objectives: Sequence[str] = ("latency_s", "accuracy")
                 ) -> Results:  # fmt: skip
    """Return results with n designs, all on the front of latency against accuracy."""
    rng = np.random.default_rng(seed)
    share = np.sort(rng.random(n))
    table = {
        "design_id": np.arange(n),
        "family": np.full(n, "CNN", dtype=object),
        "pruning_ratio": rng.uniform(0.2, 0.6, n),
        "quant_step": rng.uniform(0.01, 0.1, n),
        "voltage_v": rng.uniform(0.8, 1.1, n),
        "frequency_hz": rng.uniform(1.9e9, 2.7e9, n),
        "accuracy": 0.85 + 0.1 * share,
        "latency_s": 0.1 + 0.1 * share,
        "energy_j": rng.uniform(15, 30, n),
        "power_w": rng.uniform(15, 30, n),
        "size_bytes": rng.uniform(10e6, 30e6, n),
        "domain_distance": np.where(np.arange(n) == 0, 2.0, 0.0),
        "is_feasible": np.ones(n, dtype=np.bool_),
    }
    return Results(
        study=name, title=name, table=table, objectives=tuple(OBJECTIVES[o] for o in objectives), constraints=(),
        reference_point=tuple(1.0 if OBJECTIVES[o].sign > 0 else 0.0 for o in objectives), samples={},
        sample_labels=(), notes=(),
    )  # fmt: skip


def make_comparison(k: int = 2, n: int = 12, **how: Any) -> Comparison:
    return compare_results([make_results(n, name=f"study {i}", seed=i, **how) for i in range(k)])


def fronts_of(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.name != "reference point"]


def test_fronts_are_complete_and_in_display_units() -> None:
    comparison = make_comparison()

    for side, trace in zip(comparison.sides, fronts_of(plot_comparison(comparison)), strict=True):
        assert list(trace.x) == pytest.approx((side.front["latency_s"] * 1000).tolist())  # in ms
        assert list(trace.y) == side.front["accuracy"].tolist()
        assert trace.name == f"{side.label} ({len(side.values)})"


def test_each_study_has_one_distinct_style_in_all_panels() -> None:
    comparison = make_comparison(4, objectives=("energy_j", "latency_s", "accuracy"))
    looks: dict[str, set[tuple[str, str]]] = {}
    for trace in fronts_of(plot_comparison(comparison)):
        looks.setdefault(trace.legendgroup, set()).add((trace.marker.color, trace.marker.symbol))

    assert [len(look) for look in looks.values()] == [1, 1, 1, 1]
    colours, symbols = zip(*[look for (look,) in looks.values()], strict=True)
    assert len(set(colours)) == len(set(symbols)) == 4


def test_the_styles_of_56_studies_differ() -> None:
    assert len({(study_style(i).colour, study_style(i).symbol) for i in range(56)}) == 56


@pytest.mark.parametrize(("objectives", "n_panels"), [(2, 1), (3, 3), (4, 6)])
def test_each_pair_of_objectives_has_a_panel_with_one_legend(objectives: int, n_panels: int) -> None:
    names = ("energy_j", "latency_s", "accuracy", "size_bytes")[-objectives:]
    figure = plot_fronts([make_results(objectives=names, name="a"), make_results(objectives=names, name="b", seed=1)])
    layout = figure.to_dict()["layout"]

    assert len([key for key in layout if key.startswith("xaxis")]) == n_panels
    assert len(figure.data) == 3 * n_panels
    assert [trace.name.split(" (")[0] for trace in figure.data if trace.showlegend] == ["a", "b", "reference point"]


def test_no_trace_needs_webgl() -> None:
    assert {trace.type for trace in plot_comparison(make_comparison()).data} == {"scatter"}


def test_hover_texts_name_study_design_and_knobs() -> None:
    comparison = make_comparison()
    trace, *_ = fronts_of(plot_comparison(comparison))
    front = comparison.sides[0].front

    for i, text in enumerate(trace.text):
        assert text.startswith(f"<b>study 0, design {front['design_id'][i]}")
        assert ("EXTRAPOLATED" in text) == (front["domain_distance"][i] > 1)
        for knob in KNOBS[1:]:
            assert f"{COLUMNS[knob].label}: {COLUMNS[knob].text(front[knob][i])}" in text


def test_lines_are_steps_towards_the_worse_neighbour() -> None:
    """For every point of the line an evaluated design is at least as good."""
    right = fronts_of(plot_fronts([make_results(name="a"), make_results(name="b")]))
    left = fronts_of(
        plot_fronts([make_results(name="a"), make_results(name="b")], objectives=["accuracy", "latency_s"])
    )

    assert {trace.line.shape for trace in right} == {"hv"}  # less is better on x
    assert {trace.line.shape for trace in left} == {"vh"}  # more is better on x


def test_the_reference_point_is_hidden_by_default() -> None:
    comparison = make_comparison()
    (trace,) = [trace for trace in plot_comparison(comparison).data if trace.name == "reference point"]

    assert (trace.x[0], trace.y[0]) == pytest.approx(
        (comparison.reference_point[0] * 1000, comparison.reference_point[1])
    )
    assert trace.visible == "legendonly"


def test_a_large_front_is_thinned_evenly_with_both_counts() -> None:
    comparison = make_comparison(2, n=5000)
    trace, *_ = fronts_of(plot_comparison(comparison))

    assert len(trace.x) == MAX_MARKERS_PER_FRONT
    assert trace.name == "study 0 (5,000, 1,000 shown)"
    assert (trace.x[0], trace.x[-1]) == pytest.approx(
        [comparison.sides[0].front["latency_s"][k] * 1000 for k in (0, -1)]
    )


def test_a_page_of_many_large_fronts_is_below_two_megabytes() -> None:
    from plotly.offline import get_plotlyjs

    page = comparison_page(make_comparison(5, n=2000, objectives=("energy_j", "latency_s", "accuracy", "size_bytes")))

    assert len(page.encode()) - len(get_plotlyjs().encode()) < 2_000_000


def test_an_empty_front_has_no_markers() -> None:
    empty = make_results(name="empty")
    empty.table["is_feasible"][:] = False
    traces = fronts_of(plot_fronts([make_results(), empty]))

    assert [len(trace.x) for trace in traces] == [12, 0]


def test_a_single_study_is_an_error() -> None:
    with pytest.raises(WrongUsage, match="1 study given"):
        plot_fronts([make_results()])


def test_the_figure_is_json_serializable() -> None:
    assert json.loads(plot_comparison(make_comparison()).to_json())["data"]


def test_the_page_has_hypervolumes_coverage_and_differences() -> None:
    comparison = compare_results([make_results(name="<one>"), make_results(name="two", seed=1)])
    page = comparison_page(comparison)

    assert "&lt;one&gt;" in page
    assert "<one>" not in page
    for side in comparison.sides:
        assert f"{side.hypervolume:.5g}" in page
    assert f"{comparison.coverage[0, 1] * 100:.1f}" in page
    assert "Differences between the studies" in page
    assert page == comparison_page(comparison)


def test_equal_studies_have_no_differences() -> None:
    assert "None: the declarations" in comparison_page(compare_results([make_results()] * 2, labels=["a", "b"]))


@pytest.mark.slow
def test_the_page_fits_narrow_and_wide_windows(open_page: Callable[..., Opened]) -> None:
    names = ("energy_j", "latency_s", "accuracy")
    frames, console = open_page(comparison_page(make_comparison(3, objectives=names)), widths=(400, 1400), resized=600)

    assert console == []
    for width, frame in frames.items():
        assert frame["faults"] == []
        assert frame["page"] <= width or width == 600
        ((box_width, plot_width),) = frame["plots"]
        assert abs(box_width - plot_width) <= 1
