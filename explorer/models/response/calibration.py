"""Inflation of posterior intervals so that they cover rows that a fit has not seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Columns, Float, take

# With fewer held-out rows a 90 % quantile is not known well enough to correct anything with it.
MIN_TO_CALIBRATE = 20
# Values of a knob closer than a tenth of its range are one level: networks of nearly the same size, say.
_SAME_LEVEL = 0.2
MIN_LEVELS, MAX_LEVELS = 3, 16
# Between the only two values of a knob nothing tells the curve (assumed), unless physics does.
_TWO_LEVELS = 1.5
OPERATING_KNOBS = ("voltage_v", "frequency_hz")
_MAX_INFLATION = 5.0
_MAX_INFLATION_FEW_ROWS = 3.0  # one row of five that fits badly is no reason to know nothing


@dataclass(frozen=True, slots=True)
class BetweenLevels:
    """What it costs to ask for a value of a knob that was never measured.

    Args:
        factor: by which intervals are wider half a gap away from the nearest level; at least 1.
        levels: the knob's measured values, in coordinates, ascending.
        reach: half of the usual gap between levels.
    """

    factor: float
    levels: tuple[float, ...]
    reach: float

    def at(self, z: Float) -> Float:
        """Return the factor at values of the knob, shape (n,): 1 at a level."""
        levels = np.array(self.levels)
        after = np.clip(np.searchsorted(levels, z), 1, len(levels) - 1)
        distance = np.minimum(np.abs(z - levels[after - 1]), np.abs(z - levels[after]))
        return np.asarray(1 + (self.factor - 1) * np.minimum(distance / self.reach, 1.0))


@dataclass(frozen=True, slots=True)
class IntervalInflation:
    """The factor everywhere, and what comes on top away from the measured values of each knob."""

    factor: float
    away: Mapping[str, BetweenLevels]

    def at(self, placed: ScaledInputs) -> Float:
        """Return by what the deviations from the prediction are multiplied at some designs, shape (n,)."""
        factors = [away.at(placed.z[name]) for name, away in self.away.items()]
        return np.asarray(self.factor * np.max(np.stack([np.ones(placed.n), *factors]), axis=0))


def half_width(freedom: float, level: float) -> float:
    """Return how many standard deviations an interval reaches, where the deviation itself is known by `freedom`."""
    return float(stdtrit(freedom, (1 + level) / 2))


def assign_levels(z: Float) -> NDArray[np.int64]:
    """Return which level of its knob each value belongs to, shape (n,), ascending from 0."""
    distinct, index = np.unique(z, return_inverse=True)
    level = np.concatenate([[0], np.cumsum(np.diff(distinct) > _SAME_LEVEL)])
    return np.asarray(level[index], dtype=np.int64)


def knobs_with_levels(coordinates: InputCoordinates, placed: ScaledInputs) -> dict[str, NDArray[np.int64]]:
    """Return the level of each row for the numeric knobs that were measured at a few values, several rows each."""
    levels = {name: assign_levels(placed.z[name]) for name in coordinates.varied}
    return {
        name: level for name, level in levels.items()
        if MIN_LEVELS <= level.max() + 1 <= min(MAX_LEVELS, placed.n // 3)
    }  # fmt: skip


def required_inflation(z: Float, reach: float, level: float) -> float:
    """Return the factor (at least 1) at which a share `level` of held-out rows are covered.

    By conformal calibration; with fewer than 20 rows by the root mean square, which needs no quantile.

    Args:
        z: distance of each row from its prediction, in standard deviations, shape (n,).
        reach: half width of the interval, in standard deviations.
        level: the share; with few rows a larger one is taken, as the finite sample demands.
    """
    n = len(z)
    if n < MIN_TO_CALIBRATE:
        return min(max(1.0, float(np.sqrt(np.mean(z**2)))), _MAX_INFLATION_FEW_ROWS)
    quantile = np.quantile(np.abs(z), min(1.0, level * (n + 1) / n), method="higher")
    return max(1.0, float(quantile) / reach)


def fit_between_levels(
    coordinates: InputCoordinates, placed: ScaledInputs, needed_without: Mapping[str, float], factor: float
) -> dict[str, BetweenLevels]:
    """Return for each knob with levels what asking between them costs.

    Args:
        coordinates: of the samples.
        placed: the samples.
        needed_without: for knobs with levels, the factor needed when each level is left out in turn.
        factor: the factor needed everywhere, on top of which it comes.
    """
    result = {}
    for name in coordinates.varied:
        level = assign_levels(placed.z[name])
        values = [float(np.median(placed.z[name][level == i])) for i in range(int(level.max()) + 1)]
        extra = needed_without[name] / factor if name in needed_without else 1.0
        if len(values) == 2 and name not in OPERATING_KNOBS:
            extra = _TWO_LEVELS
        if extra > 1:
            measured = tuple(np.unique(placed.z[name]).tolist())
            result[name] = BetweenLevels(min(extra, _MAX_INFLATION), measured, float(np.median(np.diff(values)) / 2))
    return result


# Nothing being known of where in a gap a fall happens, its place is uniform: a standard deviation of .29 of the gap.
_UNIFORM = float(1 / np.sqrt(12))
_MAX_SHARE_FALLEN = 1.0
# Rows stand beside a design where their other knobs differ by no more than this, in half ranges; a row further off
# bounds a gap only where no closer one is within ten times what it is too far.
_BESIDE, _TOO_FAR = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class InterpolationUncertainty:
    """By how much of a fall between two measured values of a knob the fall may be elsewhere between them.

    Args:
        shares: for each knob, the standard deviation in the middle of a gap, as a share of what the linked target
            changes by from its one end to the other.
    """

    shares: Mapping[str, float]

    def doubt(
        self, designs: Columns, coordinates: InputCoordinates, samples: Columns, *, linked: Callable[[Columns], Float]
    ) -> Float:
        """Return the standard deviation that gaps add to the linked target, shape (n,); 0 at measured values.

        Args:
            designs: the knobs, shape (n,) each.
            coordinates: of the samples.
            samples: the measured configurations, shape (m,) each.
            linked: predicts the linked target of designs.
        """
        points, known = (coordinates.points(coordinates.transform(table)) for table in (designs, samples))
        total = np.zeros(len(points))
        for name, share in self.shares.items():
            low, high, place = bracket(points, known, coordinates.varied.index(name))
            change = _change(designs, samples, name, low=low, high=high, linked=linked)
            total += (share * _bow(place) * change) ** 2
        return np.asarray(np.sqrt(total))


def cliff_knobs(target: str, coordinates: InputCoordinates) -> tuple[str, ...]:
    """Return the knobs along which a target may fall off a cliff: those of accuracy but voltage and clock."""
    return tuple(n for n in coordinates.varied if n not in OPERATING_KNOBS) if target == "accuracy" else ()


def fit_uncertainty_share(residual: Float, variance: Float, change: Float, *, level: NDArray[np.int64]) -> float:
    """Return the share of a fall that predictions were wrong by where a knob's values were left out one by one.

    What the rows of one value err by they err together: a value counts once, and what is believed without any (the
    place is uniform in its gap) counts like the value with the greatest fall.

    Args:
        residual: linked, of rows whose whole level was left out, shape (n,).
        variance: that was expected of them, shape (n,).
        change: what the target falls by over the gap that was left, times how far in the middle it was; 0 outside.
        level: which value of the knob each row has, shape (n,).
    """
    is_inside = np.bincount(level, change) > 0
    counts = np.bincount(level)[is_inside]
    missed = (np.bincount(level, residual**2 - variance)[is_inside] / counts).sum()
    fallen = np.bincount(level, change**2)[is_inside] / counts
    if not fallen.size:
        return _UNIFORM
    weight = fallen.max()
    return min(_MAX_SHARE_FALLEN, float(np.sqrt((max(missed, 0.0) + _UNIFORM**2 * weight) / (fallen.sum() + weight))))


def held_out_changes(
    samples: Columns,
    name: str,
    *,
    coordinates: InputCoordinates,
    level: NDArray[np.int64],
    linked: Callable[[Columns], Float],
) -> Float:
    """Return what the linked target changes by over the gap that each row leaves with its level, shape (n,).

    Args:
        samples: the measured configurations, shape (n,) each.
        name: the knob whose levels are left out one by one.
        coordinates: of the samples.
        level: which value of the knob each row has, shape (n,).
        linked: predicts the linked target of designs.
    """
    points, changes = coordinates.points(coordinates.transform(samples)), np.zeros(len(level))
    for k in np.unique(level):
        out = level == k
        rest = take(samples, ~out)
        low, high, place = bracket(points[out], points[~out], coordinates.varied.index(name))
        asked = take(samples, out)
        changes[out] = _bow(place) * _change(asked, rest, name, low=low, high=high, linked=linked)
    return changes


def bracket(points: Float, known: Float, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """Return for each point the known rows that bound its gap along a column, and its place between, within [0, 1].

    Args:
        points: shape (n, d).
        known: shape (m, d).
        column: the knob's.

    Returns:
        The row below and the row above, shape (n,) each, and the place; 0 where no row bounds it on one side.
    """
    ahead = known[:, column] - points[:, column][:, None]
    others = [i for i in range(points.shape[1]) if i != column]
    beside = np.sqrt(sum(((known[:, i] - points[:, i][:, None]) ** 2 for i in others), np.zeros_like(ahead)))
    cost = np.abs(ahead) + _TOO_FAR * np.maximum(beside - _BESIDE, 0.0)
    low = np.argmin(np.where(ahead <= 0, cost, np.inf), axis=1)
    high = np.argmin(np.where(ahead >= 0, cost, np.inf), axis=1)
    rows = np.arange(len(points))
    behind, before = -ahead[rows, low], ahead[rows, high]
    width = behind + before
    is_between = (behind > 0) & (before > 0)
    return low, high, np.where(is_between, behind / np.where(is_between, width, 1.0), 0.0)


def _bow(place: Float) -> Float:
    """Return how uncertain a place in a gap is, 1 in its middle and 0 at its ends, as a bridge between two points."""
    return np.asarray(2 * np.sqrt(place * (1 - place)))


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
