"""Gaussian algebra: the marginal likelihood of terms, residual process and scatter, and what follows from a fit."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import least_squares, minimize

from explorer.problem.columns import Float

_JITTER = 1e-10
_ROOT5 = np.sqrt(5.0)


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the samples decide of the widths: all logarithms of standard deviations or lengths.

    Args:
        widths: of each term's coefficients, shape (number of terms,).
        scatter: of a measurement around the function, beyond what repeats show.
        amplitude: of the residual process; -inf where there is none.
        lengths: of the residual process along each coordinate, shape (d,).
    """

    widths: Float
    scatter: float
    amplitude: float
    lengths: Float


@dataclass(frozen=True, slots=True)
class HyperPrior:
    """Where the scales are believed to be before the data.

    Args:
        centers: the scales that are most believed.
        is_learned: which widths the data may move, shape (number of terms,).
        tie: which length each coordinate takes (the levels of one category share theirs), shape (d,).
    """

    centers: Hyperparameters
    is_learned: NDArray[np.bool_]
    tie: NDArray[np.int64]

    @property
    def has_process(self) -> bool:
        """Whether there is a residual process."""
        return bool(np.isfinite(self.centers.amplitude))

    def pack(self, scales: Hyperparameters) -> Float:
        """Return the free scales as one vector."""
        parts = [scales.widths[self.is_learned], np.array([scales.noise])]
        if self.has_process:
            first = np.unique(self.tie, return_index=True)[1]
            parts += [np.array([scales.amplitude]), scales.lengths[first]]
        return np.concatenate(parts)

    def unpack(self, vector: Float) -> Hyperparameters:
        """Return the scales of a vector of free ones."""
        widths = self.centers.widths.copy()
        k = int(self.is_learned.sum())
        widths[self.is_learned] = vector[:k]
        if not self.has_process:
            return Hyperparameters(widths, float(vector[k]), -np.inf, self.centers.lengths)
        return Hyperparameters(widths, float(vector[k]), float(vector[k + 1]), vector[k + 2 :][self.tie])

    @property
    def spreads(self) -> Float:
        """Standard deviation of the prior in each free scale: a factor of e, 2 for a length (assumed)."""
        k = int(self.is_learned.sum()) + 1
        spreads = np.ones(len(self.pack(self.centers)))
        spreads[k + 1 :] = 0.7
        return spreads


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is fitted: linked values with the variance that repeats show, and distances between configurations.

    Args:
        values: means of each configuration's repeats, linked, shape (n,).
        repeat_variance: of each of these means, shape (n,).
        points: coordinates of the configurations, shape (n, d).
        roughness: how large the scatter is at each configuration, relative to the scales', shape (n,) or ().
    """

    values: Float
    repeat_variance: Float
    points: Float
    roughness: Float = field(default_factory=lambda: np.ones(()))

    def rows(self, which: NDArray[np.bool_]) -> "TrainingData":
        """Return some of the configurations."""
        roughness = np.broadcast_to(self.roughness, self.values.shape)[which]
        return TrainingData(self.values[which], self.repeat_variance[which], self.points[which], roughness)

    def noise_variance(self, scales: Hyperparameters) -> Float:
        """Return the variance of each value by scatter, without what repeats show, shape (n,) or ()."""
        return np.asarray(np.exp(2 * scales.noise) * self.roughness**2)


def kernel(a: Float, b: Float, scales: Hyperparameters) -> Float:
    """Return the residual process's covariance, Matern 5/2, shape (n, m)."""
    if not np.isfinite(scales.amplitude):
        return np.zeros((len(a), len(b)))
    left, right = a / np.exp(scales.lengths), b / np.exp(scales.lengths)
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1) - 2 * left @ right.T
    r = _ROOT5 * np.sqrt(np.maximum(squares, 0.0))
    return np.asarray(np.exp(2 * scales.amplitude) * (1 + r + r**2 / 3) * np.exp(-r))


def residual_covariance(table: TrainingData, scales: Hyperparameters) -> Float:
    """Return the covariance of the values around the terms: process, scatter and repeats, shape (n, n)."""
    matrix = kernel(table.points, table.points, scales)
    matrix[np.diag_indices_from(matrix)] += table.noise_variance(scales) + table.repeat_variance + _JITTER
    return matrix


