"""Wilson intervals, and classes from outputs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import MeasurementFailed
from explorer.network.task.accuracy import predicted_classes, wilson_interval


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


def test_classes_are_the_argmax_of_scores_or_integer_outputs() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)

    assert predicted_classes({"y": scores}, n=2).tolist() == [1, 0]
    assert predicted_classes({"feature": np.zeros((2, 3, 3)), "label": np.array([4, 5])}, n=2).tolist() == [4, 5]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"y": np.array([[0.0, np.nan], [1.0, 0.0]])}, "output 'y' is NaN or infinite for 1 of 2 samples"),
        ({"y": np.array([[0.0, np.inf], [np.nan, 0.0]])}, "for 2 of 2 samples"),
        ({"y": np.zeros((2, 1))}, r"no output gives classes for 2 samples: 'y' \(2, 1\)"),
        ({"y": np.zeros((5, 3))}, "no output gives classes"),
        ({"y": np.zeros((2, 3, 4))}, "python:MODULE"),
        ({}, "no output gives classes"),
    ],
)
def test_outputs_without_classes_are_reported(outputs: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasurementFailed, match=message):
        predicted_classes(outputs, n=2)
