"""Latency: medians of interleaved runs, so that a slow spell of the machine slows every contender alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
WARM_UP, MIN_ROUNDS, MAX_ROUNDS, BUDGET_S = 3, 7, 101, 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """The median seconds of one run, and the interval that holds the true median in 95 % of cases."""

    median: float
    low: float
    high: float
    n_runs: int


def time_interleaved(
    runs: Sequence[Callable[[], object]], *, clock: Callable[[], float], check: Callable[[], object] = lambda: None
) -> Float:
    """Time several runs in turn: a, b, a, b, ...; shape (rounds, len(runs)), seconds.

    Three rounds warm up. Then there are at least 7 and at most 101 rounds, for about a second in all. `check` is called
    before each round, outside what is timed; it raises when there is no more time.
    """
    for _ in range(WARM_UP):
        check()
        for run in runs:
            run()
    rounds: list[list[float]] = []
    began = clock()
    while len(rounds) < MIN_ROUNDS or (len(rounds) < MAX_ROUNDS and clock() - began < BUDGET_S):
        check()
        times = []
        for run in runs:
            before = clock()
            run()
            times.append(clock() - before)
        rounds.append(times)
    return np.array(rounds)


def median_latency(seconds: Float) -> Latency:
    """Return the median of one contender's runs with its distribution-free interval (order statistics).

    Source: the number of runs below the median is binomial(n, 1/2); its normal approximation gives the ranks.

    >>> latency_of(np.arange(1.0, 101.0))
    Latency(median=50.5, low=40.0, high=61.0, n_runs=100)
    """
    n, ordered = seconds.size, np.sort(seconds)
    reach = 1.96 * math.sqrt(n) / 2
    first, last = max(math.floor(n / 2 - reach) - 1, 0), min(math.ceil(n / 2 + reach), n - 1)
    return Latency(float(np.median(ordered)), float(ordered[first]), float(ordered[last]), n)
