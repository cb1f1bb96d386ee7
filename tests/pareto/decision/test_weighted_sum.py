"""Alpha sweep: all optima of the weighted cost, and the alpha at which the optimum switches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.paper.equations import weighted_cost
from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.problem.columns import Columns

ENERGY_MAX = 40.0
shares = st.integers(50, 99).map(lambda i: i / 100)
joules = st.integers(1, 40).map(float)


def _candidates(accuracy: list[float], energy: list[float], distance: list[float] | None = None) -> Columns:
    return {
        "accuracy": np.array(accuracy),
        "energy_j": np.array(energy),
        "domain_distance": np.array(distance or [0.0] * len(accuracy)),
    }


def _least(candidates: Columns, alpha: float) -> float:
    cost = weighted_cost(candidates["accuracy"], candidates["energy_j"], energy_max=ENERGY_MAX, alpha=alpha)
    return float(np.min(cost))


@given(st.lists(st.tuples(shares, joules), min_size=1, max_size=30), st.integers(0, 1000))
def test_optimum_of_each_interval_has_the_least_cost(rows: list[tuple[float, float]], permille: int) -> None:
    """Compared with the weighted cost of every candidate at any alpha."""
    candidates = _candidates([a for a, _ in rows], [e for _, e in rows])
    sweep = alpha_sweep(candidates, energy_max_j=ENERGY_MAX)
    alpha = permille / 1000
    optimum = sweep.rows[np.searchsorted(sweep.begins, alpha, side="right") - 1]
    one = {name: values[optimum : optimum + 1] for name, values in candidates.items()}

    assert _least(one, alpha) == pytest.approx(_least(candidates, alpha), abs=1e-12)


@given(st.lists(st.tuples(shares, joules), min_size=1, max_size=30))
def test_accuracy_and_energy_of_the_optimum_rise_with_alpha(rows: list[tuple[float, float]]) -> None:
    candidates = _candidates([a for a, _ in rows], [e for _, e in rows])
    sweep = alpha_sweep(candidates, energy_max_j=ENERGY_MAX)

    assert sweep.begins[0] == 0
    for values in (sweep.begins, candidates["accuracy"][sweep.rows], candidates["energy_j"][sweep.rows]):
        assert np.all(np.diff(values) > 0)
    assert sweep.n_never == len(rows) - len(sweep.rows)


def test_unsupported_design_is_never_optimal() -> None:
    """The middle design is above the line between its neighbours: no weight makes it optimal."""
    sweep = alpha_sweep(_candidates([0.90, 0.91, 0.95], [10.0, 20.0, 21.0]), energy_max_j=ENERGY_MAX)

    assert sweep.rows.tolist() == [0, 2]
    assert sweep.n_never == 1


def test_designs_outside_the_domain_are_left_out() -> None:
    sweep = alpha_sweep(_candidates([0.90, 0.95], [10.0, 20.0], [0.0, 0.9]), energy_max_j=ENERGY_MAX)

    assert sweep.rows.tolist() == [0]


def test_no_candidates_give_an_empty_sweep() -> None:
    sweep = alpha_sweep(_candidates([], []), energy_max_j=ENERGY_MAX)

    assert len(sweep.rows) == len(sweep.begins) == 0
