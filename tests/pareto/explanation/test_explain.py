"""Explanation of a design: sensitivities against closed forms, limits, dominating design, samples, narrative."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from explorer.api import load_results, load_study, run
from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import Draws, posterior_draws, predict_draws
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.explanation.active_limits import ActiveLimit
from explorer.pareto.explanation.explain import Explanation, explain_design
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity, Rates, local_sensitivities
from explorer.pareto.explanation.narrative import narrative
from explorer.pareto.explanation.perturbations import Perturbation, perturbations
from explorer.pareto.results.results import Results
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, Columns
from explorer.problem.objectives import OBJECTIVES

FREE = """
space = "./space.toml"
objectives = ["edp_js", "accuracy"]
"""
TABLE = """
family = "CNN"
[axes]
pruning_ratio = { value = 0.46 }
quant_step = { range = [0.02, 0.05] }
[operating_points]
points = [{ voltage = 0.85, frequency = 1.9 }, { voltage = 0.9, frequency = 2.1 }, { voltage = 0.95, frequency = 2.3 }]
"""


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_study("power-cap")


@pytest.fixture(scope="module")
def model(problem: Problem) -> Surrogate:
    assert isinstance(problem.evaluator, Surrogate)
    return problem.evaluator


@pytest.fixture(scope="module")
def draws(model: Surrogate) -> Draws:
    return posterior_draws(model, n=60)


@pytest.fixture(scope="module")
def run_results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run("edp-accuracy", trials=150, out=tmp_path_factory.mktemp("explained")).results


def design(r: float = 0.46, d: float = 0.03, v: float = 0.9, f: float = 2.2e9) -> Columns:
    knobs = {"pruning_ratio": r, "quant_step": d, "voltage_v": v, "frequency_hz": f}
    return {"family": np.array(["CNN"], dtype=object), **{name: np.array([knobs[name]]) for name in NUMERIC_KNOBS}}


def rates_at(start: Columns, problem: Problem, model: Surrogate, draws: Draws) -> tuple[dict[str, Perturbation], Rates]:
    moves = perturbations(problem.regions["CNN"], start)
    names = ["accuracy", "latency_s", "energy_j", "edp_js", "power_w", "ops_per_watt"]
    rates = local_sensitivities(start, moves, quantities=names, problem=problem, model=model, draws=draws)
    return {move.name: move for move in moves}, rates


def find_limit(limits: tuple[ActiveLimit, ...], start: str) -> ActiveLimit:
    return next(limit for limit in limits if limit.text.startswith(start))


@given(unit=st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=40)
@pytest.mark.slow
def test_rates_equal_the_derivatives_of_the_predictions(unit: list[float]) -> None:
    """Five-point derivatives of the predictions; rates hold at the edges too, where their stencils are one-sided."""
    problem = load_study("power-cap")
    model = problem.evaluator
    assert isinstance(model, Surrogate)
    region = problem.regions["CNN"]
    start = region.from_unit(np.array([unit]))
    point = {name: float(start[name][0]) for name in NUMERIC_KNOBS}
    law = model.laws["CNN"]
    along = {  # a move, as a line through the design, and the length that its rate is stated for
        "pruning_ratio": ({"pruning_ratio": 1.0}, 0.01),
        "quant_step": ({"quant_step": 1.0}, 0.1 * point["quant_step"]),
        "voltage_v": ({"voltage_v": 1.0}, 0.01),
        "voltage_with_clock": ({"voltage_v": 1.0, "frequency_hz": float("nan")}, 0.01),
    }

    _, rates = rates_at(start, problem, model, posterior_draws(model, n=4))

    highest = float(law.frequency_max(point["voltage_v"]))
    for move, (line, length) in along.items():
        h = 2e-3 * length / 0.01
        steps = h * np.array([-2.0, -1.0, 1.0, 2.0])
        knobs = {name: np.full(4, value) for name, value in point.items()}
        for name in line:
            knobs[name] = knobs[name] + steps if name != "frequency_hz" else knobs[name]
        if "frequency_hz" in line:  # the same share of the highest clock
            knobs["frequency_hz"] = law.frequency_max(knobs["voltage_v"]) * (point["frequency_hz"] / highest)
        values = model.evaluate({"family": np.full(4, "CNN", dtype=object), **knobs})
        for quantity in ("accuracy", "latency_s", "energy_j"):
            y = values[quantity]
            slope = (y[0] - 8 * y[1] + 8 * y[2] - y[3]) / (12 * h)
            found = rates[quantity][move].change
            assert found == pytest.approx(slope * length, rel=1e-3, abs=1e-9 * abs(y[1])), (quantity, move)


def test_interval_is_that_of_the_derivative_in_every_draw(problem: Problem, model: Surrogate, draws: Draws) -> None:
    start, step = design(), 1e-5
    ends = [{**start, "pruning_ratio": start["pruning_ratio"] + sign * step} for sign in (-1, 1)]
    low, accuracy, high = (
        predict_draws(model, draws, one, with_noise=False)["accuracy"][:, 0] for one in (ends[0], start, ends[1])
    )

    rate = rates_at(start, problem, model, draws)[1]["accuracy"]["pruning_ratio"]

    each = (high - low) / (2 * step)
    low, high = np.quantile(each * 0.01, [0.05, 0.95])
    assert (rate.lo, rate.hi) == pytest.approx((low, high), rel=1e-3)
    assert (rate.sign == "-") == (high < 0)
    low, high = np.quantile(each * 0.46 / accuracy, [0.05, 0.95])
    assert (rate.elasticity_lo, rate.elasticity_hi) == pytest.approx((low, high), rel=1e-3)


def test_relative_rate_of_a_product_is_the_sum(problem: Problem, model: Surrogate, draws: Draws) -> None:
    _, rates = rates_at(design(), problem, model, draws)

    for move in rates["edp_js"]:
        parts = rates["energy_j"][move].relative + rates["latency_s"][move].relative
        assert rates["edp_js"][move].relative == pytest.approx(parts, rel=1e-5)


def test_sign_is_significant_where_the_interval_excludes_zero(problem: Problem, model: Surrogate, draws: Draws) -> None:
    _, rates = rates_at(design(), problem, model, draws)

    signs = set()
    for rate in (rate for own in rates.values() for rate in own.values()):
        signs.add(rate.sign)
        assert (rate.sign in "+-") == (rate.lo > 0 or rate.hi < 0)
        assert rate.lo <= rate.change <= rate.hi
    assert signs == {"+", "-", "?", "0"}
    assert rates["ops_per_watt"]["frequency_hz"].sign == "?"
    assert rates["accuracy"]["voltage_v"] == LocalSensitivity(0, 0, 0, 0, 0, 0, 0, "0")


def test_quantity_of_value_zero_has_no_elasticity(problem: Problem, model: Surrogate, draws: Draws) -> None:
    """The domain distance is 0 at the edge of the samples' range, and increases on one side."""
    start = design(r=0.54)
    moves = perturbations(problem.regions["CNN"], start)
    rates = local_sensitivities(
        start, moves, quantities=["domain_distance"], problem=problem, model=model, draws=draws
    )  # fmt: skip

    assert rates["domain_distance"]["pruning_ratio"].change > 0
    assert math.isnan(rates["domain_distance"]["pruning_ratio"].elasticity)


