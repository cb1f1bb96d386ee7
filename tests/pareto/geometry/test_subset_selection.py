"""Covering a front: equal to a slow twin that adds up whole hypervolumes, near the best that so few points can do."""

from itertools import combinations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.pareto.geometry.subset_selection import greedy_hypervolume_order
from explorer.problem.columns import Float

# Tenths: points that are equal, or lie on one line, are what exact gains stumble over.
tenths = st.integers(0, 10).map(lambda i: i / 10)


def tables(m: int, most: int) -> st.SearchStrategy[Float]:
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, m), elements=tenths))


def volume(values: Float, reference: Float) -> float:
    return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0


def slow_cover(values: Float, reference: Float, n: int, known: Float) -> list[float]:
    """Return the hypervolumes that a greedy choice reaches, each gain from two whole hypervolumes."""
    there, reached = known, []
    for _ in range(n):
        before = volume(there, reference)
        gains = [volume(np.vstack([there, value]), reference) - before for value in values]
        if not gains or max(gains) <= 1e-12:
            break
        there = np.vstack([there, values[int(np.argmax(gains))]])
        reached.append(volume(there, reference))
    return reached


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_each_choice_adds_as_much_as_any_other_point_would(m: int, data: st.DataObject) -> None:
    values, known = data.draw(tables(m, 14)), data.draw(tables(m, 5))
    reference = np.full(m, 0.95)
    order = greedy_hypervolume_order(values, reference, 8, known=known)
    reached = [volume(np.vstack([known, values[order[: i + 1]]]), reference) for i in range(len(order))]

    assert reached == pytest.approx(slow_cover(values, reference, 8, known), rel=1e-9)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_no_point_is_chosen_twice_and_none_that_adds_nothing(m: int, data: st.DataObject) -> None:
    values = data.draw(tables(m, 20))
    order = greedy_hypervolume_order(values, np.full(m, 0.9), 20)
    kept = values[order]

    assert len({tuple(row) for row in kept.tolist()}) == len(order)
    assert (kept < 0.9).all()
    assert moocore.is_nondominated(kept).all() if len(kept) else True


@given(scale=st.floats(1e-9, 1e12), shift=st.floats(-1e3, 1e3))
def test_the_units_of_an_objective_do_not_change_the_choice(scale: float, shift: float) -> None:
    x = np.linspace(0, 1, 60)
    values = np.stack([x, (1 - np.sqrt(x))], axis=-1)
    turned = np.stack([x * scale + shift, values[:, 1]], axis=-1)
    order = greedy_hypervolume_order(values, np.array([1.1, 1.1]), 9)
    again = greedy_hypervolume_order(turned, np.array([1.1 * scale + shift, 1.1]), 9)

    assert volume(values[again], np.array([1.1, 1.1])) == pytest.approx(volume(values[order], np.array([1.1, 1.1])))


def test_every_prefix_is_the_cover_of_so_many_points() -> None:
    x = np.linspace(0, np.pi / 2, 400)
    values = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1)
    order = greedy_hypervolume_order(values, np.array([1.1, 1.1]), 50)

    assert greedy_hypervolume_order(values, np.array([1.1, 1.1]), 20).tolist() == order[:20].tolist()


def test_going_on_from_known_points_is_as_good_as_one_go() -> None:
    x = np.linspace(0, np.pi / 2, 4001)
    values, reference = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1), np.array([1.1, 1.1])
    order = greedy_hypervolume_order(values, reference, 100)
    first = values[order[:40]]
    later = values[greedy_hypervolume_order(values, reference, 60, known=first)]

    assert volume(np.vstack([first, later]), reference) == pytest.approx(volume(values[order], reference), rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_greedy_cover_is_close_to_the_best_choice_of_so_many(n: int) -> None:
    """All choices of n among 30: the guarantee is 63 percent, a smooth front gets far more, soon all."""
    x = np.linspace(0, np.pi / 2, 30)
    values, reference = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1), np.array([1.05, 1.05])
    best = max(volume(values[list(rows)], reference) for rows in combinations(range(30), n))

    assert volume(values[greedy_hypervolume_order(values, reference, n)], reference) > 0.95 * best


def test_two_hundred_of_a_smooth_front_reach_what_two_hundred_can() -> None:
    """On y = 1 - x up to the corner (1, 1) the area is half; n even steps of it leave out 1 / (2 n) at best."""
    x = np.linspace(0, 1, 20_001)
    values, reference = np.stack([x, 1 - x], axis=-1), np.array([1.0, 1.0])
    n = 200
    lacking = 0.5 - volume(values[greedy_hypervolume_order(values, reference, n)], reference)

    assert 0.5 / (n + 1) <= lacking < 1.15 * 0.5 / (n + 1)


def test_more_objectives_than_three_are_refused() -> None:
    with pytest.raises(ValueError, match="gains are exact for two and three"):
        greedy_hypervolume_order(np.zeros((3, 4)), np.ones(4), 2)
