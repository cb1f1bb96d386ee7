"""Explaining a design: rates against closed forms, limits, rivals, the nearest sample, sentences that are certain."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from explorer.api import load_results as results
from explorer.api import load_study as load
from explorer.api import run
from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.parametric.surrogate import Surrogate
from explorer.models.posterior_draws import Draws, posterior_draws, predict_draws
from explorer.pareto.explanation.active_limits import ActiveLimit
from explorer.pareto.explanation.explain import Explanation, explain
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
    return load("power-cap")


@pytest.fixture(scope="module")
def model(problem: Problem) -> Surrogate:
    assert isinstance(problem.evaluator, Surrogate)
    return problem.evaluator


@pytest.fixture(scope="module")
def draws(model: Surrogate) -> Draws:
    return posterior_draws(model, n=60)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run("edp-accuracy", trials=150, out=tmp_path_factory.mktemp("explained")).results


def design(r: float = 0.46, d: float = 0.03, v: float = 0.9, f: float = 2.2e9) -> Columns:
    knobs = {"pruning_ratio": r, "quant_step": d, "voltage_v": v, "frequency_hz": f}
    return {"family": np.array(["CNN"], dtype=object), **{name: np.array([knobs[name]]) for name in NUMERIC_KNOBS}}


def rates_at(here: Columns, problem: Problem, model: Surrogate, draws: Draws) -> tuple[dict[str, Perturbation], Rates]:
    moves = perturbations(problem.regions["CNN"], here)
    names = ["accuracy", "latency_s", "energy_j", "edp_js", "power_w", "ops_per_watt"]
    rates = local_sensitivities(here, moves, quantities=names, problem=problem, model=model, draws=draws)
    return {move.name: move for move in moves}, rates


def named(limits: tuple[ActiveLimit, ...], start: str) -> ActiveLimit:
    return next(limit for limit in limits if limit.text.startswith(start))


@given(unit=st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=40)
def test_rates_equal_the_derivatives_of_the_shapes_everywhere_and_at_every_edge(unit: list[float]) -> None:
    """The shapes' derivatives by hand, at the mode; corners of the region are taken one-sided and agree as well."""
    problem = load("power-cap")
    model = problem.evaluator
    assert isinstance(model, Surrogate)
    region = problem.regions["CNN"]
    here = region.from_unit(np.array([unit]))
    r, d, v = (float(here[name][0]) for name in ("pruning_ratio", "quant_step", "voltage_v"))
    columns = model.evaluate(here)
    accuracy, latency = float(columns["accuracy"][0]), float(columns["latency_s"][0])
    b, t = model.fits["accuracy"].coefficients, model.fits["latency_s"].coefficients

    _, rates = rates_at(here, problem, model, posterior_draws(model, n=4))

    spread = accuracy * (1 - accuracy)
    law = model.laws["CNN"]
    expected = {
        ("accuracy", "pruning_ratio"): -spread * b["b_R"] / (1 - r) ** 2 * 0.01,
        ("accuracy", "quant_step"): -spread * b["b_D"] / 0.02 * 0.1 * d,
        ("accuracy", "voltage_v"): 0.0,
        ("latency_s", "pruning_ratio"): -latency * t["a"] * t["tilt"] / (1 - r) * 0.01,
        ("latency_s", "quant_step"): -latency * t["a"] / t["tilt"] / math.log(2 / d) * 0.1,
        ("latency_s", "voltage_with_clock"): -latency * (law.exponent / (v - law.threshold_v) - 1 / v) * 0.01,
    }
    for (quantity, move), value in expected.items():
        assert rates[quantity][move].change == pytest.approx(value, rel=1e-5, abs=1e-12), (quantity, move)
    assert rates["latency_s"]["frequency_hz"].elasticity == pytest.approx(-1, rel=1e-5)


