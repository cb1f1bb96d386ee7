"""Optimum of one column under constraints: the best designs of a problem, computed from its model without a sampler."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.exact_front import evaluate_minimized, is_enumerable, region_evaluation
from explorer.pareto.geometry.minimization import Minimum, enumerate_points, minimize
from explorer.problem.applicability import EXTRAPOLATION
from explorer.problem.columns import Columns, Float, n_rows, stack, take
from explorer.problem.constraints import Constraint
from explorer.problem.design_space import DesignSpace
from explorer.problem.objectives import Objective

# Just inside the tolerance of `is_extrapolated`: designs on the edge of the domain belong to it.
_INSIDE = Constraint("domain_distance", "<=", EXTRAPOLATION + 5e-10)


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best designs of a problem, best first.

    Args:
        designs: their knobs, shape (k,) each; feasible ones before infeasible ones, those by their violation.
        values: the objectives to be minimized, shape (k, m).
        violation: total constraint violation, shape (k,); at most 0 is feasible.
        n_evaluated: number of designs evaluated.
    """

    designs: Columns
    values: Float
    violation: Float
    n_evaluated: int


def optimum(problem: Problem, *, seed: int = 0, start: Columns | None = None) -> Optimum:
    """Return the designs of the best first objective that meet the constraints; later objectives decide between ties.

    The least of a scan is improved by evolution (`minimization.minimize`) in each region; a finite region is
    enumerated. The first design is never worse than a feasible one of `start`, but for the rounding of its knobs.

    Args:
        problem: the study with a vectorized evaluator.
        seed: of the scan and the evolution.
        start: designs to begin with besides the scan, such as finished trials; those outside the regions are ignored.
    """
    found = [(region, _of_region(problem, region, seed, start)) for region in problem.regions.values()]
    designs = stack([region.from_unit(best.unit) for region, best in found])
    values = np.concatenate([best.values for _, best in found])
    violation = np.concatenate([best.violation for _, best in found])
    order = np.lexsort((*values.T[::-1], violation))
    n_evaluated = sum(best.n_evaluated for _, best in found)
    return Optimum(take(designs, order), values[order], violation[order], n_evaluated)


def with_question(
    problem: Problem, objective: Objective, conditions: Sequence[Constraint], *, is_inside: bool = True
) -> Problem:
    """Return a problem that asks for one column under further conditions; its own objectives decide between ties.

    Args:
        problem: the study.
        objective: what is asked for.
        conditions: limits besides the study's own.
        is_inside: stay inside the model's domain.
    """
    study = problem.study
    others = tuple(one for one in study.objectives if one.name != objective.name)
    limits = tuple(dict.fromkeys((*study.constraints, *conditions, *((_INSIDE,) if is_inside else ()))))
    return replace(problem, study=replace(study, objectives=(objective, *others), constraints=limits))


def _of_region(problem: Problem, region: DesignSpace, seed: int, start: Columns | None) -> Minimum:
    if is_enumerable(problem, region):
        return enumerate_points(
            lambda unit, _: evaluate_minimized(problem, region.from_unit(unit)), region.every_point()
        )
    evaluate = region_evaluation(problem, region, seed=seed, n_decisive=1)
    n_choices = [len(axis.labels) for axis in region.axes]
    return minimize(evaluate, len(region.axes), seed=seed, start=_unit_points(region, start), n_choices=n_choices)


def _unit_points(region: DesignSpace, designs: Columns | None) -> Float | None:
    """Return the points of the unit cube of the designs inside a region, shape (k, d); None without any."""
    own = None if designs is None else take(designs, designs["family"] == region.family)
    if own is None or not n_rows(own):
        return None
    own = take(own, region.contains(own))
    knobs = region.knobs(own)
    return np.stack([axis.to_unit(knobs[axis.name]) for axis in region.axes], axis=-1)
