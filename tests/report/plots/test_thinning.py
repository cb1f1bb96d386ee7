"""Which designs of a long front a page carries: whatever a rule can pick without limits, and an even cover."""

import numpy as np
import pytest

from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.pareto.results.results import Results
from explorer.problem.columns import Columns
from explorer.problem.objectives import OBJECTIVES
from explorer.report.live.data import live_data
from explorer.report.pages.front import front_page
from explorer.report.plots.thinning import MAX_FRONT, select_evenly, thin_front

N = 20_000


def convex(n: int) -> Columns:
    """Make a front of energy against accuracy on which every design has the least weighted cost for some alpha."""
    turn = np.linspace(0.05, np.pi / 2 - 0.05, n)
    rng = np.random.default_rng(0)
    return {
        "family": np.full(n, "A", dtype=object),
        "energy_j": 2 - np.sin(turn)[::-1],
        "accuracy": np.cos(turn)[::-1],
        "power_w": rng.uniform(1, 2, n),
        "domain_distance": np.where(np.arange(n) < 10, 1.0, 0.0),  # the first ones extrapolate
        "design_id": rng.permutation(n),
        "origin": np.full(n, "search", dtype=object),
        "is_feasible": np.ones(n, dtype=np.bool_),
    }


def results_of(table: Columns) -> Results:
    objectives = (OBJECTIVES["energy_j"], OBJECTIVES["accuracy"])
    return Results("long", "Long", table, objectives, (), (3.0, 0.0), {}, (), ())


def test_a_front_that_fits_is_carried_whole() -> None:
    front = convex(MAX_FRONT)
    rows = thin_front(front, columns=["power_w"], sweep=None, knee=np.zeros(MAX_FRONT))

    assert rows.tolist() == list(range(MAX_FRONT))


def test_of_a_long_front_the_best_of_every_column_is_carried() -> None:
    """Inside the model's domain, as `explorer choose` looks for it; both ends too, wherever they lie."""
    front = convex(N)
    knee = np.random.default_rng(1).random(N)
    rows = thin_front(front, columns=["energy_j", "accuracy", "power_w"], sweep=None, knee=knee)
    inside = np.arange(10, N)

    assert len(rows) == MAX_FRONT == len(set(rows.tolist()))
    assert rows.tolist() == sorted(rows.tolist())
    best = (inside[np.argmin(front["energy_j"][10:])], inside[np.argmax(front["accuracy"][10:])],
            inside[np.argmin(front["power_w"][10:])], inside[np.argmax(knee[10:])])  # fmt: skip
    assert {0, N - 1, *best} <= set(rows.tolist())


def test_the_rest_is_an_even_cover() -> None:
    rows = thin_front(convex(N), columns=["power_w"], sweep=None, knee=np.zeros(N))

    assert np.diff(rows).max() <= 2 * N / MAX_FRONT


def test_where_more_designs_can_win_than_a_page_carries_it_says_so() -> None:
    results = results_of(convex(N))
    won = len(alpha_sweep(results.front_columns, energy_max_j=1.0).rows)
    data = live_data(results, place="long")
    carried = len(data["sweep"]["rows"])

    assert data["front"]["n"] == MAX_FRONT < won
    assert data["sweep"]["total"] == won
    assert 1_500 <= carried <= MAX_FRONT
    assert f"and {carried:,} of the {won:,} designs that J can pick" in front_page(results)


@pytest.mark.parametrize(("n", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7)])
def test_an_even_selection_has_both_ends_and_no_more_than_asked(n: int, most: int) -> None:
    places = select_evenly(n, most)

    assert len(places) == min(n, most)
    assert set(places.tolist()) >= ({0, n - 1} if n else set())
