"""Limits with a probability: percentiles over posterior draws, joint limits, and the scatter of measurements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from explorer.errors import WrongUsage
from explorer.models.limits import (
    chance_columns,
    limit_probabilities,
    measured_chance_columns,
    measured_limit_probabilities,
)
from explorer.problem.constraints import joint_groups, parse_constraint

PROBABILITIES = st.floats(0.01, 0.995)
SEEDS = st.integers(0, 2**32 - 1)


def _draws(seed: int, n_draws: int = 200, n: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    power = 20 + rng.normal(size=(n_draws, n))
    return {"power_w": power, "accuracy": 0.95 - 0.01 * (power - 20) + 0.005 * rng.normal(size=(n_draws, n))}


@given(SEEDS, PROBABILITIES, st.floats(17, 23))
def test_a_cap_is_met_exactly_where_its_share_of_the_draws_is(seed: int, probability: float, watts: float) -> None:
    limit = parse_constraint(f"power_w <= {watts!r} @ {probability:.6f}")
    by_draw = _draws(seed)

    is_met = limit.violation(chance_columns([limit], by_draw)) <= 0

    share = np.mean(by_draw["power_w"] <= limit.limit, axis=0)
    np.testing.assert_array_equal(is_met, share >= limit.probability - 1e-9)


@given(SEEDS, PROBABILITIES)
def test_joint_limits_are_met_exactly_where_all_hold_in_that_share_of_the_draws(seed: int, probability: float) -> None:
    limits = [parse_constraint(f"{text} @ {probability:.6f}") for text in ("power_w <= 20.3 W", "accuracy >= 0.945")]
    by_draw = _draws(seed)
    ((name, asked, _),) = joint_groups(limits)

    found, columns = limit_probabilities(limits, by_draw), chance_columns(limits, by_draw)

    together = np.mean((by_draw["power_w"] <= 20.3) & (by_draw["accuracy"] >= 0.945), axis=0)
    np.testing.assert_allclose(found.joint, together)
    np.testing.assert_array_equal(columns[name] <= 0, together >= asked - 1e-9)
    assert np.all(found.joint <= found.each.min(axis=0))


@given(SEEDS, PROBABILITIES, PROBABILITIES)
def test_a_higher_probability_never_loosens_a_limit(seed: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    by_draw = _draws(seed)
    loose, tight = (parse_constraint(f"power_w <= 20 W @ {p:.6f}") for p in (low, high))

    assert np.all(
        loose.violation(chance_columns([loose], by_draw)) <= tight.violation(chance_columns([tight], by_draw))
    )


def test_a_value_that_is_unknown_meets_no_limit() -> None:
    limit = parse_constraint("power_w <= 22 W @ 90 %")
    columns = chance_columns([limit], {"power_w": np.full((50, 1), np.nan)})

    assert not np.any(limit.violation(columns) <= 0)


def test_a_measurement_scatters_as_its_interval_says() -> None:
    columns = {
        name: np.array([value]) for name, value in (("power_w", 20.0), ("power_w_lo", 18.0), ("power_w_hi", 23.0))
    }
    sigma = 3.0 / norm.ppf(0.95)
    limit = parse_constraint("power_w <= 22 W @ 90 %")

    held = measured_chance_columns([limit], columns)["power_w_p90"]
    probability = measured_limit_probabilities([limit], columns).joint

    assert held == pytest.approx(20 + sigma * norm.ppf(0.9))
    assert probability == pytest.approx(norm.cdf(2 / sigma))


def test_a_reading_without_an_interval_has_an_unknown_probability_and_a_knob_a_known_one() -> None:
    columns = {"power_w": np.array([20.0]), "pruning_ratio": np.array([0.4])}
    limits = [parse_constraint("power_w <= 22 W"), parse_constraint("pruning_ratio >= 0.3")]

    found = measured_limit_probabilities(limits, columns)

    assert np.isnan(found.each[0, 0])
    assert found.each[1, 0] == 1


@pytest.mark.parametrize("text", ["0 %", "100 %", "1", "0", "120 %", "1e-3", "-5 %", "often", ""])
def test_a_probability_that_no_model_has_is_refused_with_the_nearest_possible_one(text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        parse_constraint(f"power_w <= 22 W @ {text}")

    assert "@ " in caught.value.fix


def test_a_knob_has_no_probability() -> None:
    with pytest.raises(WrongUsage, match="it is known"):
        parse_constraint("pruning_ratio >= 0.3 @ 90 %")
