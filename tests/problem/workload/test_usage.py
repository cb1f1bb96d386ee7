"""Columns of a workload: laws, and a discrete-event simulation of the device."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.problem.columns import COLUMNS, Columns
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives
from explorer.problem.workload.usage import Workload, overload, overload_text

FULL = Workload(
    1.0, deadline_s=0.2, idle_power_w=0.4, sleep_power_w=0.02, wake_energy_j=0.005, battery_j=36_000.0,
    carbon_kg_per_j=1e-7,
)  # fmt: skip
DERIVED = [name for name, one in OBJECTIVES.items() if any(key.startswith("[workload]") for key in one.states)]
ENERGIES, SHARES, POWERS = st.floats(1e-6, 100), st.floats(1e-3, 0.999), st.floats(0, 10)


def _columns(workload: Workload, energy: float, latency: float) -> Columns:
    designs = {"energy_j": np.array([energy]), "latency_s": np.array([latency])}
    return add_objectives(designs, Constants(workload=workload))


def _value(name: str, workload: Workload, energy: float, latency: float) -> float:
    return float(_columns(workload, energy, latency)[name][0])


def _events(workload: Workload, latency: float, n: int, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield the idle time before each job and its time from arrival to answer, one server, first come first served."""
    arrival = free = 0.0
    for _ in range(n):
        arrival += rng.exponential(workload.period_s) if workload.is_poisson else workload.period_s
        begin = max(arrival, free)
        idle, free = begin - free, begin + latency
        yield idle, free - arrival


@pytest.mark.parametrize("load", [0.15, 0.6, 0.85])
@pytest.mark.parametrize("is_poisson", [True, False])
@pytest.mark.slow
def test_power_and_waiting_are_those_of_a_simulated_device(load: float, is_poisson: bool) -> None:
    """Discrete events: each job's idle time is slept through, and ends with a wake."""
    workload = replace(FULL, period_s=0.02, is_poisson=is_poisson, idle_power_w=None)
    latency, energy, n = load * workload.period_s, 0.03, 400_000
    idle, response = np.array(list(_events(workload, latency, n, np.random.default_rng(7)))).T
    total = n * energy + float(idle.sum()) * 0.02 + 0.005 * int(np.sum(idle > 1e-12))
    duration = float(idle.sum()) + n * latency

    assert _value("mean_power_w", workload, energy, latency) == pytest.approx(total / duration, rel=0.01)
    assert _value("utilization", workload, energy, latency) == pytest.approx(n * latency / duration, rel=0.01)
    p99 = float(np.quantile(response[1000:], 0.99))
    # The sample's 99th percentile scatters with the length of the busy periods.
    assert _value("p99_latency_s", workload, energy, latency) == pytest.approx(p99, rel=0.06 if load > 0.8 else 0.015)


def test_formulas_are_those_of_the_documentation() -> None:
    """E = 0.1 J, T = 0.1 s each second: 0.9 s of sleep at 20 mW and a wake of 5 mJ are cheaper than 0.4 W."""
    columns = {name: float(values[0]) for name, values in _columns(FULL, 0.1, 0.1).items()}

    assert columns["utilization"] == pytest.approx(0.1)
    assert columns["mean_power_w"] == pytest.approx(0.1 + 0.005 + 0.018)
    assert columns["energy_per_day_j"] == pytest.approx(0.123 * 86400)
    assert columns["battery_days"] == pytest.approx(36_000 / (0.123 * 86400))
    assert columns["carbon_g_per_day"] == pytest.approx(0.123 * 86400 * 1e-7 * 1e3)
    assert columns["deadline_margin_s"] == pytest.approx(0.1)
    assert columns["p99_latency_s"] == pytest.approx(0.1)
    idle = replace(FULL, sleep_power_w=None, wake_energy_j=0.0)
    assert _value("mean_power_w", idle, 0.1, 0.1) == pytest.approx(0.1 + 0.36)


@given(energy=ENERGIES, load=SHARES, idle=POWERS, sleep=POWERS, wake=st.floats(0, 10), is_poisson=st.booleans())
def test_mean_power_is_the_cheaper_of_idle_and_sleep(
    energy: float, load: float, idle: float, sleep: float, wake: float, is_poisson: bool
) -> None:
    both = Workload(1.0, is_poisson, idle_power_w=idle, sleep_power_w=sleep, wake_energy_j=wake)
    options = [replace(both, sleep_power_w=None), replace(both, idle_power_w=None)]

    power = _value("mean_power_w", both, energy, load)
    assert power == min(_value("mean_power_w", one, energy, load) for one in options)
    # Between the energy of the inferences alone, and never asleep or always woken.
    assert energy <= power <= energy + max(idle, sleep) * (1 - load) + wake + 1e-9