def test_an_interval_is_that_of_the_same_derivative_in_every_draw(
    problem: Problem, model: Surrogate, draws: Draws
) -> None:
    here = design()
    drawn = predict_draws(model, draws, here, with_noise=False)["accuracy"][:, 0]

    rate = rates_at(here, problem, model, draws)[1]["accuracy"]["pruning_ratio"]

    each = -drawn * (1 - drawn) * draws["accuracy"].coefficients["b_R"] / (1 - 0.46) ** 2
    low, high = np.quantile(each * 0.01, [0.05, 0.95])
    assert (rate.lo, rate.hi) == pytest.approx((low, high), rel=1e-5)
    assert rate.sign == "-"
    low, high = np.quantile(each * 0.46 / drawn, [0.05, 0.95])
    assert (rate.elasticity_lo, rate.elasticity_hi) == pytest.approx((low, high), rel=1e-5)


def test_relative_rates_of_a_product_add_up_those_of_its_factors(
    problem: Problem, model: Surrogate, draws: Draws
) -> None:
    _, rates = rates_at(design(), problem, model, draws)

    for move in rates["edp_js"]:
        parts = rates["energy_j"][move].relative + rates["latency_s"][move].relative
        assert rates["edp_js"][move].relative == pytest.approx(parts, rel=1e-5)


def test_a_sign_is_certain_only_where_the_interval_leaves_out_zero(
    problem: Problem, model: Surrogate, draws: Draws
) -> None:
    _, rates = rates_at(design(), problem, model, draws)

    signs = set()
    for rate in (rate for own in rates.values() for rate in own.values()):
        signs.add(rate.sign)
        assert (rate.sign in "+-") == (rate.lo > 0 or rate.hi < 0)
        assert rate.lo <= rate.change <= rate.hi
    assert signs == {"+", "-", "?", "0"}
    assert rates["ops_per_watt"]["frequency_hz"].sign == "?"
    assert rates["accuracy"]["voltage_v"] == LocalSensitivity(0, 0, 0, 0, 0, 0, 0, "0")


def test_a_quantity_that_is_zero_here_has_a_change_but_no_share_of_itself(
    problem: Problem, model: Surrogate, draws: Draws
) -> None:
    """At the samples' own edge the distance outside their range is 0, and begins to grow on one side."""
    here = design(r=0.54)
    moves = perturbations(problem.regions["CNN"], here)
    rates = local_sensitivities(
        here, moves, quantities=["domain_distance"], problem=problem, model=model, draws=draws
    )  # fmt: skip

    assert rates["domain_distance"]["pruning_ratio"].change > 0
    assert math.isnan(rates["domain_distance"]["pruning_ratio"].elasticity)


def test_at_the_highest_clock_voltage_can_only_rise_and_the_clock_only_fall(problem: Problem) -> None:
    law = problem.regions["CNN"].operating

    moves = perturbations(problem.regions["CNN"], design(f=float(law.frequency_max(0.9))))

    room = {move.name: move.room for move in moves}
    assert room == {"pruning_ratio": "both", "quant_step": "both", "voltage_v": "up", "frequency_hz": "down",
                    "voltage_with_clock": "both"}  # fmt: skip
    assert all(problem.regions["CNN"].contains(move.designs).all() for move in moves)


@pytest.mark.parametrize(("hertz", "step"), [(2.3e9, "10 MHz"), (4.9e8, "1 MHz"), (48e6, "100 kHz")])
def test_the_clocks_step_is_a_round_number_of_the_clocks_size(problem: Problem, hertz: float, step: str) -> None:
    moves = {move.name: move for move in perturbations(problem.regions["CNN"], design(f=hertz))}

    assert moves["frequency_hz"].step == step


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """A study over a table of three operating points, with R fixed."""
    folder: Path = tmp_path_factory.mktemp("listed")
    (folder / "space.toml").write_text(TABLE, encoding="utf-8")
    (folder / "study.toml").write_text(FREE, encoding="utf-8")
    return load(str(folder / "study.toml"))


