"""Covering a front: which of its points, one after the other, add the most hypervolume to those taken before.

Greedy by hypervolume: each prefix of the order reaches at least 1 - 1/e of what the best choice of so many points does
(Nemhauser, Wolsey and Fisher 1978: hypervolume is submodular), and on smooth fronts all but a small share of it. Gains
are exact: with two objectives a staircase tells them, with three the boxes that a new point adds are taken from every
other's gain.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

Index = NDArray[np.int64]
_BLOCK = 512  # candidates whose greatest gain is kept together: looking for the next one costs a root of their number
_NOTHING = 1e-15  # of the largest gain: less is rounding


def greedy_hypervolume_order(values: Float, reference: Float, n: int, *, known: Float | None = None) -> Index:
    """Return n points in the order in which each adds the most hypervolume to the known ones and those before it.

    Fewer than n where the others add nothing: they are dominated, or not better than the reference point.

    Args:
        values: the points to choose from, all objectives to be minimized, shape (k, m), m = 2 or 3.
        reference: the reference point, shape (m,).
        n: how many are wanted.
        known: points that are there already, shape (j, m).

    Raises:
        ValueError: m is neither 2 nor 3.
    """
    m = values.shape[1]
    if m not in (2, 3):
        raise ValueError(f"{m} objectives: gains are exact for two and three")
    # Gains are compared, never shown: on a scale of its own each objective keeps its digits.
    low = np.min(values, axis=0, initial=np.inf)
    scale = np.where(np.isfinite(low) & (reference > low), reference - low, 1.0)
    points, corner = (values - low) / scale, (reference - low) / scale
    there = np.empty((0, m)) if known is None or not len(known) else (_front(known) - low) / scale
    inside = np.flatnonzero(np.all(points < corner, axis=1))
    there = there[np.all(there < corner, axis=1)]
    if not inside.size:
        return np.empty(0, dtype=np.int64)
    picks = _flat(points[inside], corner, n, there) if m == 2 else _deep(points[inside], corner, n, there)
    return np.asarray(inside[picks])


def _front(values: Float) -> Float:
    return values[np.asarray(moocore.is_nondominated(values), dtype=np.bool_)]


class _Largest:
    """The largest of many numbers that change a few at a time."""

    def __init__(self, numbers: Float) -> None:
        self.numbers = numbers
        self._first = np.arange(0, len(numbers), _BLOCK)
        self._block = np.maximum.reduceat(numbers, self._first)

    def place(self) -> int:
        first = int(self._first[int(self._block.argmax())])
        return first + int(self.numbers[first : first + _BLOCK].argmax())

    def changed(self, low: int, high: int) -> None:
        """Look again at the numbers from `low` to before `high`."""
        for block in range(low // _BLOCK, (high - 1) // _BLOCK + 1):
            self._block[block] = self.numbers[block * _BLOCK : (block + 1) * _BLOCK].max()


def _flat(points: Float, corner: Float, n: int, there: Float) -> Index:
    """Choose with two objectives: a staircase bounds what is dominated so far, and a new step changes it near by.

    Args:
        points: shape (k, 2), each below the corner.
        corner: the reference point, shape (2,).
        n: how many are wanted.
        there: the known front, shape (j, 2).
    """
    front = np.flatnonzero(np.asarray(moocore.is_nondominated(points), dtype=np.bool_))
    order = front[np.argsort(points[front, 0], kind="stable")]
    x, y = points[order].T
    stairs = there[np.argsort(there[:, 0], kind="stable")]
    step_x, step_y = stairs[:, 0].tolist(), stairs[:, 1].tolist()
    down = (-y).tolist()
    across = x.tolist()
    largest = _Largest(_stair_gains(x, y, stairs[:, 0], stairs[:, 1], corner))
    least = _NOTHING * float(largest.numbers.max())
    picks: list[int] = []
    while len(picks) < n:
        k = largest.place()
        if largest.numbers[k] <= least:
            break
        picks.append(k)
        px, py = across[k], -down[k]
        # The step left of the new one, and the first one right of it that lies below: all between them goes.
        left = bisect_right(step_x, px)
        right = left
        while right < len(step_y) and step_y[right] >= py:
            right += 1
        if left and step_y[left - 1] <= py:
            largest.numbers[k] = 0.0
            largest.changed(k, k + 1)
            continue
        step_x[left:right], step_y[left:right] = [px], [py]
        above = step_y[left - 1] if left else float(corner[1])
        beyond = step_x[left + 1] if left + 1 < len(step_x) else float(corner[0])
        # Only candidates that would dominate some of what the new point now does gain less than before.
        low, high = bisect_right(down, -above), bisect_left(across, beyond)
        last = left + 1
        while last < len(step_y) and step_y[last] > y[high - 1]:
            last += 1
        near = slice(max(left - 1, 0), last + 1)
        largest.numbers[low:high] = _stair_gains(
            x[low:high], y[low:high], np.array(step_x[near]), np.array(step_y[near]), corner
        )
        largest.numbers[k] = 0.0
        largest.changed(low, high)
    return np.asarray(order[picks], dtype=np.int64)


def _stair_gains(x: Float, y: Float, step_x: Float, step_y: Float, corner: Float) -> Float:
    """Return what each point adds to the area above a staircase of falling steps, shape (k,)."""
    edges = np.concatenate([step_x, corner[:1]])
    heights = np.concatenate([corner[1:], step_y])  # of the staircase from each edge's left on
    begin = np.searchsorted(step_x, x, side="right")
    end = np.searchsorted(-step_y, -y, side="left")
    end = np.maximum(end, begin)
    # Whole steps between two edges, from running sums; then the piece from the point to its first edge.
    widths = np.diff(edges)
    area, length = (np.concatenate([[0.0], np.cumsum(part)]) for part in (widths * heights[1:], widths))
    first = np.minimum(edges[begin], edges[end]) - x
    gains = first * (heights[begin] - y) + area[end] - area[begin] - y * (length[end] - length[begin])
    return np.asarray(np.where(heights[begin] > y, np.maximum(gains, 0.0), 0.0))


def _deep(points: Float, corner: Float, n: int, there: Float) -> Index:
    """Choose with three objectives: the boxes that a new point adds are taken from what every other one would add.

    Args:
        points: shape (k, 3), each below the corner.
        corner: the reference point, shape (3,).
        n: how many are wanted.
        there: the known front, shape (j, 3).
    """
    gains = np.prod(corner - points, axis=1)
    least = _NOTHING * float(gains.max())
    taken = np.empty((len(there) + n, 3))
    n_taken = 0
    for point in there:
        _take_boxes(gains, points, point, taken[:n_taken], corner)
        taken[n_taken], n_taken = point, n_taken + 1
    picks: list[int] = []
    while len(picks) < n:
        k = int(gains.argmax())
        if gains[k] <= least:
            break
        picks.append(k)
        _take_boxes(gains, points, points[k], taken[:n_taken], corner)
        gains[k] = 0.0
        taken[n_taken], n_taken = points[k], n_taken + 1
    return np.array(picks, dtype=np.int64)


def _take_boxes(gains: Float, points: Float, point: Float, taken: Float, corner: Float) -> None:
    """Lower every candidate's gain by what it shares with the boxes that a point adds to those taken before."""
    low, high = _new_boxes(point, taken, corner)
    if not len(low):
        return
    rows = np.flatnonzero(np.all(points < high.max(axis=0), axis=1))
    sides = high[None, :, :] - np.maximum(points[rows, None, :], low[None, :, :])
    np.maximum(sides, 0.0, out=sides)
    gains[rows] -= np.einsum("ij,ij,ij->i", sides[..., 0], sides[..., 1], sides[..., 2])


