"""Widening: how much further than the posterior says intervals must reach to cover rows that a fit has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from explorer.models.coordinates import Coordinates, Placed
from explorer.problem.columns import Float

# With fewer held-out rows a 90 % quantile is not known well enough to correct anything with it.
MIN_TO_CALIBRATE = 20
# Values of a knob closer than a tenth of its range are one level: networks of nearly the same size, say.
_SAME_LEVEL = 0.2
MIN_LEVELS, MAX_LEVELS = 3, 16
# Between the only two values of a knob nothing tells the curve (assumed), unless physics does.
_TWO_LEVELS = 1.5
KNOWN_CURVES = ("voltage_v", "frequency_hz")
_MOST = 5.0
_MOST_OF_FEW = 3.0  # one row of five that fits badly is no reason to know nothing


@dataclass(frozen=True, slots=True)
class Away:
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
class Widening:
    """The factor everywhere, and what comes on top away from the measured values of each knob."""

    factor: float
    away: Mapping[str, Away]

    def at(self, placed: Placed) -> Float:
        """Return by what the deviations from the prediction are multiplied at some designs, shape (n,)."""
        factors = [away.at(placed.z[name]) for name, away in self.away.items()]
        return np.asarray(self.factor * np.max(np.stack([np.ones(placed.n), *factors]), axis=0))


def half_width(freedom: float, level: float) -> float:
    """Return how many standard deviations an interval reaches, where the deviation itself is known by `freedom`."""
    return float(stdtrit(freedom, (1 + level) / 2))


def level_of(z: Float) -> NDArray[np.int64]:
    """Return which level of its knob each value belongs to, shape (n,), ascending from 0."""
    distinct, index = np.unique(z, return_inverse=True)
    level = np.concatenate([[0], np.cumsum(np.diff(distinct) > _SAME_LEVEL)])
    return np.asarray(level[index], dtype=np.int64)


def knobs_with_levels(coordinates: Coordinates, placed: Placed) -> dict[str, NDArray[np.int64]]:
    """Return the level of each row for the numeric knobs that were measured at a few values, several rows each."""
    levels = {name: level_of(placed.z[name]) for name in coordinates.varied}
    return {
        name: level for name, level in levels.items()
        if MIN_LEVELS <= level.max() + 1 <= min(MAX_LEVELS, placed.n // 3)
    }  # fmt: skip


def needed(z: Float, reach: float, level: float) -> float:
    """Return the factor (at least 1) at which a share `level` of held-out rows are covered.

    By conformal calibration; with fewer than 20 rows by the root mean square, which needs no quantile.

    Args:
        z: distance of each row from its prediction, in standard deviations, shape (n,).
        reach: half width of the interval, in standard deviations.
        level: the share; with few rows a larger one is taken, as the finite sample demands.
    """
    n = len(z)
    if n < MIN_TO_CALIBRATE:
        return min(max(1.0, float(np.sqrt(np.mean(z**2)))), _MOST_OF_FEW)
    quantile = np.quantile(np.abs(z), min(1.0, level * (n + 1) / n), method="higher")
    return max(1.0, float(quantile) / reach)


def away_from_levels(
    coordinates: Coordinates, placed: Placed, needed_without: Mapping[str, float], factor: float
) -> dict[str, Away]:
    """Return for each knob with levels what asking between them costs.

    Args:
        coordinates: of the samples.
        placed: the samples.
        needed_without: for knobs with levels, the factor needed when each level is left out in turn.
        factor: the factor needed everywhere, on top of which it comes.
    """
    result = {}
    for name in coordinates.varied:
        level = level_of(placed.z[name])
        values = [float(np.median(placed.z[name][level == i])) for i in range(int(level.max()) + 1)]
        extra = needed_without[name] / factor if name in needed_without else 1.0
        if len(values) == 2 and name not in KNOWN_CURVES:
            extra = _TWO_LEVELS
        if extra > 1:
            measured = tuple(np.unique(placed.z[name]).tolist())
            result[name] = Away(min(extra, _MOST), measured, float(np.median(np.diff(values)) / 2))
    return result