def test_on_a_table_the_neighbouring_points_stand_in_for_derivatives(
    listed: Problem, model: Surrogate, draws: Draws
) -> None:
    here = design(v=0.9, f=2.1e9)
    moves, rates = rates_at(here, listed, model, draws)

    there = model.evaluate(design(v=0.95, f=2.3e9))["energy_j"] - model.evaluate(here)["energy_j"]
    assert {"next_operating_point", "previous_operating_point"} < moves.keys()
    assert not {"voltage_v", "frequency_hz", "voltage_with_clock"} & moves.keys()
    assert rates["energy_j"]["next_operating_point"].change == pytest.approx(float(there[0]), rel=1e-9)
    assert math.isnan(rates["energy_j"]["next_operating_point"].elasticity)


def test_the_last_point_of_a_table_has_no_next_and_holds_the_design(listed: Problem) -> None:
    moves = perturbations(listed.regions["CNN"], design(v=0.95, f=2.3e9))

    assert [move.name for move in moves if "point" in move.name] == ["previous_operating_point"]


def test_a_fixed_knob_still_has_a_rate_though_no_way_is_open(
    problem: Problem, listed: Problem, model: Surrogate, draws: Draws
) -> None:
    moves, rates = rates_at(design(v=0.9, f=2.1e9), listed, model, draws)
    _, free = rates_at(design(v=0.9, f=2.1e9), problem, model, draws)

    assert moves["pruning_ratio"].room == "none"
    assert rates["accuracy"]["pruning_ratio"].change == pytest.approx(free["accuracy"]["pruning_ratio"].change)


def at(found: Results, problem: Problem, **knobs: float) -> Explanation:
    """Explain a design of one's own, put in place of the results' first."""
    table = problem.evaluate(design(**knobs))
    one = {name: np.array(values) for name, values in found.table.items()}
    for name in table:
        one[name][0] = table[name][0]
    return explain(replace(found, table=one), int(one["design_id"][0]), problem=problem)


def test_a_touched_domain_edge_says_what_loosening_it_would_improve(found: Results) -> None:
    free = load("edp-accuracy")
    edge = free.regions["CNN"].axes[0].high

    limits = at(found, free, r=edge).limits

    highest = named(limits, "highest Pruning ratio R 0.645")
    assert (highest.kind, highest.touches, highest.left_text) == ("domain", True, "none")
    assert highest.improves == {"edp_js": ("pruning_ratio", 1)}
    assert not named(limits, "lowest Pruning ratio R").touches
    assert named(limits, "lowest Pruning ratio R").left == pytest.approx(edge - 0.225)


def test_a_constraint_tells_how_much_is_left_how_surely_and_which_ways_it_stops(
    found: Results, problem: Problem, model: Surrogate
) -> None:
    explained = at(found, problem, f=2.3e9)

    limit = named(explained.limits, "power_w <= 22 W")
    drawn = predict_draws(model, posterior_draws(model), design(f=2.3e9), with_noise=False)["power_w"]
    assert limit.left == pytest.approx(22 - explained.design["power_w"])
    assert limit.p_met == pytest.approx(float(np.mean(drawn <= 22)))
    assert ("voltage_with_clock", 1) in limit.stopped
    assert ("pruning_ratio", -1) in limit.stopped
    assert limit.improves == {"edp_js": ("voltage_with_clock", 1), "accuracy": ("pruning_ratio", -1)}


def test_a_missed_constraint_says_by_how_much(found: Results, problem: Problem) -> None:
    explained = at(found, problem, r=0.3, d=0.02, v=1.0, f=2.45e9)

    limit = named(explained.limits, "power_w <= 22 W")
    assert not explained.design["is_feasible"]
    assert limit.left < 0
    assert limit.touches
    assert limit.left_text.startswith("missed by")


def test_the_highest_clock_of_a_voltage_holds_a_design_that_runs_at_it(found: Results) -> None:
    free = load("edp-accuracy")

    held, loose = (named(at(found, free, f=f).limits, "highest clock that 0.9 V") for f in (2.2999e9, 2.2e9))

    assert (held.touches, loose.touches) == (True, False)
    assert loose.left == pytest.approx(1e8, rel=1e-3)
    assert held.improves == {"edp_js": ("frequency_hz", 1)}


