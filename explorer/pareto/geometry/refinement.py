"""Refining a front: scan and refinement of a vectorized function on the unit cube, generation after generation.

A scrambled Sobol scan and all corners of the unit cube give a first front; then generation after generation of designs
is drawn around and between the designs of the front (steps that shrink, differences of neighbours, and projections on
the cube's faces, where constrained optima lie), all evaluated at once. What the last half of the evaluations still
added to the hypervolume is the convergence figure: the front is as exact as that figure is small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import low_discrepancy_points
from explorer.problem.columns import Float

Evaluate = Callable[[Float], tuple[Float, Float]]
"""Points of the unit cube, shape (n, d), to values to be minimized, shape (n, m), and violations, shape (n,): at most 0
where a point is feasible."""

_LEAST_ROUNDS = 6
_SHRINK = 0.8
_FACE_SHARE = 0.03
_OTHER_CHOICE_SHARE = 0.15
_PARENTS_IF_NONE_FEASIBLE = 200
# Three objectives: a front is a surface, and its hypervolume converges only with the root of its points. Refinement
# works on a spread of this many; a last generation between neighbours then fills the surface.
_CELLS = 40_000
_GOLDEN = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop, and how to go about it.

    Args:
        tolerance: stop at this convergence figure.
        n_evaluations: or after so many evaluations.
        n_scanned: designs of the first scan.
        n_children: designs in a generation: small ones learn fast; with three objectives the filter of a large archive
            costs more than the designs.
        n_filling: designs of the last generation between neighbours, with three objectives.
    """

    tolerance: float
    n_evaluations: int
    n_scanned: int = 2**14
    n_children: int = 10_000
    n_filling: int = 0


def certain_budget(n_objectives: int) -> Budget:
    """Return what reaches 1e-4 of the limit for two objectives and 1e-3 for three, in a blink."""
    if n_objectives == 2:
        return Budget(8e-5, 200_000)
    return Budget(5e-4, 400_000, n_children=40_000, n_filling=800_000)


