"""Price of robustness: robust fronts lie inside the nominal one; losses equal a slow loop over pairs of points."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import Problem, make_problem
from explorer.models.loading import load_model
from explorer.pareto.comparison.robustness import (
    _extra,
    price_of_robustness,
    robustness_json,
    with_worst_case_limits,
    without_scenarios,
)
from explorer.pareto.geometry.refinement import Budget
from explorer.problem.columns import Float
from explorer.problem.study import make_study

REFERENCE, SMALL = (5.0, 0.86), Budget(0, 6_000)
POINTS = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (n, 3), elements=st.integers(1, 5).map(float)))


def problem_of(scenario: dict[str, Any], limit: str = "power_w <= 18 W", **keys: Any) -> Problem:
    declared = {"space": "cnn", "objectives": ["edp_js", "accuracy"], "constraints": [limit, "accuracy >= 0.9"]}
    study = make_study({**declared, **keys, "scenario": scenario}, name="robust", spaces={})
    return make_problem(study, load_model("paper"))


@settings(max_examples=60, deadline=None)
@given(nominal=POINTS, robust=POINTS, j=st.integers(0, 2))
def test_loss_at_equal_others_equals_a_loop_over_pairs(nominal: Float, robust: Float, j: int) -> None:
    rest = [i for i in range(3) if i != j]
    for own, extra in zip(robust, _extra(j, nominal, robust), strict=True):
        as_good = [other[j] for other in nominal if all(other[i] <= own[i] for i in rest)]
        if as_good:
            assert extra == pytest.approx(max(own[j] - min(as_good), 0.0) / min(as_good))
        else:
            assert math.isnan(extra)


@pytest.mark.slow
def test_robust_front_is_never_better_than_the_nominal_one() -> None:
    price = price_of_robustness(
        problem_of({"droop": {"voltage": "-3 %"}, "hot": {"power_w": "+10 %"}}), REFERENCE, budget=SMALL
    )

    assert 0 < price.robust_hypervolume < price.nominal_hypervolume
    assert 0 < price.lost < 1
    assert 0 < price.n_broken <= price.n_nominal
    assert max(n for _, n in price.broken) <= price.n_broken
    for one in price.prices:
        assert one.objective.sign * one.robust >= one.objective.sign * one.nominal - 1e-3 * abs(one.nominal)
        assert 0 <= one.median <= one.largest
    told = robustness_json(price)
    assert told["hypervolume_lost"] == price.lost
    assert [one["objective"] for one in told["prices"]] == ["edp_js", "accuracy"]


@pytest.mark.slow
def test_mode_does_not_change_the_price() -> None:
    droop = {"droop": {"voltage": "-2 %"}}
    worst, nominal = (
        price_of_robustness(problem_of({**droop, "mode": mode}), REFERENCE, budget=SMALL)
        for mode in ("worst", "nominal")
    )

    assert worst == nominal


@pytest.mark.slow
def test_scenario_without_a_change_costs_nothing() -> None:
    price = price_of_robustness(problem_of({"none": {"power_w": "0 %"}}), REFERENCE, budget=SMALL)

    assert price.lost == 0
    assert (price.n_broken, price.broken) == (0, ())
    assert {one.largest for one in price.prices} == {0.0}


@pytest.mark.slow
def test_worst_case_objectives_are_compared_by_nominal_values() -> None:
    price = price_of_robustness(
        problem_of({"hot": {"energy_j": "+10 %"}}, objectives=["edp_js_worst", "accuracy"]), REFERENCE, budget=SMALL
    )

    assert [o.name for o in price.objectives] == ["edp_js", "accuracy"]
    # EDP is 10 % more everywhere: the same designs are on both fronts, but for the limit of the power.
    assert price.robust_hypervolume == pytest.approx(price.nominal_hypervolume, rel=0.2)


@pytest.mark.slow
def test_limits_that_nothing_meets_in_a_scenario_are_told() -> None:
    with pytest.raises(NoFeasibleDesign, match="in every scenario"):
        price_of_robustness(problem_of({"hot": {"accuracy": "-20 %"}}), REFERENCE, budget=SMALL)


def test_nominal_study_is_that_without_scenarios() -> None:
    droop = {"droop": {"voltage": "-3 %"}}
    plain, worst, nominal = (
        problem_of(scenario).study for scenario in ({}, droop, {**droop, "mode": "nominal"})
    )  # fmt: skip

    assert [c.text for c in worst.constraints] == ["power_w_worst <= 18 W", "accuracy_worst >= 0.9"]
    assert without_scenarios(worst).declaration() == without_scenarios(nominal).declaration() == plain.declaration()
    assert with_worst_case_limits(nominal).declaration() == worst.declaration()


def test_study_without_scenarios_has_no_price() -> None:
    with pytest.raises(WrongUsage, match="no scenarios"):
        price_of_robustness(problem_of({}), REFERENCE)
