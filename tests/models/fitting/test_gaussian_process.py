"""Gaussian process regression against reference implementations: finite differences, refits, conditional normals."""

import numpy as np
import pytest

from explorer.models.fitting.gaussian_process import (
    Hyperparameters,
    HyperPrior,
    TrainingData,
    _evidence,
    _square_distances,
    kernel,
    leave_out_prediction,
    residual_covariance,
    solve_coefficients,
)
from explorer.problem.columns import Float

N = 12
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1, 1, (N, 3))
COLUMNS = np.column_stack([np.ones(N), POINTS])
TABLE = TrainingData(RNG.standard_normal(N), np.full(N, 0.01), POINTS)
TERM = np.array([0, 1, 1, 2])
SCALES = Hyperparameters(np.log([2.0, 0.7, 0.3]), np.log(0.2), np.log(0.5), np.log([0.8, 0.8, 1.5]))
PRIOR = HyperPrior(SCALES, np.array([False, True, True]), np.array([0, 0, 1]))
WIDTHS = np.exp(SCALES.widths)[TERM]


def test_evidence_gradient_matches_finite_differences() -> None:
    squares = _square_distances(POINTS)

    def value(vector: Float) -> float:
        return _evidence(PRIOR.unpack(vector), PRIOR, TABLE, COLUMNS, TERM, TABLE.values, squares)[0]

    at = PRIOR.pack(SCALES)
    gradient = _evidence(SCALES, PRIOR, TABLE, COLUMNS, TERM, TABLE.values, squares)[1]
    steps = np.eye(len(at)) * 1e-5
    slopes = [(value(at + step) - value(at - step)) / 2e-5 for step in steps]

    np.testing.assert_allclose(gradient, slopes, rtol=1e-5)


def test_hyperparameters_survive_pack_and_unpack() -> None:
    restored = PRIOR.unpack(PRIOR.pack(SCALES))

    np.testing.assert_array_equal(restored.lengths, SCALES.lengths)
    np.testing.assert_array_equal(restored.widths, SCALES.widths)
    assert (restored.noise, restored.amplitude) == (SCALES.noise, SCALES.amplitude)


def test_kernel_is_positive_definite() -> None:
    matrix = kernel(POINTS, POINTS, SCALES)

    np.testing.assert_allclose(matrix, matrix.T)
    np.testing.assert_allclose(np.diag(matrix), 0.25)
    assert np.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("fold", [np.arange(N), np.arange(N) % 3], ids=["single rows", "three groups"])
def test_leave_out_prediction_equals_conditioning_on_the_rest(fold: Float) -> None:
    """The reference conditions a joint normal on the other rows."""
    middle, variance = leave_out_prediction(
        TABLE, COLUMNS, TABLE.values, WIDTHS, scales=SCALES, fold=fold.astype(np.int64)
    )
    prior = COLUMNS @ np.diag(WIDTHS**2) @ COLUMNS.T
    whole = prior + residual_covariance(TABLE, SCALES)
    for k in np.unique(fold):
        out, train = fold == k, fold != k
        gain = np.linalg.solve(whole[np.ix_(train, train)], whole[np.ix_(train, out)]).T

        np.testing.assert_allclose(middle[out], gain @ TABLE.values[train], rtol=1e-8)
        expected = np.diag(whole[np.ix_(out, out)] - gain @ whole[np.ix_(train, out)])
        np.testing.assert_allclose(variance[out], expected, rtol=1e-8)


def test_coefficients_equal_their_posterior_mean() -> None:
    solved = solve_coefficients(
        TABLE, mean=lambda theta: COLUMNS @ theta, jacobian=lambda _: COLUMNS, centers=np.full(4, 0.1),
        widths=WIDTHS, scales=SCALES, start=np.zeros(4),
    )  # fmt: skip
    precision = np.linalg.inv(residual_covariance(TABLE, SCALES))
    left = COLUMNS.T @ precision @ COLUMNS + np.diag(1 / WIDTHS**2)
    right = COLUMNS.T @ precision @ TABLE.values + 0.1 / WIDTHS**2

    np.testing.assert_allclose(solved, np.linalg.solve(left, right), rtol=1e-6)
