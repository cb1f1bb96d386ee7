"""The exact front of a question: what there is to find, on columns, without Optuna."""

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.geometry.refinement import Budget, Refined, refine
from explorer.problem.columns import Columns, Float, stack, take
from explorer.problem.design_space import DesignSpace


@dataclass(frozen=True, slots=True)
class ExactFront:
    """The exact front of a question.

    Args:
        hypervolume: what it dominates up to the reference point.
        convergence: the share of that which the last half of the evaluations added.
        n_evaluated: number of designs evaluated.
        values: some of its points for drawing, in the objectives' order, shape (k, m).
    """

    hypervolume: float
    convergence: float
    n_evaluated: int
    values: Float


# With four objectives a front is a solid: no archive that can be handled is dense enough to certify anything.
MAX_OBJECTIVES = 3
MAX_LISTED = 2**14  # a region of fewer designs is not searched: all of them are assessed
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Front:
    """The designs of a front with their values to be minimized, shape (k, m)."""

    designs: Columns
    values: Float


def exact_front(
    problem: Problem, reference: Sequence[float], *, seed: int = 0, budget: Budget | None = None
) -> ExactFront | None:
    """Return the exact front of an problem over all of its regions, for two or three objectives.

    None where no design is feasible, and for more objectives: an archive that thins out would certify nothing.

    Args:
        problem: the study with a vectorized evaluator.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of the scan and the refinement.
        budget: when to stop, for each region.
    """
    if len(problem.study.objectives) > MAX_OBJECTIVES:
        return None
    signs = np.array([objective.sign for objective in problem.study.objectives])
    corner = np.asarray(reference) * signs
    found = [_refined(problem, region, corner, seed, budget) for region in problem.regions.values()]
    values, before = (np.concatenate(part) for part in zip(*[(f.values, f.half_values) for f in found], strict=True))
    if not len(values):
        return None
    values = values[np.asarray(moocore.is_nondominated(values))]
    total, earlier = _hypervolume(values, corner), _hypervolume(before, corner)
    order = np.argsort(values[:, 0], kind="stable")
    shown = values[order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).astype(np.int64))]] * signs
    return ExactFront(total, 1 - earlier / total if total > 0 else 0.0, sum(f.n_evaluated for f in found), shown)


def front_designs(
    problem: Problem, reference: Sequence[float], *, seed: int = 0, budget: Budget | None = None
) -> Front:
    """Return the designs of the front over all regions; none where no design is feasible.

    Args:
        problem: the study with a vectorized evaluator, of two or three objectives.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of the scan and the refinement.
        budget: when to stop, for each region.
    """
    corner = np.asarray(reference) * np.array([objective.sign for objective in problem.study.objectives])
    fronts = []
    for region in problem.regions.values():
        found = _refined(problem, region, corner, seed, budget)
        fronts.append((region.from_unit(found.unit), found.values))
    designs, values = stack([front for front, _ in fronts]), np.concatenate([values for _, values in fronts])
    kept = np.asarray(moocore.is_nondominated(values), dtype=np.bool_) if len(values) else np.zeros(0, dtype=np.bool_)
    return Front(take(designs, kept), values[kept])


def assessed_values(problem: Problem, designs: Columns) -> tuple[Float, Float]:
    """Return the values to be minimized, shape (n, m), and the violations, shape (n,), of designs."""
    columns = problem.evaluate(designs)
    excess = [np.maximum(misses, 0.0) for misses in problem.constraint_violations(columns).values()]
    values = to_minimization(problem.values(columns), problem.study.objectives)
    return values, np.sum(excess, axis=0) if excess else np.zeros(len(values))


def _refined(problem: Problem, region: DesignSpace, corner: Float, seed: int, budget: Budget | None) -> Refined:
    if region.n_designs <= MAX_LISTED:
        return _everything(problem, region)
    return refine(
        lambda unit: assessed_values(problem, region.from_unit(unit)), len(region.axes), corner,
        seed=seed, budget=budget, n_choices=[len(axis.labels) for axis in region.axes],
    )  # fmt: skip


def _everything(problem: Problem, region: DesignSpace) -> Refined:
    """Return the front of all designs that there are: exact, with nothing left to converge."""
    unit = region.every_point()
    values, violation = assessed_values(problem, region.from_unit(unit))
    rows = np.flatnonzero(violation <= 0)
    rows = rows[np.asarray(moocore.is_nondominated(values[rows]), dtype=np.bool_)] if rows.size else rows
    return Refined(unit[rows], values[rows], values[rows], len(values))


def _hypervolume(values: Float, corner: Float) -> float:
    return float(moocore.hypervolume(values, ref=corner)) if len(values) else 0.0
