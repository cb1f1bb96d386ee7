"""Exact fronts: the Pareto front of a problem computed from its model without a sampler."""

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.geometry.dominance import is_dominated_by, to_minimization
from explorer.pareto.geometry.emulation import Emulator
from explorer.pareto.geometry.minimization import TIE, minimize
from explorer.pareto.geometry.refinement import Budget, Evaluate, RefinedFront, refine
from explorer.pareto.results.results import ExactFront
from explorer.problem.columns import Columns, Float, stack, take
from explorer.problem.design_space import DesignSpace

# The front of four objectives is a volume: no archive of practical size is dense enough for an exact hypervolume.
MAX_OBJECTIVES = 3
_MAX_ENUMERATED = 2**14  # a region with at most this many designs is enumerated instead of searched
_N_PLOTTED = 300
_N_FILTER = 500  # designs of a front that show others to be dominated


@dataclass(frozen=True, slots=True)
class Front:
    """The designs of a front with their objectives to be minimized, shape (k, m)."""

    designs: Columns
    values: Float


def exact_front(
    problem: Problem, reference: Sequence[float], *, seed: int = 0, budget: Budget | None = None
) -> ExactFront | None:
    """Return the exact front of a problem over all of its regions, for one to three objectives.

    The front of one objective is its optimum. None where no design is feasible, and for more than three objectives,
    where a thinned archive is not exact.

    Args:
        problem: the study with a vectorized evaluator.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of the scan and the refinement.
        budget: stopping rule of each region.
    """
    n_objectives = len(problem.study.objectives)
    if n_objectives > (2 if problem.statistics.chance else MAX_OBJECTIVES):
        return None
    signs = np.array([objective.sign for objective in problem.study.objectives])
    corner = np.asarray(reference) * signs
    fronts = [_region_front(problem, region, corner, seed, budget) for region in problem.regions.values()]
    values = np.concatenate([front.values for front in fronts])
    half_values = np.concatenate([front.half_values for front in fronts])
    if not len(values):
        return None
    values = values[np.asarray(moocore.is_nondominated(values))]
    total, half = _hypervolume(values, corner), _hypervolume(half_values, corner)
    order = np.argsort(values[:, 0], kind="stable")
    plotted = values[order[np.unique(np.linspace(0, len(order) - 1, _N_PLOTTED).astype(np.int64))]] * signs
    n_evaluated = sum(front.n_evaluated for front in fronts)
    return ExactFront(total, 1 - half / total if total > 0 else 0.0, n_evaluated, plotted)


def front_designs(
    problem: Problem, reference: Sequence[float], *, seed: int = 0, budget: Budget | None = None
) -> Front:
    """Return the designs of the front over all regions; none where no design is feasible.

    Args:
        problem: the study with a vectorized evaluator, of one to three objectives.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of the scan and the refinement.
        budget: stopping rule of each region.
    """
    corner = np.asarray(reference) * np.array([objective.sign for objective in problem.study.objectives])
    fronts = []
    for region in problem.regions.values():
        refined = _region_front(problem, region, corner, seed, budget)
        fronts.append((region.from_unit(refined.unit), refined.values))
    designs, values = stack([front for front, _ in fronts]), np.concatenate([values for _, values in fronts])
    mask = np.asarray(moocore.is_nondominated(values), dtype=np.bool_) if len(values) else np.zeros(0, dtype=np.bool_)
    return Front(take(designs, mask), values[mask])


def evaluate_minimized(problem: Problem, designs: Columns) -> tuple[Float, Float]:
    """Evaluate designs: return the objectives to be minimized, shape (n, m), and constraint violations, shape (n,)."""
    return _minimized(problem, problem.evaluate(designs, is_needed_only=True))


def is_enumerable(problem: Problem, region: DesignSpace) -> bool:
    """Return True if all designs of a region are evaluated instead of searched: those of a table, or a few thousand."""
    return problem.is_table or region.n_designs <= _MAX_ENUMERATED


def _minimized(problem: Problem, columns: Columns) -> tuple[Float, Float]:
    excess = [np.maximum(violation, 0.0) for violation in problem.constraint_violations(columns).values()]
    values = to_minimization(problem.values(columns), problem.study.objectives)
    return values, np.sum(excess, axis=0) if excess else np.zeros(len(values))


