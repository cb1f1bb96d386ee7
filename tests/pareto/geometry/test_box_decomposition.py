"""Box decomposition: hypervolume improvements equal differences of hypervolumes, for any order of updates."""

from itertools import permutations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.pareto.geometry.box_decomposition import (
    BoxDecompositionDraws,
    box_decomposition,
    hypervolume_improvement,
    hypervolume_improvement_draws,
)
from explorer.problem.columns import Float

# Multiples of 0.1 make equal and collinear points common: the degenerate cases of a box decomposition.
tenths = st.integers(0, 12).map(lambda i: i / 10)
REFERENCE = 1.0


def tables(m: int, most: int, *, least: int = 0) -> st.SearchStrategy[Float]:
    return st.integers(least, most).flatmap(lambda n: arrays(np.float64, (n, m), elements=tenths))


def volume(points: Float, m: int) -> float:
    return float(moocore.hypervolume(points, ref=np.full(m, REFERENCE))) if len(points) else 0.0


def brute_force_improvements(points: Float, front: Float) -> list[float]:
    """Return the hypervolume that each point adds, as a difference of two hypervolumes."""
    m = points.shape[1]
    return [volume(np.vstack([front, point]), m) - volume(front, m) for point in points]


@pytest.mark.parametrize("m", [2, 3, 4])
@given(data=st.data())
def test_improvement_is_the_difference_of_two_hypervolumes(m: int, data: st.DataObject) -> None:
    front, points = data.draw(tables(m, 12)), data.draw(tables(m, 6, least=1))

    assert hypervolume_improvement(points, box_decomposition(front, np.full(m, REFERENCE))) == pytest.approx(
        brute_force_improvements(points, front), abs=1e-12
    )


@given(front=tables(1, 8), points=tables(1, 6, least=1))
def test_improvement_of_one_objective_is_the_decrease(front: Float, points: Float) -> None:
    best = min([REFERENCE, *front[:, 0].tolist()])

    assert hypervolume_improvement(points, box_decomposition(front, [REFERENCE])) == pytest.approx(
        [max(best - p, 0.0) for p in points[:, 0]]
    )


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_update_equals_decomposition_of_all_points(m: int, data: st.DataObject) -> None:
    front, more = data.draw(tables(m, 8)), data.draw(tables(m, 3, least=1))
    points, reference = data.draw(tables(m, 6, least=1)), np.full(m, REFERENCE)
    boxes = box_decomposition(front, reference)
    for point in more:
        boxes = boxes.with_point(point)
    expected = box_decomposition(np.vstack([front, more]), reference)

    assert hypervolume_improvement(points, boxes) == pytest.approx(hypervolume_improvement(points, expected), abs=1e-12)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_dominated_or_equal_points_change_nothing(m: int, data: st.DataObject) -> None:
    front = data.draw(tables(m, 8, least=1))
    boxes = box_decomposition(front, np.full(m, REFERENCE))
    dominated = front + data.draw(arrays(np.float64, m, elements=tenths))

    assert hypervolume_improvement(dominated, boxes).tolist() == [0.0] * len(front)
    assert all(boxes.with_point(point) is boxes for point in dominated)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_boxes_partition_the_nondominated_region(m: int, data: st.DataObject) -> None:
    """The boxes, bounded below by a point that dominates all others, add up to the improvement of that point."""
    front = data.draw(tables(m, 10))
    boxes, lowest = box_decomposition(front, np.full(m, REFERENCE)), np.full(m, -1.0)
    sizes = np.prod(np.maximum(boxes.upper - np.maximum(boxes.lower, lowest), 0.0), axis=1)

    assert sizes.sum() == pytest.approx(volume(lowest[None, :], m) - volume(front, m))


def test_order_of_points_does_not_matter() -> None:
    front = np.array([[0.1, 0.9, 0.4], [0.4, 0.4, 0.4], [0.9, 0.1, 0.2], [0.4, 0.2, 0.8]])
    points = np.random.default_rng(0).random((50, 3))
    improvements = [
        hypervolume_improvement(points, box_decomposition(front[list(order)], np.ones(3)))
        for order in permutations(range(4))
    ]

    for improvement in improvements:
        np.testing.assert_allclose(improvement, improvements[0], atol=1e-12)


def test_improvement_is_vectorized_over_draws() -> None:
    boxes = box_decomposition(np.random.default_rng(1).random((20, 3)), np.ones(3))
    points = np.random.default_rng(2).random((5, 7, 3))

    np.testing.assert_array_equal(
        hypervolume_improvement(points, boxes), np.stack([hypervolume_improvement(draw, boxes) for draw in points])
    )


@pytest.mark.parametrize("m", [1, 2, 3])
@given(data=st.data())
def test_draws_equal_one_decomposition_for_each_draw(m: int, data: st.DataObject) -> None:
    """Updates, improvements, and improvements reduced by their overlap, vectorized against one draw at a time."""
    front, n_draws = data.draw(tables(m, 6)), data.draw(st.integers(1, 4))
    more = data.draw(arrays(np.float64, (n_draws, 3, m), elements=tenths))
    points = data.draw(arrays(np.float64, (n_draws, 5, m), elements=tenths))
    counts = data.draw(arrays(np.bool_, (n_draws, 3)))
    separate = [box_decomposition(front, np.full(m, REFERENCE))] * n_draws
    boxes = BoxDecompositionDraws.repeated(separate[0], n_draws)
    draw = np.repeat(np.arange(n_draws), 5)
    improvement = hypervolume_improvement_draws(points.reshape(-1, m), draw, boxes)
    for i in range(3):
        worse = np.maximum(points, more[:, [i]]).reshape(-1, m)
        improvement = improvement - hypervolume_improvement_draws(worse, draw, boxes.cut_by(more[:, i], counts[:, i]))
        boxes = boxes.with_points(more[:, i], counts[:, i])
        separate = [one.with_point(more[s, i]) if counts[s, i] else one for s, one in enumerate(separate)]
    expected = np.concatenate([hypervolume_improvement(points[s], one) for s, one in enumerate(separate)])

    assert hypervolume_improvement_draws(points.reshape(-1, m), draw, boxes) == pytest.approx(expected, abs=1e-12)
    assert improvement == pytest.approx(expected, abs=1e-12)