@dataclass(frozen=True, slots=True)
class Refined:
    """The front of one region: unit points (n, d), values (n, m), and the values at half of the evaluations."""

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
) -> Refined:
    """Find the front of a vectorized function on the unit cube, all objectives to be minimized.

    An axis of choices (a category, a list of values, operating points) is a staircase: between two designs there is
    nothing. There a child keeps its parent's choice, and some children try another one, near or far alike.

    Args:
        evaluate: the function.
        n_axes: d.
        reference: the reference point, shape (m,).
        seed: of the scan and the refinement.
        budget: when to stop.
        n_choices: the number of choices on each axis, 0 where it is continuous; default: all are.
    """
    is_choice = np.array([n > 0 for n in n_choices], dtype=np.bool_) if any(n_choices) else None
    budget = budget or certain_budget(len(reference))
    rng = np.random.default_rng(seed)
    start = low_discrepancy_points(n_axes, budget.n_scanned, seed=seed)
    n, scale = len(start), 0.1
    state = _survivors(_State(start, *evaluate(start)), _CELLS)
    history = [(n, state)]
    while n < budget.n_evaluations:
        children = _children(state, budget.n_children, scale, rng, is_choice)
        n, scale = n + len(children), scale * _SHRINK
        together = _joined(state, _State(children, *evaluate(children)))
        state = _survivors(together, _CELLS)
        history.append((n, state))
        if len(history) > _LEAST_ROUNDS and len(history) % 2:
            now, before = (_hypervolume(s.values, reference) for s in (state, _at_half(history)))
            if now > 0 and abs(1 - before / now) < budget.tolerance:
                break
    if len(reference) == 3 and budget.n_filling and _is_feasible(state):
        filling = _between_neighbours(state, budget.n_filling, rng, is_choice)
        together = _joined(state, _State(filling, *evaluate(filling)))
        n += len(filling)
        half_filled = _survivors(_take(together, slice(0, len(state.unit) + len(filling) // 2)), math.inf)
        state = _survivors(together, math.inf)
        history.append((n // 2, half_filled))
        history.append((n, state))
    is_feasible, half = state.violation <= 0, _at_half(history)
    return Refined(state.unit[is_feasible], state.values[is_feasible], half.values[half.violation <= 0], n)


@dataclass(frozen=True, slots=True)
class _State:
    """Points kept so far: the feasible front, or while nothing is feasible the points that miss by least."""

    unit: Float
    values: Float
    violation: Float


def _joined(one: _State, other: _State) -> _State:
    return _State(
        np.concatenate([one.unit, other.unit]),
        np.concatenate([one.values, other.values]),
        np.concatenate([one.violation, other.violation]),
    )


def _survivors(state: _State, n_cells: float) -> _State:
    feasible = np.flatnonzero(state.violation <= 0)
    if not feasible.size:
        kept = np.argsort(state.violation, kind="stable")[:_PARENTS_IF_NONE_FEASIBLE]
    else:
        kept = feasible[np.asarray(moocore.is_nondominated(state.values[feasible]), dtype=np.bool_)]
        kept = kept[_spread(state.values[kept], n_cells)] if state.values.shape[1] == 3 and n_cells < math.inf else kept
    return _State(state.unit[kept], state.values[kept], state.violation[kept])


def _spread(values: Float, n_cells: float) -> NDArray[np.int64]:
    """Return an evenly spread subset of a three-objective front, as indices in order of place.

    Seen along the diagonal, a front is a piece of a plane: no two of its points lie behind each other. In each of about
    n_cells cells of that plane the point nearest to the ideal is kept.
    """
    cell, depth, _ = _cells(values, n_cells)
    order = np.lexsort((depth, cell))
    is_first = np.r_[True, np.diff(cell[order]) != 0] if len(order) else np.zeros(0, dtype=np.bool_)
    return np.asarray(order[is_first])


def _cells(values: Float, n_cells: float) -> tuple[NDArray[np.int64], Float, int]:
    """Return each point's cell in the front's plane, its depth along the diagonal, and the step to the next column."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    depth = scaled.mean(axis=1)
    # The plane's two coordinates span about 1.3 units each; a typical front covers a bit over half a unit of area.
    side = math.sqrt(n_cells / 0.6)
    column, row = (np.floor((scaled[:, j] - depth + 1) * side).astype(np.int64) for j in (0, 1))
    stride = 2 * int(side) + 3
    return column * stride + row, depth, stride


def _children(
    state: _State, k: int, scale: float, rng: np.random.Generator, is_choice: NDArray[np.bool_] | None
) -> Float:
    """Draw a generation of designs around and between the kept ones, shape (k, d)."""
    n, d = state.unit.shape
    parent = rng.integers(n, size=k)
    size = scale * np.exp(rng.normal(size=(k, 1)))
    step = rng.normal(size=(k, d)) * size * (rng.random((k, d)) < 0.5)
    # Neighbours along the front: the line between two of its designs stays near it, at any distance.
    is_spread = state.values.shape[1] == 3  # then the archive itself is in order of place
    order = np.arange(n) if is_spread else np.argsort(state.values[:, 0], kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    reach = max(2, n // 50)
    other = order[np.clip(rank[parent] + rng.integers(-reach, reach + 1, size=k), 0, n - 1)]
    between = (state.unit[other] - state.unit[parent]) * rng.uniform(-1.2, 1.2, size=(k, 1))
    kind = rng.random((k, 1))
    moved = state.unit[parent] + np.where(kind < 0.4, step, np.where(kind < 0.8, between, between + 0.3 * step))
    on_face = rng.random((k, d)) < _FACE_SHARE
    if is_choice is not None:
        elsewhere = np.where(rng.random((k, d)) < _OTHER_CHOICE_SHARE, rng.random((k, d)), state.unit[parent])
        moved, on_face = np.where(is_choice, elsewhere, moved), on_face & ~is_choice
    return np.clip(np.where(on_face, np.round(moved), moved), 0.0, 1.0)


def _between_neighbours(state: _State, k: int, rng: np.random.Generator, is_choice: NDArray[np.bool_] | None) -> Float:
    """Draw designs in the triangles between designs that are neighbours in the front's plane, shape (k, d)."""
    n = len(state.unit)
    cell, _, stride = _cells(state.values, _CELLS)
    order = np.argsort(cell, kind="stable")
    unit, cell = state.unit[order], cell[order]
    parent, turn = np.arange(k) % n, np.arange(k) // n
    beside = np.clip(parent + np.where(turn % 2, 1, -1), 0, n - 1)
    across = np.clip(np.searchsorted(cell, cell[parent] + np.where(turn // 2 % 2, stride, -stride)), 0, n - 1)
    # The two-dimensional golden sequence spreads the points of a triangle more evenly than chance does.
    start = rng.random((2, n))[:, parent]
    first, second = ((start + np.outer(_GOLDEN, turn // 4)) % 1)[:, :, None]
    is_outside = first + second > 1
    first, second = np.where(is_outside, 1 - first, first), np.where(is_outside, 1 - second, second)
    between = unit[parent] + first * (unit[beside] - unit[parent]) + second * (unit[across] - unit[parent])
    return np.asarray(between if is_choice is None else np.where(is_choice, unit[parent], between))


def _is_feasible(state: _State) -> bool:
    return bool(np.all(state.violation <= 0))


def _take(state: _State, rows: slice) -> _State:
    return _State(state.unit[rows], state.values[rows], state.violation[rows])


def _at_half(history: Sequence[tuple[int, _State]]) -> _State:
    """Return the state after half of the evaluations."""
    half = history[-1][0] / 2
    return min(history, key=lambda entry: abs(entry[0] - half))[1]


def _hypervolume(values: Float, reference: Float) -> float:
    return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0
