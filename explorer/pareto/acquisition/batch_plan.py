"""Planning designs where thousands can be assessed in a blink: the N that together show the front best, in order."""

from collections.abc import Sequence

import moocore
import numpy as np

from explorer.models.evaluation import Problem
from explorer.pareto.exact_front import MAX_OBJECTIVES, Front, assessed_values, front_designs
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.geometry.refinement import Budget
from explorer.pareto.geometry.subset_selection import Index, greedy_hypervolume_order
from explorer.problem.columns import Columns, Float, n_rows, stack, take

__all__ = ["MAX_OBJECTIVES", "batch_plan"]

# Three objectives: choosing one more design costs about a millisecond; beyond these the others are spread evenly.
_MOST_DEEP = 4_000
_SEED = 0x9E3779B9  # the exact front that certifies a search must not be drawn from the same numbers


def batch_plan(
    problem: Problem,
    reference: Sequence[float],
    n: int,
    *,
    seed: int = 0,
    known: Columns | None = None,
) -> Columns:
    """Return n designs (their knobs) in the order in which each adds most to what is known of the front.

    First come those that cover the exact front (greedy hypervolume). Where that has fewer designs than were asked for,
    the rest of it follows evenly, then the layers behind it; where no design is feasible, those that miss by least.
    Fewer than n where there are no more designs.

    Args:
        problem: the study with a vectorized evaluator, of two or three objectives.
        reference: the hypervolume's reference point, in the objectives' order.
        n: how many are wanted.
        seed: of scan and refinement; the same one gives the same plan.
        known: what was tried already, assessed, shape (j,) each: it is not proposed again.
    """
    tried = known if known is not None and n_rows(known) else None
    own = int(np.random.SeedSequence([_SEED, seed]).generate_state(1)[0])
    front = front_designs(problem, reference, seed=own, budget=_budget(len(reference), n))
    if not len(front.values):
        return _untried(_least_misses(problem, n, seed=own), tried, n)
    signs = np.array([objective.sign for objective in problem.study.objectives])
    first = n if len(reference) == 2 else min(n, _MOST_DEEP)
    order = greedy_hypervolume_order(front.values, np.asarray(reference) * signs, first, known=_values(problem, tried))
    designs = take(front.designs, np.concatenate([order, _others(front, order)]))
    planned = _untried(designs, tried, n)
    if n_rows(planned) == n:
        return planned
    together = stack([planned, tried]) if tried else planned
    return stack([planned, _untried(_layers(problem, n, seed=own), together, n - n_rows(planned))])


def _budget(n_objectives: int, n: int) -> Budget:
    """Return what gives some ten times as many designs of the front as are wanted, and never few."""
    if n_objectives == 2:
        n_evaluations = max(20_000, min(20 * n, 200_000 + 6 * n))
        return Budget(0.0, n_evaluations, n_scanned=2**10, n_children=max(2_000, n_evaluations // 15))
    n_evaluations = min(max(50_000, 20 * n), 400_000)
    filling = 20 * max(0, n - _MOST_DEEP)
    return Budget(0.0, n_evaluations, n_scanned=2**12, n_children=n_evaluations // 10, n_filling=filling)


def _values(problem: Problem, tried: Columns | None) -> Float | None:
    """Return what feasible designs reached, to be minimized, shape (j, m)."""
    if tried is None:
        return None
    feasible = take(tried, np.flatnonzero(tried["is_feasible"]))
    return to_minimization(problem.values(feasible), problem.study.objectives)


def _others(front: Front, chosen: Index) -> Index:
    """Return the rest of a front so that each prefix is spread over it: by halving, in order of place."""
    left = np.setdiff1d(np.arange(len(front.values)), chosen)
    left = left[np.argsort(front.values[left, 0], kind="stable")]
    return np.asarray(left[_halving(len(left))])


def _halving(n: int) -> Index:
    """Return 0 to n - 1 in an order of which each prefix is spread evenly: bits of the place, reversed.

    >>> _halving(5)
    array([0, 4, 2, 1, 3])
    """
    n_bits = max(1, int(n - 1).bit_length())
    place = np.arange(2**n_bits)
    turned = np.zeros_like(place)
    for bit in range(n_bits):
        turned |= ((place >> bit) & 1) << (n_bits - 1 - bit)
    return np.asarray(turned[turned < n], dtype=np.int64)


def _layers(problem: Problem, n: int, *, seed: int) -> Columns:
    """Return designs by layer, feasible ones first: all that there are, or a scan of them."""
    listed = problem.n_designs <= max(4 * n, 2**12)
    designs = problem.every_design() if listed else problem.sample(4 * n, seed=seed)
    values, violation = assessed_values(problem, designs)
    rank = np.where(violation <= 0, np.asarray(moocore.pareto_rank(values)), np.inf)
    return take(designs, np.lexsort((violation, rank)))


def _least_misses(problem: Problem, n: int, *, seed: int) -> Columns:
    designs = problem.every_design() if problem.n_designs <= n else problem.sample(max(n, 2**12), seed=seed)
    _, violation = assessed_values(problem, designs)
    return take(designs, np.argsort(violation, kind="stable"))


def _untried(designs: Columns, tried: Columns | None, n: int) -> Columns:
    """Return the first n designs that are none of those tried, each once."""
    names = [name for name in designs if tried is None or name in tried]
    seen = set(_keys(tried, names)) if tried else set()
    rows: list[int] = []
    for i, key in enumerate(_keys(designs, names)):
        if len(rows) == n:
            break
        if key not in seen:
            seen.add(key)
            rows.append(i)
    return take(designs, np.array(rows, dtype=np.int64))


def _keys(designs: Columns, names: Sequence[str]) -> "zip[tuple[object, ...]]":
    return zip(*[designs[name].tolist() for name in names], strict=True)
