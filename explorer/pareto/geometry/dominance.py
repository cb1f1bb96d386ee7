"""Pareto dominance, non-dominated ranks and hypervolume, computed by moocore."""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float
from explorer.problem.objectives import Objective

_MAX_PAIRS = 4_000_000  # comparisons at once: 32 MB an objective


def is_nondominated(values: Float, objectives: Sequence[Objective]) -> NDArray[np.bool_]:
    """Return a mask of the non-dominated points, shape (n,); of equal points only the first counts.

    Args:
        values: shape (n, m), one column for each objective.
        objectives: m objectives, for their direction.
    """
    if not len(values):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(to_minimization(values, objectives)), dtype=np.bool_)


def nondominated_rank(values: Float, objectives: Sequence[Objective]) -> NDArray[np.int64]:
    """Return the non-dominated rank of each point, shape (n,): 0 for the front, 1 for the front of the rest, and so on.

    Args:
        values: shape (n, m), one column for each objective.
        objectives: m objectives, for their direction.
    """
    return np.asarray(moocore.pareto_rank(to_minimization(values, objectives)), dtype=np.int64)


def hypervolume(values: Float, reference: Sequence[float], objectives: Sequence[Objective]) -> float:
    """Return the hypervolume of points up to the reference point, in the product of the objectives' units.

    Args:
        values: shape (n, m).
        reference: the reference point, length m; points that are not better in every objective add nothing.
        objectives: m objectives, for their direction.
    """
    if not len(values):
        return 0.0
    signs = np.array([objective.sign for objective in objectives])
    return float(moocore.hypervolume(to_minimization(values, objectives), ref=np.asarray(reference) * signs))


def to_minimization(values: Float, objectives: Sequence[Objective]) -> Float:
    """Return values with the sign of maximized objectives flipped: less is better in every column, shape (n, m)."""
    return np.ascontiguousarray(values * np.array([objective.sign for objective in objectives]))


def feasible_front(values: Float, is_feasible: NDArray[np.bool_], objectives: Sequence[Objective]) -> NDArray[np.bool_]:
    """Return a mask of feasible designs that no feasible design dominates, shape (n,)."""
    front = np.zeros(len(values), dtype=np.bool_)
    rows = np.flatnonzero(is_feasible)
    front[rows[is_nondominated(values[rows], objectives)]] = True
    return front


def default_reference(values: Float, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return a reference point 10 % of the spread beyond the worst values of a scan, rounded outward to two digits.

    Args:
        values: a scan's objectives, shape (n, m).
        objectives: m objectives.
    """
    minimized = to_minimization(values, objectives)
    worst, best = minimized.max(axis=0), minimized.min(axis=0)
    spread = np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1.0))
    beyond = worst + 0.1 * spread
    step = 10.0 ** (np.floor(np.log10(spread)) - 1)
    outward = np.ceil(beyond / step) * step
    return tuple(float(f"{value * objective.sign:.10g}") for value, objective in zip(outward, objectives, strict=True))


def is_dominated_by(values: Float, rivals: Float) -> NDArray[np.bool_]:
    """Return a mask of the points that one of the rivals dominates, less being better, shape (n,).

    Args:
        values: shape (n, m).
        rivals: shape (k, m).
    """
    if values.shape[1] == 2 and len(rivals):
        return _is_below_staircase(values, rivals)
    result = np.zeros(len(values), dtype=np.bool_)
    size = max(1, _MAX_PAIRS // max(len(rivals), 1))
    for first in range(0, len(values) if len(rivals) else 0, size):
        own = values[first : first + size, None, :]
        is_better = np.all(rivals[None] <= own, axis=2) & np.any(rivals[None] < own, axis=2)
        result[first : first + size] = is_better.any(axis=1)
    return result


def _is_below_staircase(values: Float, rivals: Float) -> NDArray[np.bool_]:
    """Return the same for two objectives, in the time of a sort."""
    order = np.argsort(rivals[:, 0], kind="stable")
    first, second = rivals[order, 0], np.minimum.accumulate(rivals[order, 1])
    second = np.r_[np.inf, second]  # the least second value of the rivals before each
    n_less, n_at_most = (np.searchsorted(first, values[:, 0], side=side) for side in ("left", "right"))
    return np.asarray((second[n_less] <= values[:, 1]) | (second[n_at_most] < values[:, 1]))
