"""How sure the front is: the probability that a design is on it, over the posterior of the model."""

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
# By how much of the front's extent an untried design has to be better in every objective to count as beating one.
_TOLERANCE = 0.01
# A design needs to be within this many layers of non-dominated designs to have a chance worth computing; while they
# hold few designs, further layers are computed too.
_LAYERS = 3
_FEW = 1_500
# Draws times designs that take a few seconds: of more designs, fewer draws are asked.
_AFFORDABLE = 10_000_000
_LEAST_DRAWS = 50


def affordable_draws(n_designs: int) -> int:
    """Return in how many draws of the posterior so many designs are computed: all, up to some ten thousand designs."""
    return min(max(_AFFORDABLE // max(n_designs, 1), _LEAST_DRAWS), N_DRAWS)


def contenders(table: Columns, problem: Problem) -> tuple[NDArray[np.int64], int]:
    """Return the rows of designs that have a chance to be on the front, and in how many layers they lie.

    The first layer is the front together with what would beat it by missing the study's constraints a little; the next
    one is what would be it without the first. What is left out lies behind as many designs as there are layers.
    """
    excess = problem.constraint_violations(table)
    own = {constraint.text: abs(constraint.limit) or 1.0 for constraint in problem.study.constraints}
    can_exist = [misses <= 0 for name, misses in excess.items() if name not in own]
    left = np.flatnonzero(np.all(can_exist, axis=0) if can_exist else np.ones(n_rows(table), dtype=np.bool_))
    values = to_minimization(problem.values(table), problem.study.objectives)
    if own:
        missed = sum(np.maximum(excess[name], 0.0) / scale for name, scale in own.items())
        values = np.column_stack([values, missed])
    layers: list[NDArray[np.int64]] = []
    while left.size and (len(layers) < _LAYERS or sum(map(len, layers)) < _FEW):
        is_layer = np.asarray(moocore.is_nondominated(values[left]), dtype=np.bool_)
        layers.append(left[is_layer])
        left = left[~is_layer]
    return np.sort(np.concatenate(layers)) if layers else left, len(layers)


@dataclass(frozen=True, slots=True)
class FrontProbabilities:
    """Over the posterior: the probability that a design is on the front, shape (n,).

    Args:
        p_front: that it is feasible, no other design tried beats it, and no untried one by more than the tolerance.
        p_tried: that it is feasible and no other design tried beats it.
    """

    p_front: Float
    p_tried: Float


def front_probabilities(
    table: Columns, problem: Problem, *, model: PosteriorModel, draws: Draws,
    rows: "NDArray[np.int64] | None" = None, others: Columns | None = None,
) -> FrontProbabilities:  # fmt: skip
    """Return for each design how probable it is that it is on the front, over the posterior.

    In each draw of the coefficients all designs are compared with the same coefficients, without the scatter of single
    measurements: what two designs share, they share in every draw. Compared are the rows with each other; all other
    rows are not computed and have 0. Untried designs are compared with a tolerance: a search in steps lies behind a
    continuous front by a step, and that says nothing of what is not known.

    Args:
        table: assessed designs.
        problem: the study.
        model: the model that predicted them.
        draws: its draws.
        rows: from `contenders`; default: these.
        others: untried designs, assessed, from `alternatives`.
    """
    rows = contenders(table, problem)[0] if rows is None else rows
    front, tried = np.zeros(n_rows(table)), np.zeros(n_rows(table))
    if not rows.size:
        return FrontProbabilities(front, tried)
    objectives = problem.study.objectives
    slack = _TOLERANCE * _extent(take(table, rows), problem)
    values, is_feasible = _drawn(take(table, rows), problem, model, draws)
    rivals, can_be = _drawn(others, problem, model, draws) if others else (values[:, :0], is_feasible[:, :0])
    for drawn, feasible, rival, possible in zip(values, is_feasible, rivals, can_be, strict=True):
        alive = np.flatnonzero(feasible)
        alive = alive[is_nondominated(drawn[alive], objectives)]
        tried[rows[alive]] += 1
        # None of these beats another one, and moved by the same step they still do not: only rivals can beat them.
        best = to_minimization(rival[possible], objectives)
        together = np.concatenate([best, to_minimization(drawn[alive], objectives) - slack])
        kept = np.asarray(moocore.is_nondominated(together), dtype=np.bool_) if len(together) else np.zeros(0, np.bool_)
        front[rows[alive[kept[len(best) :]]]] += 1
    return FrontProbabilities(front / len(values), tried / len(values))


def _extent(designs: Columns, problem: Problem) -> Float:
    """Return how far the front of some designs reaches in each objective, shape (m,); of one design, its own size."""
    objectives = problem.study.objectives
    values = problem.values(designs)
    front = values[feasible_front(values, designs["is_feasible"], objectives)]
    if not len(front):
        return np.zeros(len(objectives))
    extent = np.ptp(front, axis=0)
    return np.asarray(np.where(extent > 0, extent, np.abs(front).max(axis=0)))


def certainty(odds: FrontProbabilities) -> NDArray[np.object_]:
    """Name what is known of each design, shape (n,).

    'sure': on the front, untried designs considered, with at least 95 %. 'dominated': another design tried beats it
    with more than 95 %. 'possible': neither.
    """
    words = np.where(odds.p_front >= SURE, "sure", np.where(odds.p_tried >= POSSIBLE, "possible", "dominated"))
    return words.astype(object)


def certainty_notes(*, n_designs: int, n_computed: int, n_layers: int, n_bounded: int) -> list[str]:
    """Say where `p_front` or intervals rest on less than all draws, or on none.

    Args:
        n_designs: of the study.
        n_computed: those whose `p_front` was computed.
        n_layers: the layers in which they lie.
        n_bounded: those that have intervals.
    """
    notes = []
    for what, n in (("p_front of", n_computed), ("the intervals of", n_bounded)):
        if (k := affordable_draws(n)) < N_DRAWS:
            notes.append(f"{what} {n:,} designs rest on {k} draws of what samples allow, not on {N_DRAWS}")
    if left := n_designs - n_computed:
        notes.append(
            f"{left:,} designs cannot exist or lie behind {n_layers} or more better ones: their p_front was not "
            "computed and stands as 0"
        )
    return notes


def _drawn(designs: Columns, problem: Problem, model: PosteriorModel, draws: Draws) -> tuple[Float, NDArray[np.bool_]]:
    """Return objectives, shape (S, n, m), and feasibility, shape (S, n), of designs in every draw."""
    study, n = problem.study, n_rows(designs)
    values, feasible, first = np.empty((0, n, 0)), np.empty((0, n), dtype=np.bool_), 0
    for block in split_into_blocks(designs):
        drawn = add_objectives(predict_draws(model, draws, block, with_noise=False), study.weights)
        told = [drawn[objective.name] for objective in study.objectives]
        if not first:  # of a long front the draws are most of the memory: they are filled in, not joined
            values, feasible = np.empty((len(told[0]), n, len(told))), np.ones((len(told[0]), n), dtype=np.bool_)
        rows = slice(first, first + n_rows(block))
        first = rows.stop
        for j, objective in enumerate(told):
            values[:, rows, j] = objective
        # Constraints on knobs or checks do not depend on the draw.
        columns = {name: drawn.get(name, block[name][None, :]) for name in block}
        for constraint in study.constraints:
            feasible[:, rows] &= constraint.violation(columns) <= 0
    return values, feasible
