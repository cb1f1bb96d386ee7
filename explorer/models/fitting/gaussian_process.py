"""Gaussian process regression on linear terms: marginal likelihood, coefficients and leave-out predictions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import least_squares, minimize

from explorer.problem.columns import Float

_JITTER = 1e-10
_NOISE_TO = 1.25  # half ranges up to which noise that depends on a knob goes on changing
_ROOT5 = np.sqrt(5.0)
_BLOCK = 4096  # rows of a covariance that stay in the cache: three times as fast


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Hyperparameters of a fit: logarithms of standard deviations and of length scales.

    Args:
        widths: of each term's coefficients, shape (number of terms,).
        noise: of a measurement around the function, in excess of the variance of repeats.
        amplitude: of the residual process; -inf without one.
        lengths: of the residual process along each coordinate, shape (d,).
    """

    widths: Float
    noise: float
    amplitude: float
    lengths: Float


@dataclass(frozen=True, slots=True)
class HyperPrior:
    """Normal prior of the hyperparameters, which are logarithms.

    Args:
        centers: prior means.
        is_learned: mask of the widths that are fitted, shape (number of terms,).
        tie: index of the length scale of each coordinate (tied for the levels of one category), shape (d,).
    """

    centers: Hyperparameters
    is_learned: NDArray[np.bool_]
    tie: NDArray[np.int64]

    @property
    def has_process(self) -> bool:
        """True with a residual process."""
        return bool(np.isfinite(self.centers.amplitude))

    def pack(self, scales: Hyperparameters) -> Float:
        """Return the free hyperparameters as one vector."""
        parts = [scales.widths[self.is_learned], np.array([scales.noise])]
        if self.has_process:
            first = np.unique(self.tie, return_index=True)[1]
            parts += [np.array([scales.amplitude]), scales.lengths[first]]
        return np.concatenate(parts)

    def unpack(self, vector: Float) -> Hyperparameters:
        """Return the hyperparameters for a vector of the free ones."""
        widths = self.centers.widths.copy()
        k = int(self.is_learned.sum())
        widths[self.is_learned] = vector[:k]
        if not self.has_process:
            return Hyperparameters(widths, float(vector[k]), -np.inf, self.centers.lengths)
        return Hyperparameters(widths, float(vector[k]), float(vector[k + 1]), vector[k + 2 :][self.tie])

    @property
    def spreads(self) -> Float:
        """Prior standard deviation of each free hyperparameter: a factor of e, of 2 for a length (assumed)."""
        k = int(self.is_learned.sum()) + 1
        spreads = np.ones(len(self.pack(self.centers)))
        spreads[k + 1 :] = 0.7
        return spreads


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training data: linked values of distinct designs, the variance of these means, and the designs' coordinates.

    Args:
        values: mean over each design's repeats, linked, shape (n,).
        repeat_variance: of each of these means, shape (n,).
        points: coordinates of the designs, shape (n, d).
        roughness: noise of each design relative to `Hyperparameters.noise`, shape (n,) or ().
        slopes: of the logarithm of the noise along each coordinate, shape (d,); empty if it is the same everywhere.
        offset: of the logarithm of the noise.
    """

    values: Float
    repeat_variance: Float
    points: Float
    roughness: Float = field(default_factory=lambda: np.ones(()))
    slopes: Float = field(default_factory=lambda: np.zeros(0))
    offset: float = 0.0

    def rows(self, which: NDArray[np.bool_]) -> "TrainingData":
        """Return some of the designs."""
        roughness = np.broadcast_to(self.roughness, self.values.shape)[which]
        return replace(
            self, values=self.values[which], repeat_variance=self.repeat_variance[which], points=self.points[which],
            roughness=roughness,
        )  # fmt: skip

    def noise_factor(self, points: Float) -> Float:
        """Return the noise at designs relative to `Hyperparameters.noise`, shape (m,); not extrapolated far outside."""
        if not self.slopes.size:
            return np.ones(len(points))
        return np.asarray(np.exp(np.clip(points, -_NOISE_TO, _NOISE_TO) @ self.slopes - self.offset))

    def noise_variance(self, scales: Hyperparameters) -> Float:
        """Return the noise variance of each value in excess of its repeat variance, shape (n,) or ()."""
        return np.asarray(np.exp(2 * scales.noise) * self.roughness**2)


def kernel(a: Float, b: Float, scales: Hyperparameters) -> Float:
    """Return the Matern 5/2 covariance of the residual process, shape (n, m)."""
    if not np.isfinite(scales.amplitude):
        return np.zeros((len(a), len(b)))
    left, right = (points / np.exp(scales.lengths) for points in (a, b))
    norms, variance = np.sum(right**2, axis=1), np.exp(2 * scales.amplitude)
    result = np.empty((len(a), len(b)))
    for start in range(0, len(a), _BLOCK):
        some, part = left[start : start + _BLOCK], result[start : start + _BLOCK]
        r = np.sum(some**2, axis=1)[:, None] + norms
        r -= 2 * some @ right.T
        np.sqrt(np.maximum(r, 0.0, out=r), out=r)
        r *= _ROOT5
        np.multiply(r, r, out=part)
        part /= 3
        part += 1 + r
        part *= variance
        part *= np.exp(np.negative(r, out=r), out=r)
    return result


def residual_covariance(table: TrainingData, scales: Hyperparameters) -> Float:
    """Return the covariance of the values around the terms: process, noise and repeats, shape (n, n)."""
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
    """Return the maximum a posteriori hyperparameters, with the coefficients integrated out.

    Args:
        table: the samples.
        columns: of all terms, shape (n, p).
        term: index of each column's term, shape (p,).
        offset: the values minus their prior mean, shape (n,).
        prior: of the hyperparameters.
        start: initial hyperparameters.
        rounds: maximum number of L-BFGS iterations.
    """
    centers, spreads = prior.pack(prior.centers), prior.spreads
    squares = _square_distances(table.points) if prior.has_process else np.zeros((0, 0, 0))

    def loss(vector: Float) -> tuple[float, Float]:
        value, gradient = _evidence(prior.unpack(vector), prior, table, columns, term, offset, squares)
        z = (vector - centers) / spreads
        return -value + 0.5 * float(z @ z), -gradient + z / spreads

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
    """Return the log marginal likelihood and its gradient in the free hyperparameters (Rasmussen and Williams 5.9)."""
    weighted = columns * np.exp(scales.widths)[term]
    lengths = np.exp(2 * scales.lengths)
    n = len(offset)
    # Kernel and slope are computed from cached square distances: this dominates the time of a fit.
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
    """Return the inverse from a lower Cholesky root by LAPACK dpotri, which takes half the time of two solves."""
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
    """Return the maximum a posteriori coefficients for given hyperparameters, by Levenberg-Marquardt, shape (p,).

    Args:
        table: the samples.
        mean: maps coefficients to linked values of the samples, shape (n,).
        jacobian: derivative of `mean`, shape (n, p).
        centers: prior means, shape (p,).
        widths: prior standard deviations, shape (p,).
        scales: of process and noise.
        start: initial coefficients, shape (p,).
    """
    root = cholesky(residual_covariance(table, scales), lower=True)

    # In units of their prior the coefficients have one scale, so the damping is uniform.
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
    """Return the prediction of each fold from the other folds and its variance, shape (n,) each.

    Exact for summed terms and fixed hyperparameters. With the inverse covariance P the held-out residual of block B is
    P_BB^-1 (P r)_B with covariance P_BB^-1 (Rasmussen and Williams 2006, section 5.4.2, for blocks).

    Args:
        table: the samples.
        columns: of all terms, shape (n, p).
        offset: the values minus their prior mean, shape (n,).
        widths: prior standard deviations of the coefficients, shape (p,).
        scales: of process and noise.
        fold: index of each row's fold, shape (n,).
    """
    weighted = columns * widths
    matrix = residual_covariance(table, scales) + weighted @ weighted.T
    inverse = cho_solve(cho_factor(matrix, lower=True), np.eye(len(offset)))
    weights = inverse @ offset
    residual, variance = np.empty(len(offset)), np.empty(len(offset))
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        block = np.linalg.inv(inverse[np.ix_(rows, rows)])
        residual[rows], variance[rows] = block @ weights[rows], np.diag(block)
    return table.values - residual, variance
