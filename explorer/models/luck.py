"""Luck: what a single design has for itself beside any smooth function, shared in part with its close neighbours.

Rounding all weights to another grid moves each answer a little: measured again a design gives the same, its neighbour
gives something else. To who is judged by what is measured such luck is no noise: it can be found, and it is found near
where it was found before.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.special import expit

from explorer.models.coordinates import Coordinates
from explorer.models.process import Scales, Table, kernel
from explorer.problem.columns import Float

# Designs measured on the same samples share most of what these samples are. A third of the binomial deviation is left
# between neighbours (so it is, roughly, on the digits networks); where the number of samples is not known, half of what
# a third digit tells.
_OWN_SHARE = 0.3
_OWN_ACCURACY = 0.0005
# Rounding leaves the same residues whatever was pruned, and pruning takes the same weights whatever the step: a lucky
# step is lucky at any ratio nearby, and a lucky ratio at any step nearby. Luck changes within a sixtieth of the range
# of the knob that makes it, within a sixth along the others. A part of it hangs on single weights and is shared by next
# to nobody: two fifths of an accuracy's, a tenth of all others (assumed; so it is, roughly, on the digits networks).
_SHORT, _LONG, _OWN = 0.03, 0.3, 0.004
_ALONE = {"accuracy": 0.4}
_OTHERS_ALONE = 0.1
# Of its variance, a part that neighbours never share, however close: what is told of designs (which weights rounding
# makes zero) is an estimate, so two that look the same need not measure the same. With next to nothing here such a pair
# is a contradiction, and whatever is learned from it runs wild.
_JITTER = 0.03
_SHUFFLING = ("pruning_ratio", "quant_step")


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
class Reach:
    """How far luck reaches.

    Args:
        shares: of the parts that it is made of, shape (parts,); they sum to 1.
        lengths: of each part along each coordinate, in half ranges, shape (parts, d).
    """

    shares: Float
    lengths: Float

    def alike(self, a: Float, b: Float) -> Float:
        """Return the correlation of luck between designs, shape (n, m)."""
        result = np.zeros((len(a), len(b)))
        for share, lengths in zip(self.shares, self.lengths, strict=True):
            result += kernel(a, b, Scales(np.zeros(0), 0.0, 0.5 * float(np.log(share)), np.log(lengths)))
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Luck:
    """The luck of measured designs.

    Args:
        points: their coordinates, shape (n, d).
        size: standard deviation of each one's luck, linked, shape (n,).
        correlation: between them, shape (n, n).
        reach: of its parts.
    """

    points: Float
    size: Float
    correlation: Float
    reach: "Reach"

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
        across = self.reach.alike(points, self.points)
        factor = cho_factor(self.correlation, lower=True)
        mean = cho_solve(factor, (found / self.size).T).T @ across.T
        left = 1 - np.sum(across * cho_solve(factor, across.T).T, axis=1)
        return mean, np.sqrt(np.maximum(left, 0.0))


def luck_of(table: Table, scales: Scales, reach: Reach) -> Luck:
    """Return the luck of measured designs: their scatter, and what is theirs alone."""
    correlation = reach.alike(table.points, table.points)
    correlation[np.diag_indices_from(correlation)] += _JITTER
    size = np.sqrt(np.exp(2 * scales.scatter) + table.repeat_variance) + 1e-9
    return Luck(table.points, size, correlation, reach)


def reach_of(target: str, coordinates: Coordinates) -> Reach:
    """Return how far a target's luck reaches: a part for each knob that makes it, and what is a design's alone."""
    names, d = coordinates.varied, len(coordinates.tie)
    makers = [names.index(name) for name in _SHUFFLING if name in names and target in {"accuracy", "size_bytes"}]
    lengths = np.full((max(len(makers), 1) + 1, d), _LONG if makers else _SHORT)
    lengths[np.arange(len(makers)), makers] = _SHORT
    lengths[-1] = _OWN
    alone = _ALONE.get(target, _OTHERS_ALONE)
    shares = np.full(len(lengths), (1 - alone) / (len(lengths) - 1))
    shares[-1] = alone
    return Reach(shares, lengths)
