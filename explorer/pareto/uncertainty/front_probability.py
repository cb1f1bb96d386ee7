"""Front probability: the posterior probability that a design is on the front."""

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import N_DRAWS, Draws, PosteriorModel, split_into_blocks
from explorer.pareto.geometry.dominance import feasible_front, is_dominated_by, to_minimization
from explorer.pareto.results.measured_rows import measured_twin
from explorer.pareto.results.measured_values import measured_by_draw
from explorer.pareto.uncertainty.front_tally import FrontTally
from explorer.pareto.uncertainty.untried import N_MIN, UntriedDesigns
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, Float, bounds, n_rows, take
from explorer.problem.objectives import Objective
from explorer.problem.workload.usage import overload

SURE = 0.95
POSSIBLE = 0.05
# Share of the front's extent by which an untried design must be better in every objective to count as dominating.
_TOLERANCE = 0.01
# The count of sure designs stands when a doubling of the untried designs changes it by less than this share.
_STANDS = 0.01
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
    """Posterior probabilities of n designs over forms and draws, shape (n,) each.

    Args:
        p_front: the design is feasible, no evaluated design dominates it, and no untried one by more than a tolerance.
        p_evaluated: the design is feasible and no evaluated design dominates it.
        n_untried: number of untried designs that they were compared with.
        n_changed: number of supported designs that the last doubling of the untried designs removed from those with
            `p_front` of at least 95 %; 0 where the count has converged.
    """

    p_front: Float
    p_evaluated: Float
    n_untried: int = 0
    n_changed: int = 0


def front_probabilities(
    table: Columns, problem: Problem, *, model: PosteriorModel, draws: Draws,
    rows: "NDArray[np.int64] | None" = None, untried: "Columns | UntriedDesigns | None" = None,
) -> FrontProbabilities:  # fmt: skip
    """Return the front probability of each design: the share of posterior draws in which it is on the front.

    All designs are compared with the same coefficients in each draw, without the scatter of single measurements, so
    their correlation is preserved. Measured rows have their readings, with the scatter of a measurement. Only the given
    rows are compared; all others get 0, but a prediction at a measured design gets the probabilities of its measured
    row. Untried designs dominate only by more than a tolerance (see `FrontTally`).

    Args:
        table: evaluated designs.
        problem: the study.
        model: the model that predicted them.
        draws: its draws.
        rows: rows to compare; default: those of `contenders`.
        untried: further designs, evaluated; or their source, whose number is doubled until the count of supported
            designs with `p_front` of at least 95 % changes by at most 1 %, or the source's bound is reached.
    """
    twin = measured_twin(table) if "design_id" in table else np.full(n_rows(table), -1)
    rows = contenders(table, problem)[0] if rows is None else rows
    rows = rows[twin[rows] < 0]
    n_front, n_evaluated = np.zeros(n_rows(table)), np.zeros(n_rows(table))
    if not rows.size:
        return FrontProbabilities(n_front, n_evaluated)
    compared = take(table, rows)
    is_measured = compared["design_id"] < 0 if "design_id" in table else np.zeros(len(rows), dtype=np.bool_)
    values, is_feasible = _posterior_objectives(compared, problem, model, draws, is_measured=is_measured)
    slack = _TOLERANCE * _extent(compared, problem)
    tally = FrontTally(values, is_feasible, problem.study.objectives, slack=slack, is_measured=is_measured)
    n_untried = n_changed = 0
    if isinstance(untried, UntriedDesigns):
        is_supported = ~is_extrapolated(compared["domain_distance"])
        n_untried, n_changed = _add_until_converged(tally, untried, problem, model, draws, is_supported)
    elif untried:
        n_untried = n_rows(untried)
        tally.add_rivals(*_posterior_objectives(untried, problem, model, draws))
    n_front[rows], n_evaluated[rows] = tally.is_front.mean(axis=0), tally.is_evaluated_front.mean(axis=0)
    has_twin = np.flatnonzero(twin >= 0)
    n_front[has_twin], n_evaluated[has_twin] = n_front[twin[has_twin]], n_evaluated[twin[has_twin]]
    return FrontProbabilities(n_front, n_evaluated, n_untried, n_changed)


def _add_until_converged(
    tally: FrontTally, untried: UntriedDesigns, problem: Problem, model: PosteriorModel, draws: Draws,
    is_supported: NDArray[np.bool_],
) -> tuple[int, int]:  # fmt: skip
    """Double the untried designs until the count of sure designs stands; return their number and the last change."""
    n_sure, n_changed = int(is_supported.sum()), 0
    for batch in untried:
        n_fronts = tally.add_rivals(*_posterior_objectives(batch, problem, model, draws))
        untried.keep(batch, n_fronts)
        before, n_sure = n_sure, int(np.sum(tally.is_front[:, is_supported].mean(axis=0) >= SURE))
        n_changed = before - n_sure
        if not n_sure or (n_changed <= _STANDS * n_sure and untried.n >= N_MIN):
            return untried.n, 0
    return untried.n, n_changed


