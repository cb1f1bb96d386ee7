"""Latency: a low quantile of interleaved rounds, in wall time on a free machine and in CPU time on a busy one."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Clock = Callable[[], float]
WARM_UP, MIN_ROUNDS, MAX_ROUNDS, BUDGET_S = 3, 7, 101, 1.0
# A median moves with the load of the machine, a minimum with the number of rounds. With eight busy loops on two
# processors the ratio of this quantile of CPU times stays within 6 % of the quiet one (tests/bench/busy_latency.py).
QUANTILE = 0.2
# Further passes on a busy machine are longer: a run then gets a small share of a processor.
BUDGETS_S, PAUSE_S = (BUDGET_S, 2.0, 3.0), 0.3
# Wall and CPU time of a run that nobody interrupts differ by .2 %; the constant covers the four calls of the clocks.
_DISTURBED_RATIO, _DISTURBED_S = 1.1, 5e-6
_MAX_DRIFT = 0.1
_MAX_HALF_WIDTH, _NARROW = 0.1, 0.04
_MIN_BUSY_ROUNDS = 21  # the interval of a ratio from fewer rounds is too narrow by chance
# A call of the thread's CPU clock costs .6 us: short runs are repeated within a round.
_MIN_TIMED_S, _MAX_REPEATS = 2e-4, 64
_N_BOOTSTRAP = 400
_Z = 1.96
_MIN_RESOLUTION_S = 1e-4  # of a usable CPU clock; that of Windows ticks in 16 ms


@dataclass(frozen=True, slots=True)
class Latency:
    """Low quantile of the time of one run in seconds, with its 95 % confidence interval."""

    seconds: float
    low: float
    high: float
    n_runs: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """Times of several runs in turn, in seconds, shape (rounds, runs) each; `cpu` is None without a CPU clock."""

    wall: Float
    cpu: Float | None

    @property
    def is_undisturbed(self) -> NDArray[np.bool_]:
        """Mask of the rounds in which no run waited for a processor, shape (rounds,)."""
        if self.cpu is None:
            return np.ones(len(self.wall), dtype=np.bool_)
        return np.asarray((self.wall <= _DISTURBED_RATIO * self.cpu + _DISTURBED_S).all(axis=1))

    @property
    def is_busy(self) -> bool:
        """Whether less than half of the rounds, or fewer than 7, are undisturbed."""
        n = int(self.is_undisturbed.sum())
        return n < MIN_ROUNDS or 2 * n < len(self.wall)

    @property
    def seconds(self) -> Float:
        """Wall times of the undisturbed rounds, or on a busy machine CPU times of all rounds, shape (n, runs)."""
        return self.wall[self.is_undisturbed] if self.cpu is None or not self.is_busy else self.cpu

    @property
    def drift(self) -> float:
        """Relative change of the last run's low quantile between the thirds of the rounds: that of a clock."""
        thirds = [np.quantile(part, QUANTILE) for part in np.array_split(self.seconds[:, -1], 3)]
        return float(max(thirds) / min(thirds) - 1) if min(thirds) > 0 else 0.0

    @property
    def is_steady(self) -> bool:
        """Whether the machine was neither busy nor changed its clock."""
        return not self.is_busy and self.drift <= _MAX_DRIFT

    def append(self, later: "Rounds") -> "Rounds":
        """Return the rounds of both."""
        cpu = None if self.cpu is None or later.cpu is None else np.concatenate([self.cpu, later.cpu])
        return Rounds(np.concatenate([self.wall, later.wall]), cpu)


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency of a run beside a reference run, each in the same rounds.

    Args:
        latency: of the run.
        reference: of the reference run; of the run itself without one.
        ratio: of both, with its 95 % interval.
        cpu_s: low quantile of the run's CPU times in seconds; NaN without a CPU clock.
        n_rounds: number of rounds of all passes.
        n_disturbed: number of rounds in which a run waited for a processor.
        is_steady: whether the machine was neither busy nor changed its clock.
        is_cpu_time: whether the times are CPU times, since the machine was busy.
        half_width: of the interval of the ratio, relative to it; of the latency without a reference.
    """

    latency: Latency
    reference: Latency
    ratio: tuple[float, float, float]
    cpu_s: float
    n_rounds: int
    n_disturbed: int
    is_steady: bool
    is_cpu_time: bool
    half_width: float

    @property
    def is_usable(self) -> bool:
        """Whether the machine was steady, or the interval of 21 rounds or more is within 10 % of the value."""
        return self.is_steady or (self.half_width <= _MAX_HALF_WIDTH and self.n_rounds >= _MIN_BUSY_ROUNDS)

    def columns(self) -> dict[str, float | int | bool]:
        """Return the timing as columns of a samples table, in seconds; latencies only where they are usable."""
        rounds: dict[str, float | int | bool] = {
            "latency_rounds": self.n_rounds,
            "latency_rounds_disturbed": self.n_disturbed,
            "is_busy": not self.is_steady,
        }
        if not self.is_usable:
            return rounds
        latency, (ratio, low, high) = self.latency, self.ratio
        return {
            "latency_s": latency.seconds, "latency_s_lo": latency.low, "latency_s_hi": latency.high,
            "latency_cpu_s": self.cpu_s, "latency_source_s": self.reference.seconds,
            "latency_ratio": ratio, "latency_ratio_lo": low, "latency_ratio_hi": high, **rounds,
        }  # fmt: skip


def cpu_clock(device: str = "cpu") -> Clock | None:
    """Return the CPU clock of this thread, in which a session of one thread runs; None on a GPU or without one."""
    is_fine = time.get_clock_info("thread_time").resolution < _MIN_RESOLUTION_S
    return time.thread_time if device == "cpu" and is_fine else None


def time_interleaved(
    runs: Sequence[Callable[[], object]],
    *,
    wall: Clock = time.perf_counter,
    cpu: Clock | None = None,
    budget_s: float = BUDGET_S,
    check: Callable[[], object] = lambda: None,
) -> Rounds:
    """Return wall and CPU times of several runs in turn, every second round in reverse order.

    Three warm-up rounds precede 7 to 101 timed rounds, about `budget_s` seconds in total. Runs below .2 ms are repeated
    within a round, and the round has their mean. `check` is called before each round, outside the timed part; it raises
    when the time limit is exceeded.
    """
    fastest = math.inf
    for _ in range(WARM_UP):
        check()
        for run in runs:
            before = wall()
            run()
            fastest = min(fastest, wall() - before)
    n_repeats = min(max(math.ceil(_MIN_TIMED_S / max(fastest, 1e-9)), 1), _MAX_REPEATS)
    clocks = (wall, cpu or (lambda: 0.0))
    rounds: list[list[tuple[float, float]]] = []
    start = wall()
    while len(rounds) < MIN_ROUNDS or (len(rounds) < MAX_ROUNDS and wall() - start < budget_s):
        check()
        is_reversed = len(rounds) % 2 == 1
        times = [_time_one(run, n_repeats, *clocks) for run in (reversed(runs) if is_reversed else runs)]
        rounds.append(times[::-1] if is_reversed else times)
    seconds = np.array(rounds)
    return Rounds(seconds[..., 0], seconds[..., 1] if cpu else None)


def measure_latency(
    run: Callable[[], object],
    reference: Callable[[], object] | None = None,
    *,
    device: str = "cpu",
    check: Callable[[], float | None] = lambda: None,
) -> Timing:
    """Time a run beside a reference run; on a busy or throttled machine up to three times, with pauses.

    A steady pass counts alone. Without one all rounds count together, and they end once the interval is within 4 %.

    Args:
        run: the run to be timed.
        reference: the run that it is compared with.
        device: 'cpu' or 'cuda'.
        check: returns the remaining seconds of a time limit, None without one; raises when it is exceeded.
    """
    runs, cpu = (run, reference) if reference else (run,), cpu_clock(device)
    rounds = total = time_interleaved(runs, cpu=cpu, check=check)
    for budget_s in BUDGETS_S[1:]:
        remaining = check()
        is_short = remaining is not None and remaining < PAUSE_S + 2 * budget_s
        is_narrow = len(total.wall) >= _MIN_BUSY_ROUNDS and _relative_half_width(total) < _NARROW
        if rounds.is_steady or is_short or is_narrow:
            break
        time.sleep(PAUSE_S)
        rounds = time_interleaved(runs, cpu=cpu, budget_s=budget_s, check=check)
        total = total.append(rounds)
    rounds = rounds if rounds.is_steady else total
    seconds = rounds.seconds
    latency = low_latency(seconds[:, 0])
    return Timing(
        latency, low_latency(seconds[:, 1]) if reference else latency, _ratio(rounds),
        float(np.quantile(rounds.cpu[:, 0], QUANTILE)) if rounds.cpu is not None else math.nan,
        len(rounds.wall), int((~rounds.is_undisturbed).sum()), rounds.is_steady, cpu is not None and rounds.is_busy,
        _relative_half_width(rounds),
    )  # fmt: skip


def low_latency(seconds: Float) -> Latency:
    """Return the 20th percentile of run times with its distribution-free confidence interval (order statistics).

    The number of runs below a quantile q is binomial(n, q); its normal approximation gives the ranks.
    Source: H. A. David and H. N. Nagaraja, "Order Statistics", 3rd ed., Wiley 2003, section 7.1.

    >>> low_latency(np.arange(1.0, 102.0))
    Latency(seconds=21.0, low=13.0, high=30.0, n_runs=101)
    """
    n, ordered = seconds.size, np.sort(seconds)
    middle, half_width = n * QUANTILE, _Z * math.sqrt(n * QUANTILE * (1 - QUANTILE))
    first, last = max(math.floor(middle - half_width), 0), min(math.ceil(middle + half_width), n - 1)
    return Latency(float(np.quantile(ordered, QUANTILE)), float(ordered[first]), float(ordered[last]), n)


def latency_ratio(seconds: Float, reference: Float) -> tuple[float, float, float]:
    """Return the ratio of the low quantiles of two runs in the same rounds, with its 95 % bootstrap interval.

    Rounds are drawn with replacement (B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman &
    Hall 1993, section 13.3).

    Args:
        seconds: times of a run, shape (n,), positive.
        reference: times of the other one in the same rounds, shape (n,), positive.
    """
    n = len(seconds)
    drawn = np.random.default_rng(0).integers(n, size=(_N_BOOTSTRAP, n))
    quantiles = [np.quantile(times[drawn], QUANTILE, axis=1) for times in (seconds, reference)]
    low, high = np.quantile(quantiles[0] / quantiles[1], [0.025, 0.975])
    ratio = float(np.quantile(seconds, QUANTILE) / np.quantile(reference, QUANTILE))
    return ratio, min(float(low), ratio), max(float(high), ratio)


def _ratio(rounds: Rounds) -> tuple[float, float, float]:
    """Return the ratio of the first to the last run with its interval; on a busy machine this spans that of medians.

    An interrupted run finds its caches cold. That weighs more on one of the two networks, and on medians more than on
    low quantiles: a ratio that depends on the quantile is not that of a free machine.
    """
    seconds = rounds.seconds
    ratio, low, high = latency_ratio(seconds[:, 0], seconds[:, -1])
    if rounds.is_busy:
        first, last = np.median(seconds[:, [0, -1]], axis=0)
        low, high = min(low, float(first / last)), max(high, float(first / last))
    return ratio, low, high


def _relative_half_width(rounds: Rounds) -> float:
    """Return the larger half of the interval of the ratio, or of the latency of a single run, relative to the value."""
    latency = low_latency(rounds.seconds[:, 0])
    value, low, high = (
        _ratio(rounds) if rounds.wall.shape[1] > 1 else (latency.seconds, latency.low, latency.high)
    )  # fmt: skip
    return max(high - value, value - low) / value


def _time_one(run: Callable[[], object], n_repeats: int, wall: Clock, cpu: Clock) -> tuple[float, float]:
    """Return wall and CPU time of a run, the mean of its repeats."""
    wall_start, cpu_start = wall(), cpu()
    for _ in range(n_repeats):
        run()
    cpu_s = cpu() - cpu_start
    return (wall() - wall_start) / n_repeats, cpu_s / n_repeats
