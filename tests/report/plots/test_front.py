"""Pareto plot: values equal those of the results, in display units."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from explorer.pareto.results.results import Results
from explorer.problem.columns import COLUMNS, KNOBS, Columns
from explorer.problem.objectives import OBJECTIVES
from explorer.report.plots.front import MAX_BACKGROUND, hover_texts, plot_front
from explorer.report.plots.style import family_style


def make_results(
    n: int = 40,
    *,
    objectives: Sequence[str] = ("latency_s", "accuracy"),
    families: Sequence[str] = ("CNN", "DNN"),
    n_infeasible: int = 0,
    n_samples: int = 2,
) -> Results:
    """Return results with n designs on a latency-accuracy front line, half of them moved off it."""
    rng = np.random.default_rng(0)
    table = _table(rng, n, families)
    table["is_feasible"] = np.arange(n) >= n_infeasible
    table["design_id"] = np.arange(n)
    table["origin"] = np.full(n, "search", dtype=object)
    return Results(
        study="x",
        title="x",
        table=table,
        objectives=tuple(OBJECTIVES[name] for name in objectives),
        constraints=(),
        reference_point=tuple(1.0 if OBJECTIVES[name].sign > 0 else 0.0 for name in objectives),
        samples=_table(rng, n_samples, families) if n_samples else {},
        sample_labels=tuple(f"S{i + 1}" for i in range(n_samples)),
        notes=(),
    )


def test_front_traces_are_in_display_units() -> None:
    results = make_results()
    front = results.front_columns
    points = {}
    for trace in plot_front(results).data:
        if trace.name.startswith("front, "):
            points[trace.name.split()[1]] = (list(trace.x), list(trace.y))

    assert set(points) == set(front["family"])
    for family, (x, y) in points.items():
        rows = front["family"] == family
        assert x == pytest.approx((front["latency_s"][rows] * 1000).tolist())  # in ms
        assert y == front["accuracy"][rows].tolist()


def test_the_legend_has_the_counts() -> None:
    results = make_results()
    names = [trace.name for trace in plot_front(results).data]
    front = results.front_columns["family"]

    assert f"front, CNN ({int((front == 'CNN').sum())})" in names
    assert f"dominated ({int((~results.is_front).sum())})" in names
    assert {"measured, CNN", "measured, DNN"} <= set(names)


def test_the_background_is_feasible_and_dominated() -> None:
    results = make_results(n_infeasible=7)
    table = results.table
    (background,) = [trace for trace in plot_front(results).data if trace.name.startswith("dominated")]
    expected = table["is_feasible"] & ~results.is_front

    assert list(background.y) == table["accuracy"][expected].tolist()


@pytest.mark.parametrize(("n", "n_thinned"), [(2000, None), (2001, 1001), (9000, 1800)])
def test_a_large_background_is_thinned_with_both_counts(n: int, n_thinned: int | None) -> None:
    results = make_results(1)
    one_better = {name: np.concatenate([values, np.repeat(values, n)]) for name, values in results.table.items()}
    one_better["latency_s"] = np.concatenate([[0.01], np.linspace(0.1, 0.2, n)])
    many = Results(
        "x",
        "x",
        one_better,
        results.objectives,
        (),
        results.reference_point,
        results.samples,
        results.sample_labels,
        (),
    )
    (background,) = [trace for trace in plot_front(many).data if trace.name.startswith("dominated")]

    assert len(background.x) == (n_thinned or n) <= MAX_BACKGROUND
    assert background.name == (f"dominated ({n:,}, {n_thinned:,} shown)" if n_thinned else f"dominated ({n:,})")


def test_samples_are_at_their_measured_values() -> None:
    results = make_results(n_samples=4)
    traces = [t for t in plot_front(results).data if t.name.startswith("measured")]
    points = {(x, y) for trace in traces for x, y in zip(trace.x, trace.y, strict=True)}

    expected = zip(results.samples["latency_s"] * 1000, results.samples["accuracy"], strict=True)
    assert points == {(float(x), float(y)) for x, y in expected}
    assert all("open" in trace.marker.symbol for trace in traces)


def test_a_sample_without_an_objective_has_no_marker() -> None:
    results = make_results(n_samples=2)
    results.samples["accuracy"][:] = np.nan

    assert not [trace for trace in plot_front(results).data if trace.name.startswith("measured")]


def test_results_without_samples_give_a_figure() -> None:
    assert not [t for t in plot_front(make_results(n_samples=0)).data if t.name.startswith("measured")]


def test_results_without_a_front_give_a_figure() -> None:
    figure = plot_front(make_results(10, n_infeasible=10))

    assert {trace.name for trace in figure.data} <= {"measured, CNN", "measured, DNN"}


@pytest.mark.parametrize(
    ("objectives", "n_panels"),
    [
        (("latency_s", "accuracy"), 1),
        (("energy_j", "latency_s", "accuracy"), 3),
        (("energy_j", "latency_s", "accuracy", "size_bytes"), 6),
    ],
)
def test_every_pair_of_objectives_has_a_panel(objectives: Sequence[str], n_panels: int) -> None:
    layout = plot_front(make_results(objectives=objectives)).to_dict()["layout"]
    axes = [layout[key] for key in layout if key.startswith("xaxis")]

    assert len(axes) == n_panels
    assert len([key for key in layout if key.startswith("yaxis")]) == n_panels
    assert all(axis["title"]["text"].endswith("is better") for axis in axes)


def test_several_panels_share_one_legend() -> None:
    names = [
        t.name for t in plot_front(make_results(objectives=("energy_j", "latency_s", "accuracy"))).data if t.showlegend
    ]

    assert len(names) == len(set(names))
    assert any(name.startswith("front, CNN") for name in names)


def test_axis_titles_have_unit_and_direction() -> None:
    layout = plot_front(make_results()).layout

    assert layout.xaxis.title.text == "Latency T (ms), less is better"
    assert layout.yaxis.title.text == "Accuracy, more is better"


def test_hover_texts_name_the_design_and_every_knob() -> None:
    results = make_results()
    front = results.front_columns
    texts = {text for trace in plot_front(results).data if trace.name.startswith("front") for text in trace.text}

    assert len(texts) == len(front["family"])
    for i in range(len(front["family"])):
        (text,) = [t for t in texts if f"design {front['design_id'][i]} " in t]
        assert front["family"][i] in text
        for knob in KNOBS[1:]:
            assert f"{COLUMNS[knob].label}: {COLUMNS[knob].text(front[knob][i])}" in text


def test_hover_texts_mark_samples_as_measured() -> None:
    traces = [t for t in plot_front(make_results()).data if t.name.startswith("measured")]

    assert {text.split("<br>")[0] for trace in traces for text in trace.text} == {
        "<b>S1 (measured)</b>",
        "<b>S2 (measured)</b>",
    }


def test_hover_texts_omit_missing_values() -> None:
    rows: Columns = {
        "family": np.array(["CNN"], dtype=object),
        "accuracy": np.array([np.nan]),
        "power_w": np.array([22.0]),
    }

    assert hover_texts(rows, ["x"]) == ["<b>x</b><br>CNN<br>Power P: 22 W"]


def test_front_and_samples_of_a_family_have_the_same_style() -> None:
    colours = {}
    for trace in plot_front(make_results(families=("CNN", "DNN", "mine"), n_samples=3)).data:
        kind, _, family = trace.name.partition(", ")
        if kind in {"front", "measured"}:
            colours.setdefault(family.split(" (")[0], set()).add(trace.marker.color)

    assert {len(colour) for colour in colours.values()} == {1}
    assert len({colour for (colour,) in colours.values()}) == len(colours) == 3


def test_fifty_unknown_families_look_different() -> None:
    styles = family_style([f"family {i}" for i in range(50)])

    assert len({(style.colour, style.symbol) for style in styles.values()}) == 50


def test_the_figure_is_plain_json() -> None:
    assert json.loads(plot_front(make_results()).to_json())["data"]


def _table(rng: np.random.Generator, n: int, families: Sequence[str]) -> Columns:
    share = np.linspace(0, 1, n)
    off = np.where(np.arange(n) % 2, 0.0, 0.02)
    return {
        "family": np.array(
            [families[i % len(families) if n < 4 else (i // 2) % len(families)] for i in range(n)], dtype=object
        ),
        "pruning_ratio": rng.uniform(0.2, 0.6, n),
        "quant_step": rng.uniform(0.01, 0.1, n),
        "voltage_v": rng.uniform(0.8, 1.1, n),
        "frequency_hz": rng.uniform(1.9e9, 2.7e9, n),
        "accuracy": 0.85 + 0.1 * share - off,
        "latency_s": 0.1 + 0.1 * share,
        "energy_j": rng.uniform(15, 30, n),
        "power_w": rng.uniform(15, 30, n),
        "size_bytes": rng.uniform(10e6, 30e6, n),
        "edp_js": rng.uniform(2, 5, n),
        "weighted_cost": rng.uniform(0.1, 0.2, n),
        "domain_distance": rng.uniform(0, 1, n),
        "frequency_max_hz": rng.uniform(2.7e9, 3e9, n),
    }
