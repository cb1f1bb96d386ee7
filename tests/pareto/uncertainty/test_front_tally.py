"""Fronts of posterior draws, against brute force."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.uncertainty.front_tally import FrontTally
from explorer.problem.columns import Float
from explorer.problem.objectives import OBJECTIVES

OBJECTIVES_2 = (OBJECTIVES["edp_js"], OBJECTIVES["accuracy"])
SLACK = np.array([0.03, 0.05])


def _values(rng: np.random.Generator, n_draws: int, n: int) -> tuple[Float, NDArray[np.bool_]]:
    return rng.random((n_draws, n, 2)), rng.random((n_draws, n)) < 0.8


def _dominates(a: Float, b: Float) -> bool:
    return bool(a[0] <= b[0] and a[1] >= b[1] and (a[0] < b[0] or a[1] > b[1]))


def _brute_force(values: Float, feasible: NDArray[np.bool_], is_measured: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fronts of both kinds, then designs removed that the other front dominates by more than the tolerance."""
    front = feasible.copy()
    better = np.array([-1.0, 1.0]) * SLACK
    for s, draw in enumerate(values):
        for i, j in product(range(len(draw)), repeat=2):
            if is_measured[i] == is_measured[j] and feasible[s, j] and _dominates(draw[j], draw[i]):
                front[s, i] = False
        own = front[s].copy()
        for i, j in product(np.flatnonzero(own), repeat=2):
            if is_measured[i] != is_measured[j] and _dominates(draw[j], draw[i] + better):
                front[s, i] = False
    return front


def test_front_of_every_draw_equals_brute_force() -> None:
    rng = np.random.default_rng(1)
    values, feasible = _values(rng, 25, 18)
    is_measured = np.arange(18) < 6
    tally = FrontTally(values, feasible, OBJECTIVES_2, slack=SLACK, is_measured=is_measured)

    np.testing.assert_array_equal(tally.is_evaluated_front, _brute_force(values, feasible, is_measured))
    np.testing.assert_array_equal(tally.is_front, tally.is_evaluated_front)


def test_rivals_in_batches_equal_rivals_at_once() -> None:
    rng = np.random.default_rng(2)
    values, feasible = _values(rng, 30, 20)
    rivals, is_rival_feasible = _values(rng, 30, 24)
    tallies = [FrontTally(values, feasible, OBJECTIVES_2, slack=SLACK, is_measured=np.arange(20) < 5) for _ in range(2)]
    tallies[0].add_rivals(rivals, is_rival_feasible)
    for part in np.split(np.arange(24), 4):
        tallies[1].add_rivals(rivals[:, part], is_rival_feasible[:, part])

    np.testing.assert_array_equal(tallies[0].is_front, tallies[1].is_front)
    assert tallies[0].is_front.sum() < tallies[0].is_evaluated_front.sum()


def test_rivals_of_no_draw_remove_nothing() -> None:
    rng = np.random.default_rng(3)
    values, feasible = _values(rng, 10, 8)
    tally = FrontTally(values, feasible, OBJECTIVES_2, slack=SLACK, is_measured=np.zeros(8, dtype=np.bool_))
    n_fronts = tally.add_rivals(rng.random((10, 4, 2)), np.zeros((10, 4), dtype=np.bool_))

    assert n_fronts.tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(tally.is_front, tally.is_evaluated_front)
