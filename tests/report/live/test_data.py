"""Data of the interactive page: exact numbers of the front, a sample of the other designs, at most two megabytes."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from explorer.models.evaluation import make_problem
from explorer.pareto.decision import rules
from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.pareto.exact_front import front_designs
from explorer.pareto.geometry.refinement import Budget
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.annotate import annotate_uncertainty
from explorer.problem.columns import stack, take
from explorer.problem.study import read_study
from explorer.report.live.data import MAX_BEHIND, live_data
from explorer.report.pages.front import front_page
from explorer.report.plots.thinning import MAX_FRONT
from tests.paper_fit import paper_model

TWO_MEGABYTES = 2_000_000


def _results(study: str, n: int, *, reference: tuple[float, ...], is_certified: bool = False) -> Results:
    problem = make_problem(read_study(study), paper_model())
    table = problem.sample(n)
    if n > MAX_FRONT:  # a scan alone finds too few designs of the front
        budget = Budget(1e-3, 30_000, n_scanned=2**12, n_offspring=6_000)
        exact = problem.evaluate(front_designs(problem, reference, budget=budget).designs)
        table = stack([{name: part[name] for name in table} for part in (table, exact)])
    n_all = len(table["family"])
    table |= {"design_id": np.arange(n_all), "origin": np.full(n_all, "search", dtype=object)}
    objectives = problem.study.objectives
    bare = Results(study, study, table, objectives, (), reference, {}, (), ())
    return annotate_uncertainty(bare, problem) if is_certified else bare


@pytest.fixture(scope="module")
def small() -> Results:
    return _results("power-cap", 256, reference=(6.0, 0.8), is_certified=True)


@pytest.fixture(scope="module")
def huge() -> Results:
    """Return results of more than 131,000 designs in three objectives with thousands of front designs."""
    return _results("energy-latency-accuracy", 131_072, reference=(40.0, 0.4, 0.7))


def _numbers(packed: str, kind: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.frombuffer(base64.b64decode(packed), dtype=kind).astype(np.float64)


@pytest.mark.slow
def test_front_values_are_stored_without_rounding(small: Results) -> None:
    data, front = live_data(small, display_name="power-cap"), small.front_columns

    assert data["front"]["design_id"] == front["design_id"].tolist()
    for name, packed in data["front"]["values"].items():
        if name != "knee_distance":
            assert np.array_equal(_numbers(packed, "<f8"), front[name].astype(float), equal_nan=True), name
    for name, packed in data["front"]["low"].items():
        assert _numbers(packed, "<f4") == pytest.approx(front[f"{name}_lo"], rel=1e-6)


def test_the_data_are_json_serializable(small: Results) -> None:
    json.dumps(live_data(small, display_name="power-cap"), allow_nan=False)


def test_a_page_of_100_000_trials_is_below_two_megabytes(huge: Results) -> None:
    bounded = _with_intervals(huge)
    page = front_page(bounded)

    assert bounded.n_complete > 100_000
    assert bounded.is_front.sum() > MAX_FRONT
    assert len(page.encode()) - len(get_plotlyjs().encode()) < TWO_MEGABYTES


def test_a_thinned_front_contains_all_selectable_designs(huge: Results) -> None:
    data, front = live_data(huge, display_name="x"), huge.front_columns
    included = set(data["front"]["design_id"])
    winners = front["design_id"][alpha_sweep(front, energy_max_j=1.0).rows].tolist()
    inside = take(front, front["domain_distance"] <= 0.5 + 1e-9)
    knee = inside["design_id"][np.argmax(rules.knee(huge, inside).value)]

    assert len(included) <= MAX_FRONT
    assert data["front"]["total"] == huge.is_front.sum() > MAX_FRONT
    assert {*winners, knee, front["design_id"][0], front["design_id"][-1]} <= included
    assert [data["front"]["design_id"][i] for i in data["sweep"]["rows"]] == winners


def test_thinned_designs_behind_the_front_are_counted(huge: Results) -> None:
    behind = live_data(huge, display_name="x")["behind"]
    truth = int(np.sum(~huge.is_front & huge.table["is_feasible"]))

    assert behind["counts"] == {"possible": 0, "dominated": truth}
    assert behind["n"] <= MAX_BEHIND < truth


@pytest.mark.slow
def test_the_alpha_sweep_of_the_page_matches_the_study(small: Results) -> None:
    sweep = live_data(small, display_name="x")["sweep"]
    truth = alpha_sweep(small.front_columns, energy_max_j=39.6)

    assert sweep["rows"] == truth.rows.tolist()
    assert [1 / (1 + price * 39.6) for price in sweep["prices"]] == pytest.approx(truth.begins)


def test_a_study_without_energy_has_no_weighted_cost(small: Results) -> None:
    table = {name: values for name, values in small.table.items() if not name.startswith(("energy_j", "weighted"))}
    data = live_data(replace(small, table=table), display_name="x")

    assert data["sweep"] == {"rows": [], "prices": [], "total": 0}
    assert "cost" not in data["table"]


@pytest.mark.parametrize(
    ("factor", "unit"), [(1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"), (1e5, "MJ")], ids=str
)
def test_units_scale_with_the_median_value(small: Results, factor: float, unit: str) -> None:
    table = {**small.table, "energy_j": small.table["energy_j"] * factor}
    data = live_data(replace(small, table=table), display_name="x")
    (column,) = [c for c in data["columns"] if c["name"] == "energy_j"]

    assert column["unit"] == unit
    assert 0.05 <= float(np.median(table["energy_j"])) / column["scale"] < 5e4
    assert column["title"].endswith(f"({unit})")


def _with_intervals(results: Results) -> Results:
    """Add an interval to every prediction, as annotated results have them; they take most of the page size."""
    table = dict(results.table)
    for name in ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "edp_js", "weighted_cost"):
        table |= {f"{name}_lo": table[name] * 0.9, f"{name}_hi": table[name] * 1.1}
    words = np.full(results.n_complete, "possible", dtype=object)
    labels = np.full(results.n_complete, "a sample with a long name", dtype=object)
    return replace(results, table={**table, "certainty": words, "nearest_sample": labels})