def _new_boxes(point: Float, taken: Float, corner: Float) -> tuple[Float, Float]:
    """Return what a point dominates and none of the others does, as boxes: their low and high corners, shape (b, 3)."""
    others = np.maximum(taken, point)
    others = others[np.all(others < corner, axis=1)]
    if len(others):
        if bool(np.any(np.all(others == point, axis=1))):
            return np.empty((0, 3)), np.empty((0, 3))
        others = _front(others)
        others = others[np.argsort(others[:, 2], kind="stable")]
    boxes = list(_slabs(tuple(point.tolist()), others.tolist(), tuple(corner.tolist())))
    table = np.array(boxes).reshape(-1, 6)
    return table[:, :3], table[:, 3:]


def _slabs(
    point: tuple[float, ...], others: list[list[float]], corner: tuple[float, ...]
) -> Iterator[tuple[float, float, float, float, float, float]]:
    """Cut what is new into slabs along the third objective, and each slab into strips under a staircase."""
    px, py, bottom = point
    xs: list[float] = []
    ys: list[float] = []
    for ox, oy, oz in [*others, [px, py, corner[2]]]:
        if oz > bottom:
            left, above = px, corner[1]
            for sx, sy in zip(xs, ys, strict=True):
                if sx > left and above > py:
                    yield left, py, bottom, sx, above, oz
                left, above = max(left, sx), min(above, sy)
            if corner[0] > left and above > py:
                yield left, py, bottom, corner[0], above, oz
            bottom = oz
        # Keep the staircase: steps rising in x, falling in y.
        i = bisect_left(xs, ox)
        if i and ys[i - 1] <= oy:
            continue
        j = i
        while j < len(xs) and ys[j] >= oy:
            j += 1
        xs[i:j], ys[i:j] = [ox], [oy]
