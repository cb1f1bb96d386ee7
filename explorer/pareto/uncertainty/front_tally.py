"""Membership of designs in the front of every posterior draw, against rivals that are added in batches."""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.pareto.geometry.dominance import to_minimization
from explorer.problem.columns import Float
from explorer.problem.objectives import Objective


class FrontTally:
    """Front of n designs in each of S draws.

    Predictions are compared among themselves, and so are measured rows. Between the two kinds, and against rivals, a
    design is dominated only by more than a tolerance: a search with finite steps always ends slightly behind a
    continuous front, and a model passes slightly beside the rows that it was fitted to.
    """

    def __init__(
        self, values: Float, is_feasible: NDArray[np.bool_], objectives: Sequence[Objective], *, slack: Float,
        is_measured: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Compute the front of the designs in every draw.

        Args:
            values: their objectives in every draw, shape (S, n, m).
            is_feasible: whether they meet the constraints in every draw, shape (S, n).
            objectives: m objectives, for their direction.
            slack: the tolerance in each objective, shape (m,).
            is_measured: measured rows among the designs, shape (n,).
        """
        values = to_minimization(values, objectives)
        self._shifted, self._objectives, self._slack = values - slack, objectives, slack
        self._is_measured = is_measured
        self.is_evaluated_front = np.zeros(is_feasible.shape, dtype=np.bool_)
        for s, (draw, feasible) in enumerate(zip(values, is_feasible, strict=True)):
            self.is_evaluated_front[s, self._front(draw, feasible)] = True
        self.is_front = self.is_evaluated_front.copy()

    def _front(self, draw: Float, feasible: NDArray[np.bool_]) -> NDArray[np.int64]:
        predicted, measured = (np.flatnonzero(feasible & kind) for kind in (~self._is_measured, self._is_measured))
        predicted = predicted[_is_nondominated(draw[predicted])]
        if not measured.size:
            return predicted
        measured = measured[_is_nondominated(draw[measured])]
        return np.concatenate([
            predicted[self._survives(draw[predicted], draw[measured])],
            measured[self._survives(draw[measured], draw[predicted])],
        ])  # fmt: skip

    def add_rivals(self, values: Float, is_feasible: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Remove the designs that rivals dominate; return in how many draws each rival is on the front, shape (k,).

        Args:
            values: objectives of k rivals in every draw, shape (S, k, m).
            is_feasible: whether they meet the constraints in every draw, shape (S, k).
        """
        n_fronts = np.zeros(values.shape[1], dtype=np.int64)
        minimized = to_minimization(values, self._objectives)
        for s, (rivals, feasible) in enumerate(zip(minimized, is_feasible, strict=True)):
            own, others = np.flatnonzero(self.is_front[s]), np.flatnonzero(feasible)
            # The front is mutually non-dominated, also after a common shift: only rivals can dominate it.
            mask = _is_nondominated(np.concatenate([rivals[others], self._shifted[s, own]]))
            self.is_front[s, own[~mask[len(others) :]]] = False
            n_fronts[others[mask[: len(others)]]] += 1
        return n_fronts

    def _survives(self, front: Float, rivals: Float) -> NDArray[np.bool_]:
        """Return a mask of the points of a front that no rival dominates by more than the tolerance."""
        return _is_nondominated(np.concatenate([rivals, front - self._slack]))[len(rivals) :]


def _is_nondominated(minimized: Float) -> NDArray[np.bool_]:
    if not len(minimized):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(minimized), dtype=np.bool_)
