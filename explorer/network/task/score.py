"""Quality of a network under a target: Wilson intervals of shares, bootstrap intervals of scores."""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import MeasurementFailed
from explorer.network.task.accuracy import wilson_interval
from explorer.network.task.module import raised
from explorer.problem.targets import declared_target

CONFIDENCE = 0.90  # of bootstrap intervals, as of all predictions
N_RESAMPLES = 2_000  # of values of single samples
_BLOCK = 4_000_000  # drawn indices at once: 32 MB
_OPEN = (0.0, np.inf)  # a target's range where its user states none
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """Measured quality under one target.

    Args:
        value: the quality of all samples.
        lo: lower bound of its interval.
        hi: upper bound of its interval.
        n: number of samples.
        per_sample: value of each sample, in order of the rows, shape (n,): bool for accuracy, float for a score; None
            for a score of the whole set.
    """

    value: float
    lo: float
    hi: float
    n: int
    per_sample: NDArray[Any] | None = None

    @property
    def n_right(self) -> int | None:
        """Number of right samples; None where samples are not right or wrong."""
        is_counted = self.per_sample is not None and self.per_sample.dtype == np.bool_
        return int(np.sum(self.per_sample)) if is_counted else None  # type: ignore[arg-type]

    def text(self, target: str) -> str:
        """Return it for the user: `713 of 719 right`, or `mAP 0.412 on 64 samples`."""
        if self.n_right is not None:
            return f"{self.n_right:,} of {self.n:,} right"
        return f"{target} {self.value:.4g} on {self.n:,} samples"


def share_quality(is_correct: NDArray[np.bool_]) -> Quality:
    """Return the share of right samples with its 95 % Wilson interval."""
    low, high = wilson_interval(is_correct.sum(), is_correct.size)
    return Quality(float(is_correct.mean()), float(low), float(high), is_correct.size, is_correct)


def mean_quality(values: Float, *, seed: int) -> Quality:
    """Return the mean of the samples' values with its 90 % percentile bootstrap interval.

    The same seed gives the same resamples for every design, so that designs are compared in pairs.

    Source: B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", Chapman & Hall 1993, chapter 13.
    """
    n, rng = values.size, np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    means = [
        values[rng.integers(0, n, size=(min(rows, N_RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, N_RESAMPLES, rows)
    ]
    return interval_quality(float(values.mean()), np.concatenate(means), n=n, per_sample=values)


def interval_quality(value: float, resampled: Float, *, n: int, per_sample: NDArray[Any] | None = None) -> Quality:
    """Return a value with the percentile interval of its resamples, shape (m,); NaN without resamples."""
    if not resampled.size:
        return Quality(value, np.nan, np.nan, n, per_sample)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Quality(value, min(float(low), value), max(float(high), value), n, per_sample)


def resample_rows(n: int, m: int, *, seed: int) -> NDArray[np.int64]:
    """Return m resamples of n samples with replacement, shape (m, n)."""
    return np.random.default_rng(seed).integers(0, n, size=(m, n))


def call_user(call: Callable[[], Any], *, name: str, source: str, is_silent: bool = False) -> Any:
    """Call a function of the user's module; its prints go to stderr, or nowhere where a call only repeats another.

    Raises:
        MeasurementFailed: it raised an exception.
    """
    try:
        with redirect_stdout(io.StringIO() if is_silent else sys.stderr):
            return call()
    except MeasurementFailed:
        raise
    except (Exception, SystemExit) as error:
        fault = f"{name} of {source}: {raised(error, source=source)}"
        raise MeasurementFailed(fault, fix="correct that module") from error


def read_scores(returned: Any, *, n: int, source: str, declared: Sequence[str]) -> dict[str, Float]:
    """Return the scores by target: one number for the set, shape (), or one for each sample, shape (n,).

    Args:
        returned: a number, n numbers, or a mapping of target names to either. Without a name it is the only declared
            target, or accuracy.
        n: number of samples.
        source: name of the module.
        declared: names of the declared targets; empty: accuracy.

    Raises:
        MeasurementFailed: a value is missing, not a finite number, or outside the range of its target.
    """
    where, wanted = f"score of {source}", tuple(declared) or ("accuracy",)
    if not isinstance(returned, Mapping):
        if len(wanted) > 1:
            raise MeasurementFailed(f"{where} returned no names", fix=f"return a dict with {', '.join(wanted)}")
        returned = {wanted[0]: returned}
    returned = {_declared_name(str(name), wanted): value for name, value in returned.items()}
    if "accuracy" in returned and "accuracy" not in wanted:
        wanted = (*wanted, "accuracy")
    missing = [name for name in wanted if name not in returned]
    unknown = [name for name in returned if name not in wanted]
    if missing:
        text = f"{where} returned {', '.join(map(str, returned)) or 'nothing'}, but not {', '.join(missing)}"
        names = " ".join(f"--target {name}:max" for name in unknown) or f"a key {missing[0]}"
        raise MeasurementFailed(text, fix=f"declare what it returns ({names}; [targets.NAME] in a study)")
    return {name: _values(returned[name], name, n=n, where=where) for name in wanted}


def _declared_name(name: str, wanted: Sequence[str]) -> str:
    """Return the declared target that a name is but for upper case and punctuation; else the name (`f1` is F1)."""
    plain = {"".join(filter(str.isalnum, one.casefold())): one for one in wanted}
    return name if name in wanted else plain.get("".join(filter(str.isalnum, name.casefold())), name)


def _values(value: Any, name: str, *, n: int, where: str) -> Float:
    fix = f"return one number, or one for each of {n:,} samples"
    if value is None:  # numpy reads it as NaN
        raise MeasurementFailed(f"{where} returned None for {name}", fix=fix)
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise MeasurementFailed(f"{where} returned {type(value).__name__} for {name}", fix=fix) from None
    values = values[:, 0] if values.shape == (n, 1) else values
    if values.shape not in {(), (n,)}:
        raise MeasurementFailed(f"{where} returned shape {values.shape} for {name}", fix=fix)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        text = f"{where} returned NaN or infinity for {name}" + (
            f" in {count:,} of {n:,} samples" if values.ndim else ""
        )
        raise MeasurementFailed(text, fix="return finite numbers: leave out samples that have no score")
    low, high = _range(name)
    if values.min() < low or values.max() > high:
        extreme = float(values.min() if values.min() < low else values.max())
        fix = f"correct score, or the range of [targets.{name}]"
        raise MeasurementFailed(f"{where} returned {name} = {extreme:.6g}, outside [{low:g}, {high:g}]", fix=fix)
    return values


def _range(name: str) -> tuple[float, float]:
    target = declared_target(name)
    if target is None:
        return (0.0, 1.0) if name == "accuracy" else (-np.inf, np.inf)
    return (-np.inf, np.inf) if target.range == _OPEN else target.range
