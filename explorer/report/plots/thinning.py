"""Thinning of a long front for a page: rows that a decision rule can select, and an even cover of the rest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.decision.weighted_sum import AlphaSweep
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, n_rows
from explorer.problem.objectives import is_objective, objective_of

# One front design takes 400 bytes: a page stays below 2 MB beyond plotly.js, however long the study.
MAX_FRONT = 3_000
_MAX_WINNERS = 1_500


def thin_front(
    front: Columns, *, columns: Sequence[str], sweep: AlphaSweep | None, knee: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the row indices of the front designs that a page contains, ascending; all of them up to 3,000.

    A longer front is reduced to 3,000 rows. Always included: both ends, the knee, the best design of every column, and
    the designs with the least weighted cost for some alpha (an even selection if more than 1,500). Only designs inside
    the model's domain are candidates for these, as in `explorer choose`. The rest is an even cover of the front order.

    Args:
        front: the front, n designs in its order.
        columns: columns whose best design is included.
        sweep: designs with the least weighted cost; None if the cost is not defined.
        knee: distance of each design from the plane through the extremes, shape (n,).
    """
    n = n_rows(front)
    if n <= MAX_FRONT:
        return np.arange(n)
    outside = is_extrapolated(front["domain_distance"])
    winners = np.zeros(0, dtype=np.int64) if sweep is None else sweep.rows
    required = [
        0,
        n - 1,
        _argmin_inside(-knee, outside),
        *(_argmin_inside(_to_minimize(front, name), outside) for name in columns),
        *winners[select_evenly(len(winners), _MAX_WINNERS)].tolist(),
    ]
    selected = np.unique(np.array(required, dtype=np.int64))
    rest = np.setdiff1d(np.arange(n), selected)
    return np.sort(np.concatenate([selected, rest[select_evenly(len(rest), MAX_FRONT - len(selected))]]))


def select_evenly(n: int, n_max: int) -> NDArray[np.int64]:
    """Return at most n_max of the indices 0 to n - 1, evenly spaced, including both ends."""
    if not n:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, n - 1, min(n, n_max)).round().astype(np.int64))


def _to_minimize(front: Columns, name: str) -> NDArray[np.float64]:
    """Return a column with its sign set so that less is better."""
    sign = objective_of(name).sign if is_objective(name) else 1.0
    return np.asarray(sign * front[name].astype(np.float64))


def _argmin_inside(values: NDArray[np.float64], outside: NDArray[np.bool_]) -> int:
    """Return the row of the least value inside the model's domain; the first of ties, as in the decision rules."""
    return int(np.argmin(np.where(outside | np.isnan(values), np.inf, values)))
