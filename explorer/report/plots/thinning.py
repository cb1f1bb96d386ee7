"""Which designs of a long front a page carries: an even cover of it, and whatever the rules pick."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.decision.weighted_sum import AlphaSweep
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, n_rows
from explorer.problem.objectives import OBJECTIVES

# 400 bytes a front design: a page stays below 2 MB beyond plotly.js, however long the study.
MAX_FRONT = 3_000
_MAX_WINNERS = 1_500


def thin_front(
    front: Columns, *, columns: Sequence[str], sweep: AlphaSweep | None, knee: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the rows of a front that a page carries, in their order: all of them up to 3,000.

    Of more, these come first: both ends; the knee, the best of every column and the winners of the weighted cost over
    all alpha (of more than 1,500 of these an even selection), all inside the model's domain, as `explorer choose` looks
    for them. The rest is an even cover of the front along its order.

    Args:
        front: the front, n designs in its order.
        columns: the columns that one can ask the best of.
        sweep: the winners of the weighted cost; None where there is none.
        knee: each design's distance from the plane through the extremes, shape (n,).
    """
    n = n_rows(front)
    if n <= MAX_FRONT:
        return np.arange(n)
    outside = is_extrapolated(front["domain_distance"])
    winners = np.zeros(0, dtype=np.int64) if sweep is None else sweep.rows
    must = [
        0,
        n - 1,
        _first_least(-knee, outside),
        *(_first_least(_turned(front, name), outside) for name in columns),
        *winners[select_evenly(len(winners), _MAX_WINNERS)].tolist(),
    ]
    kept = np.unique(np.array(must, dtype=np.int64))
    others = np.setdiff1d(np.arange(n), kept)
    return np.sort(np.concatenate([kept, others[select_evenly(len(others), MAX_FRONT - len(kept))]]))


def select_evenly(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of n places, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)) if n else np.zeros(0, dtype=np.int64)


def _turned(front: Columns, name: str) -> NDArray[np.float64]:
    """Return a column so that less is better."""
    sign = OBJECTIVES[name].sign if name in OBJECTIVES else 1.0
    return np.asarray(sign * front[name].astype(np.float64))


def _first_least(values: NDArray[np.float64], outside: NDArray[np.bool_]) -> int:
    """Return the row of the least value inside the domain; of equal ones the first, as the rules take it."""
    return int(np.argmin(np.where(outside | np.isnan(values), np.inf, values)))
