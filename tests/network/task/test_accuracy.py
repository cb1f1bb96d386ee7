"""Wilson intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.network.task.accuracy import wilson_interval


@given(n=st.integers(1, 10_000), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_wilson_interval_contains_the_share_within_0_and_1(n: int, share: float, confidence: float) -> None:
    k = round(share * n)
    low, high = wilson_interval(k, n, confidence=confidence)

    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1


@given(n=st.integers(1, 1000), k=st.integers(0, 1000))
def test_wilson_bounds_solve_the_score_equation(n: int, k: int) -> None:
    """At each bound p, the observed share is 1.96 standard errors of p away."""
    k, z = min(k, n), 1.959963984540054
    for bound in wilson_interval(k, n):
        assert (k / n - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / n, abs=1e-9)


def test_wilson_interval_narrows_with_samples() -> None:
    low, high = wilson_interval([90, 900, 9000], [100, 1000, 10_000])

    assert np.all(np.diff(high - low) < 0)


def test_wilson_interval_has_nominal_coverage() -> None:
    n_correct = np.random.default_rng(0).binomial(719, 0.97, size=4000)
    low, high = wilson_interval(n_correct, 719)

    assert 0.93 < np.mean((low <= 0.97) & (high >= 0.97)) < 0.97