def test_directions_at_the_highest_clock_of_a_voltage(problem: Problem) -> None:
    law = problem.regions["CNN"].operating

    moves = perturbations(problem.regions["CNN"], design(f=float(law.frequency_max(0.9))))

    directions = {move.name: move.directions for move in moves}
    assert directions == {"pruning_ratio": "both", "quant_step": "both", "voltage_v": "up", "frequency_hz": "down",
                    "voltage_with_clock": "both"}  # fmt: skip
    assert all(problem.regions["CNN"].contains(move.designs).all() for move in moves)


@pytest.mark.parametrize(("hertz", "step"), [(2.3e9, "10 MHz"), (4.9e8, "1 MHz"), (48e6, "100 kHz")])
def test_clock_step_is_a_power_of_ten(problem: Problem, hertz: float, step: str) -> None:
    moves = {move.name: move for move in perturbations(problem.regions["CNN"], design(f=hertz))}

    assert moves["frequency_hz"].step == step


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """Return a study over a table of three operating points, with R fixed."""
    folder: Path = tmp_path_factory.mktemp("listed")
    (folder / "space.toml").write_text(TABLE, encoding="utf-8")
    (folder / "study.toml").write_text(FREE, encoding="utf-8")
    return load_study(str(folder / "study.toml"))


