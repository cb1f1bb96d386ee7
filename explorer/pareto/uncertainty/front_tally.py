"""Membership of designs in the front of every posterior draw, against rivals that are added in batches."""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.pareto.geometry.dominance import is_nondominated, to_minimization
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
        self._values, self._objectives, self._slack = values, objectives, slack
        self._is_measured = is_measured
        self.is_evaluated_front = np.zeros(is_feasible.shape, dtype=np.bool_)
        for s, (draw, feasible) in enumerate(zip(values, is_feasible, strict=True)):
            self.is_evaluated_front[s, self._front(draw, feasible)] = True
        self.is_front = self.is_evaluated_front.copy()

    def _front(self, draw: Float, feasible: NDArray[np.bool_]) -> NDArray[np.int64]:
        predicted, measured = (np.flatnonzero(feasible & kind) for kind in (~self._is_measured, self._is_measured))
        predicted = predicted[is_nondominated(draw[predicted], self._objectives)]
        if not measured.size:
            return predicted
        measured = measured[is_nondominated(draw[measured], self._objectives)]
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
        for s, (rivals, feasible) in enumerate(zip(values, is_feasible, strict=True)):
            own, others = np.flatnonzero(self.is_front[s]), np.flatnonzero(feasible)
            shifted = to_minimization(self._values[s, own], self._objectives) - self._slack
            union = np.concatenate([to_minimization(rivals[others], self._objectives), shifted])
            if not len(union):
                continue
            # The front is mutually non-dominated, also after a common shift: only rivals can dominate it.
            mask = np.asarray(moocore.is_nondominated(union), dtype=np.bool_)
            self.is_front[s, own[~mask[len(others) :]]] = False
            n_fronts[others[mask[: len(others)]]] += 1
        return n_fronts

    def _survives(self, front: Float, rivals: Float) -> NDArray[np.bool_]:
        """Return a mask of the points of a front that no rival dominates by more than the tolerance."""
        if not len(front) or not len(rivals):
            return np.ones(len(front), dtype=np.bool_)
        shifted = to_minimization(front, self._objectives) - self._slack
        union = np.concatenate([to_minimization(rivals, self._objectives), shifted])
        return np.asarray(moocore.is_nondominated(union), dtype=np.bool_)[len(rivals) :]
