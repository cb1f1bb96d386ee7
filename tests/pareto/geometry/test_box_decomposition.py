"""Boxes: what a point would gain is the difference of two hypervolumes, however the boxes came about."""

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

# Tenths: points that are equal, or lie on one line, are what a cut into boxes stumbles over.
tenths = st.integers(0, 12).map(lambda i: i / 10)
REFERENCE = 1.0


def tables(m: int, most: int, *, least: int = 0) -> st.SearchStrategy[Float]:
    return st.integers(least, most).flatmap(lambda n: arrays(np.float64, (n, m), elements=tenths))


def volume(points: Float, m: int) -> float:
    return float(moocore.hypervolume(points, ref=np.full(m, REFERENCE))) if len(points) else 0.0


def slow_gains(points: Float, front: Float) -> list[float]:
    """Return what each point would add, from two whole hypervolumes."""
    m = points.shape[1]
    return [volume(np.vstack([front, point]), m) - volume(front, m) for point in points]


@pytest.mark.parametrize("m", [2, 3, 4])
@given(data=st.data())
def test_a_gain_is_the_difference_of_two_hypervolumes(m: int, data: st.DataObject) -> None:
    front, points = data.draw(tables(m, 12)), data.draw(tables(m, 6, least=1))

    assert hypervolume_improvement(points, box_decomposition(front, np.full(m, REFERENCE))) == pytest.approx(
        slow_gains(points, front), abs=1e-12
    )


@given(front=tables(1, 8), points=tables(1, 6, least=1))
def test_with_one_objective_a_gain_is_how_much_is_saved(front: Float, points: Float) -> None:
    best = min([REFERENCE, *front[:, 0].tolist()])

    assert hypervolume_improvement(points, box_decomposition(front, [REFERENCE])) == pytest.approx(
        [max(best - p, 0.0) for p in points[:, 0]]
    )


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_boxes_with_one_more_point_are_those_of_all_points(m: int, data: st.DataObject) -> None:
    front, more = data.draw(tables(m, 8)), data.draw(tables(m, 3, least=1))
    points, reference = data.draw(tables(m, 6, least=1)), np.full(m, REFERENCE)
    boxes = box_decomposition(front, reference)
    for point in more:
        boxes = boxes.with_point(point)
    together = box_decomposition(np.vstack([front, more]), reference)

    assert hypervolume_improvement(points, boxes) == pytest.approx(hypervolume_improvement(points, together), abs=1e-12)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_a_point_that_is_known_or_beaten_gains_nothing_and_changes_nothing(m: int, data: st.DataObject) -> None:
    front = data.draw(tables(m, 8, least=1))
    boxes = box_decomposition(front, np.full(m, REFERENCE))
    beaten = front + data.draw(arrays(np.float64, m, elements=tenths))

    assert hypervolume_improvement(beaten, boxes).tolist() == [0.0] * len(front)
    assert all(boxes.with_point(point) is boxes for point in beaten)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_boxes_do_not_overlap_and_leave_no_hole(m: int, data: st.DataObject) -> None:
    """A point below all others gains all that is left: so do the boxes, each counted down to that point."""
    front = data.draw(tables(m, 10))
    boxes, lowest = box_decomposition(front, np.full(m, REFERENCE)), np.full(m, -1.0)
    sizes = np.prod(np.maximum(boxes.upper - np.maximum(boxes.lower, lowest), 0.0), axis=1)

    assert sizes.sum() == pytest.approx(volume(lowest[None, :], m) - volume(front, m))


def test_the_order_in_which_points_come_to_be_known_does_not_matter() -> None:
    front = np.array([[0.1, 0.9, 0.4], [0.4, 0.4, 0.4], [0.9, 0.1, 0.2], [0.4, 0.2, 0.8]])
    points = np.random.default_rng(0).random((50, 3))
    found = [
        hypervolume_improvement(points, box_decomposition(front[list(order)], np.ones(3)))
        for order in permutations(range(4))
    ]

    for one in found:
        np.testing.assert_allclose(one, found[0], atol=1e-12)


def test_many_draws_are_counted_as_if_one_after_the_other() -> None:
    boxes = box_decomposition(np.random.default_rng(1).random((20, 3)), np.ones(3))
    drawn = np.random.default_rng(2).random((5, 7, 3))

    np.testing.assert_array_equal(
        hypervolume_improvement(drawn, boxes), np.stack([hypervolume_improvement(one, boxes) for one in drawn])
    )


@pytest.mark.parametrize("m", [1, 2, 3])
@given(data=st.data())
def test_points_that_differ_from_draw_to_draw_cut_the_boxes_of_their_own_draw(m: int, data: st.DataObject) -> None:
    """All draws at once against one after the other: boxes, gains, and gains that fall by what is shared."""
    front, n_draws = data.draw(tables(m, 6)), data.draw(st.integers(1, 4))
    more = data.draw(arrays(np.float64, (n_draws, 3, m), elements=tenths))
    points = data.draw(arrays(np.float64, (n_draws, 5, m), elements=tenths))
    counts = data.draw(arrays(np.bool_, (n_draws, 3)))
    alone = [box_decomposition(front, np.full(m, REFERENCE))] * n_draws
    drawn = BoxDecompositionDraws.repeated(alone[0], n_draws)
    draw = np.repeat(np.arange(n_draws), 5)
    gained = hypervolume_improvement_draws(points.reshape(-1, m), draw, drawn)
    for i in range(3):
        worse = np.maximum(points, more[:, [i]]).reshape(-1, m)
        gained = gained - hypervolume_improvement_draws(worse, draw, drawn.cut_by(more[:, i], counts[:, i]))
        drawn = drawn.with_points(more[:, i], counts[:, i])
        alone = [one.with_point(more[s, i]) if counts[s, i] else one for s, one in enumerate(alone)]
    expected = np.concatenate([hypervolume_improvement(points[s], one) for s, one in enumerate(alone)])

    assert hypervolume_improvement_draws(points.reshape(-1, m), draw, drawn) == pytest.approx(expected, abs=1e-12)
    assert gained == pytest.approx(expected, abs=1e-12)
