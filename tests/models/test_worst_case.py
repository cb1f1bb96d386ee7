"""Worst cases: equal to a loop that evaluates each design in each case alone, and the laws of a worst case."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.models.evaluation import OPERATING_POINT_LIMIT, Problem, make_problem
from explorer.models.loading import load_model
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.models.response.surrogate import Surrogate
from explorer.models.worst_case import anchored
from explorer.paper.equations import energy_delay_product, weighted_cost
from explorer.problem.columns import Columns, bounded_names, knobs_of, n_rows, take
from explorer.problem.objectives import is_maximized
from explorer.problem.study import make_study

SUPPLY: dict[str, Any] = {"supply": {"voltage": "3 %", "frequency": "1 %"}, "hot": {"energy_j": "+10 %"}}
# The same cases by hand: factors of voltage and clock, then of energy and power (E / (P T) is kept).
CASES = [(0.97, 0.99, 1, 1), (0.97, 1.01, 1, 1), (1.03, 0.99, 1, 1), (1.03, 1.01, 1, 1), (1, 1, 1.1, 1.1)]
LIMITS = ("power_w <= 22 W", "accuracy >= 0.9", "energy_j >= 5 J")


def problem_of(scenario: dict[str, Any] | None, limits: tuple[str, ...] = LIMITS, **keys: Any) -> Problem:
    declared = {"space": "cnn", "objectives": ["edp_js", "accuracy"], "constraints": list(limits), **keys}
    if scenario is not None:
        declared["scenario"] = scenario
    return make_problem(make_study(declared, name="robust", spaces={}), load_model("paper"))


PLAIN, ROBUST = problem_of(None), problem_of(SUPPLY)
DESIGNS = {name: values for name, values in PLAIN.sample(64, seed=1).items() if name in ("family", *knobs_of({
    "pruning_ratio": 0, "quant_step": 0, "voltage_v": 0, "frequency_hz": 0}))}  # fmt: skip


def slow_cases(row: Columns) -> list[dict[str, float]]:
    """Evaluate one design alone in the nominal case and in each other."""
    tables = []
    for volts, clock, energy, power in [(1, 1, 1, 1), *CASES]:
        moved = {**row, "voltage_v": row["voltage_v"] * volts, "frequency_hz": row["frequency_hz"] * clock}
        own = {name: float(values[0]) for name, values in load_model("paper").evaluate(moved).items()
               if name != "family"}  # fmt: skip
        own["energy_j"] *= energy
        own["power_w"] *= power
        own["edp_js"] = float(energy_delay_product(energy=own["energy_j"], time=own["latency_s"]))
        own["weighted_cost"] = float(weighted_cost(own["accuracy"], own["energy_j"], energy_max=39.6, alpha=0.9))
        tables.append(own)
    return tables


@pytest.mark.slow
def test_worst_case_equals_that_of_single_evaluations() -> None:
    columns = ROBUST.evaluate(DESIGNS)

    for i in range(n_rows(DESIGNS)):
        cases = slow_cases(take(DESIGNS, np.array([i])))
        for name in (*cases[0].keys() & set(bounded_names()), "domain_distance"):
            worst = (min if is_maximized(name) else max)(case[name] for case in cases)
            assert columns[f"{name}_worst"][i] == pytest.approx(worst, rel=1e-9)
            assert columns[name][i] == pytest.approx(cases[0][name], rel=1e-9)
        least = min(case["energy_j"] for case in cases)
        assert columns["energy_j_best"][i] == pytest.approx(least, rel=1e-9)


@pytest.mark.slow
def test_limits_hold_in_every_case_of_every_feasible_design() -> None:
    columns = ROBUST.evaluate(DESIGNS)
    law = ROBUST.regions["CNN"].operating
    assert law is not None

    is_met = []
    for i in range(n_rows(DESIGNS)):
        row = take(DESIGNS, np.array([i]))
        values = slow_cases(row)
        meets = all(v["power_w"] <= 22 and v["accuracy"] >= 0.9 and v["energy_j"] >= 5 for v in values)
        clocks = [
            row["frequency_hz"][0] * clock <= law.frequency_max(row["voltage_v"] * volts)[0] * (1 + 1e-9)
            for volts, clock, _, _ in [(1, 1, 1, 1), *CASES]
        ]
        is_met.append(meets and all(clocks) and values[0]["domain_distance"] <= 0.5 + 1e-9)

    assert columns["is_feasible"].tolist() == is_met
    assert 0 < sum(is_met) < PLAIN.evaluate(DESIGNS)["is_feasible"].sum()


def test_robustly_feasible_designs_are_nominally_feasible() -> None:
    robust, plain = ROBUST.sample(1024), PLAIN.sample(1024)

    assert not (robust["is_feasible"] & ~plain["is_feasible"]).any()


def test_nominal_columns_do_not_depend_on_scenarios() -> None:
    plain, robust = PLAIN.evaluate(DESIGNS), ROBUST.evaluate(DESIGNS)

    for name in plain.keys() - {"is_feasible"}:
        np.testing.assert_array_equal(plain[name], robust[name])
    assert not [name for name in plain if name.endswith("_worst")]


def test_no_change_is_the_nominal_case() -> None:
    columns = problem_of({"none": {"voltage": "0 %", "energy_j": "0 %"}}).evaluate(DESIGNS)

    for name in (name for name in bounded_names() if name in columns):
        np.testing.assert_allclose(columns[f"{name}_worst"], columns[name], rtol=1e-12)
    np.testing.assert_array_equal(columns["is_feasible"], PLAIN.evaluate(DESIGNS)["is_feasible"])


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    few=st.lists(st.floats(-10, 10), min_size=1, max_size=3),
    more=st.lists(st.floats(-10, 10), min_size=1, max_size=3),
    energy=st.floats(-30, 30),
)
def test_further_changes_never_improve_the_worst(few: list[float], more: list[float], energy: float) -> None:
    def worst(changes: list[float]) -> Columns:
        listed = [f"{change:+.3f} %" for change in changes]
        return problem_of({"s": {"voltage": listed, "energy_j": f"{energy:+.3f} %"}}).evaluate(DESIGNS)

    narrow, wide = worst(few), worst(few + more)

    for name in (name for name in bounded_names() if name in narrow):
        sign = -1 if is_maximized(name) else 1
        own = f"{name}_worst"
        assert (sign * wide[own] >= sign * narrow[own] * (1 - sign * 1e-12 * np.sign(narrow[own]))).all()
        assert (sign * narrow[own] >= sign * narrow[name]).all()
    assert not (wide["is_feasible"] & ~narrow["is_feasible"]).any()


def test_wider_tolerance_of_the_voltage_never_lowers_the_power() -> None:
    worst = [problem_of({"s": {"voltage": f"{width} %"}}).evaluate(DESIGNS)["power_w_worst"] for width in (1, 2, 4, 8)]

    assert all((wide >= narrow).all() for narrow, wide in itertools.pairwise(worst))


def test_many_designs_have_the_worst_cases_of_each_alone() -> None:
    many = ROBUST.evaluate({name: np.concatenate([values] * 100) for name, values in DESIGNS.items()})
    few = ROBUST.evaluate(take(DESIGNS, np.arange(3)))

    np.testing.assert_allclose(many["edp_js_worst"][:3], few["edp_js_worst"], rtol=1e-12)
    np.testing.assert_allclose(many["edp_js_worst"][-n_rows(DESIGNS) :][:3], few["edp_js_worst"], rtol=1e-12)


@pytest.mark.slow
def test_probability_is_that_of_all_cases_jointly() -> None:
    limits = ("power_w <= 22 W @ 90 %", "accuracy >= 0.9 @ 90 %")
    problem = problem_of(SUPPLY, limits)
    designs = take(DESIGNS, np.arange(12))
    columns = problem.evaluate(designs)
    model = problem.evaluator
    assert isinstance(model, Surrogate)
    draws = posterior_draws(model, targets=problem.needed_targets)
    by_case = []
    for volts, clock, _, power in [(1, 1, 1, 1), *CASES]:
        moved = {**designs, "voltage_v": designs["voltage_v"] * volts, "frequency_hz": designs["frequency_hz"] * clock}
        own = predict_draws(model, draws, moved, with_noise=False)
        by_case.append((own["power_w"] * power, own["accuracy"]))
    highest, lowest = np.max([p for p, _ in by_case], axis=0), np.min([a for _, a in by_case], axis=0)
    k = int(np.ceil(0.9 * len(highest))) - 1

    np.testing.assert_allclose(columns["power_w_worst_p90"], np.sort(highest, axis=0)[k], rtol=1e-9)
    np.testing.assert_allclose(columns["accuracy_worst_p10"], -np.sort(-lowest, axis=0)[k], rtol=1e-9)
    together = np.mean((highest <= 22) & (lowest >= 0.9), axis=0)
    is_met = problem.limit_violations(columns)["all @ 90 %"] <= 0
    assert is_met.tolist() == (together >= 0.9 - 1e-9).tolist()


def test_clock_needs_a_guard_band_only_where_limits_hold_in_scenarios() -> None:
    droop = {"voltage": "-3 %"}
    at_limit = take(DESIGNS, np.array([0]))
    law = PLAIN.regions["CNN"].operating
    assert law is not None
    at_limit["frequency_hz"] = law.frequency_max(at_limit["voltage_v"])
    violation = {
        mode: problem_of({"mode": mode, "droop": droop}).constraint_violations(
            problem_of({"mode": mode, "droop": droop}).evaluate(at_limit)
        )[OPERATING_POINT_LIMIT][0]
        for mode in ("worst", "nominal")
    }
    allowed = float(law.frequency_max(0.97 * at_limit["voltage_v"])[0])

    assert violation["nominal"] == 0
    assert violation["worst"] == pytest.approx(at_limit["frequency_hz"][0] / allowed - 1)
    at_limit["frequency_hz"] = np.array([allowed])
    problem = problem_of({"droop": droop})
    assert problem.constraint_violations(problem.evaluate(at_limit))[OPERATING_POINT_LIMIT][0] == 0


def test_measured_design_moves_by_what_the_model_predicts() -> None:
    row = take(DESIGNS, np.array([0]))
    predicted = PLAIN.evaluator.evaluate(row)
    readings = {**row, "energy_j": 2 * predicted["energy_j"], "accuracy": predicted["accuracy"] - 0.1}
    moved = {**row, "voltage_v": row["voltage_v"] * 1.03}
    after, result = PLAIN.evaluator.evaluate(moved), anchored(PLAIN.evaluator.evaluate, readings)(moved)

    assert result["energy_j"] == pytest.approx(2 * after["energy_j"])
    assert result["accuracy"] == pytest.approx(after["accuracy"] - 0.1)
    assert anchored(PLAIN.evaluator.evaluate, readings)(row)["energy_j"] == pytest.approx(readings["energy_j"])


@pytest.mark.slow
def test_constants_of_the_workload_deviate_and_a_device_keeps_up() -> None:
    """By hand: mean power (E + P_idle (period - T)) / period, and battery / mean power, in the worse of two cases."""
    workload = {"period": "200 ms", "idle_power": "2 W", "battery": "10 Wh"}
    scenario = {"cold": {"battery": "-20 %", "idle_power": "+50 %"}, "burst": {"period": "-40 %"}}
    problem = problem_of(scenario, ("battery_days >= 0.001 d",), workload=workload)
    columns = problem.evaluate(DESIGNS)
    energy, latency = columns["energy_j"], columns["latency_s"]

    def days(period: float, idle: float, joules: float) -> np.ndarray[Any, Any]:
        own = joules / ((energy + idle * (period - latency)) / period) / 86_400
        return np.where(latency >= period, 0.0, own)

    worst = np.minimum(np.minimum(days(0.2, 3.0, 28_800.0), days(0.12, 2.0, 36_000.0)), days(0.2, 2.0, 36_000.0))
    np.testing.assert_allclose(columns["battery_days_worst"], worst, rtol=1e-9)
    np.testing.assert_allclose(columns["utilization_worst"], latency / 0.12, rtol=1e-9)
    is_late = (latency < 0.2) & (latency >= 0.12)
    assert is_late.any()
    assert not columns["is_feasible"][is_late].any()
    assert columns["is_feasible"].any()


def test_knob_that_leaves_its_allowed_values_is_a_fault() -> None:
    with pytest.raises(InvalidFile, match="leads from") as raised:
        problem_of({"s": {"pruning_ratio": "80 %"}})

    assert "narrow the knob's range" in str(raised.value.faults[0].fix)


def test_worst_case_without_scenarios_is_a_fault() -> None:
    with pytest.raises(InvalidFile, match="needs a scenario"):
        problem_of(None, ("power_w_worst <= 22 W",))
    with pytest.raises(InvalidFile, match="needs a scenario"):
        problem_of(None, (), objectives=["edp_js_worst", "accuracy"])


def test_worst_case_is_an_objective_and_a_limit() -> None:
    problem = problem_of(
        {**SUPPLY, "mode": "nominal"}, ("power_w_worst <= 22 W", "domain_distance_worst <= 0.5"),
        objectives=["edp_js_worst", "accuracy"],
    )  # fmt: skip
    columns = problem.evaluate(DESIGNS, is_needed_only=True)

    np.testing.assert_allclose(problem.values(columns)[:, 0], ROBUST.evaluate(DESIGNS)["edp_js_worst"])
    assert not (columns["is_feasible"] & (columns["power_w_worst"] > 22)).any()
    assert not (columns["is_feasible"] & (columns["domain_distance_worst"] > 0.5)).any()
    assert columns["is_feasible"].any()
