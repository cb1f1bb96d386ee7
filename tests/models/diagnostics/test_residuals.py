"""Checks of held-out residuals: outliers, comparison with the mean, noise that depends on a knob."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.models.diagnostics.residuals import noise_slopes, residual_warnings


def held_out(n: int = 30, *, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log latencies, predictions with normal errors, and their standard deviations."""
    truth = np.linspace(-4, -2, n)
    return truth, truth + noise * np.random.default_rng(seed).standard_normal(n), np.full(n, noise)


def test_single_outlier_is_listed_with_its_row() -> None:
    truth, predicted, sd = held_out()
    truth[18] += np.log(3)
    (warning,) = residual_warnings("latency_s", truth, predicted, sd)

    assert warning.kind == "outlier"
    assert "the worst first: row 20 (" in warning.text


def test_repeats_of_an_outlying_design_are_listed_together() -> None:
    truth, predicted, sd = held_out()
    truth[[4, 5]] += 1
    (warning,) = residual_warnings("energy_j", truth, predicted, sd, design_index=np.arange(30) // 2, numbers=range(30))

    assert "the worst first: rows 4, 5 (" in warning.text


def test_repeats_that_disagree_count_as_rows() -> None:
    """The mean of both repeats is predicted exactly; one of them is four times the other."""
    truth, predicted, sd = held_out()
    predicted[11] = predicted[10]
    truth[10], truth[11] = predicted[10] - 0.7, predicted[10] + 0.7
    (warning,) = residual_warnings("latency_s", truth, predicted, sd, design_index=np.maximum(np.arange(30), 1))

    assert "row 12 (" in warning.text
    assert "row 13 (" in warning.text


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_clean_residuals_get_no_warning(seed: int) -> None:
    truth, predicted, sd = held_out(seed=seed)

    assert residual_warnings("latency_s", truth, predicted, sd, baseline_error=0.5) == ()


def test_fit_that_explains_nothing_is_reported() -> None:
    truth, _, sd = held_out()
    (warning,) = residual_warnings("energy_j", truth, np.full(30, truth.mean()), sd + 1)

    assert warning.kind == "no_better_than_baseline"
    assert "THE FIT EXPLAINS NOTHING" in warning.text


def test_fit_as_good_as_the_mean_of_each_category_is_reported() -> None:
    truth, predicted, sd = held_out(noise=0.1)
    error = float(np.mean(np.abs(np.expm1(predicted - truth))))
    (warning,) = residual_warnings("energy_j", truth, predicted, sd, baseline_error=error)

    assert warning.kind == "no_better_than_baseline"
    assert "the mean of each category is as good" in warning.text


def test_constant_target_raises_no_alarm_about_its_fit() -> None:
    truth = np.full(12, np.log(2e6))
    noise = 1e-5 * np.random.default_rng(0).standard_normal(12)

    assert residual_warnings("size_bytes", truth, truth + noise, np.full(12, 1e-5), baseline_error=1e-6) == ()


@pytest.mark.parametrize("slope", [-1.0, 0.6, 1.0])
def test_noise_that_grows_with_a_knob_is_measured(slope: float) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (400, 4))
    slopes = noise_slopes(points, 0.05 * np.exp(slope * points[:, 2]) * rng.standard_normal(400))

    assert slopes[2] == pytest.approx(slope, abs=0.2)
    assert np.flatnonzero(slopes).tolist() == [2]


@pytest.mark.slow
@pytest.mark.parametrize("freedom", [3, 300])
@pytest.mark.parametrize("d", [1, 5, 100])
def test_constant_noise_has_no_slopes(d: int, freedom: int) -> None:
    """At most 3 % of 200 tables, also with the tails of a Student t distribution."""
    rng = np.random.default_rng(0)
    alarms = [noise_slopes(rng.uniform(-1, 1, (60, d)), rng.standard_t(freedom, 60)).any() for _ in range(200)]

    assert sum(alarms) <= 6


def test_fewer_than_twenty_residuals_give_no_slopes() -> None:
    points = np.linspace(-1, 1, 19)[:, None]

    assert not noise_slopes(points, np.exp(3 * points[:, 0])).any()


def test_outlier_is_no_noise_that_grows() -> None:
    """At most 3 of 100 tables, with a residual of 60 standard deviations at the end of the first knob."""
    rng, n_alarms = np.random.default_rng(1), 0
    for _ in range(100):
        points, residuals = rng.uniform(-1, 1, (40, 2)), 0.05 * rng.standard_normal(40)
        residuals[np.argmax(points[:, 0])] = 3.0
        n_alarms += bool(noise_slopes(points, residuals).any())

    assert n_alarms <= 3
