"""Expected hypervolume improvement (EHVI): the acquisition function of the learning sampler.

Sources: M. Emmerich, K. Giannakoglou and B. Naujoks, IEEE Transactions on Evolutionary Computation 10 (2006) 421-439,
for EHVI; S. Daulton, M. Balandat and E. Bakshy, "Differentiable Expected Hypervolume Improvement for Parallel
Multi-Objective Bayesian Optimization", NeurIPS 33 (2020), for its Monte Carlo estimate from a box decomposition,
constraints, pending designs and greedy batches.

Each posterior draw of the targets gives every candidate one value of each objective, so its hypervolume improvement in
that draw is exact. The acquisition value is a trimmed mean of the improvements over the draws. A design that is
infeasible in a draw improves nothing in it. While no design is feasible, the probability of feasibility decides.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, pool_of_scan
from explorer.pareto.geometry.box_decomposition import (
    BoxDecomposition,
    BoxDecompositionDraws,
    box_decomposition,
    hypervolume_improvement,
    hypervolume_improvement_draws,
)
from explorer.pareto.geometry.dominance import to_minimization
from explorer.problem.columns import Columns, Float, is_end
from explorer.problem.objectives import add_objectives

_N_SCANNED = 512
_N_OFFSPRING = 192
_N_PARENTS = 24
# Standard deviations of the local refinement of candidates, as shares of an axis.
_SCALES = (0.05, 0.02, 0.007)
# Candidates whose improvement is computed in all draws; the rest is ranked by improvements on the fronts of the draws.
_N_SCORED = 160
# Candidates for the later designs of a batch. The best ones alone are close neighbours: with 160 of them, batches of
# eight gained two thirds of the hypervolume that they gain with 600 or with all 1,400.
_N_SCORED_IN_BATCH = 600
_WORST = 1e300
_TRIMMED_SHARE = 0.05  # share of draws, those of the largest improvement, that the mean omits


@dataclass(frozen=True, slots=True)
class PosteriorObjectives:
    """Objectives to be minimized, shape (S, n, m), and constraint violations, shape (S, n), of n designs in S draws.

    A violation of at most 0 is feasible.
    """

    values: Float
    violation: Float

    def concat(self, second: "PosteriorObjectives") -> "PosteriorObjectives":
        """Return the designs of both."""
        return PosteriorObjectives(
            np.concatenate([self.values, second.values], axis=1),
            np.concatenate([self.violation, second.violation], axis=1),
        )

    def rows(self, index: NDArray[np.int64]) -> "PosteriorObjectives":
        """Return a subset of the designs."""
        return PosteriorObjectives(self.values[:, index], self.violation[:, index])


ObjectiveSampler = Callable[[Columns], PosteriorObjectives]
"""Maps designs to their objectives and constraint violations in the posterior draws."""


@dataclass(frozen=True, slots=True)
class SearchHistory:
    """Measured and pending designs of a search.

    Args:
        front: measured objectives of feasible designs, to be minimized, shape (n, m).
        best: starting points of the local refinement: the front, or while it is empty the least infeasible designs.
        pending: designs that are being measured.
        excluded: keys of designs that are not proposed again: measured, pending, or failed.
    """

    front: Float
    best: CandidatePool
    pending: CandidatePool
    excluded: Collection[Key]


def posterior_objectives(problem: Problem, draw_targets: Callable[[Columns], Columns]) -> ObjectiveSampler:
    """Return a function from designs to objectives and constraint violations in every draw of the targets."""
    study = problem.study

    def sample(designs: Columns) -> PosteriorObjectives:
        targets = draw_targets(designs)
        columns = add_objectives({**problem.with_domain_columns(designs), **targets}, study.constants)
        columns |= problem.worst_case.columns(columns, draw_targets, is_needed_only=True)
        shape = next(iter(targets.values())).shape
        total = np.zeros(shape)
        for violation in problem.constraint_violations(columns).values():
            total = total + np.maximum(violation, 0.0)
        for constraint in problem.statistics.chance:  # the share of draws that meet it is its probability
            total = total + np.maximum(constraint.violation_by_draw(columns), 0.0)
        # An end of an interval improves with its value.
        names = [o.name if o.name in columns or not is_end(o.name) else o.name[:-3] for o in study.objectives]
        values = np.stack([np.broadcast_to(columns[name], shape) for name in names], axis=-1)
        # Infinite where a device cannot keep up in a draw: a finite bound keeps means and violations defined.
        return PosteriorObjectives(np.clip(to_minimization(values, study.objectives), -_WORST, _WORST), total)

    return sample


def select_by_ehvi(
    sample: ObjectiveSampler,
    history: SearchHistory,
    reference: Sequence[float] | Float,
    *,
    n: int,
    rng: np.random.Generator,
    seed: int = 0,
) -> CandidatePool:
    """Return a batch of at most n designs of the greatest expected hypervolume improvement, selected greedily.

    Fewer than n only where the space has no further designs.

    Args:
        sample: the posterior draws.
        history: measured and pending designs.
        reference: the reference point of the hypervolume, to be minimized, shape (m,).
        n: size of the batch.
        rng: random numbers of the local refinement.
        seed: of the scan.
    """
    corner = np.asarray(reference, dtype=np.float64)
    pool = pool_of_scan(history.best.regions, _N_SCANNED, seed=seed)
    is_whole = pool.is_whole
    if history.best.n and not is_whole:
        for scale in _SCALES:
            pool = pool.concat(history.best.mutated(_N_OFFSPRING // 2, scale, rng))
    pool = pool.excluding(history.excluded)
    if not pool.n:
        return pool
    posterior = sample(pool.designs)
    boxes = _decomposition(history, sample, corner, n_draws=len(posterior.values))
    score = _acquisition(posterior, boxes, corner)
    for scale in () if is_whole else _SCALES:
        parents = pool.rows(np.argsort(-score, kind="stable")[:_N_PARENTS])
        offspring = parents.mutated(_N_OFFSPRING, scale, rng).excluding({*history.excluded, *pool.keys})
        if not offspring.n:
            break
        added = sample(offspring.designs)
        pool, posterior = pool.concat(offspring), posterior.concat(added)
        score = np.concatenate([score, _acquisition(added, boxes, corner)])
    return pool.rows(_greedy_batch(posterior, score, boxes, corner, n=n))


def trimmed_mean_improvement(improvements: Float) -> Float:
    """Return the mean improvement over all draws but those of the largest improvement, shape (n,).

    The omitted 5 % of the draws count as zero. Far from all measurements there is always some draw that predicts a
    large
    improvement: one draw in sixty must not attract measurements, or the search would measure everywhere.

    Args:
        improvements: shape (S, n).
    """
    n_draws = len(improvements)
    lowest = np.sort(improvements, axis=0)[: n_draws - int(_TRIMMED_SHARE * n_draws)]
    return np.asarray(np.sum(lowest, axis=0) / n_draws)


def _decomposition(
    history: SearchHistory, sample: ObjectiveSampler, reference: Float, *, n_draws: int
) -> BoxDecomposition | BoxDecompositionDraws:
    """Return the box decomposition of the measured front; with pending designs one for each draw."""
    measured = box_decomposition(history.front, reference)
    if not history.pending.n:
        return measured
    pending = sample(history.pending.designs)
    boxes = BoxDecompositionDraws.repeated(measured, n_draws)
    for i in range(history.pending.n):
        boxes = boxes.with_points(pending.values[:, i], pending.violation[:, i] <= 0)
    return boxes


def _has_front(boxes: BoxDecomposition | BoxDecompositionDraws, reference: Float) -> bool:
    """Return whether some feasible design is better than the reference point."""
    return bool(np.any(boxes.upper < reference))


def _acquisition(
    posterior: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws, reference: Float
) -> Float:
    """Return the acquisition value of each design, shape (n,)."""
    if not _has_front(boxes, reference):
        return _feasibility_score(posterior, reference)
    lower_bound = _improvements_on_fronts(posterior, boxes)
    best = np.argsort(-lower_bound, kind="stable")[:_N_SCORED]
    score = lower_bound.copy()
    score[best] = trimmed_mean_improvement(_improvements(posterior.rows(best), boxes))
    return score


def _feasibility_score(posterior: PosteriorObjectives, reference: Float) -> Float:
    """Return the probability that a design is feasible and better than the reference point, shape (n,).

    A small penalty by the expected violation ranks designs of equal probability.
    """
    scale = np.maximum(np.abs(reference), 1e-300)
    excess = posterior.violation + np.sum(np.maximum(posterior.values - reference, 0.0) / scale, axis=-1)
    is_better = (posterior.violation <= 0) & np.all(posterior.values < reference, axis=-1)
    expected_excess = np.mean(excess, axis=0)
    return np.asarray(np.mean(is_better, axis=0) - 1e-3 * expected_excess / (1 + expected_excess))


def _improvements_on_fronts(posterior: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws) -> Float:
    """Return each design's mean improvement, counting only draws in which it is on the front, shape (n,)."""
    n_draws, n, _ = posterior.values.shape
    fronts = [_front_of_draw(posterior, s) for s in range(n_draws)]
    draw = np.repeat(np.arange(n_draws), [len(front) for front in fronts])
    design = np.concatenate(fronts)
    points = posterior.values[draw, design]
    improvements = (
        hypervolume_improvement(points, boxes)
        if isinstance(boxes, BoxDecomposition)
        else hypervolume_improvement_draws(points, draw, boxes)
    )
    return np.asarray(np.bincount(design, improvements, minlength=n) / n_draws)