def fit_hyperparameters(
    table: TrainingData,
    columns: Float,
    term: NDArray[np.int64],
    offset: Float,
    *,
    prior: HyperPrior,
    start: Hyperparameters,
    rounds: int,
) -> Hyperparameters:
    """Return the most probable scales, with the coefficients integrated out.

    Args:
        table: the samples.
        columns: of all terms, shape (n, p).
        term: which term each column belongs to, shape (p,).
        offset: the values less their prior mean, shape (n,).
        prior: in the scales.
        start: where to begin.
        rounds: at most so many steps.
    """
    centers, spreads = prior.pack(prior.centers), prior.spreads
    squares = _square_distances(table.points) if prior.has_process else np.zeros((0, 0, 0))

    def loss(vector: Float) -> tuple[float, Float]:
        value, gradient = _evidence(prior.unpack(vector), prior, table, columns, term, offset, squares)
        away = (vector - centers) / spreads
        return -value + 0.5 * float(away @ away), -gradient + away / spreads

    bounds = list(zip(centers - 5 * spreads, centers + 5 * spreads, strict=True))
    best = minimize(loss, prior.pack(start), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": rounds})
    return prior.unpack(np.asarray(best.x))


def _square_distances(points: Float) -> Float:
    return np.asarray((points.T[:, :, None] - points.T[:, None, :]) ** 2)


def _evidence(
    scales: Hyperparameters,
    prior: HyperPrior,
    table: TrainingData,
    columns: Float,
    term: NDArray[np.int64],
    offset: Float,
    squares: Float,
) -> tuple[float, Float]:
    """Return the logarithm of the marginal likelihood and its gradient in the free scales."""
    weighted = columns * np.exp(scales.widths)[term]
    lengths = np.exp(2 * scales.lengths)
    n = len(offset)
    # The kernel and its slope from the distances that are there already: this is where a fit's time goes.
    r = _ROOT5 * np.sqrt((1 / lengths) @ squares.reshape(len(lengths), -1)).reshape(n, n) if prior.has_process else 0.0
    faded = np.exp(2 * scales.amplitude) * np.exp(-r) if prior.has_process else np.zeros((n, n))
    process = faded * (1 + r + r**2 / 3)
    matrix = process + weighted @ weighted.T
    matrix[np.diag_indices_from(matrix)] += table.noise_variance(scales) + table.repeat_variance + _JITTER
    root = cholesky(matrix, lower=True)
    inverse = _inverse(root)
    alpha = inverse @ offset
    value = -0.5 * float(offset @ alpha) - float(np.sum(np.log(np.diag(root))))
    by_column = (weighted.T @ alpha) ** 2 - np.sum((inverse @ weighted) * weighted, axis=0)
    by_term = np.bincount(term, by_column, minlength=len(scales.widths))[prior.is_learned]
    pull = np.outer(alpha, alpha) - inverse
    parts = [by_term, np.array([np.sum(table.noise_variance(scales) * np.diag(pull))])]
    if prior.has_process:
        slope = pull * faded * (1 + r) * (5 / 6)
        by_length = np.bincount(prior.tie, squares.reshape(len(lengths), -1) @ slope.ravel() / lengths)
        parts += [np.array([float(np.sum(pull * process))]), by_length]
    return value, np.concatenate(parts)


def _inverse(root: Float) -> Float:
    """Return the inverse of a matrix from its lower Cholesky root: LAPACK's own routine takes half of two solves."""
    half, _ = dpotri(root, lower=1)
    return np.asarray(np.tril(half) + np.tril(half, -1).T)


def solve_coefficients(
    table: TrainingData,
    *,
    mean: Callable[[Float], Float],
    jacobian: Callable[[Float], Float],
    centers: Float,
    widths: Float,
    scales: Hyperparameters,
    start: Float,
) -> Float:
    """Return the most probable coefficients for given scales, by damped least squares, shape (p,).

    Args:
        table: the samples.
        mean: linked values of the samples for coefficients, shape (n,).
        jacobian: its derivative, shape (n, p).
        centers: prior means, shape (p,).
        widths: prior standard deviations, shape (p,).
        scales: of process and scatter.
        start: where to begin, shape (p,).
    """
    root = cholesky(residual_covariance(table, scales), lower=True)

    # In units of their prior the coefficients are all alike, so the damping is even.
    def residuals(u: Float) -> Float:
        return np.concatenate([solve_triangular(root, table.values - mean(centers + widths * u), lower=True), u])

    def slopes(u: Float) -> Float:
        columns = jacobian(centers + widths * u) * widths
        return np.concatenate([-solve_triangular(root, columns, lower=True), np.eye(len(centers))])

    solution = least_squares(residuals, (start - centers) / widths, jac=slopes, method="lm", max_nfev=60)
    return np.asarray(centers + widths * solution.x)


def leave_out_prediction(
    table: TrainingData,
    columns: Float,
    offset: Float,
    widths: Float,
    *,
    scales: Hyperparameters,
    fold: NDArray[np.int64],
) -> tuple[Float, Float]:
    """Return each fold's values as the others predict them, and the variance of that, shape (n,) each.

    Exact for terms that are summed and scales that are kept: with the inverse covariance P the left-out residual of
    block B is P_BB^-1 (P r)_B with covariance P_BB^-1 (Rasmussen and Williams 2006, section 5.4.2, for blocks).

    Args:
        table: the samples.
        columns: of all terms, shape (n, p).
        offset: the values less their prior mean, shape (n,).
        widths: prior standard deviations of the coefficients, shape (p,).
        scales: of process and scatter.
        fold: which rows are left out together, shape (n,).
    """
    weighted = columns * widths
    matrix = residual_covariance(table, scales) + weighted @ weighted.T
    inverse = cho_solve(cho_factor(matrix, lower=True), np.eye(len(offset)))
    pulled = inverse @ offset
    residual, variance = np.empty(len(offset)), np.empty(len(offset))
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        block = np.linalg.inv(inverse[np.ix_(rows, rows)])
        residual[rows], variance[rows] = block @ pulled[rows], np.diag(block)
    return table.values - residual, variance
