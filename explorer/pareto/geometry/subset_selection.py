"""Greedy hypervolume subset selection: order the points of a front by marginal hypervolume gain.

Hypervolume is submodular, so each prefix of the order reaches at least 1 - 1/e of the hypervolume of the best subset of
its size (G. L. Nemhauser, L. A. Wolsey and M. L. Fisher, Mathematical Programming 14 (1978) 265-294; for hypervolume
A. P. Guerreiro, C. M. Fonseca and L. Paquete, Evolutionary Computation 24 (2016) 521-544). On smooth fronts it reaches
all but a small share. Marginal gains (hypervolume contributions) are exact: for two objectives from the staircase of
the selected points, for three by subtracting from each gain its overlap with the boxes of the last selected point.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

Index = NDArray[np.int64]
_BLOCK = 512  # candidates that share one cached maximum: a search costs about the square root of their number
_ROUNDING = 1e-15  # of the largest gain: less is rounding


def greedy_hypervolume_order(values: Float, reference: Float, n: int, *, selected: Float | None = None) -> Index:
    """Return the indices of n points in the order in which each adds the most hypervolume to those selected before it.

    Fewer than n where the rest adds nothing: dominated, or not better than the reference point.

    Args:
        values: the points to choose from, all objectives minimized, shape (k, m), m = 2 or 3.
        reference: the reference point, shape (m,).
        n: number of points to select.
        selected: points already in the subset, shape (j, m).

    Raises:
        ValueError: m is neither 2 nor 3.
    """
    m = values.shape[1]
    if m not in (2, 3):
        raise ValueError(f"{m} objectives: hypervolume gains are exact for two and three")
    # Gains are only compared, so each objective is scaled to its own range: no loss of digits between units.
    low = np.min(values, axis=0, initial=np.inf)
    scale = np.where(np.isfinite(low) & (reference > low), reference - low, 1.0)
    points, corner = (values - low) / scale, (reference - low) / scale
    front = np.empty((0, m)) if selected is None or not len(selected) else (_front(selected) - low) / scale
    inside = np.flatnonzero(np.all(points < corner, axis=1))
    front = front[np.all(front < corner, axis=1)]
    if not inside.size:
        return np.empty(0, dtype=np.int64)
    picks = (_greedy_2d if m == 2 else _greedy_3d)(points[inside], corner, n, front)
    return np.asarray(inside[picks])


def _front(values: Float) -> Float:
    return values[np.asarray(moocore.is_nondominated(values), dtype=np.bool_)]


class _BlockMaximum:
    """Maximum of an array whose elements change a few at a time, cached in blocks."""

    def __init__(self, numbers: Float) -> None:
        self.numbers = numbers
        self._first = np.arange(0, len(numbers), _BLOCK)
        self._block = np.maximum.reduceat(numbers, self._first)

    def argmax(self) -> int:
        first = int(self._first[int(self._block.argmax())])
        return first + int(self.numbers[first : first + _BLOCK].argmax())

    def refresh(self, low: int, high: int) -> None:
        """Recompute the cached maxima of the elements from `low` to before `high`."""
        for block in range(low // _BLOCK, (high - 1) // _BLOCK + 1):
            self._block[block] = self.numbers[block * _BLOCK : (block + 1) * _BLOCK].max()


def _greedy_2d(points: Float, corner: Float, n: int, front: Float) -> Index:
    """Select points of two objectives: a staircase bounds the dominated area, and a new step changes gains locally.

    Args:
        points: shape (k, 2), each below the corner.
        corner: the reference point, shape (2,).
        n: number of points to select.
        front: the front of the points selected already, shape (j, 2).
    """
    candidates = np.flatnonzero(np.asarray(moocore.is_nondominated(points), dtype=np.bool_))
    order = candidates[np.argsort(points[candidates, 0], kind="stable")]
    x, y = points[order].T
    stairs = front[np.argsort(front[:, 0], kind="stable")]
    step_x, step_y = stairs[:, 0].tolist(), stairs[:, 1].tolist()
    down = (-y).tolist()
    across = x.tolist()
    largest = _BlockMaximum(_stair_gains(x, y, stairs[:, 0], stairs[:, 1], corner))
    least = _ROUNDING * float(largest.numbers.max())
    picks: list[int] = []
    while len(picks) < n:
        k = largest.argmax()
        if largest.numbers[k] <= least:
            break
        picks.append(k)
        px, py = across[k], -down[k]
        # Steps between the left neighbour and the first lower step on the right are now dominated: they are removed.
        left = bisect_right(step_x, px)
        right = left
        while right < len(step_y) and step_y[right] >= py:
            right += 1
        if left and step_y[left - 1] <= py:
            largest.numbers[k] = 0.0
            largest.refresh(k, k + 1)
            continue
        step_x[left:right], step_y[left:right] = [px], [py]
        above = step_y[left - 1] if left else float(corner[1])
        beyond = step_x[left + 1] if left + 1 < len(step_x) else float(corner[0])
        # Only candidates whose dominated area overlaps that of the new point lose gain.
        low, high = bisect_right(down, -above), bisect_left(across, beyond)
        last = left + 1
        while last < len(step_y) and step_y[last] > y[high - 1]:
            last += 1
        near = slice(max(left - 1, 0), last + 1)
        largest.numbers[low:high] = _stair_gains(
            x[low:high], y[low:high], np.array(step_x[near]), np.array(step_y[near]), corner
        )
        largest.numbers[k] = 0.0
        largest.refresh(low, high)
    return np.asarray(order[picks], dtype=np.int64)


def _stair_gains(x: Float, y: Float, step_x: Float, step_y: Float, corner: Float) -> Float:
    """Return the area that each point adds to that dominated by a descending staircase, shape (k,)."""
    edges = np.concatenate([step_x, corner[:1]])
    heights = np.concatenate([corner[1:], step_y])  # of the staircase to the left of each edge
    begin = np.searchsorted(step_x, x, side="right")
    end = np.searchsorted(-step_y, -y, side="left")
    end = np.maximum(end, begin)
    # Whole steps between two edges from cumulative sums; then the piece from the point to its first edge.
    widths = np.diff(edges)
    area, length = (np.concatenate([[0.0], np.cumsum(part)]) for part in (widths * heights[1:], widths))
    first = np.minimum(edges[begin], edges[end]) - x
    gains = first * (heights[begin] - y) + area[end] - area[begin] - y * (length[end] - length[begin])
    return np.asarray(np.where(heights[begin] > y, np.maximum(gains, 0.0), 0.0))


def _greedy_3d(points: Float, corner: Float, n: int, front: Float) -> Index:
    """Select points of three objectives: the boxes added by a selected point are subtracted from every gain.

    Args:
        points: shape (k, 3), each below the corner.
        corner: the reference point, shape (3,).
        n: number of points to select.
        front: the front of the points selected already, shape (j, 3).
    """
    gains = np.prod(corner - points, axis=1)
    least = _ROUNDING * float(gains.max())
    selected = np.empty((len(front) + n, 3))
    n_selected = 0
    for point in front:
        _subtract_overlap(gains, points, point, selected[:n_selected], corner)
        selected[n_selected], n_selected = point, n_selected + 1
    picks: list[int] = []
    while len(picks) < n:
        k = int(gains.argmax())
        if gains[k] <= least:
            break
        picks.append(k)
        _subtract_overlap(gains, points, points[k], selected[:n_selected], corner)
        gains[k] = 0.0
        selected[n_selected], n_selected = points[k], n_selected + 1
    return np.array(picks, dtype=np.int64)


def _subtract_overlap(gains: Float, points: Float, point: Float, selected: Float, corner: Float) -> None:
    """Subtract in place from each gain the overlap with the boxes that a point adds to those selected before."""
    low, high = _exclusive_boxes(point, selected, corner)
    if not len(low):
        return
    rows = np.flatnonzero(np.all(points < high.max(axis=0), axis=1))
    sides = high[None, :, :] - np.maximum(points[rows, None, :], low[None, :, :])
    np.maximum(sides, 0.0, out=sides)
    gains[rows] -= np.einsum("ij,ij,ij->i", sides[..., 0], sides[..., 1], sides[..., 2])


def _exclusive_boxes(point: Float, selected: Float, corner: Float) -> tuple[Float, Float]:
    """Return the region that a point dominates alone, as boxes: their low and high corners, shape (b, 3) each."""
    clipped = np.maximum(selected, point)
    clipped = clipped[np.all(clipped < corner, axis=1)]
    if len(clipped):
        if bool(np.any(np.all(clipped == point, axis=1))):
            return np.empty((0, 3)), np.empty((0, 3))
        clipped = _front(clipped)
        clipped = clipped[np.argsort(clipped[:, 2], kind="stable")]
    boxes = list(_slabs(tuple(point.tolist()), clipped.tolist(), tuple(corner.tolist())))
    table = np.array(boxes).reshape(-1, 6)
    return table[:, :3], table[:, 3:]


def _slabs(
    point: tuple[float, ...], clipped: list[list[float]], corner: tuple[float, ...]
) -> Iterator[tuple[float, float, float, float, float, float]]:
    """Yield the boxes: slabs along the third objective, each cut into strips under a staircase of the first two."""
    px, py, bottom = point
    xs: list[float] = []
    ys: list[float] = []
    for ox, oy, oz in [*clipped, [px, py, corner[2]]]:
        if oz > bottom:
            left, above = px, corner[1]
            for sx, sy in zip(xs, ys, strict=True):
                if sx > left and above > py:
                    yield left, py, bottom, sx, above, oz
                left, above = max(left, sx), min(above, sy)
            if corner[0] > left and above > py:
                yield left, py, bottom, corner[0], above, oz
            bottom = oz
        # Update the staircase: steps ascending in x, descending in y.
        i = bisect_left(xs, ox)
        if i and ys[i - 1] <= oy:
            continue
        j = i
        while j < len(xs) and ys[j] >= oy:
            j += 1
        xs[i:j], ys[i:j] = [ox], [oy]