def test_operating_points_of_a_table_are_choices(listed: Problem, model: Surrogate, draws: Draws) -> None:
    start = design(v=0.9, f=2.1e9)
    moves, rates = rates_at(start, listed, model, draws)

    change = model.evaluate(design(v=0.95, f=2.3e9))["energy_j"] - model.evaluate(start)["energy_j"]
    assert {"next_operating_point", "previous_operating_point"} < moves.keys()
    assert not {"voltage_v", "frequency_hz", "voltage_with_clock"} & moves.keys()
    assert rates["energy_j"]["next_operating_point"].change == pytest.approx(float(change[0]), rel=1e-9)
    assert math.isnan(rates["energy_j"]["next_operating_point"].elasticity)


def test_last_operating_point_has_no_next(listed: Problem) -> None:
    moves = perturbations(listed.regions["CNN"], design(v=0.95, f=2.3e9))

    assert [move.name for move in moves if "point" in move.name] == ["previous_operating_point"]


def test_fixed_knob_has_a_rate(problem: Problem, listed: Problem, model: Surrogate, draws: Draws) -> None:
    moves, rates = rates_at(design(v=0.9, f=2.1e9), listed, model, draws)
    _, free = rates_at(design(v=0.9, f=2.1e9), problem, model, draws)

    assert moves["pruning_ratio"].directions == "none"
    assert rates["accuracy"]["pruning_ratio"].change == pytest.approx(free["accuracy"]["pruning_ratio"].change)


def explain_at(run_results: Results, problem: Problem, **knobs: float) -> Explanation:
    """Explain a given design, inserted in place of the first one of the results."""
    table = problem.evaluate(design(**knobs))
    columns = {name: np.array(values) for name, values in run_results.table.items()}
    for name in table:
        columns[name][0] = table[name][0]
    return explain_design(replace(run_results, table=columns), int(columns["design_id"][0]), problem=problem)


@pytest.mark.slow
def test_active_domain_edge_names_improvable_objectives(run_results: Results) -> None:
    free = load_study("edp-accuracy")
    edge = free.regions["CNN"].axes[0].high

    limits = explain_at(run_results, free, r=edge).limits

    highest = find_limit(limits, "highest Pruning ratio R 0.645")
    assert (highest.kind, highest.is_active, highest.margin_text) == ("domain", True, "none")
    assert highest.improves == {"edp_js": ("pruning_ratio", 1)}
    assert not find_limit(limits, "lowest Pruning ratio R").is_active
    assert find_limit(limits, "lowest Pruning ratio R").margin == pytest.approx(edge - 0.225)


@pytest.mark.slow
def test_constraint_has_margin_probability_and_blocked_moves(
    run_results: Results, problem: Problem, model: Surrogate
) -> None:
    explained = explain_at(run_results, problem, f=2.3e9)

    limit = find_limit(explained.limits, "power_w <= 22 W")
    power = predict_draws(model, posterior_draws(model), design(f=2.3e9), with_noise=False)["power_w"]
    assert limit.margin == pytest.approx(22 - explained.design["power_w"])
    assert limit.p_met == pytest.approx(float(np.mean(power <= 22)))
    assert ("voltage_with_clock", 1) in limit.blocked
    # The paper's rows do not tell whether more voltage or less pruning would improve an objective: none is claimed.
    assert limit.improves == {}


def test_violated_constraint_has_a_negative_margin(run_results: Results, problem: Problem) -> None:
    explained = explain_at(run_results, problem, r=0.3, d=0.02, v=1.0, f=2.45e9)

    limit = find_limit(explained.limits, "power_w <= 22 W")
    assert not explained.design["is_feasible"]
    assert limit.margin < 0
    assert limit.is_active
    assert limit.margin_text.startswith("violated by")


@pytest.mark.slow
def test_highest_clock_of_a_voltage_is_active(run_results: Results) -> None:
    free = load_study("edp-accuracy")

    active, inactive = (
        find_limit(explain_at(run_results, free, f=f).limits, "highest clock that 0.9 V") for f in (2.2999e9, 2.2e9)
    )

    assert (active.is_active, inactive.is_active) == (True, False)
    assert inactive.margin == pytest.approx(1e8, rel=1e-3)
    assert active.improves == {"edp_js": ("frequency_hz", 1)}


