"""Nugget: what a single design has for itself beside any smooth function, shared in part with its close neighbours.

Rounding all weights to another grid moves each answer a little: measured again a design gives the same, its neighbour
gives something else. To who is judged by what is measured such luck is no noise: it can be found, and it is found near
where it was found before.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.spatial.distance import cdist
from scipy.special import expit

from explorer.models.response.gaussian_process import Hyperparameters, TrainingData
from explorer.models.response.input_scaling import InputCoordinates
from explorer.problem.columns import Float

# Designs measured on the same samples share most of what these samples are. A third of the binomial deviation is left
# between neighbours (so it is, roughly, on the digits networks); where the number of samples is not known, half of what
# a third digit tells.
_OWN_SHARE = 0.3
_OWN_ACCURACY = 0.0005
# How far luck reaches along a knob, in half ranges: the variance between two designs grows in proportion to their
# distance, along the step four times as fast as along the ratio (measured on the digits networks). Knobs that change no
# weight change luck slowly; luck of other targets hardly reaches anywhere (assumed).
_REACH = {
    "accuracy": {"quant_step": 0.06, "pruning_ratio": 0.25},
    "size_bytes": {"quant_step": 0.03, "pruning_ratio": 0.1},
}
_OTHER_KNOBS, _OTHER_TARGETS = 1.0, 0.03
# Half as much of an accuracy is luck where nearly all is right as on its cliff, linked (on the digits networks).
_LEAST_ROUGHNESS = 0.3
# Of its variance, a part that neighbours never share, however close: which weights rounding makes zero is an estimate,
# so two that look nearly the same need not measure the same. Nobody hopes for this part: it is no place to search in.
_JITTER = 1e-3


def nugget_variance(target: str, linked: Float, trials: Float | float) -> Float:
    """Return the variance of a design's own accuracy, linked, same shape; 0 for other targets.

    Args:
        target: the column.
        linked: its values.
        trials: on how many samples accuracy was counted; 0 where that is not known.
    """
    if target != "accuracy":
        return np.zeros(linked.shape)
    share = np.clip(expit(linked), 0.01, 0.99)
    own = 1 / (share * (1 - share))
    return np.where(np.asarray(trials) > 0, _OWN_SHARE**2 * own / np.maximum(trials, 1.0), (_OWN_ACCURACY * own) ** 2)


def roughness(target: str, linked: Float) -> Float:
    """Return how large luck is, relative to where it is largest, same shape: on an accuracy's cliff.

    Args:
        target: the column.
        linked: its values.
    """
    if target != "accuracy":
        return np.ones(linked.shape)
    share = expit(linked)
    return np.asarray(np.maximum(2 * np.sqrt(share * (1 - share)), _LEAST_ROUGHNESS))


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationLengths:
    """How far luck reaches.

    Args:
        lengths: along each coordinate, in half ranges, shape (d,).
    """

    lengths: Float

    def alike(self, a: Float, b: Float) -> Float:
        """Return the correlation of luck between designs, shape (n, m): it falls off exponentially along each knob."""
        return np.asarray(np.exp(-cdist(a / self.lengths, b / self.lengths, "cityblock")))


@dataclass(frozen=True, slots=True, eq=False)
class Nugget:
    """The luck of measured designs.

    Args:
        points: their coordinates, shape (n, d).
        size: standard deviation of each one's luck, linked, shape (n,).
        correlation: between them, shape (n, n).
        reach: how far it reaches.
    """

    points: Float
    size: Float
    correlation: Float
    reach: CorrelationLengths

    @property
    def covariance(self) -> Float:
        """Covariance of the luck of the measured designs, shape (n, n)."""
        return np.asarray(self.correlation * np.outer(self.size, self.size))

    def drawn(self, n: int, rng: np.random.Generator) -> Float:
        """Return n draws of it, shape (n, number of measured designs)."""
        return rng.standard_normal((n, len(self.size))) @ (cholesky(self.correlation, lower=True).T * self.size)

    def near(self, points: Float, found: Float) -> tuple[Float, Float]:
        """Return what luck designs have from their neighbours, linked, shape (S, m), and how much of theirs is open.

        What neighbours have is taken over as it is: how large luck is changes slowly from one to the next. The share of
        its deviation that is open has shape (m,).

        Args:
            points: of the designs, shape (m, d).
            found: luck of the measured designs in each draw, linked, shape (S, n).
        """
        across = self.reach.alike(points, self.points)
        factor = cho_factor(self.correlation, lower=True)
        mean = cho_solve(factor, found.T).T @ across.T
        left = 1 - _JITTER - np.sum(across * cho_solve(factor, across.T).T, axis=1)
        return mean, np.sqrt(np.maximum(left, 0.0))


def fit_nugget(table: TrainingData, scales: Hyperparameters, reach: CorrelationLengths) -> Nugget:
    """Return the luck of measured designs: their scatter, and what is theirs alone."""
    correlation = reach.alike(table.points, table.points)
    correlation[np.diag_indices_from(correlation)] += _JITTER
    size = np.sqrt(table.noise_variance(scales) + table.repeat_variance) + 1e-9
    return Nugget(table.points, size, correlation, reach)


def correlation_lengths(target: str, coordinates: InputCoordinates) -> CorrelationLengths:
    """Return how far a target's luck reaches."""
    names = coordinates.varied
    known = _REACH.get(target, {})
    other = _OTHER_KNOBS if any(name in known for name in names) else _OTHER_TARGETS
    lengths = np.full(len(coordinates.tie), other)
    for i, name in enumerate(names):
        lengths[i] = known.get(name, other)
    return CorrelationLengths(lengths)
