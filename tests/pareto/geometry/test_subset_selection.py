"""Greedy hypervolume subset selection: equal to brute force, and close to the best subset of its size."""

from itertools import combinations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.pareto.geometry.subset_selection import greedy_hypervolume_order
from explorer.problem.columns import Float

# Multiples of 0.1 make equal and collinear points common: the degenerate cases of exact gains.
tenths = st.integers(0, 10).map(lambda i: i / 10)


def tables(m: int, most: int) -> st.SearchStrategy[Float]:
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, m), elements=tenths))


def volume(values: Float, reference: Float) -> float:
    return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0


def brute_force_hypervolumes(values: Float, reference: Float, n: int, selected: Float) -> list[float]:
    """Return the hypervolumes of a greedy selection, each gain as a difference of two hypervolumes."""
    points, hypervolumes = selected, []
    for _ in range(n):
        before = volume(points, reference)
        gains = [volume(np.vstack([points, value]), reference) - before for value in values]
        if not gains or max(gains) <= 1e-12:
            break
        points = np.vstack([points, values[int(np.argmax(gains))]])
        hypervolumes.append(volume(points, reference))
    return hypervolumes


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_each_selection_maximizes_the_marginal_gain(m: int, data: st.DataObject) -> None:
    values, selected = data.draw(tables(m, 14)), data.draw(tables(m, 5))
    reference = np.full(m, 0.95)
    order = greedy_hypervolume_order(values, reference, 8, selected=selected)
    hypervolumes = [volume(np.vstack([selected, values[order[: i + 1]]]), reference) for i in range(len(order))]

    assert hypervolumes == pytest.approx(brute_force_hypervolumes(values, reference, 8, selected), rel=1e-9)


@pytest.mark.parametrize("m", [2, 3])
@given(data=st.data())
def test_selection_is_distinct_and_nondominated(m: int, data: st.DataObject) -> None:
    values = data.draw(tables(m, 20))
    order = greedy_hypervolume_order(values, np.full(m, 0.9), 20)
    subset = values[order]

    assert len({tuple(row) for row in subset.tolist()}) == len(order)
    assert (subset < 0.9).all()
    assert moocore.is_nondominated(subset).all() if len(subset) else True


@given(scale=st.floats(1e-9, 1e12), shift=st.floats(-1e3, 1e3))
def test_selection_is_invariant_to_units(scale: float, shift: float) -> None:
    x = np.linspace(0, 1, 60)
    values = np.stack([x, (1 - np.sqrt(x))], axis=-1)
    rescaled = np.stack([x * scale + shift, values[:, 1]], axis=-1)
    order = greedy_hypervolume_order(values, np.array([1.1, 1.1]), 9)
    second = greedy_hypervolume_order(rescaled, np.array([1.1 * scale + shift, 1.1]), 9)

    assert volume(values[second], np.array([1.1, 1.1])) == pytest.approx(volume(values[order], np.array([1.1, 1.1])))


def test_prefix_is_the_selection_of_its_size() -> None:
    x = np.linspace(0, np.pi / 2, 400)
    values = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1)
    order = greedy_hypervolume_order(values, np.array([1.1, 1.1]), 50)

    assert greedy_hypervolume_order(values, np.array([1.1, 1.1]), 20).tolist() == order[:20].tolist()


def test_selection_continues_from_selected_points() -> None:
    x = np.linspace(0, np.pi / 2, 4001)
    values, reference = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1), np.array([1.1, 1.1])
    order = greedy_hypervolume_order(values, reference, 100)
    first = values[order[:40]]
    later = values[greedy_hypervolume_order(values, reference, 60, selected=first)]

    assert volume(np.vstack([first, later]), reference) == pytest.approx(volume(values[order], reference), rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_greedy_selection_is_close_to_the_best_subset(n: int) -> None:
    """All subsets of n of 30 points: the guarantee is 63 %, a smooth front gives more than 95 %."""
    x = np.linspace(0, np.pi / 2, 30)
    values, reference = np.stack([1 - np.cos(x), 1 - np.sin(x)], axis=-1), np.array([1.05, 1.05])
    best = max(volume(values[list(rows)], reference) for rows in combinations(range(30), n))

    assert volume(values[greedy_hypervolume_order(values, reference, n)], reference) > 0.95 * best


def test_selection_of_200_on_a_line_is_nearly_optimal() -> None:
    """The area below y = 1 - x up to (1, 1) is 0.5; the best n points miss 0.5 / (n + 1) of it."""
    x = np.linspace(0, 1, 20_001)
    values, reference = np.stack([x, 1 - x], axis=-1), np.array([1.0, 1.0])
    n = 200
    missing = 0.5 - volume(values[greedy_hypervolume_order(values, reference, n)], reference)

    assert 0.5 / (n + 1) <= missing < 1.15 * 0.5 / (n + 1)


def test_more_than_three_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="gains are exact for two and three"):
        greedy_hypervolume_order(np.zeros((3, 4)), np.ones(4), 2)