def test_rival_is_the_strongest_dominating_design(run_results: Results) -> None:
    free = load_study("edp-accuracy")
    row = int(np.flatnonzero(~run_results.is_front)[0])
    rival = explain_design(run_results, int(run_results.table["design_id"][row]), problem=free).rival
    assert rival is not None

    edp, accuracy = run_results.table["edp_js"], run_results.table["accuracy"]
    dominating = [i for i in range(len(edp)) if edp[i] <= edp[row] and accuracy[i] >= accuracy[row]
             and (edp[i] < edp[row] or accuracy[i] > accuracy[row])]  # fmt: skip
    wide = [np.ptp(values[run_results.is_front]) for values in (edp, accuracy)]
    best = max(dominating, key=lambda i: (edp[row] - edp[i]) / wide[0] + (accuracy[i] - accuracy[row]) / wide[1])
    assert rival.design_id == run_results.table["design_id"][best]
    assert rival.n == len(dominating)
    change, low, high = rival.gains["edp_js"]
    assert low <= change <= high
    assert change == pytest.approx(edp[best] - edp[row])
    assert 0 <= rival.probability <= 1


def test_design_of_the_front_has_no_rival(run_results: Results) -> None:
    free = load_study("edp-accuracy")
    explained = explain_design(run_results, int(run_results.front_columns["design_id"][0]), problem=free)

    assert explained.is_front
    assert explained.rival is None


def test_measured_design_is_its_own_nearest_sample(run_results: Results, model: Surrogate) -> None:
    explained = explain_design(run_results, 1, problem=load_study("edp-accuracy"))

    assert explained.design["origin"] == "initial"
    assert (explained.nearest.label, explained.nearest.distance) == ("CNN2", 0.0)
    assert explained.nearest.measured["latency_s"] == 0.13
    value, low, high = explained.nearest.predicted["latency_s"]
    assert value == pytest.approx(explained.design["latency_s"])
    assert (low, high) == pytest.approx((explained.design["latency_s_lo"], explained.design["latency_s_hi"]))


def test_measured_row_is_explained_with_its_readings(run_results: Results) -> None:
    explained = explain_design(run_results, -2, problem=load_study("edp-accuracy"))

    assert explained.design["origin"] == "sample"
    assert explained.design["latency_s"] == 0.13
    assert explained.design["latency_s_lo"] < 0.13 < explained.design["latency_s_hi"]
    assert explained.warnings == ()
    assert not explained.is_extrapolated


def test_changed_prediction_gives_a_warning(run_results: Results) -> None:
    table = {**run_results.table, "edp_js": run_results.table["edp_js"] * 1.01}

    explained = explain_design(replace(run_results, table=table), 1, problem=load_study("edp-accuracy"))

    assert any("edp_js is" in text and "the run recorded" in text for text in explained.warnings)


def test_family_outside_the_study_is_refused(run_results: Results) -> None:
    table = {**run_results.table, "family": np.array(["DNN"] * run_results.n_complete, dtype=object)}

    with pytest.raises(WrongUsage, match=r"does not search DNN, which these results did\n  fix: .*--study FILE"):
        explain_design(replace(run_results, table=table), 1, problem=load_study("edp-accuracy"))


def test_unknown_design_is_refused_with_the_valid_range(run_results: Results) -> None:
    with pytest.raises(
        WrongUsage,
        match=r"there is no design 9999: .* 150 finished designs, 0 to 149, and 3 measured rows, -1 to -3\n  fix: ",
    ):
        explain_design(run_results, 9999, problem=load_study("edp-accuracy"))


# Narrative from given sensitivities.

EDP, ACCURACY = OBJECTIVES["edp_js"], OBJECTIVES["accuracy"]


def rate(change: float, *, sign: str) -> LocalSensitivity:
    return LocalSensitivity(change, change * 0.8, change * 1.2, change, change, change, change, sign)  # type: ignore[arg-type]


def step_of(name: str, label: str) -> Perturbation:
    return Perturbation(name, label, "0.01", "both", 0.01, 0.02, {k: np.empty(0) for k in KNOBS}, np.empty(0))


