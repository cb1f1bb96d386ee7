"""The next designs to measure: those whose expected gain of hypervolume is greatest, over draws of what may be.

In each draw the function is known, so its front over a scan is exact and a design's gain is a volume. A design's
expected gain is the mean over draws, but for the few that promise it most; what is infeasible in a draw gains nothing
there. Where no design is feasible yet, the most probable one to be is next.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, scanned
from explorer.pareto.geometry.box_decomposition import (
    BoxDecomposition,
    BoxDecompositionDraws,
    box_decomposition,
    hypervolume_improvement,
    hypervolume_improvement_draws,
)
from explorer.pareto.geometry.dominance import to_minimization
from explorer.problem.columns import Columns, Float
from explorer.problem.objectives import add_objectives

_SCAN = 512
_CHILDREN = 192
_PARENTS = 24
# Around each candidate front: a twentieth of an axis, then ever closer.
_SCALES = (0.05, 0.02, 0.007)
# Candidates whose gain is computed in all draws; the others are known by their gains on the draws' fronts.
_SCORED = 160
# Candidates for the later designs of a batch. The best alone lie side by side: with 160 of them batches of
# eight gained two thirds of what they gain with 600 or with all 1,400.
_SCORED_BESIDE = 600
_DOUBTED = 0.05  # the share of draws, those that promise a design most, that are not believed


@dataclass(frozen=True, slots=True)
class PosteriorObjectives:
    """Designs in draws: what is to be minimized, shape (S, n, m), violations, shape (S, n); at most 0 is feasible."""

    values: Float
    violation: Float

    def joined(self, other: "PosteriorObjectives") -> "PosteriorObjectives":
        """Return both."""
        return PosteriorObjectives(
            np.concatenate([self.values, other.values], axis=1),
            np.concatenate([self.violation, other.violation], axis=1),
        )

    def rows(self, which: NDArray[np.int64]) -> "PosteriorObjectives":
        """Return some of the designs."""
        return PosteriorObjectives(self.values[:, which], self.violation[:, which])


Judge = Callable[[Columns], PosteriorObjectives]


@dataclass(frozen=True, slots=True)
class SearchHistory:
    """What a search knows.

    Args:
        front: measured objectives of feasible designs, to be minimized, shape (n, m).
        best: designs to look around: those of the front, or while there are none those that miss by least.
        pending: designs that are being measured.
        taken: keys of what is not to be proposed again: measured, pending, or failed.
    """

    front: Float
    best: CandidatePool
    pending: CandidatePool
    taken: Collection[Key]


def posterior_objectives(problem: Problem, drawn: Callable[[Columns], Columns]) -> Judge:
    """Return how draws of targets are judged: objectives follow from targets, draw by draw, and so do constraints."""
    study = problem.study

    def judge(designs: Columns) -> PosteriorObjectives:
        targets = drawn(designs)
        columns = add_objectives({**problem.with_domain_columns(designs), **targets}, study.weights)
        shape = next(iter(targets.values())).shape
        missed = np.zeros(shape)
        for misses in problem.constraint_violations(columns).values():
            missed = missed + np.maximum(misses, 0.0)
        values = np.stack([np.broadcast_to(columns[o.name], shape) for o in study.objectives], axis=-1)
        return PosteriorObjectives(to_minimization(values, study.objectives), missed)

    return judge


def select_by_ehvi(
    judge: Judge,
    known: SearchHistory,
    reference: Sequence[float] | Float,
    *,
    n: int,
    rng: np.random.Generator,
    seed: int = 0,
) -> CandidatePool:
    """Return the designs to measure next, at most n: fewer only where nothing else is left.

    Args:
        judge: draws.
        known: what was measured and is being measured.
        reference: of the hypervolume, to be minimized, shape (m,).
        n: how many.
        rng: moves the candidates.
        seed: of the scan.
    """
    far = np.asarray(reference, dtype=np.float64)
    pool = scanned(known.best.regions, _SCAN, seed=seed)
    is_whole = pool.is_whole
    if known.best.n and not is_whole:
        for scale in _SCALES:
            pool = pool.joined(known.best.moved(_CHILDREN // 2, scale, rng))
    pool = pool.without(known.taken)
    if not pool.n:
        return pool
    judged = judge(pool.designs)
    boxes = _boxes_of_draws(known, judge, far, n_draws=len(judged.values))
    score = _scores(judged, boxes, far)
    for scale in () if is_whole else _SCALES:
        parents = pool.rows(np.argsort(-score, kind="stable")[:_PARENTS])
        children = parents.moved(_CHILDREN, scale, rng).without({*known.taken, *pool.keys})
        if not children.n:
            break
        there = judge(children.designs)
        pool, judged = pool.joined(children), judged.joined(there)
        score = np.concatenate([score, _scores(there, boxes, far)])
    return pool.rows(_greedy(judged, score, boxes, far, n=n))


def _boxes_of_draws(
    known: SearchHistory, judge: Judge, reference: Float, *, n_draws: int
) -> BoxDecomposition | BoxDecompositionDraws:
    """Return what is left to gain: the same in all draws, or, where designs are pending, for each."""
    measured = box_decomposition(known.front, reference)
    if not known.pending.n:
        return measured
    waiting = judge(known.pending.designs)
    boxes = BoxDecompositionDraws.repeated(measured, n_draws)
    for i in range(known.pending.n):
        boxes = boxes.with_points(waiting.values[:, i], waiting.violation[:, i] <= 0)
    return boxes


def _has_found(boxes: BoxDecomposition | BoxDecompositionDraws, reference: Float) -> bool:
    """Tell whether a design is known that counts: feasible and better than the reference."""
    return bool(np.any(boxes.upper < reference))


def _scores(judged: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws, reference: Float) -> Float:
    """Return how much each design is worth measuring, shape (n,)."""
    if not _has_found(boxes, reference):
        return _hope(judged, reference)
    sure = _gains_on_fronts(judged, boxes)
    best = np.argsort(-sure, kind="stable")[:_SCORED]
    score = sure.copy()
    score[best] = expected_gain(_gains(judged.rows(best), boxes))
    return score


def _hope(judged: PosteriorObjectives, reference: Float) -> Float:
    """Return the probability that a design counts, less a little for the share by which it is expected to miss."""
    scale = np.maximum(np.abs(reference), 1e-300)
    missed = judged.violation + np.sum(np.maximum(judged.values - reference, 0.0) / scale, axis=-1)
    counts = (judged.violation <= 0) & np.all(judged.values < reference, axis=-1)
    away = np.mean(missed, axis=0)
    return np.asarray(np.mean(counts, axis=0) - 1e-3 * away / (1 + away))


def _gains_on_fronts(judged: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws) -> Float:
    """Return each design's mean gain counted only in draws where it is on the draw's own front, shape (n,)."""
    n_draws, n, _ = judged.values.shape
    fronts = [_front_of(judged, s) for s in range(n_draws)]
    draw = np.repeat(np.arange(n_draws), [len(front) for front in fronts])
    design = np.concatenate(fronts)
    points = judged.values[draw, design]
    alone = (
        hypervolume_improvement(points, boxes)
        if isinstance(boxes, BoxDecomposition)
        else hypervolume_improvement_draws(points, draw, boxes)
    )
    return np.asarray(np.bincount(design, alone, minlength=n) / n_draws)


def _front_of(judged: PosteriorObjectives, s: int) -> NDArray[np.int64]:
    """Return the designs on the front of one draw, as indices."""
    rows = np.flatnonzero(judged.violation[s] <= 0)
    if not rows.size:
        return rows
    return rows[np.asarray(moocore.is_nondominated(np.ascontiguousarray(judged.values[s, rows])), dtype=np.bool_)]


def _gains(judged: PosteriorObjectives, boxes: BoxDecomposition | BoxDecompositionDraws) -> Float:
    """Return each design's gain in each draw, shape (S, n)."""
    found = (
        hypervolume_improvement(judged.values, boxes)
        if isinstance(boxes, BoxDecomposition)
        else _drawn_gains(judged.values, boxes)
    )
    return np.where(judged.violation <= 0, found, 0.0)


