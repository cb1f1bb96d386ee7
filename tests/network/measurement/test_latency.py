"""Latency of interleaved runs: rounds, low quantiles, ratios, and what a busy machine changes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import MeasurementFailed
from explorer.network.measurement.latency import (
    Rounds,
    cpu_clock,
    latency_ratio,
    low_latency,
    measure_latency,
    time_interleaved,
)
from explorer.network.measurement.measure import busy_note, is_latency_refused, measure_design
from explorer.network.measurement.setup import MeasurementSetup, start_time_limit


def rounds(*, n: int = 60, disturbed: float = 0.0, slow_from: int | None = None, noise: float = 0.01) -> Rounds:
    """Return rounds of a run of 1 ms beside one of 2 ms; a share is interrupted for 20 ms, a part at half the clock."""
    rng = np.random.default_rng(0)
    cpu = np.array([1e-3, 2e-3]) * (1 + noise * rng.random((n, 2)))
    if slow_from is not None:
        cpu[slow_from:] *= 2
    wall = cpu * 1.002
    wall[: round(disturbed * n), rng.integers(2)] += 20e-3
    return Rounds(wall, cpu)


@contextmanager
def busy_processes(n: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_runs_are_interleaved_and_every_second_round_is_reversed() -> None:
    calls: list[str] = []
    now = iter(range(1_000_000))
    timed = time_interleaved([lambda: calls.append("a"), lambda: calls.append("b")], wall=lambda: float(next(now)))

    assert "".join(calls[:6]) == "ababab"  # warm-up
    assert "".join(calls[6:14]) == "abbaabba"
    assert timed.wall.shape == (7, 2)  # slow runs get the minimum of rounds
    assert timed.cpu is None


def test_fast_runs_are_repeated_and_get_the_maximum_of_rounds() -> None:
    calls: list[int] = []
    now = iter(np.arange(0, 10, 1e-6))
    timed = time_interleaved([lambda: calls.append(1)], wall=lambda: float(next(now)))

    assert timed.wall.shape == (101, 1)
    assert len(calls) == 3 + 101 * 64


def test_timing_stops_when_the_check_raises() -> None:
    left = iter([None] * 5)

    with pytest.raises(StopIteration):
        time_interleaved([lambda: None], wall=lambda: 0.0, check=lambda: next(left))


@given(seconds=st.lists(st.floats(1e-6, 10), min_size=7, max_size=101))
def test_low_quantile_is_within_its_interval(seconds: list[float]) -> None:
    latency = low_latency(np.array(seconds))

    assert min(seconds) <= latency.low <= latency.seconds <= latency.high <= max(seconds)


def test_interval_of_the_low_quantile_has_nominal_coverage() -> None:
    truth = float(np.exp(-0.8416212335729143))  # 20th percentile of a standard lognormal
    latencies = [low_latency(row) for row in np.random.default_rng(0).lognormal(size=(3000, 50))]

    assert np.mean([latency.low <= truth <= latency.high for latency in latencies]) > 0.93


def test_interval_of_the_ratio_has_nominal_coverage() -> None:
    """Both runs slow down together, as on one machine."""
    rng = np.random.default_rng(1)
    shared = rng.lognormal(sigma=0.3, size=(300, 80))
    pairs = [shared * k * rng.lognormal(sigma=0.1, size=shared.shape) for k in (0.6, 1.0)]
    ratios = [latency_ratio(*rows) for rows in zip(*pairs, strict=True)]

    assert np.mean([low <= 0.6 <= high for _, low, high in ratios]) > 0.9


@given(factor=st.floats(0.01, 100))
def test_ratio_does_not_depend_on_the_clock_of_the_machine(factor: float) -> None:
    seconds = rounds().wall

    assert latency_ratio(*(factor * seconds.T)) == pytest.approx(latency_ratio(*seconds.T))


@pytest.mark.parametrize(("share", "is_busy"), [(0.0, False), (0.4, False), (0.6, True), (1.0, True)])
def test_machine_is_busy_where_most_rounds_are_interrupted(share: float, is_busy: bool) -> None:
    timed = rounds(disturbed=share)

    assert timed.is_busy is is_busy
    assert latency_ratio(*timed.seconds.T)[0] == pytest.approx(0.5, rel=0.02)
    assert timed.seconds.max() < 3e-3  # no interruption is among the times


def test_a_clock_that_changes_is_noticed() -> None:
    assert rounds().is_steady
    assert not rounds(slow_from=40).is_steady
    assert not rounds(slow_from=40).is_busy


def test_without_a_cpu_clock_wall_times_count() -> None:
    timed = Rounds(rounds(disturbed=1).wall, None)

    assert not timed.is_busy
    assert cpu_clock("cuda") is None


def test_a_session_of_one_thread_runs_in_the_calling_thread(mlp_setup: MeasurementSetup) -> None:
    run = mlp_setup.session.bind(mlp_setup.task.one_run)
    run()
    thread, process = time.thread_time(), time.process_time()
    for _ in range(300):
        run()

    assert time.thread_time() - thread > 0.7 * (time.process_time() - process)


def test_time_limit_also_ends_repeated_passes() -> None:
    def slow() -> None:
        time.sleep(0.03)  # no CPU time: every round is disturbed

    with pytest.raises(MeasurementFailed, match="time limit"):
        measure_latency(slow, check=start_time_limit(0.3))
    timing = measure_latency(slow, check=start_time_limit(1.7))

    assert not timing.is_steady
    assert timing.is_cpu_time


def test_latency_is_refused_where_a_busy_machine_leaves_it_uncertain() -> None:
    noisy = iter(np.random.default_rng(0).exponential(size=10_000))

    def run() -> None:
        until = time.thread_time() + 2e-3 * next(noisy)
        while time.thread_time() < until:
            pass
        time.sleep(2e-3)

    columns = measure_latency(run, run, check=lambda: 0.5).columns()

    assert is_latency_refused(columns)
    assert "latency_ratio" not in columns
    assert busy_note([columns, {}]).startswith("1 of 2 designs were timed while other programs used the processor")


@pytest.mark.slow
def test_ratio_beside_busy_processes_is_right_or_told(mlp_setup: MeasurementSetup) -> None:
    with busy_processes(4):
        row = measure_design(mlp_setup, pruning_ratio=0.3, quant_step=0.05, cache={})

    # Both networks do the same arithmetic.
    assert row["is_busy"] or row["latency_ratio"] == pytest.approx(1, rel=0.15)
