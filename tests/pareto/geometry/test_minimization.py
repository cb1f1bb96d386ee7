"""Minimization on the unit cube: closed forms, limits, ties and sets of choices."""

import numpy as np
import pytest

from explorer.pareto.geometry.minimization import Minimum, enumerate_points, minimize
from explorer.problem.columns import Float

CENTRE = np.array([0.3, 0.62, 0.5, 0.17])


def sphere(unit: Float, best: Float) -> tuple[Float, Float]:
    """A linear function on a ball: the optimum is where its gradient meets the sphere."""
    del best
    return unit[:, :1] + unit[:, 1:2], np.sum((unit - CENTRE) ** 2, axis=1) - 0.01


def least(found: Minimum) -> float:
    return float(found.values[0, 0])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_linear_function_on_a_ball_ends_at_its_closed_form(seed: int) -> None:
    found = minimize(sphere, 4, seed=seed)

    assert found.violation[0] <= 0
    assert least(found) == pytest.approx(CENTRE[0] + CENTRE[1] - 0.1 * np.sqrt(2), rel=1e-5)


def test_an_optimum_in_a_corner_is_found() -> None:
    found = minimize(lambda unit, _: (-unit.sum(axis=1, keepdims=True), unit[:, 0] - 0.5), 3)

    assert least(found) == pytest.approx(-2.5, abs=1e-7)


def test_many_local_minima_do_not_hide_the_global_one() -> None:
    def rastrigin(unit: Float, best: Float) -> tuple[Float, Float]:
        del best
        x = 8 * (unit - CENTRE[:3])
        return np.sum(x**2 - 3 * np.cos(2 * np.pi * x) + 3, axis=1, keepdims=True), np.zeros(len(unit))

    assert least(minimize(rastrigin, 3)) < 1e-6


def test_a_tie_is_decided_by_the_next_value() -> None:
    def flat(unit: Float, best: Float) -> tuple[Float, Float]:
        del best
        return np.stack([np.floor(unit[:, 0] * 4), (unit[:, 1] - 0.3) ** 2], axis=1), np.zeros(len(unit))

    found = minimize(flat, 2)

    assert found.values[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-4)


def test_without_a_feasible_point_the_closest_comes_first() -> None:
    found = minimize(lambda unit, _: (unit[:, :1], 0.25 + (unit[:, 1] - 0.4) ** 2), 2)

    assert found.violation[0] == pytest.approx(0.25, abs=1e-6)
    assert not len(found.best_values)


def test_a_point_to_begin_with_is_never_lost() -> None:
    needle = np.array([[0.123456, 0.654321]])

    def haystack(unit: Float, best: Float) -> tuple[Float, Float]:
        del best
        return np.where(np.all(unit == needle, axis=1), -1.0, unit[:, 0])[:, None], np.zeros(len(unit))

    assert least(minimize(haystack, 2, start=needle)) == -1.0


def test_a_choice_is_never_lost_among_continuous_axes() -> None:
    """Only one of 50 choices is good, and only within a narrow range of the other axis."""

    def hidden(unit: Float, best: Float) -> tuple[Float, Float]:
        del best
        choice = np.minimum(np.floor(unit[:, 0] * 50), 49)
        return np.where(choice == 37, -2 + np.abs(unit[:, 1] - 0.5), unit[:, 1])[:, None], np.zeros(len(unit))

    assert least(minimize(hidden, 2, n_choices=[50, 0])) == pytest.approx(-2, abs=1e-6)


def test_nan_is_infeasible_and_the_same_seed_gives_the_same_points() -> None:
    def partly(unit: Float, best: Float) -> tuple[Float, Float]:
        values, violation = sphere(unit, best)
        return np.where(unit[:, 2:3] < 0.5, np.nan, values), violation

    first, second = minimize(partly, 4, seed=3), minimize(partly, 4, seed=3)

    assert first.unit[0, 2] >= 0.5
    assert (first.unit == second.unit).all()


def test_enumeration_sorts_a_finite_set() -> None:
    unit = np.random.default_rng(0).random((500, 4))
    values, violation = sphere(unit, np.empty((0, 1)))
    found = enumerate_points(sphere, unit)

    assert found.n_evaluated == 500
    assert least(found) == values[violation <= 0].min()
