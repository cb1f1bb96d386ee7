"""Global minimization of a vectorized function on the unit cube under constraints.

A scrambled Sobol scan, all corners and given points are the first population. Each generation draws designs around its
best members: Gaussian steps of many lengths, differences of two members (differential evolution, which follows the
boundary of a constraint; R. Storn and K. Price, Journal of Global Optimization 11 (1997) 341-359) and projections on
faces of the cube. The best members of both generations survive. Each generation also tries every choice of every axis
of choices at the best member.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import low_discrepancy_points
from explorer.problem.columns import Float

Evaluate = Callable[[Float, Float], tuple[Float, Float]]
"""Maps points of the unit cube, shape (n, d), to values to be minimized, shape (n, m), and constraint violations, shape
(n,); at most 0 is feasible. The second argument has the values of the best feasible point so far, shape (1, m), or
(0, m): the violation of points that it dominates does not matter."""

_N_SCANNED, _N_OFFSPRING, _N_MEMBERS = 2**12, 500, 64
_MIN_GENERATIONS, _MAX_GENERATIONS, _N_UNCHANGED = 10, 40, 4
_FIRST_STEP, _SHRINK, _STEP_SPREAD = 0.15, 0.72, 1.2
_FACE_SHARE, _RESAMPLED_CHOICE_SHARE = 0.05, 0.15
# Relative difference below which two values are equal: the next value decides between their designs.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Minimum:
    """The best points found, best first.

    Args:
        unit: points of the unit cube, shape (k, d).
        values: their values, shape (k, m).
        violation: their constraint violations, shape (k,).
        n_evaluated: number of points evaluated.
        earlier_values: those of the best feasible point four generations before the end, shape (1, m), or (0, m).
    """

    unit: Float
    values: Float
    violation: Float
    n_evaluated: int
    earlier_values: Float

    @property
    def best_values(self) -> Float:
        """The values of the best feasible point, shape (1, m); (0, m) without one."""
        return self.values[:1][self.violation[:1] <= 0]


def minimize(
    evaluate: Evaluate, n_axes: int, *, seed: int = 0, start: Float | None = None, n_choices: Sequence[int] = ()
) -> Minimum:
    """Return the points of least first value that meet the constraints; of equal ones those of least second value, ...

    Points that violate a constraint come last, those of least violation first.

    Args:
        evaluate: the function; a point with a value that is NaN counts as infeasible.
        n_axes: number of axes d.
        seed: of the scan and the generations.
        start: points of the first population besides the scan, shape (k, d).
        n_choices: the number of choices on each axis, 0 where it is continuous; default: all are continuous.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([*n_choices] or [0] * n_axes, dtype=np.int64)
    scan = low_discrepancy_points(n_axes, _N_SCANNED, seed=seed)
    members = _best(_evaluated(evaluate, scan if start is None else np.concatenate([start, scan])))
    step, n_unchanged, history = _FIRST_STEP, 0, [members]
    for generation in range(_MAX_GENERATIONS):
        offspring = np.concatenate(
            [_offspring(members.unit, step, rng, sizes > 0), _neighbours(members.unit[0], sizes)]
        )
        before, step = _first(members), step * _SHRINK
        members = _best(_joined(members, _evaluated(evaluate, offspring, members.best_values)))
        history.append(members)
        now = _first(members)
        n_unchanged = n_unchanged + 1 if now[0] == before[0] and _is_close(now[1], before[1]) else 0
        if generation >= _MIN_GENERATIONS and n_unchanged >= _N_UNCHANGED:
            break
    return replace(members, earlier_values=history[-1 - _N_UNCHANGED].best_values)


def enumerate_points(evaluate: Evaluate, unit: Float) -> Minimum:
    """Return the best of all points of a finite set, in the order of `minimize`."""
    every = _best(_evaluated(evaluate, unit))
    return replace(every, earlier_values=every.best_values)


