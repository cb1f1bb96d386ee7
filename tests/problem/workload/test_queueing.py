"""The queue M/D/1: the waiting time of a job, against its series, known values and a simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.problem.workload.queueing import waiting_probability, waiting_quantile

LOADS = st.floats(0.001, 0.97)


def _alternating_series(wait: float, rho: float) -> float:
    """Return P(W <= x) by Erlang's alternating series in exact arithmetic: slow, and without cancellation."""
    from fractions import Fraction

    x, load = Fraction(wait), Fraction(rho)
    total = 0.0
    # exp(-load (j - x)) as a common factor exp(load x): the rest of each term is summed exactly with a series of exp.
    terms = [((load * (j - x)) ** j / math.factorial(j), j) for j in range(math.floor(x) + 1)]
    exponential = [sum((-load * j) ** i / Fraction(math.factorial(i)) for i in range(60)) for _, j in terms]
    total = float(sum(t * e for (t, _), e in zip(terms, exponential, strict=True)))
    return (1 - rho) * math.exp(rho * wait) * total


@given(wait=st.floats(0, 12), rho=st.floats(0.05, 0.95))
def test_probability_is_erlangs_series(wait: float, rho: float) -> None:
    assert float(waiting_probability(wait, rho)) == pytest.approx(_alternating_series(wait, rho), abs=1e-9)


@given(rho=LOADS, first=st.floats(0, 60), second=st.floats(0, 60))
def test_probability_rises_with_the_wait_from_an_idle_server_to_1(rho: float, first: float, second: float) -> None:
    low, high = sorted((first, second))
    values = waiting_probability([0.0, low, high, 1e4], rho)

    assert values[0] == pytest.approx(1 - rho)
    assert (np.diff(values) >= -1e-12).all()
    assert values[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8, 0.95])
def test_mean_wait_is_that_of_pollaczek_and_khinchine(rho: float) -> None:
    """rho / (2 (1 - rho)): the integral of the survival function."""
    grid = np.linspace(0, 400, 40_001)
    mean = np.trapezoid(1 - waiting_probability(grid, rho), grid)

    assert mean == pytest.approx(rho / (2 * (1 - rho)), rel=1e-4)


@pytest.mark.parametrize("rho", [0.75, 0.9, 0.96])
def test_tail_joins_the_exact_distribution(rho: float) -> None:
    before, after = waiting_probability([20 - 1e-9, 20 + 1e-9], rho)

    assert 1 - after == pytest.approx(1 - before, rel=1e-8)


@given(rho=LOADS)
def test_quantile_inverts_the_probability(rho: float) -> None:
    wait = float(waiting_quantile(rho))

    if rho <= 0.01:
        assert wait == 0
    else:
        assert float(waiting_probability(wait, rho)) == pytest.approx(0.99, abs=1e-6)


@given(first=LOADS, second=LOADS)
def test_quantile_rises_with_the_load(first: float, second: float) -> None:
    low, high = waiting_quantile(sorted((first, second)))

    assert low <= high


@pytest.mark.parametrize("probability", [0.9, 0.99, 0.999])
def test_quantile_of_heavy_traffic_is_kingmans(probability: float) -> None:
    """W (1 - rho) is exponential with mean 1/2 for rho to 1."""
    scaled = float(waiting_quantile(0.9999, probability)) * 1e-4

    assert scaled == pytest.approx(-math.log(1 - probability) / 2, rel=1e-3)


def test_quantile_without_a_steady_state_is_infinite() -> None:
    assert waiting_quantile([1.0, 1.5]).tolist() == [math.inf, math.inf]
    assert math.isnan(float(waiting_quantile(math.nan)))
    assert waiting_quantile(np.full((3, 2), 0.5)).shape == (3, 2)
