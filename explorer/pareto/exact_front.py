"""Exact fronts: the Pareto front of a problem computed from its model without a sampler."""

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.geometry.minimization import TIE, minimize
from explorer.pareto.geometry.refinement import Budget, RefinedFront, refine
from explorer.pareto.results.results import ExactFront
from explorer.problem.columns import Columns, Float, stack, take
from explorer.problem.design_space import DesignSpace

# The front of four objectives is a volume: no archive of practical size is dense enough for an exact hypervolume.
MAX_OBJECTIVES = 3
MAX_ENUMERATED = 2**14  # a region with at most this many designs is enumerated instead of searched
_N_PLOTTED = 300


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
    if len(problem.study.objectives) > MAX_OBJECTIVES:
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
    columns = problem.evaluate(designs, is_needed_only=True)
    excess = [np.maximum(violation, 0.0) for violation in problem.constraint_violations(columns).values()]
    values = to_minimization(problem.values(columns), problem.study.objectives)
    return values, np.sum(excess, axis=0) if excess else np.zeros(len(values))


def _region_front(
    problem: Problem, region: DesignSpace, corner: Float, seed: int, budget: Budget | None
) -> RefinedFront:
    if region.n_designs <= MAX_ENUMERATED:
        return _enumerated_front(problem, region)
    if len(corner) == 1:
        return _optimum(problem, region, seed)
    return refine(
        lambda unit: evaluate_minimized(problem, region.from_unit(unit)), len(region.axes), corner,
        seed=seed, budget=budget, n_choices=[len(axis.labels) for axis in region.axes],
    )  # fmt: skip


def _optimum(problem: Problem, region: DesignSpace, seed: int) -> RefinedFront:
    """Return the design of the best value of one objective."""
    best = minimize(
        lambda unit, _: evaluate_minimized(problem, region.from_unit(unit)), len(region.axes),
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
