"""Nugget effect (Matheron 1963): deviation of single designs from the smooth response, correlated at short range.

Rounding all weights to another grid changes each answer a little. The same design measures the same again, its
neighbour does not. A search that compares measured values can exploit this deviation: it is not noise, and it is
similar for close neighbours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.spatial.distance import cdist
from scipy.special import expit

from explorer.models.fitting.gaussian_process import Hyperparameters, TrainingData
from explorer.models.forms.input_scaling import InputCoordinates
from explorer.problem.columns import Float

# Designs measured on the same samples share most of the sampling error. A third of the binomial standard deviation
# remains between neighbours (estimated on the digits networks). With an unknown number of samples: half of the third
# digit of the accuracy.
_BINOMIAL_SHARE = 0.3
_ACCURACY_RESOLUTION = 0.0005
# Correlation lengths along each knob, in half ranges: the variance between two designs grows in proportion to their
# distance, four times as fast along the step as along the ratio (measured on the digits networks). Knobs that change no
# weight change the deviation slowly; deviations of other targets are hardly correlated (assumed).
_LENGTHS = {
    "accuracy": {"quant_step": 0.06, "pruning_ratio": 0.25},
    "size_bytes": {"quant_step": 0.03, "pruning_ratio": 0.1},
}
_DEFAULT_KNOB_LENGTH, _DEFAULT_TARGET_LENGTH = 1.0, 0.03
# Linked standard deviation on the plateau of the accuracy, relative to its cliff (measured on the digits networks).
_MIN_ROUGHNESS = 0.3
# Share of the variance that is independent even for the closest neighbours. Which weights rounding makes zero is an
# estimate, so two designs with nearly equal coordinates may measure differently. The acquisition does not exploit it.
_INDEPENDENT_SHARE = 1e-3


def nugget_variance(target: str, linked: Float, n_counted: Float | float) -> Float:
    """Return the variance of an accuracy by counting, linked, same shape; 0 for other targets.

    Args:
        target: the column.
        linked: its values.
        n_counted: number of samples on which accuracy was counted; 0 if unknown.
    """
    if target != "accuracy":
        return np.zeros(linked.shape)
    share = np.clip(expit(linked), 0.01, 0.99)
    slope = 1 / (share * (1 - share))
    is_counted = np.asarray(n_counted) > 0
    return np.where(
        is_counted, _BINOMIAL_SHARE**2 * slope / np.maximum(n_counted, 1.0), (_ACCURACY_RESOLUTION * slope) ** 2
    )


def roughness(target: str, linked: Float) -> Float:
    """Return the nugget's standard deviation relative to its maximum, same shape; the maximum is on an accuracy cliff.

    Args:
        target: the column.
        linked: its values.
    """
    if target != "accuracy":
        return np.ones(linked.shape)
    share = expit(linked)
    return np.asarray(np.maximum(2 * np.sqrt(share * (1 - share)), _MIN_ROUGHNESS))


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationLengths:
    """Correlation lengths of the nugget.

    Args:
        lengths: along each coordinate, in half ranges, shape (d,).
    """

    lengths: Float

    def correlation(self, a: Float, b: Float) -> Float:
        """Return the correlation between designs, shape (n, m): exponential in the city-block distance."""
        return np.asarray(np.exp(-cdist(a / self.lengths, b / self.lengths, "cityblock")))


@dataclass(frozen=True, slots=True, eq=False)
class Nugget:
    """Nugget of the measured designs.

    Args:
        points: their coordinates, shape (n, d).
        size: standard deviation of each, linked, shape (n,).
        correlation: between them, shape (n, n).
        lengths: of the correlation.
    """

    points: Float
    size: Float
    correlation: Float
    lengths: CorrelationLengths

    @property
    def covariance(self) -> Float:
        """Covariance between the measured designs, shape (n, n)."""
        return np.asarray(self.correlation * np.outer(self.size, self.size))

    def sample(self, n: int, rng: np.random.Generator) -> Float:
        """Return n draws from the prior, shape (n, number of measured designs)."""
        return rng.standard_normal((n, len(self.size))) @ (cholesky(self.correlation, lower=True).T * self.size)

    def condition_on(self, measured: Float, points: Float) -> tuple[Float, Float]:
        """Return the conditional mean at designs, linked, shape (S, m), and the relative deviation left, shape (m,).

        Uses the neighbours' standard deviation unchanged; it varies slowly over the design space.

        Args:
            measured: nugget of the measured designs in each draw, linked, shape (S, n).
            points: coordinates of the designs, shape (m, d).
        """
        across = self.lengths.correlation(points, self.points)
        factor = cho_factor(self.correlation, lower=True)
        mean = cho_solve(factor, measured.T).T @ across.T
        variance = 1 - _INDEPENDENT_SHARE - np.sum(across * cho_solve(factor, across.T).T, axis=1)
        return mean, np.sqrt(np.maximum(variance, 0.0))


def fit_nugget(table: TrainingData, scales: Hyperparameters, lengths: CorrelationLengths) -> Nugget:
    """Return the nugget of measured designs, whose variance is that of scatter and counting."""
    correlation = lengths.correlation(table.points, table.points)
    correlation[np.diag_indices_from(correlation)] += _INDEPENDENT_SHARE
    size = np.sqrt(table.noise_variance(scales) + table.repeat_variance) + 1e-9
    return Nugget(table.points, size, correlation, lengths)


def correlation_lengths(target: str, coordinates: InputCoordinates) -> CorrelationLengths:
    """Return the correlation lengths of the nugget of a target."""
    names = coordinates.varied
    by_knob = _LENGTHS.get(target, {})
    default = _DEFAULT_KNOB_LENGTH if any(name in by_knob for name in names) else _DEFAULT_TARGET_LENGTH
    lengths = np.full(len(coordinates.tie), default)
    for i, name in enumerate(names):
        lengths[i] = by_knob.get(name, default)
    return CorrelationLengths(lengths)
