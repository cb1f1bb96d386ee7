"""Front probability: the posterior probability that a design is on the front."""

from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import N_DRAWS, Draws, PosteriorModel, predict_draws, split_into_blocks
from explorer.pareto.geometry.dominance import feasible_front, is_nondominated, to_minimization
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.objectives import add_objectives

SURE = 0.95
POSSIBLE = 0.05
# Share of the front's extent by which an untried design must be better in every objective to count as dominating.
_TOLERANCE = 0.01
# Probabilities are computed for designs of this many non-dominated ranks, and of further ranks while there are few.
_N_RANKS = 3
_FEW = 1_500
# Product of draws and designs that takes a few seconds: more designs get fewer draws.
_AFFORDABLE = 10_000_000
_MIN_DRAWS = 50


def n_affordable_draws(n_designs: int) -> int:
    """Return the number of posterior draws for a number of designs: all draws for up to 25,000 designs."""
    return min(max(_AFFORDABLE // max(n_designs, 1), _MIN_DRAWS), N_DRAWS)


def contenders(table: Columns, problem: Problem) -> tuple[NDArray[np.int64], int]:
    """Return the rows of possible designs of the front, and the number of non-dominated ranks that they cover.

    The total constraint violation counts as a further objective, so a rank includes designs that are better than the
    front but violate a constraint slightly. A design left out is dominated by at least as many designs as there are
    ranks.
    """
    excess = problem.constraint_violations(table)
    own = {constraint.text: abs(constraint.limit) or 1.0 for constraint in problem.study.constraints}
    is_possible = [violation <= 0 for name, violation in excess.items() if name not in own]
    remaining = np.flatnonzero(np.all(is_possible, axis=0) if is_possible else np.ones(n_rows(table), dtype=np.bool_))
    values = to_minimization(problem.values(table), problem.study.objectives)
    if own:
        violation = sum(np.maximum(excess[name], 0.0) / scale for name, scale in own.items())
        values = np.column_stack([values, violation])
    ranks: list[NDArray[np.int64]] = []
    while remaining.size and (len(ranks) < _N_RANKS or sum(map(len, ranks)) < _FEW):
        is_rank = np.asarray(moocore.is_nondominated(values[remaining]), dtype=np.bool_)
        ranks.append(remaining[is_rank])
        remaining = remaining[~is_rank]
    return np.sort(np.concatenate(ranks)) if ranks else remaining, len(ranks)


@dataclass(frozen=True, slots=True)
class FrontProbabilities:
    """Posterior probabilities of n designs, shape (n,) each.

    Args:
        p_front: the design is feasible, no evaluated design dominates it, and no untried one by more than a tolerance.
        p_evaluated: the design is feasible and no evaluated design dominates it.
    """

    p_front: Float
    p_evaluated: Float


def front_probabilities(
    table: Columns, problem: Problem, *, model: PosteriorModel, draws: Draws,
    rows: "NDArray[np.int64] | None" = None, untried: Columns | None = None,
) -> FrontProbabilities:  # fmt: skip
    """Return the front probability of each design: the share of posterior draws in which it is on the front.

    All designs are compared with the same coefficients in each draw, without the scatter of single measurements, so
    their correlation is preserved. Only the given rows are compared; all others get 0. Untried designs dominate only by
    more than a tolerance, because a search with finite steps always ends slightly behind a continuous front.

    Args:
        table: evaluated designs.
        problem: the study.
        model: the model that predicted them.
        draws: its draws.
        rows: rows to compare; default: those of `contenders`.
        untried: further designs, evaluated, from `untried_designs`.
    """
    rows = contenders(table, problem)[0] if rows is None else rows
    n_front, n_evaluated = np.zeros(n_rows(table)), np.zeros(n_rows(table))
    if not rows.size:
        return FrontProbabilities(n_front, n_evaluated)
    objectives = problem.study.objectives
    slack = _TOLERANCE * _extent(take(table, rows), problem)
    values, is_feasible = _posterior_objectives(take(table, rows), problem, model, draws)
    rivals, is_rival_feasible = values[:, :0], is_feasible[:, :0]
    if untried:
        rivals, is_rival_feasible = _posterior_objectives(untried, problem, model, draws)
    for draw, feasible, rival, rival_feasible in zip(values, is_feasible, rivals, is_rival_feasible, strict=True):
        front = np.flatnonzero(feasible)
        front = front[is_nondominated(draw[front], objectives)]
        n_evaluated[rows[front]] += 1
        # The front is mutually non-dominated, also after a common shift by the tolerance: only rivals can dominate it.
        shifted = to_minimization(draw[front], objectives) - slack
        best = to_minimization(rival[rival_feasible], objectives)
        union = np.concatenate([best, shifted])
        mask = np.asarray(moocore.is_nondominated(union), dtype=np.bool_) if len(union) else np.zeros(0, np.bool_)
        n_front[rows[front[mask[len(best) :]]]] += 1
    return FrontProbabilities(n_front / len(values), n_evaluated / len(values))


def _extent(designs: Columns, problem: Problem) -> Float:
    """Return the range of the front of designs in each objective, shape (m,); where it is zero, the absolute value."""
    objectives = problem.study.objectives
    values = problem.values(designs)
    front = values[feasible_front(values, designs["is_feasible"], objectives)]
    if not len(front):
        return np.zeros(len(objectives))
    extent = np.ptp(front, axis=0)
    return np.asarray(np.where(extent > 0, extent, np.abs(front).max(axis=0)))


def certainty_labels(probabilities: FrontProbabilities) -> NDArray[np.object_]:
    """Return the class of each design by its probabilities, shape (n,).

    `sure`: p_front of at least 95 %. `dominated`: p_evaluated below 5 %. `possible`: all others.
    """
    is_possible = probabilities.p_evaluated >= POSSIBLE
    labels = np.where(probabilities.p_front >= SURE, "sure", np.where(is_possible, "possible", "dominated"))
    return labels.astype(object)


def approximation_notes(*, n_designs: int, n_computed: int, n_ranks: int, n_bounded: int) -> list[str]:
    """Return notes where `p_front` or intervals use a subset of the draws, or were not computed.

    Args:
        n_designs: number of designs of the study.
        n_computed: number of designs with a computed `p_front`.
        n_ranks: number of non-dominated ranks that these cover.
        n_bounded: number of designs with intervals.
    """
    notes = []
    for what, n in (("p_front", n_computed), ("intervals", n_bounded)):
        if (k := n_affordable_draws(n)) < N_DRAWS:
            notes.append(f"{what} of {n:,} designs: computed from {k} of {N_DRAWS} posterior draws")
    if n_omitted := n_designs - n_computed:
        notes.append(
            f"p_front of {n_omitted:,} designs: set to 0 without computation (impossible, or dominated by {n_ranks} or "
            "more designs)"
        )
    return notes


def _posterior_objectives(
    designs: Columns, problem: Problem, model: PosteriorModel, draws: Draws
) -> tuple[Float, NDArray[np.bool_]]:
    """Return the objectives, shape (S, n, m), and feasibility, shape (S, n), of designs in every posterior draw."""
    study, n = problem.study, n_rows(designs)
    values, feasible, first = np.empty((0, n, 0)), np.empty((0, n), dtype=np.bool_), 0
    for block in split_into_blocks(designs):
        targets = add_objectives(predict_draws(model, draws, block, with_noise=False), study.weights)
        objectives = [targets[objective.name] for objective in study.objectives]
        if not first:  # the draws of a long front take most of the memory: fill in place instead of concatenating
            n_draws = len(objectives[0])
            values, feasible = np.empty((n_draws, n, len(objectives))), np.ones((n_draws, n), dtype=np.bool_)
        rows = slice(first, first + n_rows(block))
        first = rows.stop
        for j, objective in enumerate(objectives):
            values[:, rows, j] = objective
        # Columns of knobs and checks are equal in all draws.
        columns = {name: targets.get(name, block[name][None, :]) for name in block}
        for constraint in study.constraints:
            feasible[:, rows] &= constraint.violation(columns) <= 0
    return values, feasible