def _drawn_gains(values: Float, boxes: BoxDecompositionDraws) -> Float:
    n_draws, n, m = values.shape
    draw = np.repeat(np.arange(n_draws), n)
    return hypervolume_improvement_draws(values.reshape(-1, m), draw, boxes).reshape(n_draws, n)


def expected_gain(gains: Float) -> Float:
    """Return each design's mean gain, its best twentieth of the draws counted as no gain, shape (n,).

    Far from all measurements there is always a draw in which everything is different. To measure wherever one draw in
    sixty promises much is to measure everywhere.

    Args:
        gains: shape (S, n).
    """
    n_draws = len(gains)
    lowest = np.sort(gains, axis=0)[: n_draws - int(_DOUBTED * n_draws)]
    return np.asarray(np.sum(lowest, axis=0) / n_draws)


def _greedy(
    judged: PosteriorObjectives,
    score: Float,
    boxes: BoxDecomposition | BoxDecompositionDraws,
    reference: Float,
    *,
    n: int,
) -> NDArray[np.int64]:
    """Return the best design, then the best beside it, and so on; each counts as measured in every draw.

    Gains are not added up anew: each falls by what it shares with the chosen design, which is what the worse of the
    two in every objective would gain. That lies in the few boxes which the chosen design cuts.
    """
    left = np.argsort(-score, kind="stable")[: max(_SCORED_BESIDE, n)]
    chosen = [int(left[0])]
    if n == 1:
        return np.array(chosen)
    drawn = (
        boxes if isinstance(boxes, BoxDecompositionDraws) else BoxDecompositionDraws.repeated(boxes, len(judged.values))
    )
    gained = _gains(judged.rows(left), drawn)
    while len(chosen) < min(n, judged.values.shape[1]):
        point, is_feasible = judged.values[:, chosen[-1]], judged.violation[:, chosen[-1]] <= 0
        is_left = left != chosen[-1]
        left, gained = left[is_left], gained[:, is_left]
        shared = _drawn_gains(np.maximum(judged.values[:, left], point[:, None]), drawn.cut_by(point, is_feasible))
        gained = np.maximum(gained - shared, 0.0)
        drawn = drawn.with_points(point, is_feasible)
        score = expected_gain(gained) if _has_found(drawn, reference) else _hope(judged.rows(left), reference)
        chosen.append(int(left[np.argmax(score)]))
    return np.array(chosen)
