"""Gaps: what a prediction between two measured values of a knob cannot know where the target falls off a cliff."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.models.coordinates import Coordinates
from explorer.models.widening import KNOWN_CURVES
from explorer.problem.columns import Columns, Float, take

# Nothing being known of where in a gap a fall happens, its place is uniform: a standard deviation of .29 of the gap.
_UNIFORM = float(1 / np.sqrt(12))
_MOST = 1.0
# Rows stand beside a design where their other knobs differ by no more than this, in half ranges; a row further off
# bounds a gap only where no closer one is within ten times what it is too far.
_BESIDE, _TOO_FAR = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Gaps:
    """By how much of a fall between two measured values of a knob the fall may be elsewhere between them.

    Args:
        shares: for each knob, the standard deviation in the middle of a gap, as a share of what the linked target
            changes by from its one end to the other.
    """

    shares: Mapping[str, float]

    def doubt(
        self, designs: Columns, coordinates: Coordinates, samples: Columns, *, linked: Callable[[Columns], Float]
    ) -> Float:
        """Return the standard deviation that gaps add to the linked target, shape (n,); 0 at measured values.

        Args:
            designs: the knobs, shape (n,) each.
            coordinates: of the samples.
            samples: the measured configurations, shape (m,) each.
            linked: predicts the linked target of designs.
        """
        points, known = (coordinates.points(coordinates.place(table)) for table in (designs, samples))
        total = np.zeros(len(points))
        for name, share in self.shares.items():
            low, high, place = bracket(points, known, coordinates.varied.index(name))
            change = _change(designs, samples, name, low=low, high=high, linked=linked)
            total += (share * _bow(place) * change) ** 2
        return np.asarray(np.sqrt(total))


def knobs_with_gaps(target: str, coordinates: Coordinates) -> tuple[str, ...]:
    """Return the knobs along which a target may fall off a cliff: those of accuracy but voltage and clock."""
    return tuple(n for n in coordinates.varied if n not in KNOWN_CURVES) if target == "accuracy" else ()


def learned_share(residual: Float, variance: Float, change: Float, *, level: NDArray[np.int64]) -> float:
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
    return min(_MOST, float(np.sqrt((max(missed, 0.0) + _UNIFORM**2 * weight) / (fallen.sum() + weight))))


def left_changes(
    samples: Columns,
    name: str,
    *,
    coordinates: Coordinates,
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
    points, changes = coordinates.points(coordinates.place(samples)), np.zeros(len(level))
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
