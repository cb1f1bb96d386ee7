"""Weights of forms from held-out densities (pseudo-BMA+)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.models.fitting.stacking import form_weights


@given(densities=arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.floats(-1e3, 50)))
def test_weights_are_a_distribution(densities: np.ndarray) -> None:
    weights = form_weights(densities)

    assert weights.shape == (densities.shape[1],)
    assert np.all(weights >= 0)
    assert weights.sum() == pytest.approx(1)


def test_single_form_has_all_weight() -> None:
    assert form_weights(np.array([[-3.0], [-1e3]])).tolist() == [1.0]


def test_forms_without_held_out_rows_share_the_weight() -> None:
    assert form_weights(np.empty((0, 4))).tolist() == [0.25] * 4


def test_equal_forms_share_the_weight() -> None:
    one = np.random.default_rng(0).normal(1, 0.5, 20)

    assert form_weights(np.stack([one, one, one], axis=1)) == pytest.approx([1 / 3] * 3)


def test_better_form_gains_with_the_number_of_rows() -> None:
    """Half a unit of log density a row is weak evidence from 3 rows and strong evidence from 40."""
    rng = np.random.default_rng(1)
    by_rows = []
    for n in (3, 10, 40):
        worse = rng.normal(0, 0.5, n)
        by_rows.append(form_weights(np.stack([worse + 0.5 + rng.normal(0, 0.3, n), worse], axis=1))[0])

    assert by_rows == sorted(by_rows)
    assert by_rows[0] < 0.9
    assert by_rows[-1] > 0.999


def test_one_row_does_not_decide_alone() -> None:
    """Plain Bayesian weights would give e^8 to 1; the bootstrap of the rows keeps the other form."""
    densities = np.zeros((10, 2))
    densities[0, 0] = 8.0
    weights = form_weights(densities)

    assert 0.6 < weights[0] < 0.98


def test_constant_of_all_forms_is_irrelevant() -> None:
    densities = np.random.default_rng(2).normal(0, 1, (12, 3))
    shifted = densities + np.linspace(-5, 5, 12)[:, None]

    assert form_weights(densities) == pytest.approx(form_weights(shifted))


def test_weights_follow_the_order_of_the_forms() -> None:
    densities = np.random.default_rng(3).normal(0, 1, (12, 3))
    order = [2, 0, 1]

    assert form_weights(densities[:, order]) == pytest.approx(form_weights(densities)[order])
