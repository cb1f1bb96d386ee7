"""Dominance and hypervolume: against brute force, closed forms and invariants."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.pareto.geometry.dominance import (
    default_reference,
    feasible_front,
    hypervolume,
    is_nondominated,
    to_minimization,
)
from explorer.problem.columns import Float
from explorer.problem.objectives import OBJECTIVES, Objective

TWO = (OBJECTIVES["edp_js"], OBJECTIVES["accuracy"])
THREE = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"], OBJECTIVES["accuracy"])
MINIMIZED = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"])
# Few distinct numbers, so that ties, equal points and points at the reference point are common.
GRID = st.integers(0, 6).map(float)
TABLES_2 = st.integers(0, 12).flatmap(lambda n: arrays(np.float64, (n, 2), elements=GRID))
TABLES_3 = st.integers(0, 8).flatmap(lambda n: arrays(np.float64, (n, 3), elements=GRID))
PROPERTY = settings(max_examples=100, deadline=None)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def brute_force_front(values: Float, objectives: Sequence[Objective]) -> list[bool]:
    rows = [[v * o.sign for v, o in zip(row, objectives, strict=True)] for row in values.tolist()]
    return [
        not any(dominates(rival, row) for rival in rows) and row not in rows[:i]  # of equal points the first counts
        for i, row in enumerate(rows)
    ]


def cells_covered(values: Float, reference: Sequence[float], objectives: Sequence[Objective]) -> int:
    """Count the unit cells of the integer grid that a point dominates: exact for integer points."""
    minimized = values * np.array([o.sign for o in objectives])
    limit = [int(r * o.sign) for r, o in zip(reference, objectives, strict=True)]
    low = minimized.min(axis=0).astype(int).tolist() if len(minimized) else limit
    cells = product(*[range(a, b) for a, b in zip(low, limit, strict=True)])
    return sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in minimized.tolist()) for cell in cells
    )


@PROPERTY
@given(values=st.one_of(TABLES_2, TABLES_3))
def test_front_equals_brute_force(values: Float) -> None:
    objectives = TWO if values.shape[1] == 2 else THREE

    assert is_nondominated(values, objectives).tolist() == brute_force_front(values, objectives)


@PROPERTY
@given(values=TABLES_2)
def test_area_equals_the_number_of_grid_cells(values: Float) -> None:
    assert hypervolume(values, (7.0, -1.0), TWO) == cells_covered(values, (7.0, -1.0), TWO)


@PROPERTY
@given(values=TABLES_3)
def test_volume_equals_the_number_of_grid_cells(values: Float) -> None:
    assert hypervolume(values, (7.0, 7.0, -1.0), THREE) == cells_covered(values, (7.0, 7.0, -1.0), THREE)


@PROPERTY
@given(values=TABLES_2, reference=st.tuples(GRID, GRID))
def test_points_beyond_the_reference_point_add_nothing(values: Float, reference: tuple[float, float]) -> None:
    assert hypervolume(values, reference, TWO) == cells_covered(values, reference, TWO)


@PROPERTY
@given(values=arrays(np.float64, (12, 2), elements=st.floats(0, 1)))
def test_area_equals_a_line_sweep(values: Float) -> None:
    area, lowest = 0.0, 1.0
    for x, y in sorted(values.tolist()):
        area += (1 - x) * max(lowest - y, 0)
        lowest = min(lowest, y)

    assert hypervolume(values, (1.0, 1.0), MINIMIZED) == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_area_of_a_staircase_has_a_closed_form(n: int) -> None:
    """n points (i, n - 1 - i) / n below x + y = 1, reference (1, 1): (n + 1) / 2n of the unit square."""
    i = np.arange(n)

    assert hypervolume(np.stack([i, n - 1 - i], axis=1) / n, (1.0, 1.0), MINIMIZED) == pytest.approx((n + 1) / (2 * n))


def test_hypervolume_of_one_point_is_a_box() -> None:
    """EDP 3 up to 5, accuracy .94 down to .86."""
    assert hypervolume(np.array([[3.0, 0.94]]), (5.0, 0.86), TWO) == pytest.approx(2 * 0.08)


def test_hypervolume_of_no_points_is_zero() -> None:
    assert hypervolume(np.empty((0, 2)), (1.0, 1.0), TWO) == 0
    assert is_nondominated(np.empty((0, 2)), TWO).tolist() == []


@PROPERTY
@given(values=TABLES_3, more=arrays(np.float64, (1, 3), elements=GRID))
def test_hypervolume_is_monotone(values: Float, more: Float) -> None:
    reference = (7.0, 7.0, -1.0)

    assert hypervolume(np.concatenate([values, more]), reference, THREE) >= hypervolume(values, reference, THREE)


@PROPERTY
@given(values=TABLES_3, seed=st.integers(0, 100))
def test_order_of_points_does_not_matter(values: Float, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    reference = (7.0, 7.0, -1.0)

    assert hypervolume(shuffled, reference, THREE) == hypervolume(values, reference, THREE)
    front, second = values[is_nondominated(values, THREE)], shuffled[is_nondominated(shuffled, THREE)]
    assert sorted(map(tuple, front)) == sorted(map(tuple, second))


@PROPERTY
@given(values=TABLES_3)
def test_dominated_points_add_no_hypervolume(values: Float) -> None:
    reference = (7.0, 7.0, -1.0)
    front = values[is_nondominated(values, THREE)]

    assert hypervolume(front, reference, THREE) == hypervolume(values, reference, THREE)
    assert is_nondominated(front, THREE).all()


@PROPERTY
@given(values=TABLES_2)
def test_maximization_is_minimization_of_the_negative(values: Float) -> None:
    minimized = values * np.array([1, -1])

    assert is_nondominated(values, TWO).tolist() == is_nondominated(minimized, MINIMIZED).tolist()
    assert hypervolume(values, (7.0, -1.0), TWO) == hypervolume(minimized, (7.0, 1.0), MINIMIZED)
    assert (to_minimization(values, TWO) == minimized).all()


@PROPERTY
@given(values=TABLES_2, data=st.data())
def test_infeasible_designs_do_not_affect_the_front(values: Float, data: st.DataObject) -> None:
    feasible = data.draw(arrays(np.bool_, len(values)))
    front = feasible_front(values, feasible, TWO)

    assert not (front & ~feasible).any()
    assert front[feasible].tolist() == brute_force_front(values[feasible], TWO)


def test_functions_do_not_modify_their_inputs() -> None:
    values = np.array([[1.0, 2.0], [2.0, 3.0], [2.0, 1.0]])
    before = values.copy()
    is_nondominated(values, TWO)
    hypervolume(values, (7.0, 0.0), TWO)
    feasible_front(values, np.array([True, False, True]), TWO)
    default_reference(values, TWO)

    assert (values == before).all()


@PROPERTY
@given(
    values=st.integers(1, 20).flatmap(
        lambda n: arrays(np.float64, (n, 3), elements=st.floats(-1e6, 1e6, allow_subnormal=False))
    )
)
def test_default_reference_is_worse_than_every_point(values: Float) -> None:
    reference = np.array(default_reference(values, THREE))
    signs = np.array([o.sign for o in THREE])

    assert (values * signs < reference * signs).all()


def test_default_reference_is_a_tenth_of_the_spread_beyond() -> None:
    values = np.array([[1.0, 0.95], [3.0, 0.75]])

    assert default_reference(values, TWO) == pytest.approx((3.2, 0.73), abs=0.021)
