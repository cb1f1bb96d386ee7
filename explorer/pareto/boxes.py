"""Boxes: what a front leaves undominated up to a reference point, cut into boxes, so that gains are sums of products.

All objectives are to be minimized. The cut is that of Lacour, Klamroth and Fonseca, "A box decomposition algorithm to
compute the hypervolume indicator", Computers & Operations Research 79, 2017: each local upper bound of the front (a
corner that no point dominates and that any point below would) owns one box, told by the points that define it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

_BLOCK = 2_000_000  # point-box pairs at once: 16 MB for each array of them


@dataclass(frozen=True, slots=True)
class Boxes:
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

    def with_point(self, point: Float) -> "Boxes":
        """Return what is left once a point is known as well; the same boxes where it gains nothing.

        Args:
            point: shape (m,).
        """
        is_cut = np.all(point < self.upper, axis=1)
        if not is_cut.any():
            return self
        old, held = self.upper[is_cut], self.defining[is_cut]
        uppers, definings = [self.upper[~is_cut]], [self.defining[~is_cut]]
        m = len(point)
        for j in range(m):
            others = [i for i in range(m) if i != j]
            # A new bound counts only where the points that hold its other coordinates lie before the new one in j.
            counts = np.max(held[:, others, j], axis=1) <= point[j] if m > 1 else np.ones(len(old), dtype=np.bool_)
            upper, defining = old[counts].copy(), held[counts].copy()
            upper[:, j] = point[j]
            defining[:, j] = point
            uppers.append(upper)
            definings.append(defining)
        return Boxes(np.concatenate(uppers), np.concatenate(definings))


def open_boxes(points: Float, reference: Sequence[float] | Float) -> Boxes:
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
    boxes = Boxes(far[None, :], dummies[None, :, :])
    # In order of the first objective few bounds are cut twice.
    for point in points[np.argsort(points[:, 0], kind="stable")]:
        boxes = boxes.with_point(point)
    return boxes


def gains(points: Float, boxes: Boxes) -> Float:
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
