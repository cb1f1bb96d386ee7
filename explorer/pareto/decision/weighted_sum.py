"""Weighted-sum scalarization over all alpha: the supported designs, and the alpha at which the optimum changes."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, Float


@dataclass(frozen=True, slots=True)
class AlphaSweep:
    """The optima of J = alpha (1 - accuracy) + (1 - alpha) E / E_max, Eq. (10), for alpha from 0 to 1.

    Args:
        rows: rows of the optimal designs in the candidates' table, in ascending order of alpha, shape (k,).
        begins: the alpha from which each one is optimal, shape (k,); the first is 0.
        n_never: candidates that are optimal for no alpha (unsupported): in a concave part of the front, or dominated.
    """

    rows: NDArray[np.int64]
    begins: Float
    n_never: int


def alpha_sweep(candidates: Columns, *, energy_max_j: float) -> AlphaSweep:
    """Return all designs inside the model's domain that minimize the weighted cost for some alpha in [0, 1].

    J is linear in 1 - accuracy and in energy, so its optima are the vertices of the lower convex hull of the two, and
    the alpha at which the optimum switches follows from the slope of each edge (supported efficient solutions; M.
    Ehrgott, Multicriteria Optimization, 2005, chapter 3). The result is exact, without sampling of alpha.

    Args:
        candidates: a front, with `accuracy`, `energy_j` and `domain_distance`, shape (n,) each.
        energy_max_j: E_max, in joule.
    """
    rows = np.flatnonzero(~is_extrapolated(candidates["domain_distance"]))
    error = 1 - candidates["accuracy"][rows].astype(np.float64)
    energy = candidates["energy_j"][rows].astype(np.float64) / energy_max_j
    # From least energy (alpha = 0) to least error (alpha = 1); of equal energies the most accurate comes first.
    hull: list[int] = []
    for i in np.lexsort((error, energy)).tolist():
        if hull and error[i] >= error[hull[-1]]:
            continue
        while len(hull) > 1 and _switch_alpha(hull[-2], hull[-1], error, energy) >= _switch_alpha(
            hull[-1], i, error, energy
        ):
            hull.pop()
        hull.append(i)
    begins = [0.0, *(_switch_alpha(a, b, error, energy) for a, b in pairwise(hull))]
    return AlphaSweep(rows[np.array(hull, dtype=np.int64)], np.array(begins[: len(hull)]), len(rows) - len(hull))


def _switch_alpha(before: int, after: int, error: Float, energy: Float) -> float:
    """Return the alpha at which two designs cost the same; above it the more accurate one, `after`, costs less."""
    energy_increase, error_decrease = energy[after] - energy[before], error[before] - error[after]
    return float(energy_increase / (energy_increase + error_decrease))