def test_trade_off_names_gain_and_cost() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="-")}}

    first, second = narrative([step_of("pruning_ratio", "R")], rates, [], [EDP, ACCURACY])

    edp, accuracy = "0.04 J·s (0.032 to 0.048 J·s)", "0.001 (0.0008 to 0.0012)"
    assert (
        first == f"Raising R by 0.01 would lower energy-delay product E·T by {edp}, but lower accuracy by {accuracy}."
    )
    assert (
        second == f"Lowering R by 0.01 would raise accuracy by {accuracy}, but raise energy-delay product E·T by {edp}."
    )


def test_insignificant_effect_is_called_unknown() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="?")}}

    first, second = narrative([step_of("pruning_ratio", "R")], rates, [], [EDP, ACCURACY])

    assert first.endswith("; its effect on accuracy is unknown.")
    assert second == "The samples do not determine which change would improve accuracy."


def test_blocked_perturbation_is_not_suggested() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="-")}}
    edge = ActiveLimit("domain", "pruning_ratio", "highest R", 0.0, "none", True, None, (("pruning_ratio", 1),), {})

    first, _ = narrative([step_of("pruning_ratio", "R")], rates, [edge], [EDP, ACCURACY])

    assert first == "Energy-delay product E·T can improve only beyond a limit: highest R."


def test_cheapest_perturbation_is_named_with_its_used_margin() -> None:
    moves = [step_of("pruning_ratio", "R"), step_of("voltage_with_clock", "V with f")]
    rates = {
        "edp_js": {"pruning_ratio": rate(-0.4, sign="-"), "voltage_with_clock": rate(-0.01, sign="-")},
        "accuracy": {"pruning_ratio": rate(-0.001, sign="-"), "voltage_with_clock": rate(0.0, sign="0")},
        "power_w": {"pruning_ratio": rate(-0.1, sign="-"), "voltage_with_clock": rate(0.2, sign="+")},
    }
    blocked = (("voltage_with_clock", 1),)
    cap = ActiveLimit("constraint", "power_w", "power_w <= 22 W", 0.5, "500 mW", False, 0.7, blocked, {})

    first, _ = narrative(moves, rates, [cap], [EDP, ACCURACY])

    assert first == (
        "Raising V, with the clock following, by 0.01 would lower energy-delay product E·T by 0.01 J·s (0.008 to 0.012 "
        "J·s) and worsen no other objective; it uses 200 mW of the 500 mW margin of power_w <= 22 W."
    )


@given(changes=st.lists(st.sampled_from([-0.02, -0.01, 0.01, 0.02]), min_size=4, max_size=4),
       signs=st.lists(st.booleans(), min_size=4, max_size=4))  # fmt: skip
def test_narrative_states_significant_effects_only(changes: list[float], signs: list[bool]) -> None:
    sensitivities = [
        rate(c, sign=("+" if c > 0 else "-") if is_significant else "?")
        for c, is_significant in zip(changes, signs, strict=True)
    ]
    moves = [step_of("pruning_ratio", "R"), step_of("quant_step", "D")]
    rates = {"edp_js": dict(zip(("pruning_ratio", "quant_step"), sensitivities[:2], strict=True)),
             "accuracy": dict(zip(("pruning_ratio", "quant_step"), sensitivities[2:], strict=True))}  # fmt: skip

    texts = narrative(moves, rates, [], [EDP, ACCURACY])

    assume(any(signs))
    for text in texts:
        for label, name in (("R", "pruning_ratio"), ("D", "quant_step")):
            for quantity, word in (("edp_js", "energy-delay product"), ("accuracy", "accuracy")):
                if f" {label} by" in text and any(f"{verb} {word}" in text for verb in ("raise", "lower")):
                    assert rates[quantity][name].sign in "+-"


@pytest.mark.slow
def test_results_from_a_folder_give_the_same_explanation(tmp_path: Path) -> None:
    done = run("edp-accuracy", trials=40, out=tmp_path / "out").results
    free = load_study("edp-accuracy")

    first, second = (explain_design(each, 1, problem=free) for each in (done, load_results(tmp_path / "out")))

    assert first.rates == second.rates
    assert first.warnings == second.warnings == ()
