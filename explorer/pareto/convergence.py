"""Convergence: how the hypervolume of the front grew with the designs tried."""

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.front import hypervolume, is_nondominated
from explorer.pareto.results import Results
from explorer.problem.columns import Float

_N_POINTS = 60


def hypervolume_history(results: Results, *, n_points: int = _N_POINTS) -> tuple[NDArray[np.int64], Float]:
    """Return after how many finished designs the front had which hypervolume, shape (k,) each, k at most `n_points`.

    The places are spread evenly in the logarithm of the number of designs, for a search gains most at its beginning.
    The last one is the whole study, so its hypervolume is the results' own.
    """
    n = results.n_complete
    if not n:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    places = np.unique(np.geomspace(1, n, n_points).round().astype(np.int64))
    values, is_feasible = results.values, results.table["is_feasible"].astype(np.bool_)
    # The front of a longer prefix is among the front of a shorter one and what came since: nothing is compared twice.
    kept = np.zeros(0, dtype=np.int64)
    history = []
    for begin, end in zip(np.concatenate([[0], places[:-1]]), places, strict=True):
        new = np.arange(begin, end)
        kept = np.concatenate([kept, new[is_feasible[new]]])
        kept = kept[is_nondominated(values[kept], results.objectives)]
        history.append(hypervolume(values[kept], results.reference_point, results.objectives))
    return places, np.array(history)
