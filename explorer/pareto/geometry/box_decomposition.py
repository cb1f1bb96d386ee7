"""Box decomposition of the non-dominated region up to the reference point (Lacour et al. 2017).

Source: R. Lacour, K. Klamroth and C. M. Fonseca, "A box decomposition algorithm to compute the hypervolume indicator",
Computers & Operations Research 79 (2017) 347-360. All objectives are minimized. Each local upper bound of the front (a
corner that no point strictly dominates, maximal in every objective) owns one box; its defining points give the box's
lower corner. The hypervolume improvement of a point is then a sum of products over the boxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

_BLOCK = 2_000_000  # point-box pairs at once: 16 MB for each array of them
_DRAWS_BLOCK = 60_000  # point-box pairs of several draws at once: their arrays stay in the processor's cache


@dataclass(frozen=True, slots=True)
class BoxDecomposition:
    """Boxes that cover the non-dominated region up to the reference point.

    Args:
        upper: the local upper bounds, shape (k, m).
        defining: the defining point of each coordinate of each bound, shape (k, m, m): objective j of `defining[i, j]`
            equals `upper[i, j]`.
    """

    upper: Float
    defining: Float

    @property
    def lower(self) -> Float:
        """Return the lower corners of the boxes, shape (k, m): the first objective is open below (-inf).

        In objective j it is the maximum over the defining points of the objectives before j.
        """
        m = self.upper.shape[1]
        lower = np.full(self.upper.shape, -np.inf)
        for j in range(1, m):
            lower[:, j] = np.max(self.defining[:, :j, j], axis=1)
        return lower

    def with_point(self, point: Float) -> "BoxDecomposition":
        """Return the decomposition with one more point; the same one where the point adds no hypervolume.

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
    """Box decompositions of S posterior draws, one front in each draw.

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
        """Return the boxes that change when each draw gets one more point: those whose upper corner it dominates.

        Args:
            points: shape (S, m).
            is_feasible: which of the points count, shape (S,).
        """
        return self._rows(self._is_cut(points, is_feasible))

    def with_points(self, points: Float, is_feasible: NDArray[np.bool_]) -> "BoxDecompositionDraws":
        """Return the decompositions with one more point in each draw.

        Args:
            points: shape (S, m).
            is_feasible: which of the points count, shape (S,).
        """
        is_cut = self._is_cut(points, is_feasible)
        old, unchanged = self._rows(is_cut), self._rows(~is_cut)
        parts = [(unchanged.draw, unchanged.upper, unchanged.boxes.defining)]
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
    """Yield for each objective the boxes that replace those cut by a point, and a mask of the boxes they replace.

    Update of the local upper bounds as in Lacour et al. 2017, section 2.

    Args:
        old: boxes whose upper corners the points dominate.
        points: the new point of each box, shape (k, m).
    """
    m = points.shape[1]
    for j in range(m):
        rest = [i for i in range(m) if i != j]
        # A new bound is a local upper bound only if the defining points of its other coordinates precede it in j.
        is_before = np.max(old.defining[:, rest, j], axis=1) <= points[:, j] if rest else np.ones(len(points)) > 0
        upper, defining = old.upper[is_before].copy(), old.defining[is_before].copy()
        upper[:, j] = points[is_before, j]
        defining[:, j] = points[is_before]
        yield BoxDecomposition(upper, defining), is_before


def box_decomposition(points: Float, reference: Sequence[float] | Float) -> BoxDecomposition:
    """Decompose the region that points leave non-dominated up to a reference point into boxes.

    Args:
        points: shape (n, m); those that are not better than the reference in every objective change nothing.
        reference: shape (m,).

    >>> boxes = box_decomposition(np.array([[1.0, 2.0], [2.0, 1.0]]), (3.0, 3.0))
    >>> hypervolume_improvement(np.array([[1.0, 1.0], [2.5, 2.5], [0.0, 2.5]]), boxes)
    array([1. , 0. , 0.5])
    """
    corner = np.asarray(reference, dtype=np.float64)
    m = len(corner)
    # Dummy defining points of the first box: at the reference in one objective, -inf in the others.
    dummies = np.where(np.eye(m, dtype=np.bool_), corner, -np.inf)
    boxes = BoxDecomposition(corner[None, :], dummies[None, :, :])
    # In ascending order of the first objective few bounds are cut twice.
    for point in points[np.argsort(points[:, 0], kind="stable")]:
        boxes = boxes.with_point(point)
    return boxes


def hypervolume_improvement(points: Float, boxes: BoxDecomposition) -> Float:
    """Return the hypervolume that each point alone adds to the front of a decomposition, shape (...,).

    Args:
        points: shape (..., m).
        boxes: the decomposition.
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
    """Return the hypervolume that each point alone adds to the front of its draw, shape (p,).

    Args:
        points: shape (p, m).
        draw: the draw of each point, ascending, shape (p,).
        boxes: the decompositions, one for each draw.
    """
    n_draws = boxes.n_draws
    # Points and boxes are padded to rows of equal length, one row for each draw; padding has no volume.
    column, width = _index_in_draw(draw, n_draws)
    padded = np.full((points.shape[1], n_draws, width), np.inf)
    padded[:, draw, column] = points.T
    box_column, n_boxes = _index_in_draw(boxes.draw, n_draws)
    upper = np.full((points.shape[1], n_draws, n_boxes), -np.inf)
    lower = np.zeros(upper.shape)
    upper[:, boxes.draw, box_column], lower[:, boxes.draw, box_column] = boxes.upper.T, boxes.boxes.lower.T
    result = np.zeros((n_draws, width))
    step = max(1, _DRAWS_BLOCK // max(width * n_boxes, 1))
    for start in range(0, n_draws, step):
        s = slice(start, start + step)
        product = np.ones(1)
        for objective, low, up in zip(padded, lower, upper, strict=True):
            edge = np.maximum(objective[s, :, None], low[s, None, :])
            np.subtract(up[s, None, :], edge, out=edge)
            product = product * np.maximum(edge, 0.0, out=edge)
        result[s] = product.sum(axis=-1)
    return np.asarray(result[draw, column])


def _index_in_draw(draw: NDArray[np.int64], n_draws: int) -> tuple[NDArray[np.int64], int]:
    """Return each item's index within its draw, shape (p,), and the largest number of items of a draw; draws ascend."""
    count = np.bincount(draw, minlength=n_draws)
    return np.arange(len(draw)) - (np.cumsum(count) - count)[draw], int(count.max())


def _volume(points: Float, lower: Float, upper: Float) -> Float:
    product = np.ones((len(points), len(upper)))
    for j in range(points.shape[1]):
        product *= np.maximum(upper[:, j] - np.maximum(points[:, j, None], lower[:, j]), 0.0)
    return np.asarray(product.sum(axis=1))


def _is_below_any(points: Float, upper: Float) -> NDArray[np.bool_]:
    """Return a mask of points below the componentwise maximum of the bounds, shape (n,): only these can gain."""
    if not len(upper):
        return np.zeros(len(points), dtype=np.bool_)
    return np.asarray(np.all(points < upper.max(axis=0), axis=1))
