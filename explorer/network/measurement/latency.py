"""Latency: medians of interleaved runs, so that a slow phase of the machine affects all networks alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
WARM_UP, MIN_ROUNDS, MAX_ROUNDS, BUDGET_S = 3, 7, 101, 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Median time of one run in seconds, with its 95 % confidence interval."""

    median: float
    low: float
    high: float
    n_runs: int


def time_interleaved(
    runs: Sequence[Callable[[], object]], *, clock: Callable[[], float], check: Callable[[], object] = lambda: None
) -> Float:
    """Return times of several runs in turn (a, b, a, b, ...), shape (rounds, len(runs)), in seconds.

    Three warm-up rounds precede 7 to 101 timed rounds, about one second in total. `check` is called before each round,
    outside the timed part; it raises when the time limit is exceeded.
    """
    for _ in range(WARM_UP):
        check()
        for run in runs:
            run()
    rounds: list[list[float]] = []
    start = clock()
    while len(rounds) < MIN_ROUNDS or (len(rounds) < MAX_ROUNDS and clock() - start < BUDGET_S):
        check()
        times = []
        for run in runs:
            before = clock()
            run()
            times.append(clock() - before)
        rounds.append(times)
    return np.array(rounds)


def median_latency(seconds: Float) -> Latency:
    """Return the median of run times with its distribution-free confidence interval (order statistics).

    The number of runs below the median is binomial(n, 1/2); its normal approximation gives the ranks.
    Source: H. A. David and H. N. Nagaraja, "Order Statistics", 3rd ed., Wiley 2003, section 7.1.

    >>> median_latency(np.arange(1.0, 101.0))
    Latency(median=50.5, low=40.0, high=61.0, n_runs=100)
    """
    n, ordered = seconds.size, np.sort(seconds)
    half_width = 1.96 * math.sqrt(n) / 2
    first, last = max(math.floor(n / 2 - half_width) - 1, 0), min(math.ceil(n / 2 + half_width), n - 1)
    return Latency(float(np.median(ordered)), float(ordered[first]), float(ordered[last]), n)