def test_the_rival_is_the_one_that_gains_most_of_those_that_dominate(found: Results) -> None:
    free = load("edp-accuracy")
    row = int(np.flatnonzero(~found.is_front)[0])
    rival = explain(found, int(found.table["design_id"][row]), problem=free).rival
    assert rival is not None

    edp, accuracy = found.table["edp_js"], found.table["accuracy"]
    beats = [i for i in range(len(edp)) if edp[i] <= edp[row] and accuracy[i] >= accuracy[row]
             and (edp[i] < edp[row] or accuracy[i] > accuracy[row])]  # fmt: skip
    wide = [np.ptp(values[found.is_front]) for values in (edp, accuracy)]
    best = max(beats, key=lambda i: (edp[row] - edp[i]) / wide[0] + (accuracy[i] - accuracy[row]) / wide[1])
    assert rival.design_id == found.table["design_id"][best]
    assert rival.n == len(beats)
    change, low, high = rival.gains["edp_js"]
    assert low <= change <= high
    assert change == pytest.approx(edp[best] - edp[row])
    assert 0 <= rival.probability <= 1


def test_nothing_beats_a_design_of_the_front(found: Results) -> None:
    free = load("edp-accuracy")
    explained = explain(found, int(found.front_columns["design_id"][0]), problem=free)

    assert explained.is_front
    assert explained.rival is None


def test_a_measured_design_is_its_own_nearest_sample(found: Results, model: Surrogate) -> None:
    explained = explain(found, 1, problem=load("edp-accuracy"))

    assert explained.design["origin"] == "sample"
    assert (explained.nearest.label, explained.nearest.distance) == ("CNN2", 0.0)
    assert explained.nearest.measured["latency_s"] == 0.13
    value, low, high = explained.nearest.predicted["latency_s"]
    assert value == pytest.approx(explained.design["latency_s"])
    assert (low, high) == pytest.approx((explained.design["latency_s_lo"], explained.design["latency_s_hi"]))


def test_a_design_that_the_present_model_predicts_otherwise_is_told(found: Results) -> None:
    table = {**found.table, "edp_js": found.table["edp_js"] * 1.01}

    explained = explain(replace(found, table=table), 1, problem=load("edp-accuracy"))

    assert any("edp_js is" in text and "the run recorded" in text for text in explained.warnings)


def test_designs_of_a_family_that_the_study_does_not_search_are_refused(found: Results) -> None:
    table = {**found.table, "family": np.array(["DNN"] * found.n_complete, dtype=object)}

    with pytest.raises(WrongUsage, match=r"does not search DNN, which these results did\n  fix: .*--study FILE"):
        explain(replace(found, table=table), 1, problem=load("edp-accuracy"))


def test_an_unknown_design_is_told_with_the_numbers_that_there_are(found: Results) -> None:
    with pytest.raises(WrongUsage, match=r"there is no design 9999: .* 150 finished designs, 0 to 149\n  fix: "):
        explain(found, 9999, problem=load("edp-accuracy"))


# Sentences: from rates made by hand.

EDP, ACCURACY = OBJECTIVES["edp_js"], OBJECTIVES["accuracy"]


def rate(change: float, *, sign: str) -> LocalSensitivity:
    return LocalSensitivity(change, change * 0.8, change * 1.2, change, change, change, change, sign)  # type: ignore[arg-type]


def step_of(name: str, label: str) -> Perturbation:
    return Perturbation(name, label, "0.01", "both", 0.01, 0.02, {k: np.empty(0) for k in KNOBS}, np.empty(0))


def test_a_trade_is_told_with_both_of_its_sides() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="-")}}

    first, second = narrative([step_of("pruning_ratio", "R")], rates, [], [EDP, ACCURACY])

    edp, accuracy = "0.04 J·s (0.032 to 0.048 J·s)", "0.001 (0.0008 to 0.0012)"
    assert (
        first == f"Raising R by 0.01 would lower energy-delay product E·T by {edp}, but lower accuracy by {accuracy}."
    )
    assert (
        second == f"Lowering R by 0.01 would raise accuracy by {accuracy}, but raise energy-delay product E·T by {edp}."
    )


