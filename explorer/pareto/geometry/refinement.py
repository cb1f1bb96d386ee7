"""Evolutionary refinement of the front of a vectorized function on the unit cube.

A scrambled Sobol scan and all corners of the unit cube give the first front. Each generation then draws designs around
and between those of the front: shrinking Gaussian steps, differences of neighbours, and projections on the cube's faces
(where constrained optima often are). All are evaluated at once. The convergence figure is the share of the hypervolume
that the last half of the evaluations added.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import low_discrepancy_points
from explorer.problem.columns import Float

Evaluate = Callable[[Float, Float], tuple[Float, Float]]
"""Maps points of the unit cube, shape (n, d), to values to be minimized, shape (n, m), and constraint violations, shape
(n,); at most 0 is feasible. The second argument is the front so far, shape (k, m): the violation of points that it
dominates does not matter."""

_MIN_GENERATIONS = 6
_SHRINK = 0.8
_FACE_SHARE = 0.03
_RESAMPLED_CHOICE_SHARE = 0.15
_PARENTS_IF_NONE_FEASIBLE = 200
# The front of three objectives is a surface: its hypervolume converges with the square root of the number of points.
# The archive is thinned to about this many cells; a last generation between neighbours then fills the surface.
_CELLS = 40_000
_GOLDEN = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True)
class Budget:
    """Stopping rule and sizes of a refinement.

    Args:
        tolerance: stop at this convergence figure.
        n_evaluations: stop after this many evaluations.
        n_scanned: designs of the initial scan.
        n_offspring: designs of a generation. Small generations adapt faster; with three objectives the non-dominated
            filter of a large archive costs more than the evaluations.
        n_filling: designs of the last generation between neighbours, with three objectives.
    """

    tolerance: float
    n_evaluations: int
    n_scanned: int = 2**14
    n_offspring: int = 10_000
    n_filling: int = 0


def default_budget(n_objectives: int) -> Budget:
    """Return a budget that reaches the limit hypervolume to 1e-4 (two objectives) or 1e-3 (three) within seconds."""
    if n_objectives == 2:
        return Budget(8e-5, 200_000)
    return Budget(5e-4, 400_000, n_offspring=40_000, n_filling=800_000)


@dataclass(frozen=True, slots=True)
class RefinedFront:
    """The front of one region: unit points (n, d), values (n, m), and the front's values at half of the evaluations."""

    unit: Float
    values: Float
    half_values: Float
    n_evaluated: int


