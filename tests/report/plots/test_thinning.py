"""Thinning of a long front: designs that a rule can select without limits, and an even cover."""

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
    """Return a front of energy and accuracy on which every design has the least weighted cost for some alpha."""
    turn = np.linspace(0.05, np.pi / 2 - 0.05, n)
    rng = np.random.default_rng(0)
    return {
        "family": np.full(n, "A", dtype=object),
        "energy_j": 2 - np.sin(turn)[::-1],
        "accuracy": np.cos(turn)[::-1],
        "power_w": rng.uniform(1, 2, n),
        "domain_distance": np.where(np.arange(n) < 10, 1.0, 0.0),  # the first ten are extrapolated
        "design_id": rng.permutation(n),
        "origin": np.full(n, "search", dtype=object),
        "is_feasible": np.ones(n, dtype=np.bool_),
    }


def results_of(table: Columns) -> Results:
    objectives = (OBJECTIVES["energy_j"], OBJECTIVES["accuracy"])
    return Results("long", "Long", table, objectives, (), (3.0, 0.0), {}, (), ())


def test_a_front_of_3_000_designs_is_complete() -> None:
    front = convex(MAX_FRONT)
    rows = thin_front(front, columns=["power_w"], sweep=None, knee=np.zeros(MAX_FRONT))

    assert rows.tolist() == list(range(MAX_FRONT))


def test_a_thinned_front_has_both_ends_and_each_best_design() -> None:
    """The best designs are those inside the model's domain, as in `explorer choose`; the ends may be outside."""
    front = convex(N)
    knee = np.random.default_rng(1).random(N)
    rows = thin_front(front, columns=["energy_j", "accuracy", "power_w"], sweep=None, knee=knee)
    inside = np.arange(10, N)

    assert len(rows) == MAX_FRONT == len(set(rows.tolist()))
    assert rows.tolist() == sorted(rows.tolist())
    best = (inside[np.argmin(front["energy_j"][10:])], inside[np.argmax(front["accuracy"][10:])],
            inside[np.argmin(front["power_w"][10:])], inside[np.argmax(knee[10:])])  # fmt: skip
    assert {0, N - 1, *best} <= set(rows.tolist())


def test_the_remaining_rows_are_an_even_cover() -> None:
    rows = thin_front(convex(N), columns=["power_w"], sweep=None, knee=np.zeros(N))

    assert np.diff(rows).max() <= 2 * N / MAX_FRONT


def test_thinned_winners_of_the_weighted_cost_have_a_note() -> None:
    results = results_of(convex(N))
    n_winners = len(alpha_sweep(results.front_columns, energy_max_j=1.0).rows)
    data = live_data(results, display_name="long")
    n_included = len(data["sweep"]["rows"])

    assert data["front"]["n"] == MAX_FRONT < n_winners
    assert data["sweep"]["total"] == n_winners
    assert 1_500 <= n_included <= MAX_FRONT
    assert f"and {n_included:,} of the {n_winners:,} designs that J can select" in front_page(results)


@pytest.mark.parametrize(("n", "n_max"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7)])
def test_an_even_selection_has_both_ends_and_at_most_n_max(n: int, n_max: int) -> None:
    rows = select_evenly(n, n_max)

    assert len(rows) == min(n, n_max)
    assert set(rows.tolist()) >= ({0, n - 1} if n else set())
