"""Selection bias: the bound of optimism holds in simulation, and held-back accuracy chooses nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import WrongUsage
from explorer.pareto.decision.selection_bias import optimism_bound, refuse_held_back


@pytest.mark.parametrize(("p", "n", "k"), [(0.9, 200, 10), (0.98, 700, 40), (0.7, 100, 300), (0.5, 1_000, 2)])
@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_bound_covers_the_mean_excess_of_the_best(p: float, n: int, k: int, shared: float) -> None:
    """All designs are equally good, the worst case; with `shared`, most samples are right or wrong for all of them."""
    rng = np.random.default_rng(0)
    n_shared = round(shared * n)
    common = rng.binomial(n_shared, p, size=(4_000, 1))
    accuracies = (common + rng.binomial(n - n_shared, p, size=(4_000, k))) / n
    best = accuracies.max(axis=1)
    bounds = [optimism_bound(a, n_samples=n, n_designs=k) for a in best]

    assert 0 < (best - p).mean() < np.mean(bounds)
    if not shared:
        assert (best - p).mean() > 0.4 * np.mean(bounds), "the bound says how optimistic, not merely that it is"


@given(st.floats(0, 1), st.integers(1, 10_000), st.integers(1, 10_000))
def test_optimism_grows_with_designs_and_vanishes_with_one(p: float, n: int, k: int) -> None:
    assert optimism_bound(p, n_samples=n, n_designs=1) == 0
    assert optimism_bound(p, n_samples=n, n_designs=k + 1) > optimism_bound(p, n_samples=n, n_designs=k)


@pytest.mark.parametrize("name", ["accuracy_holdout", "accuracy_holdout_lo", "n_right_holdout"])
def test_no_rule_chooses_by_the_held_back_samples(name: str) -> None:
    with pytest.raises(WrongUsage, match="is held back"):
        refuse_held_back("size_bytes", None, name)
    refuse_held_back("size_bytes", "accuracy", None)
