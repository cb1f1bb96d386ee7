"""Box decomposition of the non-dominated region up to the reference point (Lacour et al. 2017).

All objectives are to be minimized. The cut is that of Lacour, Klamroth and Fonseca, "A box decomposition algorithm to
compute the hypervolume indicator", Computers & Operations Research 79, 2017: each local upper bound of the front (a
corner that no point dominates and that any point below would) owns one box, told by the points that define it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

_BLOCK = 2_000_000  # point-box pairs at once: 16 MB for each array of them
_DRAWN_BLOCK = 60_000  # point-box pairs of several draws at once: their arrays stay in the processor's cache


@dataclass(frozen=True, slots=True)
class BoxDecomposition:
    """What is left to gain.

    Args:
        upper: the local upper bounds, shape (k, m).
        defining: the point that holds each coordinate of each bound, shape (k, m, m): `defining[i, j]` is a point whose
            objective j equals `upper[i, j]`.
    """

    upper: Float
    defining: Float

    @property
    def lower(self) -> Float:
        """Return the lower corners of the boxes, shape (k, m): the first objective is open below (-inf).

        In objective j a box begins where the points that define the objectives before it end.
        """
        m = self.upper.shape[1]
        lower = np.full(self.upper.shape, -np.inf)
        for j in range(1, m):
            lower[:, j] = np.max(self.defining[:, :j, j], axis=1)
        return lower

    def with_point(self, point: Float) -> "BoxDecomposition":
        """Return what is left once a point is known as well; the same boxes where it gains nothing.

        Args:
            point: shape (m,).
        """
        is_cut = np.all(point < self.upper, axis=1)
        if not is_cut.any():
            return self
        old = BoxDecomposition(self.upper[is_cut], self.defining[is_cut])
        parts = [(self.upper[~is_cut], self.defining[~is_cut])]
        parts += [(new.upper, new.defining) for new, _ in _cut(old, np.broadcast_to(point, old.upper.shape))]
        uppers, definings = zip(*parts, strict=True)
        return BoxDecomposition(np.concatenate(uppers), np.concatenate(definings))


@dataclass(frozen=True, slots=True)
class BoxDecompositionDraws:
    """Box decompositions of several posterior draws, which differ in the points that are known in each.

    Args:
        n_draws: the number of draws S.
        draw: the draw of each box, ascending, shape (k,).
        boxes: the boxes of all draws, k in total.
    """

    n_draws: int
    draw: NDArray[np.int64]
    boxes: BoxDecomposition

    @classmethod
    def repeated(cls, boxes: BoxDecomposition, n_draws: int) -> "BoxDecompositionDraws":
        """Return the same boxes in each draw."""
        k = len(boxes.upper)
        each = np.tile(np.arange(k), n_draws)
        return cls(n_draws, np.repeat(np.arange(n_draws), k), BoxDecomposition(boxes.upper[each], boxes.defining[each]))

    @property
    def upper(self) -> Float:
        """Return the local upper bounds of all draws, shape (k, m)."""
        return self.boxes.upper

    def cut_by(self, points: Float, is_feasible: NDArray[np.bool_]) -> "BoxDecompositionDraws":
        """Return the boxes that one point a draw lies in or below: those that change when it is known.

        Args:
            points: shape (S, m).
            is_feasible: which of the points count, shape (S,).
        """
        return self._rows(self._is_cut(points, is_feasible))

    def with_points(self, points: Float, is_feasible: NDArray[np.bool_]) -> "BoxDecompositionDraws":
        """Return what is left once one point a draw is known as well.

        Args:
            points: shape (S, m).
            is_feasible: which of the points count, shape (S,).
        """
        is_cut = self._is_cut(points, is_feasible)
        old, kept = self._rows(is_cut), self._rows(~is_cut)
        parts = [(kept.draw, kept.upper, kept.boxes.defining)]
        parts += [(old.draw[r], new.upper, new.defining) for new, r in _cut(old.boxes, points[old.draw])]
        draw, upper, defining = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(draw, kind="stable")
        return BoxDecompositionDraws(self.n_draws, draw[order], BoxDecomposition(upper[order], defining[order]))

    def _is_cut(self, points: Float, is_feasible: NDArray[np.bool_]) -> NDArray[np.bool_]:
        below = np.all(points[self.draw] < self.upper, axis=1)
        return np.asarray(is_feasible[self.draw] & below, dtype=np.bool_)

    def _rows(self, which: NDArray[np.bool_]) -> "BoxDecompositionDraws":
        return BoxDecompositionDraws(
            self.n_draws, self.draw[which], BoxDecomposition(self.upper[which], self.boxes.defining[which])
        )


def _cut(old: BoxDecomposition, points: Float) -> Iterator[tuple[BoxDecomposition, NDArray[np.bool_]]]:
    """Yield for each objective the boxes that replace those which a point lies below, and which ones they replace.

    Args:
        old: boxes above the points.
        points: the point in each box, shape (k, m).
    """
    m = points.shape[1]
    for j in range(m):
        others = [i for i in range(m) if i != j]
        # A new bound counts only where the points that hold its other coordinates lie before the new one in j.
        is_before = np.max(old.defining[:, others, j], axis=1) <= points[:, j] if others else np.ones(len(points)) > 0
        upper, defining = old.upper[is_before].copy(), old.defining[is_before].copy()
        upper[:, j] = points[is_before, j]
        defining[:, j] = points[is_before]
        yield BoxDecomposition(upper, defining), is_before


def box_decomposition(points: Float, reference: Sequence[float] | Float) -> BoxDecomposition:
    """Return what points leave undominated up to a reference point.

    Args:
        points: shape (n, m); those that are not better than the reference in every objective change nothing.
        reference: shape (m,).

    >>> boxes = open_boxes(np.array([[1.0, 2.0], [2.0, 1.0]]), (3.0, 3.0))
    >>> gains(np.array([[1.0, 1.0], [2.5, 2.5], [0.0, 2.5]]), boxes)
    array([1. , 0. , 0.5])
    """
    far = np.asarray(reference, dtype=np.float64)
    m = len(far)
    # The points beyond everything that stand in for those that are not there: at the reference in one objective.
    dummies = np.where(np.eye(m, dtype=np.bool_), far, -np.inf)
    boxes = BoxDecomposition(far[None, :], dummies[None, :, :])
    # In order of the first objective few bounds are cut twice.
    for point in points[np.argsort(points[:, 0], kind="stable")]:
        boxes = boxes.with_point(point)
    return boxes


def hypervolume_improvement(points: Float, boxes: BoxDecomposition) -> Float:
    """Return the hypervolume that each point alone would add, shape (...,).

    Args:
        points: shape (..., m).
        boxes: what is left to gain.
    """
    flat = points.reshape(-1, points.shape[-1])
    result = np.zeros(len(flat))
    inside = np.flatnonzero(_is_below_any(flat, boxes.upper))
    lower, upper = boxes.lower, boxes.upper
    step = max(1, _BLOCK // max(len(upper), 1))
    for start in range(0, len(inside), step):
        rows = inside[start : start + step]
        result[rows] = _volume(flat[rows], lower, upper)
    return result.reshape(points.shape[:-1])


def hypervolume_improvement_draws(points: Float, draw: NDArray[np.int64], boxes: BoxDecompositionDraws) -> Float:
    """Return the hypervolume that each point alone would add in its draw, shape (p,).

    Args:
        points: shape (p, m).
        draw: the draw of each point, ascending, shape (p,).
        boxes: what is left to gain in each draw.
    """
    n_draws = boxes.n_draws
    # Rows of equal length, one a draw: what fills them up has no volume.
    place, width = _places(draw, n_draws)
    there = np.full((points.shape[1], n_draws, width), np.inf)
    there[:, draw, place] = points.T
    of_box, n_boxes = _places(boxes.draw, n_draws)
    upper = np.full((points.shape[1], n_draws, n_boxes), -np.inf)
    lower = np.zeros(upper.shape)
    upper[:, boxes.draw, of_box], lower[:, boxes.draw, of_box] = boxes.upper.T, boxes.boxes.lower.T
    result = np.zeros((n_draws, width))
    step = max(1, _DRAWN_BLOCK // max(width * n_boxes, 1))
    for start in range(0, n_draws, step):
        s = slice(start, start + step)
        product = np.ones(1)
        for one, low, up in zip(there, lower, upper, strict=True):
            edge = np.maximum(one[s, :, None], low[s, None, :])
            np.subtract(up[s, None, :], edge, out=edge)
            product = product * np.maximum(edge, 0.0, out=edge)
        result[s] = product.sum(axis=-1)
    return np.asarray(result[draw, place])


def _places(draw: NDArray[np.int64], n_draws: int) -> tuple[NDArray[np.int64], int]:
    """Return each item's place within its draw, shape (p,), and the most items of a draw; draws ascend."""
    count = np.bincount(draw, minlength=n_draws)
    return np.arange(len(draw)) - (np.cumsum(count) - count)[draw], int(count.max())


def _volume(points: Float, lower: Float, upper: Float) -> Float:
    product = np.ones((len(points), len(upper)))
    for j in range(points.shape[1]):
        product *= np.maximum(upper[:, j] - np.maximum(points[:, j, None], lower[:, j]), 0.0)
    return np.asarray(product.sum(axis=1))


def _is_below_any(points: Float, upper: Float) -> NDArray[np.bool_]:
    """Tell which points could lie below some bound, shape (n,): those below the greatest of them in each objective."""
    if not len(upper):
        return np.zeros(len(points), dtype=np.bool_)
    return np.asarray(np.all(points < upper.max(axis=0), axis=1))