def _front_of_draw(posterior: PosteriorObjectives, s: int) -> NDArray[np.int64]:
    """Return the indices of the designs on the front of draw s."""
    rows = np.flatnonzero(posterior.violation[s] <= 0)
    if not rows.size:
        return rows
    return rows[np.asarray(moocore.is_nondominated(np.ascontiguousarray(posterior.values[s, rows])), dtype=np.bool_)]


def _improvements(posterior: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws) -> Float:
    """Return each design's hypervolume improvement in each draw, shape (S, n)."""
    improvements = (
        hypervolume_improvement(posterior.values, boxes)
        if isinstance(boxes, BoxDecomposition)
        else _improvements_by_draw(posterior.values, boxes)
    )
    return np.where(posterior.violation <= 0, improvements, 0.0)


def _improvements_by_draw(values: Float, boxes: BoxDecompositionDraws) -> Float:
    n_draws, n, m = values.shape
    draw = np.repeat(np.arange(n_draws), n)
    return hypervolume_improvement_draws(values.reshape(-1, m), draw, boxes).reshape(n_draws, n)


def _greedy_batch(
    posterior: PosteriorObjectives,
    score: Float,
    boxes: BoxDecomposition | BoxDecompositionDraws,
    reference: Float,
    *,
    n: int,
) -> NDArray[np.int64]:
    """Return the indices of n designs, each the best given those before it, which count as measured in every draw.

    Improvements are updated, not recomputed: each falls by its overlap with the selected design, which is the
    improvement of the componentwise maximum of the two. Only the boxes cut by the selected design contribute to it.
    """
    remaining = np.argsort(-score, kind="stable")[: max(_N_SCORED_IN_BATCH, n)]
    batch = [int(remaining[0])]
    if n == 1:
        return np.array(batch)
    by_draw = (
        boxes if isinstance(boxes, BoxDecompositionDraws)
        else BoxDecompositionDraws.repeated(boxes, len(posterior.values))
    )  # fmt: skip
    improvements = _improvements(posterior.rows(remaining), by_draw)
    while len(batch) < min(n, posterior.values.shape[1]):
        point, is_feasible = posterior.values[:, batch[-1]], posterior.violation[:, batch[-1]] <= 0
        mask = remaining != batch[-1]
        remaining, improvements = remaining[mask], improvements[:, mask]
        clipped = np.maximum(posterior.values[:, remaining], point[:, None])
        overlap = _improvements_by_draw(clipped, by_draw.cut_by(point, is_feasible))
        improvements = np.maximum(improvements - overlap, 0.0)
        by_draw = by_draw.with_points(point, is_feasible)
        score = (
            trimmed_mean_improvement(improvements) if _has_front(by_draw, reference)
            else _feasibility_score(posterior.rows(remaining), reference)
        )  # fmt: skip
        batch.append(int(remaining[np.argmax(score)]))
    return np.array(batch)
