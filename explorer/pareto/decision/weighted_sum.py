"""The weighted cost over all alpha: which designs it can pick at all, and where its answer changes."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, Float


@dataclass(frozen=True, slots=True)
class AlphaSweep:
    """The winners of J = alpha (1 - accuracy) + (1 - alpha) E / E_max, Eq. (10), as alpha goes from 0 to 1.

    Args:
        rows: the winners' rows in the candidates' table, from alpha = 0 on, shape (k,).
        begins: the alpha from which each one wins, shape (k,); the first is 0.
        n_never: candidates that win for no alpha: they lie in a concave part of the front, or are beaten outright.
    """

    rows: NDArray[np.int64]
    begins: Float
    n_never: int


def alpha_sweep(candidates: Columns, *, energy_max_j: float) -> AlphaSweep:
    """Return every design that has the least weighted cost for some alpha in [0, 1], inside the model's domain.

    J is linear in 1 - accuracy and in energy, so its winners are the corners of the lower convex hull of these two, and
    the alpha at which one corner hands over to the next follows from the slope between them. Nothing is sampled.

    Args:
        candidates: a front, with `accuracy`, `energy_j` and `domain_distance`, shape (n,) each.
        energy_max_j: E_max, in joule.
    """
    rows = np.flatnonzero(~is_extrapolated(candidates["domain_distance"]))
    error = 1 - candidates["accuracy"][rows].astype(np.float64)
    energy = candidates["energy_j"][rows].astype(np.float64) / energy_max_j
    # From least energy (alpha = 0) to least error (alpha = 1); of equal energies the most accurate stands first.
    hull: list[int] = []
    for i in np.lexsort((error, energy)).tolist():
        if hull and error[i] >= error[hull[-1]]:
            continue
        while len(hull) > 1 and _handover(hull[-2], hull[-1], error, energy) >= _handover(hull[-1], i, error, energy):
            hull.pop()
        hull.append(i)
    begins = [0.0, *(_handover(a, b, error, energy) for a, b in pairwise(hull))]
    return AlphaSweep(rows[np.array(hull, dtype=np.int64)], np.array(begins[: len(hull)]), len(rows) - len(hull))


def _handover(before: int, after: int, error: Float, energy: Float) -> float:
    """Return the alpha at which two designs cost the same; above it the more accurate one, `after`, costs less."""
    dearer, better = energy[after] - energy[before], error[before] - error[after]
    return float(dearer / (dearer + better))