@given(energy=ENERGIES, load=st.floats(0.01, 0.4), idle=POWERS)
def test_doubling_the_period_halves_what_inferences_add(energy: float, load: float, idle: float) -> None:
    once, twice = (Workload(period, idle_power_w=idle) for period in (1.0, 2.0))
    added = _value("mean_power_w", once, energy, load) - idle

    assert _value("mean_power_w", twice, energy, load) - idle == pytest.approx(added / 2, rel=1e-6, abs=1e-6)


@given(load=SHARES)
def test_random_arrivals_wait_and_periodic_ones_do_not(load: float) -> None:
    periodic, poisson = (_value("p99_latency_s", replace(FULL, is_poisson=one), 0.1, load) for one in (False, True))

    assert periodic == load
    assert poisson >= periodic


@pytest.mark.parametrize("latency", [1.0, 1.7])
def test_device_that_cannot_keep_up_has_no_steady_state(latency: float) -> None:
    columns = {name: float(values[0]) for name, values in _columns(FULL, 0.1, latency).items()}

    assert columns["utilization"] == latency
    assert {name for name in DERIVED if columns[name] == math.inf} == {
        "mean_power_w", "energy_per_day_j", "p99_latency_s", "carbon_g_per_day"
    }  # fmt: skip
    assert columns["battery_days"] == 0
    assert columns["deadline_margin_s"] == -math.inf
    assert overload(np.array([latency, 0.999])).tolist() == [max(latency - 1, 1e-9), pytest.approx(-0.001)]


def test_unknown_latency_gives_unknown_columns() -> None:
    columns = _columns(FULL, 0.1, math.nan)

    assert all(math.isnan(float(columns[name][0])) for name in DERIVED)


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ({"idle_power_w": None, "sleep_power_w": None}, {"mean_power_w", "energy_per_day_j", "battery_days",
                                                        "carbon_g_per_day"}),
        ({"idle_power_w": None}, set()),
        ({"battery_j": None}, {"battery_days"}),
        ({"deadline_s": None}, {"deadline_margin_s"}),
        ({"carbon_kg_per_j": None}, {"carbon_g_per_day"}),
    ],
)  # fmt: skip
def test_only_columns_of_stated_keys_are_there(missing: dict[str, None], lost: set[str]) -> None:
    columns = _columns(replace(FULL, **missing), 0.1, 0.1)  # type: ignore[arg-type] - names of fields, by row

    assert set(DERIVED) - set(columns) == lost
    assert not set(DERIVED) & set(add_objectives({"latency_s": np.ones(1), "energy_j": np.ones(1)}, Constants()))


def test_draws_have_the_columns_of_each_draw() -> None:
    rng = np.random.default_rng(0)
    draws = {"energy_j": rng.uniform(0.1, 1, (5, 3)), "latency_s": rng.uniform(0.1, 1.2, (5, 3))}
    constants = Constants(workload=replace(FULL, is_poisson=True))
    by_draw = add_objectives(draws, constants)

    for s in range(5):
        one = add_objectives({name: values[s] for name, values in draws.items()}, constants)
        assert all(np.array_equal(by_draw[name][s], one[name]) for name in DERIVED)


@given(fastest=st.floats(1e-6, 1e3), load=st.floats(1.0, 100))
def test_nearest_possible_period_is_one_that_the_fastest_design_keeps(fastest: float, load: float) -> None:
    from explorer.units import parse_quantity

    latency = np.array([2.0, 1.0, 5.0]) * fastest
    what, fix = overload_text(latency, latency * load / fastest)
    period = parse_quantity(fix.split("'")[1], "s")
    rate = parse_quantity(fix.split("'")[3], "/s")

    assert "the fastest design takes" in what
    assert fastest < period < 1.03 * fastest
    assert rate * fastest < 1.0


def test_every_column_of_a_workload_has_a_label() -> None:
    assert len(DERIVED) == 7
    assert all(COLUMNS[name].kind == "objective" for name in DERIVED)
    assert COLUMNS["battery_days"].text(30.5) == "30.5 d"
    assert {name for name in DERIVED if OBJECTIVES[name].direction == "maximize"} == {
        "battery_days", "deadline_margin_s"
    }  # fmt: skip