def _region_front(
    problem: Problem, region: DesignSpace, corner: Float, seed: int, budget: Budget | None
) -> RefinedFront:
    if is_enumerable(problem, region):
        return _enumerated_front(problem, region)
    if len(corner) == 1:
        return _optimum(problem, region, seed)
    return refine(
        region_evaluation(problem, region, seed=seed), len(region.axes), corner, seed=seed,
        n_choices=[len(axis.labels) for axis in region.axes],
        budget=budget or (_emulated_budget(len(corner)) if problem.statistics.chance else None),
    )  # fmt: skip


def _emulated_budget(n_objectives: int) -> Budget:
    """Return a budget of small generations: each learns where the limits are from those before it."""
    if n_objectives <= 2:
        return Budget(8e-5, 80_000, n_scanned=2**13, n_offspring=2_000)
    return Budget(5e-4, 150_000, n_scanned=2**13, n_offspring=5_000, n_filling=100_000)


def region_evaluation(problem: Problem, region: DesignSpace, *, seed: int, n_decisive: int | None = None) -> Evaluate:
    """Return the evaluation of points of a region's unit cube: see `evaluate_minimized`.

    Limits with a probability are emulated between exact values, which cost a hundred times as much as a prediction.

    Args:
        problem: the study with a vectorized evaluator.
        region: one of its regions.
        seed: of the points at which limits are computed first.
        n_decisive: number of objectives that the search optimizes; the rest decides between ties only. Default: all.
    """
    if not problem.statistics.chance:
        return lambda unit, _: evaluate_minimized(problem, region.from_unit(unit))
    model, statistics = problem.evaluator, problem.statistics

    def columns_of(unit: Float) -> Columns:
        return problem.evaluate(region.from_unit(unit), is_needed_only=True, has_statistics=False)

    emulator = Emulator(lambda unit: statistics.violation(model, columns_of(unit)), seed=seed)

    def evaluate(unit: Float, front: Float) -> tuple[Float, Float]:
        columns = columns_of(unit)
        values, violation = _minimized(problem, columns)
        # A sum of violations leads a search that starts among infeasible designs.
        own, best = values[:, :n_decisive], front[:, :n_decisive]
        open_rows = np.flatnonzero((violation <= 0) & ~is_dominated_by(own, _thinned(best)))
        nominal = statistics.nominal_violation(take(columns, open_rows))
        closed = violation > 0
        violation[open_rows] = emulator.violation(unit[open_rows], nominal, own[open_rows], best)
        if not len(front) and closed.any():  # so far nothing is feasible: every limit leads towards it
            rows = np.flatnonzero(closed)
            nominal = statistics.nominal_violation(take(columns, rows))
            violation[rows] += np.maximum(emulator.predict(unit[rows], nominal), 0.0)
        return values, violation

    return evaluate


def _thinned(front: Float) -> Float:
    """Return a front that shows others to be dominated; of more than two objectives at most 500 points, evenly."""
    if front.shape[1] <= 2 or len(front) <= _N_FILTER:
        return front
    return front[np.unique(np.linspace(0, len(front) - 1, _N_FILTER).astype(np.int64))]


def _optimum(problem: Problem, region: DesignSpace, seed: int) -> RefinedFront:
    """Return the design of the best value of one objective."""
    best = minimize(
        region_evaluation(problem, region, seed=seed), len(region.axes),
        seed=seed, n_choices=[len(axis.labels) for axis in region.axes],
    )  # fmt: skip
    values = best.best_values
    # Values this close count as equal: the optimum is known to no more than that.
    earlier = np.maximum(best.earlier_values, values + TIE * np.abs(values)) if len(best.earlier_values) else values[:0]
    return RefinedFront(best.unit[: len(values)], values, earlier, best.n_evaluated)


def _enumerated_front(problem: Problem, region: DesignSpace) -> RefinedFront:
    """Return the front of all designs of a finite region; its convergence figure is 0."""
    unit = region.every_point()
    values, violation = evaluate_minimized(problem, region.from_unit(unit))
    rows = np.flatnonzero(violation <= 0)
    rows = rows[np.asarray(moocore.is_nondominated(values[rows]), dtype=np.bool_)] if rows.size else rows
    return RefinedFront(unit[rows], values[rows], values[rows], len(values))


def _hypervolume(values: Float, corner: Float) -> float:
    return float(moocore.hypervolume(values, ref=corner)) if len(values) else 0.0
