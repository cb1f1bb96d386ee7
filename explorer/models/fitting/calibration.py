"""Calibration of prediction intervals: conformal inflation, and interpolation uncertainty between measured levels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from explorer.models.forms.forms import OPERATING_KNOBS
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Columns, Float, take
from explorer.problem.targets import kind_of

# With fewer held-out rows the 90 % quantile itself is too uncertain to correct intervals with it.
MIN_TO_CALIBRATE = 20
# Values of a knob closer than a tenth of its range (0.2 half ranges) are one level, e.g. networks of similar size.
_SAME_LEVEL = 0.2
MIN_LEVELS, MAX_LEVELS = 3, 16
# Factor for a knob with two levels: no data constrain the curve between them (assumed). Not for OPERATING_KNOBS, whose
# curve is constrained by physics.
_TWO_LEVELS = 1.5
_MAX_INFLATION = 5.0
_MAX_INFLATION_FEW_ROWS = 3.0  # limits the effect of one outlier among five rows
# Nothing is known of the position of a cliff inside a gap, so it is uniform: its standard deviation is 0.29 of the gap.
_UNIFORM_SD = float(1 / np.sqrt(12))
_MAX_SHARE = 1.0
# A row bounds the gap of a design if their other knobs differ by at most _NEAR half ranges. Beyond that its distance
# along the knob is penalized by _PENALTY times the excess.
_NEAR, _PENALTY = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class BetweenLevels:
    """Inflation of intervals between the measured levels of one knob.

    Args:
        factor: inflation half a gap away from the nearest level; at least 1.
        levels: the knob's measured values, scaled, ascending.
        reach: half of the median gap between levels.
    """

    factor: float
    levels: tuple[float, ...]
    reach: float

    def factors(self, z: Float) -> Float:
        """Return the inflation at scaled values of the knob, shape (n,): 1 at a level."""
        levels = np.array(self.levels)
        after = np.clip(np.searchsorted(levels, z), 1, len(levels) - 1)
        distance = np.minimum(np.abs(z - levels[after - 1]), np.abs(z - levels[after]))
        return np.asarray(1 + (self.factor - 1) * np.minimum(distance / self.reach, 1.0))


@dataclass(frozen=True, slots=True)
class IntervalInflation:
    """Inflation of posterior intervals: a global factor, times a factor between the measured levels of each knob."""

    factor: float
    between_levels: Mapping[str, BetweenLevels]

    def factors(self, inputs: ScaledInputs) -> Float:
        """Return the factor on deviations from the prediction for each design, shape (n,)."""
        factors = [between.factors(inputs.z[name]) for name, between in self.between_levels.items()]
        return np.asarray(self.factor * np.max(np.stack([np.ones(inputs.n), *factors]), axis=0))


def half_width(freedom: float, level: float) -> float:
    """Return the half width of a Student t interval in standard deviations, for `freedom` degrees of freedom."""
    return float(stdtrit(freedom, (1 + level) / 2))


def assign_levels(z: Float) -> NDArray[np.int64]:
    """Return the index of the level of each scaled value of a knob, shape (n,), ascending from 0."""
    distinct, index = np.unique(z, return_inverse=True)
    level = np.concatenate([[0], np.cumsum(np.diff(distinct) > _SAME_LEVEL)])
    return np.asarray(level[index], dtype=np.int64)


def knobs_with_levels(coordinates: InputCoordinates, inputs: ScaledInputs) -> dict[str, NDArray[np.int64]]:
    """Return the level of each row, shape (n,), for each numeric knob with 3 to 16 levels of three rows on average."""
    levels = {name: assign_levels(inputs.z[name]) for name in coordinates.varied}
    return {
        name: level for name, level in levels.items()
        if MIN_LEVELS <= level.max() + 1 <= min(MAX_LEVELS, inputs.n // 3)
    }  # fmt: skip


def required_inflation(z: Float, reach: float, level: float, *, least: float = 1.0) -> float:
    """Return the factor (at least `least`) by which intervals must grow to cover a share `level` of held-out rows.

    Conformal calibration with held-out residuals (Lei et al. 2018; CV+, Barber et al. 2021). With fewer than 20 rows
    the root mean square of z, which needs no quantile.

    Args:
        z: held-out residuals in standard deviations, shape (n,).
        reach: half width of the interval, in standard deviations.
        level: nominal coverage; the finite-sample correction raises it to level (n + 1) / n.
        least: smallest factor, with 20 rows and more.
    """
    n = len(z)
    if n < MIN_TO_CALIBRATE:
        return min(max(1.0, float(np.sqrt(np.mean(z**2)))), _MAX_INFLATION_FEW_ROWS)
    quantile = np.quantile(np.abs(z), min(1.0, level * (n + 1) / n), method="higher")
    return max(least, float(quantile) / reach)


def fit_between_levels(
    coordinates: InputCoordinates, inputs: ScaledInputs, level_inflation: Mapping[str, float], factor: float
) -> dict[str, BetweenLevels]:
    """Return the inflation between the levels of each knob that needs one.

    Args:
        coordinates: of the samples.
        inputs: the scaled samples.
        level_inflation: for knobs with levels, the factor required when each level is held out in turn.
        factor: the global factor, which is divided out.
    """
    result = {}
    for name in coordinates.varied:
        level = assign_levels(inputs.z[name])
        values = [float(np.median(inputs.z[name][level == i])) for i in range(int(level.max()) + 1)]
        extra = level_inflation[name] / factor if name in level_inflation else 1.0
        if len(values) == 2 and name not in OPERATING_KNOBS:
            extra = _TWO_LEVELS
        if extra > 1:
            measured = tuple(np.unique(inputs.z[name]).tolist())
            result[name] = BetweenLevels(min(extra, _MAX_INFLATION), measured, float(np.median(np.diff(values)) / 2))
    return result


@dataclass(frozen=True, slots=True)
class InterpolationUncertainty:
    """Uncertainty of a target across a cliff whose position between two measured values of a knob is unknown.

    Args:
        shares: for each knob, the standard deviation in the middle of a gap, as a share of the change of the linked
            target across the gap.
    """

    shares: Mapping[str, float]

    def standard_deviation(
        self, designs: Columns, coordinates: InputCoordinates, samples: Columns, *, linked: Callable[[Columns], Float]
    ) -> Float:
        """Return the standard deviation that gaps add to the linked target, shape (n,); 0 at measured values.

        Args:
            designs: the knobs, shape (n,) each.
            coordinates: of the samples.
            samples: the measured designs, shape (m,) each.
            linked: predicts the linked target of designs.
        """
        points, measured = (coordinates.points(coordinates.transform(table)) for table in (designs, samples))
        total = np.zeros(len(points))
        for name, share in self.shares.items():
            low, high, position = bracket(points, measured, coordinates.varied.index(name))
            change = _change(designs, samples, name, low=low, high=high, linked=linked)
            total += (share * _bridge_sd(position) * change) ** 2
        return np.asarray(np.sqrt(total))


@dataclass(frozen=True, slots=True)
class EdgeUncertainty:
    """Uncertainty of a target beyond the outermost values of the knobs.

    Args:
        shares: for each varied knob, the standard deviation half a range beyond its outermost value, linked.
    """

    shares: Mapping[str, float]

    def standard_deviation(self, inputs: ScaledInputs) -> Float:
        """Return the standard deviation that extrapolation adds to the linked target, shape (n,); 0 inside."""
        total = np.zeros(inputs.n)
        for name, share in self.shares.items():
            total += (share * np.maximum(np.abs(inputs.z[name]) - 1, 0.0)) ** 2
        return np.asarray(np.sqrt(total))


def fit_edge_share(residual: Float, variance: Float, beyond: Float, *, prior: float) -> float:
    """Return the standard deviation per half range by which predictions beyond the outermost value were wrong.

    Args:
        residual: linked, of rows at the outermost values, each predicted without its value, shape (n,).
        variance: predicted for these residuals, shape (n,).
        beyond: distance of each beyond the remaining rows, in half ranges, shape (n,).
        prior: standard deviation per half range without evidence; it has the weight of one row at half a range.
    """
    weight = 0.25
    excess = max(float(np.sum(residual**2 - variance)), 0.0)
    return float(np.sqrt((excess + prior**2 * weight) / (float(np.sum(beyond**2)) + weight)))


def cliff_knobs(target: str, coordinates: InputCoordinates) -> tuple[str, ...]:
    """Return the knobs along which a target may have a cliff: for accuracy all but voltage and clock, else none."""
    return tuple(n for n in coordinates.varied if n not in OPERATING_KNOBS) if kind_of(target) == "accuracy" else ()


def fit_uncertainty_share(residual: Float, variance: Float, change: Float, *, level: NDArray[np.int64]) -> float:
    """Return the share of the change across a gap by which predictions of held-out levels of a knob were wrong.

    Errors within a level are correlated, so each level counts once. The prior (position uniform in the gap) has the
    weight of the level with the greatest change.

    Args:
        residual: linked, of rows whose whole level was held out, shape (n,).
        variance: predicted for these residuals, shape (n,).
        change: of the target across the gap, times the bridge's standard deviation; 0 outside, shape (n,).
        level: index of each row's level, shape (n,).
    """
    is_inside = np.bincount(level, change) > 0
    counts = np.bincount(level)[is_inside]
    excess = (np.bincount(level, residual**2 - variance)[is_inside] / counts).sum()
    squared_change = np.bincount(level, change**2)[is_inside] / counts
    if not squared_change.size:
        return _UNIFORM_SD
    weight = squared_change.max()
    share = np.sqrt((max(excess, 0.0) + _UNIFORM_SD**2 * weight) / (squared_change.sum() + weight))
    return min(_MAX_SHARE, float(share))


def held_out_changes(
    samples: Columns,
    name: str,
    *,
    coordinates: InputCoordinates,
    level: NDArray[np.int64],
    linked: Callable[[Columns], Float],
) -> Float:
    """Return the change of the linked target across the gap that holding out each row's level leaves, shape (n,).

    Args:
        samples: the measured designs, shape (n,) each.
        name: the knob whose levels are held out one by one.
        coordinates: of the samples.
        level: index of each row's level, shape (n,).
        linked: predicts the linked target of designs.
    """
    points, changes = coordinates.points(coordinates.transform(samples)), np.zeros(len(level))
    for k in np.unique(level):
        out = level == k
        low, high, position = bracket(points[out], points[~out], coordinates.varied.index(name))
        change = _change(take(samples, out), take(samples, ~out), name, low=low, high=high, linked=linked)
        changes[out] = _bridge_sd(position) * change
    return changes


def bracket(points: Float, measured: Float, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """Return for each point the measured rows that bound its gap along a column, and its relative position in it.

    Args:
        points: shape (n, d).
        measured: shape (m, d).
        column: index of the knob.

    Returns:
        The row below and the row above, shape (n,) each, and the position within [0, 1]; 0 where a bound is missing.
    """
    ahead = measured[:, column] - points[:, column][:, None]
    columns = [i for i in range(points.shape[1]) if i != column]
    aside = np.sqrt(sum(((measured[:, i] - points[:, i][:, None]) ** 2 for i in columns), np.zeros_like(ahead)))
    cost = np.abs(ahead) + _PENALTY * np.maximum(aside - _NEAR, 0.0)
    low = np.argmin(np.where(ahead <= 0, cost, np.inf), axis=1)
    high = np.argmin(np.where(ahead >= 0, cost, np.inf), axis=1)
    rows = np.arange(len(points))
    to_low, to_high = -ahead[rows, low], ahead[rows, high]
    width = to_low + to_high
    is_between = (to_low > 0) & (to_high > 0)
    return low, high, np.where(is_between, to_low / np.where(is_between, width, 1.0), 0.0)


def _bridge_sd(position: Float) -> Float:
    """Return the standard deviation of a Brownian bridge across a gap, scaled to 1 in its middle."""
    return np.asarray(2 * np.sqrt(position * (1 - position)))


def _change(
    designs: Columns,
    samples: Columns,
    name: str,
    *,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    linked: Callable[[Columns], Float],
) -> Float:
    ends = [linked({**designs, name: np.asarray(samples[name][row], dtype=np.float64)}) for row in (low, high)]
    return np.asarray(np.abs(ends[1] - ends[0]))
