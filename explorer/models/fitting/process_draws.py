"""Prior draws of a residual process as functions: exact at the samples, of the exact variance everywhere."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from explorer.models.fitting.gaussian_process import Hyperparameters, kernel
from explorer.problem.columns import Float

_N_FEATURES = 128  # random Fourier features of what the values at the samples leave open
_JITTER = 1e-8  # of the variance: the covariance of a smooth process is nearly singular


class ProcessDraws:
    """S draws of a residual process given by their values at the samples and a remainder.

    The values at the samples are exact. Between them a draw is its interpolation plus the remainder that these values
    leave open: random Fourier features (Rahimi and Recht 2007; the spectral density of Matern 5/2 is a t distribution),
    conditioned on the samples and scaled to the exact conditional variance. Features alone would understate the
    variance near samples, where it is a small difference of large numbers.
    """

    def __init__(self, points: Float, scales: Hyperparameters, n: int, rng: np.random.Generator) -> None:
        """Draw.

        Args:
            points: coordinates of the samples, shape (m, d).
            scales: of the process.
            n: number of draws.
            rng: random generator.
        """
        self._points, self._scales = points, scales
        self._has_process = bool(np.isfinite(scales.amplitude))
        self.at_samples: Float = np.zeros((n, len(points)))
        if not self._has_process:
            return
        covariance = kernel(points, points, scales)
        covariance[np.diag_indices_from(covariance)] += _JITTER * np.exp(2 * scales.amplitude)
        self._root = cholesky(covariance, lower=True)
        normals = rng.standard_normal((n, len(points)))
        self.at_samples = normals @ self._root.T
        self._weights = solve_triangular(self._root, normals.T, lower=True, trans="T").T
        t_factor = np.sqrt(5 / rng.chisquare(5, _N_FEATURES))
        self._frequencies = (
            rng.standard_normal((points.shape[1], _N_FEATURES)) * t_factor / np.exp(scales.lengths)[:, None]
        )
        self._phases = rng.uniform(0, 2 * np.pi, _N_FEATURES)
        self._amplitudes = rng.standard_normal((n, _N_FEATURES))
        self._sample_features = self._features(points)

    def _features(self, points: Float) -> Float:
        return np.asarray(np.cos(points @ self._frequencies + self._phases))

    def at(self, points: Float, update: Float) -> Float:
        """Return the draws at designs, shape (S, k), with the weight of each sample in each draw added, shape (S, m).

        Args:
            points: coordinates of the designs, shape (k, d).
            update: weights of the samples by which the posterior differs from the prior, shape (S, m).
        """
        if not self._has_process:
            return np.zeros((len(update), len(points)))
        across = kernel(self._points, points, self._scales)
        half = solve_triangular(self._root, across, lower=True)
        left = np.maximum(np.exp(2 * self._scales.amplitude) - np.sum(half**2, axis=0), 0.0)
        features = self._features(points) - solve_triangular(self._root, half, lower=True, trans="T").T @ (
            self._sample_features
        )
        size = np.sqrt(left) / np.maximum(np.sqrt(np.sum(features**2, axis=1)), 1e-12)
        return np.asarray((self._weights + update) @ across + (self._amplitudes @ features.T) * size)