def refine(
    evaluate: Evaluate,
    n_axes: int,
    reference: Float,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    n_choices: Sequence[int] = (),
) -> RefinedFront:
    """Return the front of a vectorized function on the unit cube, all objectives minimized.

    An axis of choices (a category, a list of values, operating points) is piecewise constant, so steps make no sense on
    it. Offspring inherit the choice of the parent; a share of them draws a new one uniformly.

    Args:
        evaluate: the function.
        n_axes: number of axes d.
        reference: the reference point, shape (m,).
        seed: of the scan and the refinement.
        budget: stopping rule; default: `default_budget`.
        n_choices: the number of choices on each axis, 0 where it is continuous; default: all are continuous.
    """
    is_choice = np.array([n > 0 for n in n_choices], dtype=np.bool_) if any(n_choices) else None
    budget = budget or default_budget(len(reference))
    rng = np.random.default_rng(seed)
    start = low_discrepancy_points(n_axes, budget.n_scanned, seed=seed)
    n, scale = len(start), 0.1
    archive = _survivors(_Archive(start, *evaluate(start, np.empty((0, len(reference))))), _CELLS)
    history = [(n, archive)]
    while n < budget.n_evaluations:
        offspring = _offspring(archive, budget.n_offspring, scale, rng, is_choice)
        n, scale = n + len(offspring), scale * _SHRINK
        archive = _survivors(_concat(archive, _Archive(offspring, *evaluate(offspring, _front(archive)))), _CELLS)
        history.append((n, archive))
        if len(history) > _MIN_GENERATIONS and len(history) % 2:
            now, before = (_hypervolume(s.values, reference) for s in (archive, _at_half(history)))
            if now > 0 and abs(1 - before / now) < budget.tolerance:
                break
    if len(reference) == 3 and budget.n_filling and _is_feasible(archive):
        filling = _between_neighbours(archive, budget.n_filling, rng, is_choice)
        filled = _concat(archive, _Archive(filling, *evaluate(filling, _front(archive))))
        n += len(filling)
        half_filled = _survivors(_take(filled, slice(0, len(archive.unit) + len(filling) // 2)), math.inf)
        archive = _survivors(filled, math.inf)
        history.append((n // 2, half_filled))
        history.append((n, archive))
    is_feasible, half = archive.violation <= 0, _at_half(history)
    return RefinedFront(archive.unit[is_feasible], archive.values[is_feasible], half.values[half.violation <= 0], n)


@dataclass(frozen=True, slots=True)
class _Archive:
    """The feasible front so far, or while no point is feasible the points of least constraint violation."""

    unit: Float
    values: Float
    violation: Float


def _concat(first: _Archive, second: _Archive) -> _Archive:
    return _Archive(
        np.concatenate([first.unit, second.unit]),
        np.concatenate([first.values, second.values]),
        np.concatenate([first.violation, second.violation]),
    )


def _survivors(archive: _Archive, n_cells: float) -> _Archive:
    feasible = np.flatnonzero(archive.violation <= 0)
    if not feasible.size:
        rows = np.argsort(archive.violation, kind="stable")[:_PARENTS_IF_NONE_FEASIBLE]
    else:
        rows = feasible[np.asarray(moocore.is_nondominated(archive.values[feasible]), dtype=np.bool_)]
        if archive.values.shape[1] == 3 and n_cells < math.inf:
            rows = rows[_thin(archive.values[rows], n_cells)]
    return _Archive(archive.unit[rows], archive.values[rows], archive.violation[rows])


def _thin(values: Float, n_cells: float) -> NDArray[np.int64]:
    """Return an evenly spread subset of a three-objective front, as indices ordered by cell.

    Projected along the diagonal onto a plane, no two points of a front coincide. The plane is divided into about
    n_cells cells, and each cell retains the point nearest to the ideal.
    """
    cell, depth, _ = _cells(values, n_cells)
    order = np.lexsort((depth, cell))
    is_first = np.r_[True, np.diff(cell[order]) != 0] if len(order) else np.zeros(0, dtype=np.bool_)
    return np.asarray(order[is_first])


def _cells(values: Float, n_cells: float) -> tuple[NDArray[np.int64], Float, int]:
    """Return each point's cell in the projection plane, its depth along the diagonal, and the stride of columns."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    depth = scaled.mean(axis=1)
    # The plane's two coordinates span about 1.3 units each; a typical front covers about 0.6 units of area.
    side = math.sqrt(n_cells / 0.6)
    column, row = (np.floor((scaled[:, j] - depth + 1) * side).astype(np.int64) for j in (0, 1))
    stride = 2 * int(side) + 3
    return column * stride + row, depth, stride


def _offspring(
    archive: _Archive, k: int, scale: float, rng: np.random.Generator, is_choice: NDArray[np.bool_] | None
) -> Float:
    """Draw a generation of designs around and between those of the archive, shape (k, d)."""
    n, d = archive.unit.shape
    parent = rng.integers(n, size=k)
    size = scale * np.exp(rng.normal(size=(k, 1)))
    step = rng.normal(size=(k, d)) * size * (rng.random((k, d)) < 0.5)
    # Differences of neighbours: the line between two designs of the front stays close to it, at any distance.
    is_by_cell = archive.values.shape[1] == 3  # then the archive itself is ordered by cell
    order = np.arange(n) if is_by_cell else np.argsort(archive.values[:, 0], kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    reach = max(2, n // 50)
    neighbour = order[np.clip(rank[parent] + rng.integers(-reach, reach + 1, size=k), 0, n - 1)]
    between = (archive.unit[neighbour] - archive.unit[parent]) * rng.uniform(-1.2, 1.2, size=(k, 1))
    kind = rng.random((k, 1))
    unit = archive.unit[parent] + np.where(kind < 0.4, step, np.where(kind < 0.8, between, between + 0.3 * step))
    on_face = rng.random((k, d)) < _FACE_SHARE
    if is_choice is not None:
        is_resampled = rng.random((k, d)) < _RESAMPLED_CHOICE_SHARE
        choices = np.where(is_resampled, rng.random((k, d)), archive.unit[parent])
        unit, on_face = np.where(is_choice, choices, unit), on_face & ~is_choice
    return np.clip(np.where(on_face, np.round(unit), unit), 0.0, 1.0)


def _between_neighbours(
    archive: _Archive, k: int, rng: np.random.Generator, is_choice: NDArray[np.bool_] | None
) -> Float:
    """Draw designs in the triangles between neighbours in the projection plane of the front, shape (k, d)."""
    n = len(archive.unit)
    cell, _, stride = _cells(archive.values, _CELLS)
    order = np.argsort(cell, kind="stable")
    unit, cell = archive.unit[order], cell[order]
    parent, turn = np.arange(k) % n, np.arange(k) // n
    along = np.clip(parent + np.where(turn % 2, 1, -1), 0, n - 1)
    across = np.clip(np.searchsorted(cell, cell[parent] + np.where(turn // 2 % 2, stride, -stride)), 0, n - 1)
    # R2 low-discrepancy sequence (generalized golden ratio) with a random start: more even than uniform draws.
    start = rng.random((2, n))[:, parent]
    first, second = ((start + np.outer(_GOLDEN, turn // 4)) % 1)[:, :, None]
    is_outside = first + second > 1
    first, second = np.where(is_outside, 1 - first, first), np.where(is_outside, 1 - second, second)
    between = unit[parent] + first * (unit[along] - unit[parent]) + second * (unit[across] - unit[parent])
    return np.asarray(between if is_choice is None else np.where(is_choice, unit[parent], between))


def _front(archive: _Archive) -> Float:
    return archive.values[archive.violation <= 0]


def _is_feasible(archive: _Archive) -> bool:
    return bool(np.all(archive.violation <= 0))


def _take(archive: _Archive, rows: slice) -> _Archive:
    return _Archive(archive.unit[rows], archive.values[rows], archive.violation[rows])


def _at_half(history: Sequence[tuple[int, _Archive]]) -> _Archive:
    """Return the archive after half of the evaluations."""
    half = history[-1][0] / 2
    return min(history, key=lambda entry: abs(entry[0] - half))[1]


def _hypervolume(values: Float, reference: Float) -> float:
    return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0