def _evaluated(evaluate: Evaluate, unit: Float, best: Float | None = None) -> Minimum:
    values, violation = evaluate(unit, np.empty((0, 1)) if best is None else best)
    is_known = np.isfinite(values).all(axis=1) & np.isfinite(violation)
    return Minimum(
        unit, np.where(is_known[:, None], values, np.inf), np.where(is_known, np.maximum(violation, 0.0), np.inf),
        len(unit), values[:0],
    )  # fmt: skip


def _joined(first: Minimum, second: Minimum) -> Minimum:
    return Minimum(
        np.concatenate([first.unit, second.unit]),
        np.concatenate([first.values, second.values]),
        np.concatenate([first.violation, second.violation]),
        first.n_evaluated + second.n_evaluated,
        first.earlier_values,
    )


def _first(members: Minimum) -> tuple[bool, float]:
    """Return whether the best member is feasible, and what is compared next: its first value, or its violation."""
    is_feasible = bool(members.violation[0] <= 0)
    return is_feasible, float(members.values[0, 0] if is_feasible else members.violation[0])


def _is_close(first: float, second: float) -> bool:
    return first == second or abs(first - second) <= TIE * max(abs(first), abs(second))


def _best(points: Minimum) -> Minimum:
    """Return the best distinct points in order: feasible before infeasible, then by the values, one after the other."""
    order = np.argsort(points.violation, kind="stable")
    n_feasible = int(np.sum(points.violation <= 0))
    if n_feasible:
        feasible = order[:n_feasible]
        keys = []
        for j in range(points.values.shape[1]):
            own = points.values[feasible, j]
            least = float(own.min())
            # Only values equal to the least one are ties: a grid of the whole range would cut through close values.
            keys.append(np.where(own <= least + TIE * abs(least), least, own) if j == 0 else own)
        order = np.concatenate([feasible[np.lexsort(keys[::-1])], order[n_feasible:]])
    order = order[: 4 * _N_MEMBERS]
    _, is_first = np.unique(points.unit[order], axis=0, return_index=True)
    rows = order[np.sort(is_first)][:_N_MEMBERS]
    return replace(points, unit=points.unit[rows], values=points.values[rows], violation=points.violation[rows])


def _offspring(unit: Float, step: float, rng: np.random.Generator, is_choice: NDArray[np.bool_]) -> Float:
    """Draw a generation around the members, shape (k, d)."""
    n, d = unit.shape
    shape = (_N_OFFSPRING, d)
    # The best members have the most offspring: the squared uniform is twice as dense at the first quarter.
    parent = unit[(n * rng.random(_N_OFFSPRING) ** 2).astype(np.int64)]
    length = step * np.exp(_STEP_SPREAD * rng.normal(size=(_N_OFFSPRING, 1)))
    gaussian = rng.normal(size=shape) * length * (rng.random(shape) < 0.5)
    first, second = unit[rng.integers(n, size=_N_OFFSPRING)], unit[rng.integers(n, size=_N_OFFSPRING)]
    between = (first - second) * rng.uniform(0.3, 1.5, size=(_N_OFFSPRING, 1))
    kind = rng.random((_N_OFFSPRING, 1))
    drawn = parent + np.where(kind < 0.4, gaussian, np.where(kind < 0.8, between, between + 0.3 * gaussian))
    on_face = rng.random(shape) < _FACE_SHARE
    is_resampled = rng.random(shape) < _RESAMPLED_CHOICE_SHARE
    drawn = np.where(on_face, np.round(parent), drawn)
    return np.clip(np.where(is_choice, np.where(is_resampled, rng.random(shape), parent), drawn), 0.0, 1.0)


def _neighbours(point: Float, sizes: NDArray[np.int64]) -> Float:
    """Return a point with every choice of each axis of choices, and each continuous axis at both of its ends."""
    parts = []
    for axis, size in enumerate(sizes.tolist()):
        levels = (np.arange(size) + 0.5) / size if size else np.array([0.0, 1.0])
        block = np.repeat(point[None], len(levels), axis=0)
        block[:, axis] = levels
        parts.append(block)
    return np.concatenate(parts) if parts else point[None]