def test_what_is_not_certain_is_called_unknown() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="?")}}

    first, second = narrative([step_of("pruning_ratio", "R")], rates, [], [EDP, ACCURACY])

    assert first.endswith("; what it does to accuracy is not known.")
    assert second == "Which way accuracy would improve is not known from these samples."


def test_a_way_that_a_touched_limit_stops_is_not_offered() -> None:
    rates = {"edp_js": {"pruning_ratio": rate(-0.04, sign="-")}, "accuracy": {"pruning_ratio": rate(-0.001, sign="-")}}
    edge = ActiveLimit("domain", "pruning_ratio", "highest R", 0.0, "none", True, None, (("pruning_ratio", 1),), {})

    first, _ = narrative([step_of("pruning_ratio", "R")], rates, [edge], [EDP, ACCURACY])

    assert first == "Energy-delay product E·T could improve only past a limit: highest R."


def test_of_two_ways_the_one_that_costs_nothing_is_named_and_what_it_takes_of_a_cap() -> None:
    moves = [step_of("pruning_ratio", "R"), step_of("voltage_with_clock", "V with f")]
    rates = {
        "edp_js": {"pruning_ratio": rate(-0.4, sign="-"), "voltage_with_clock": rate(-0.01, sign="-")},
        "accuracy": {"pruning_ratio": rate(-0.001, sign="-"), "voltage_with_clock": rate(0.0, sign="0")},
        "power_w": {"pruning_ratio": rate(-0.1, sign="-"), "voltage_with_clock": rate(0.2, sign="+")},
    }
    ways = (("voltage_with_clock", 1),)
    cap = ActiveLimit("constraint", "power_w", "power_w <= 22 W", 0.5, "500 mW", False, 0.7, ways, {})

    first, _ = narrative(moves, rates, [cap], [EDP, ACCURACY])

    assert first == (
        "Raising V, with the clock following, by 0.01 would lower energy-delay product E·T by 0.01 J·s (0.008 to 0.012 "
        "J·s) and worsen nothing that was asked; it takes 200 mW of the 500 mW that power_w <= 22 W leaves."
    )


@given(changes=st.lists(st.sampled_from([-0.02, -0.01, 0.01, 0.02]), min_size=4, max_size=4),
       signs=st.lists(st.booleans(), min_size=4, max_size=4))  # fmt: skip
def test_no_sentence_claims_an_effect_whose_sign_is_not_certain(changes: list[float], signs: list[bool]) -> None:
    made = [rate(c, sign=("+" if c > 0 else "-") if sure else "?") for c, sure in zip(changes, signs, strict=True)]
    moves = [step_of("pruning_ratio", "R"), step_of("quant_step", "D")]
    rates = {"edp_js": dict(zip(("pruning_ratio", "quant_step"), made[:2], strict=True)),
             "accuracy": dict(zip(("pruning_ratio", "quant_step"), made[2:], strict=True))}  # fmt: skip

    said = narrative(moves, rates, [], [EDP, ACCURACY])

    assume(any(signs))
    for text in said:
        for label, name in (("R", "pruning_ratio"), ("D", "quant_step")):
            for quantity, word in (("edp_js", "energy-delay product"), ("accuracy", "accuracy")):
                if f" {label} by" in text and any(f"{verb} {word}" in text for verb in ("raise", "lower")):
                    assert rates[quantity][name].sign in "+-"


def test_results_read_from_a_folder_explain_as_those_of_the_run(tmp_path: Path) -> None:
    done = run("edp-accuracy", trials=40, out=tmp_path / "out").results
    free = load("edp-accuracy")

    one, again = (explain(given, 1, problem=free) for given in (done, results(tmp_path / "out")))

    assert one.rates == again.rates
    assert one.warnings == again.warnings == ()
