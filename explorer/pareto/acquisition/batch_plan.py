"""Batch plan for cheap models: the N designs that cover the exact front best, ordered by hypervolume gain."""

from collections.abc import Sequence

import moocore
import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.exact_front import MAX_OBJECTIVES, Front, evaluate_minimized, front_designs
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.geometry.refinement import Budget
from explorer.pareto.geometry.subset_selection import Index, greedy_hypervolume_order
from explorer.problem.columns import Columns, Float, n_rows, stack, take

__all__ = ["MAX_OBJECTIVES", "batch_plan"]

# With three objectives each greedy selection costs about a millisecond: further designs are spread evenly instead.
_MAX_GREEDY_3D = 4_000
_SEED = 0x9E3779B9  # random numbers independent of those of the exact front that the search is judged by


def batch_plan(
    problem: Problem,
    reference: Sequence[float],
    n: int,
    *,
    seed: int = 0,
    known: Columns | None = None,
) -> Columns:
    """Return the knobs of n designs, ordered by the hypervolume that each adds to those before it.

    Greedy hypervolume subset selection of the exact front comes first; the front of one objective is its optimum. If
    the front has fewer than n designs of positive gain, its remaining designs follow, evenly spread, then further
    non-dominated ranks. Where no design is feasible, those of the least constraint violation are planned. Fewer than n
    only where the space has no more designs.

    Args:
        problem: the study with a vectorized evaluator, of one to three objectives.
        reference: the hypervolume's reference point, in the objectives' order.
        n: number of designs.
        seed: of scan and refinement; equal seeds give equal plans.
        known: evaluated designs, shape (j,) each: they are not planned again, and gains count from their front.
    """
    evaluated = known if known is not None and n_rows(known) else None
    plan_seed = int(np.random.SeedSequence([_SEED, seed]).generate_state(1)[0])
    front = front_designs(
        problem, reference, seed=plan_seed, budget=_budget(len(reference), n, is_cheap=not problem.statistics.chance)
    )
    if not len(front.values):
        return _unevaluated(_least_infeasible(problem, n, seed=plan_seed), evaluated, n)
    corner = np.asarray(reference) * np.array([objective.sign for objective in problem.study.objectives])
    n_greedy = n if len(reference) < 3 else min(n, _MAX_GREEDY_3D)
    order = (
        np.zeros(1, dtype=np.int64) if len(reference) == 1 else
        greedy_hypervolume_order(front.values, corner, n_greedy, selected=_feasible_values(problem, evaluated))
    )  # fmt: skip
    designs = take(front.designs, np.concatenate([order, _remaining(front, order)]))
    if len(reference) > 2 and problem.statistics.chance:
        designs = _met_exactly(problem, take(designs, np.arange(min(2 * n, n_rows(designs)))))
    plan = _unevaluated(designs, evaluated, n)
    if n_rows(plan) == n:
        return plan
    excluded = stack([plan, evaluated]) if evaluated else plan
    return stack([plan, _unevaluated(_by_rank(problem, n, seed=plan_seed), excluded, n - n_rows(plan))])


def _budget(n_objectives: int, n: int, *, is_cheap: bool) -> Budget:
    """Return a budget that gives about ten times as many designs of the front as are planned, and a minimum.

    Less of it for many designs where limits hold with a probability: one costs a hundred times as much there.
    """
    if n_objectives < 3 and not is_cheap:
        n_evaluations = max(20_000, min(10 * n, 100_000))
        return Budget(0.0, n_evaluations, n_scanned=2**10, n_offspring=max(1_000, n_evaluations // 15))
    if n_objectives < 3:
        n_evaluations = max(20_000, min(20 * n, 200_000 + 6 * n))
        return Budget(0.0, n_evaluations, n_scanned=2**10, n_offspring=max(2_000, n_evaluations // 15))
    n_evaluations = min(max(50_000, 20 * n), 400_000)
    filling = 20 * max(0, n - _MAX_GREEDY_3D)
    return Budget(0.0, n_evaluations, n_scanned=2**12, n_offspring=n_evaluations // 10, n_filling=filling)


def _met_exactly(problem: Problem, designs: Columns) -> Columns:
    """Return the designs that meet limits with a probability: on a front of three objectives some are interpolated."""
    return take(designs, np.flatnonzero(problem.evaluate(designs, is_needed_only=True)["is_feasible"]))


def _feasible_values(problem: Problem, evaluated: Columns | None) -> Float | None:
    """Return the objectives of the feasible designs, to be minimized, shape (j, m)."""
    if evaluated is None:
        return None
    feasible = take(evaluated, np.flatnonzero(evaluated["is_feasible"]))
    return to_minimization(problem.values(feasible), problem.study.objectives)


def _remaining(front: Front, selected: Index) -> Index:
    """Return the designs of a front that are not selected, in an order of which every prefix is spread evenly."""
    rows = np.setdiff1d(np.arange(len(front.values)), selected)
    rows = rows[np.argsort(front.values[rows, 0], kind="stable")]
    return np.asarray(rows[_bit_reversal(len(rows))])


def _bit_reversal(n: int) -> Index:
    """Return the bit-reversal permutation of 0 to n - 1 (van der Corput order): every prefix is spread evenly.

    >>> _bit_reversal(5)
    array([0, 4, 2, 1, 3])
    """
    n_bits = max(1, int(n - 1).bit_length())
    index = np.arange(2**n_bits)
    reversed_index = np.zeros_like(index)
    for bit in range(n_bits):
        reversed_index |= ((index >> bit) & 1) << (n_bits - 1 - bit)
    return np.asarray(reversed_index[reversed_index < n], dtype=np.int64)


def _by_rank(problem: Problem, n: int, *, seed: int) -> Columns:
    """Return designs by non-dominated rank, feasible ones first: all of a small space, or a scan."""
    is_small = problem.n_designs <= max(4 * n, 2**12)
    designs = problem.every_design() if is_small else problem.sample(4 * n, seed=seed)
    values, violation = evaluate_minimized(problem, designs)
    rank = np.where(violation <= 0, np.asarray(moocore.pareto_rank(values)), np.inf)
    return take(designs, np.lexsort((violation, rank)))


def _least_infeasible(problem: Problem, n: int, *, seed: int) -> Columns:
    """Return designs in ascending order of their constraint violation."""
    designs = problem.every_design() if problem.n_designs <= n else problem.sample(max(n, 2**12), seed=seed)
    _, violation = evaluate_minimized(problem, designs)
    return take(designs, np.argsort(violation, kind="stable"))


def _unevaluated(designs: Columns, evaluated: Columns | None, n: int) -> Columns:
    """Return the first n designs that are not among the evaluated ones, without duplicates."""
    names = [name for name in designs if evaluated is None or name in evaluated]
    keys = set(_keys(evaluated, names)) if evaluated else set()
    rows: list[int] = []
    for i, key in enumerate(_keys(designs, names)):
        if len(rows) == n:
            break
        if key not in keys:
            keys.add(key)
            rows.append(i)
    return take(designs, np.array(rows, dtype=np.int64))


def _keys(designs: Columns, names: Sequence[str]) -> "zip[tuple[object, ...]]":
    return zip(*[designs[name].tolist() for name in names], strict=True)