def _extent(designs: Columns, problem: Problem) -> Float:
    """Return the range of the front of designs in each objective, shape (m,); where it is zero, the absolute value."""
    objectives = problem.study.objectives
    values = problem.values(designs)
    front = values[feasible_front(values, designs["is_feasible"], objectives)]
    if not len(front):
        return np.zeros(len(objectives))
    extent = np.ptp(front, axis=0)
    return np.asarray(np.where(extent > 0, extent, np.abs(front).max(axis=0)))


def certainty_labels(probabilities: FrontProbabilities, *, is_supported: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the class of each design by its probabilities, shape (n,).

    `extrapolated`: not supported by samples, so that its probabilities are those of an extrapolation. Of the others,
    `sure`: p_front of at least 95 %. `dominated`: p_evaluated below 5 %. `possible`: the rest.

    Args:
        probabilities: of n designs.
        is_supported: whether samples support the design, shape (n,).
    """
    is_possible = probabilities.p_evaluated >= POSSIBLE
    labels = np.where(probabilities.p_front >= SURE, "sure", np.where(is_possible, "possible", "dominated"))
    return np.where(is_supported, labels, "extrapolated").astype(object)


def is_beaten_by_measurement(
    table: Columns, objectives: Sequence[Objective], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return a mask of the given predicted designs that a measured row dominates by more than their interval.

    Args:
        table: designs with the intervals of their objectives.
        objectives: the objectives.
        rows: rows of predicted designs.
    """
    is_measured = (table["design_id"] < 0) & table["is_feasible"].astype(np.bool_)
    ends = [bounds(o.name)[0 if o.direction == "minimize" else 1] for o in objectives]
    # An end of an interval has no interval of its own.
    best = [table[end if end in table else o.name][rows] for end, o in zip(ends, objectives, strict=True)]
    measured = [table[o.name][is_measured] for o in objectives]
    own, rivals = (to_minimization(np.stack(ends, axis=-1), objectives) for ends in (best, measured))
    return is_dominated_by(own, rivals)


def approximation_notes(
    *, n_designs: int, n_computed: int, n_ranks: int, n_bounded: int, probabilities: FrontProbabilities
) -> list[str]:
    """Return notes where `p_front` or intervals use a subset of the draws, were not computed, or did not converge.

    Args:
        n_designs: number of designs of the study.
        n_computed: number of designs with a computed `p_front`.
        n_ranks: number of non-dominated ranks that these cover.
        n_bounded: number of designs with intervals.
        probabilities: the front probabilities.
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
    if n := probabilities.n_changed:
        notes.append(
            f"the count of sure designs has not converged: the last doubling, to {probabilities.n_untried:,} untried "
            f"designs, removed {n}"
        )
    return notes


def _posterior_objectives(
    designs: Columns, problem: Problem, model: PosteriorModel, draws: Draws,
    *, is_measured: "NDArray[np.bool_] | None" = None,
) -> tuple[Float, NDArray[np.bool_]]:  # fmt: skip
    """Return the objectives, shape (S, n, m), and feasibility, shape (S, n), of designs in every posterior draw."""
    if is_measured is not None and is_measured.any():
        return _with_measured_values(designs, problem, model, draws, np.flatnonzero(is_measured))
    study, n = problem.study, n_rows(designs)
    values, feasible, first = np.empty((0, n, 0)), np.empty((0, n), dtype=np.bool_), 0
    for block in split_into_blocks(designs):
        targets = problem.worst_case.by_draw(model, draws, block)
        shape = next(iter(targets.values())).shape
        # An end of an interval is an objective that is equal in all draws.
        objectives = [targets.get(o.name, np.broadcast_to(block[o.name], shape)) for o in study.objectives]
        if not first:  # the draws of a long front take most of the memory: fill in place instead of concatenating
            n_draws = len(objectives[0])
            values, feasible = np.empty((n_draws, n, len(objectives))), np.ones((n_draws, n), dtype=np.bool_)
        rows = slice(first, first + n_rows(block))
        first = rows.stop
        for j, objective in enumerate(objectives):
            values[:, rows, j] = objective
        # Columns of knobs and checks are equal in all draws.
        columns = {name: targets.get(name, block[name][None, :]) for name in block}
        for violation in problem.limit_violations(columns).values():
            feasible[:, rows] &= violation <= 0
        if study.constants.workload:
            feasible[:, rows] &= overload(problem.worst_case.limited(columns, "utilization")) <= 0
    return values, feasible


def _with_measured_values(
    designs: Columns, problem: Problem, model: PosteriorModel, draws: Draws, rows: NDArray[np.int64]
) -> tuple[Float, NDArray[np.bool_]]:
    """Return the same with the readings of the given rows in place of predictions."""
    study = problem.study
    values, feasible = _posterior_objectives(designs, problem, model, draws)
    columns = measured_by_draw(take(designs, rows), problem, model=model, draws=draws)
    for j, objective in enumerate(study.objectives):
        values[:, rows, j] = columns[objective.name]
    feasible[:, rows] = True
    for violation in problem.limit_violations(columns).values():
        feasible[:, rows] &= violation <= 0
    if study.constants.workload:
        feasible[:, rows] &= overload(problem.worst_case.limited(columns, "utilization")) <= 0
    return values, feasible
