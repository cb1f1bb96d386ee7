"""Luck: what a single design has for itself beside any smooth function, shared in part with its close neighbours.

Rounding all weights to another grid moves each answer a little: measured again a design gives the same, its neighbour
gives something else. To who is judged by what is measured such luck is no noise: it can be found, and it is found near
where it was found before.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.special import expit

from explorer.models.process import Scales, Table, kernel
from explorer.problem.columns import Float

# Designs measured on the same samples share most of what these samples are. A third of the binomial deviation is left
# between neighbours (measured on the digits networks); where the number of samples is not known, half of what a third digit tells.
_OWN_SHARE = 0.3
_OWN_ACCURACY = 0.0005
# Neighbours within a thirtieth of a knob's range are alike in all but a third of it (assumed; digits networks: accuracy
# rises and falls with the step within a fifth of its value, which is a twentieth of the steps searched).
_LENGTH = 0.06
_ALONE = 0.3


def own_variance(target: str, linked: Float, trials: Float | float) -> Float:
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


@dataclass(frozen=True, slots=True, eq=False)
class Luck:
    """The luck of measured designs.

    Args:
        points: their coordinates, shape (n, d).
        size: standard deviation of each one's luck, linked, shape (n,).
        correlation: between them, shape (n, n).
    """

    points: Float
    size: Float
    correlation: Float

    @property
    def covariance(self) -> Float:
        """Covariance of the luck of the measured designs, shape (n, n)."""
        return np.asarray(self.correlation * np.outer(self.size, self.size))

    def drawn(self, n: int, rng: np.random.Generator) -> Float:
        """Return n draws of it, shape (n, number of measured designs)."""
        return rng.standard_normal((n, len(self.size))) @ (cholesky(self.correlation, lower=True).T * self.size)

    def near(self, points: Float, found: Float) -> tuple[Float, Float]:
        """Return what luck designs have from their neighbours, shape (S, m), and how much is left open, shape (m,).

        Both in units of the designs' own size of luck.

        Args:
            points: of the designs, shape (m, d).
            found: luck of the measured designs in each draw, shape (S, n).
        """
        across = (1 - _ALONE) * _alike(points, self.points)
        factor = cho_factor(self.correlation, lower=True)
        mean = cho_solve(factor, (found / self.size).T).T @ across.T
        left = 1 - np.sum(across * cho_solve(factor, across.T).T, axis=1)
        return mean, np.sqrt(np.maximum(left, 0.0))


def luck_of(table: Table, scales: Scales) -> Luck:
    """Return the luck of measured designs: their scatter, and what is theirs alone."""
    correlation = (1 - _ALONE) * _alike(table.points, table.points)
    correlation[np.diag_indices_from(correlation)] = 1.0
    size = np.sqrt(np.exp(2 * scales.scatter) + table.repeat_variance) + 1e-9
    return Luck(table.points, size, correlation)


def _alike(a: Float, b: Float) -> Float:
    d = a.shape[1]
    return kernel(a, b, Scales(np.zeros(0), 0.0, 0.0, np.full(d, np.log(_LENGTH))))
