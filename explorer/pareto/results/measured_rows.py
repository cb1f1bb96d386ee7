"""Measured rows among predicted designs: which of both are on the front."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.geometry.dominance import feasible_front, is_dominated_by, to_minimization
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, Float, by_configuration, knobs_of, n_rows
from explorer.problem.objectives import Objective


def is_superseded(table: Columns) -> NDArray[np.bool_]:
    """Return a mask of the predictions at designs that have a measured row, shape (n,).

    Args:
        table: designs with `design_id`, which is negative for measured rows, shape (n,) each.
    """
    return measured_twin(table) >= 0


def measured_twin(table: Columns) -> NDArray[np.int64]:
    """Return the row of the measurement at each predicted design, shape (n,); -1 without one, and for measured rows."""
    twin = np.full(n_rows(table), -1, dtype=np.int64)
    is_measured = table["design_id"] < 0
    if not is_measured.any():
        return twin
    index = by_configuration({name: table[name] for name in knobs_of(table)})
    measured = np.full(int(index.max()) + 1, -1, dtype=np.int64)
    measured[index[is_measured]] = np.flatnonzero(is_measured)
    twin[~is_measured] = measured[index[~is_measured]]
    return twin


def front_with_measured_rows(
    table: Columns, values: Float, objectives: Sequence[Objective], *, is_superseded: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return a mask of the front of predicted designs and measured rows, shape (n,).

    A design is on the front if it is feasible and no other feasible design dominates it, by readings where it was
    measured, by predictions otherwise. The prediction at a measured design does not count, because its measured row
    does. Nor does a prediction that samples do not support displace a measured row: such a row may stand on the front
    beside extrapolations that promise more. Apart from these, no row of the front dominates another one.

    Args:
        table: designs with `design_id`, `is_feasible` and `domain_distance`, shape (n,) each.
        values: their objectives, shape (n, m).
        objectives: m objectives, for their direction.
        is_superseded: predictions at measured designs, shape (n,).
    """
    is_feasible, is_measured = table["is_feasible"].astype(np.bool_), table["design_id"] < 0
    is_predicted = is_feasible & ~is_measured & ~is_superseded
    front = feasible_front(values, is_predicted, objectives)
    if not is_measured.any():
        return front
    minimized = to_minimization(values, objectives)
    measured = np.flatnonzero(feasible_front(values, is_feasible & is_measured, objectives))
    is_supported = ~is_extrapolated(table["domain_distance"])
    is_rival = feasible_front(values, is_predicted & is_supported, objectives)
    rows = np.flatnonzero(front)
    front[rows[is_dominated_by(minimized[rows], minimized[measured])]] = False
    front[measured[~is_dominated_by(minimized[measured], minimized[is_rival])]] = True
    return front
