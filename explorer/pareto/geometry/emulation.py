"""Surrogate of an expensive constraint on the unit cube: exact where the front is decided, interpolated elsewhere."""

from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray

from explorer.pareto.geometry.dominance import is_dominated_by
from explorer.problem.columns import Float

_N_FIRST = 300  # exact values before the first prediction
_N_KNOWN = 1_000  # points of an interpolation: its cost grows with their square
_N_NEW = 100  # new exact values after which it is fitted again
_N_EXACT = 600  # exact values in one call
_N_BEST = 40  # exact values of a search for one optimum in each call
_N_RIVALS = 1_000
_SMOOTHING = 1e-9  # keeps the system of close neighbours regular
_LEAST_GAIN = 2e-4  # of the front's extent: smaller improvements are not looked at
_N_CHECKED = 300  # latest predictions whose errors count


class Emulator:
    """Surrogate of a constraint whose exact value is expensive (surrogate-assisted optimization).

    The difference of the exact and a nominal violation is interpolated by radial basis functions between points at
    which it is known (as in R. G. Regis and C. A. Shoemaker, J. Global Optim. 31 (2005) 153-171). Points
    predicted to be feasible and on the front are computed exactly, and learned. So the front is feasible, and what is
    missed lies within the errors of predictions right beside known points.
    """

    def __init__(self, exact: Callable[[Float], Float], *, seed: int = 0) -> None:
        """Start without any exact value.

        Args:
            exact: returns the violation of points of the unit cube, shape (n, d), as shape (n,); at most 0 is feasible.
            seed: of the points that are computed first.
        """
        self._exact, self._rng = exact, np.random.default_rng(seed)
        self._unit = np.empty((0, 0))
        self._difference = np.empty(0)
        self._errors = np.empty(0)
        self._predict: Callable[[Float], Float] | None = None
        self._n_new = 0

    def violation(self, unit: Float, nominal: Float, values: Float, front: Float) -> Float:
        """Return the violation of points, shape (n,): at most 0 where they are feasible.

        Points that would be on the front count as violated if their sign remains unknown, because they are too many or
        would improve it by less than 2e-4 of its extent.

        Args:
            unit: points of the unit cube, shape (n, d).
            nominal: their nominal violation, shape (n,).
            values: their objectives to be minimized, shape (n, m).
            front: objectives of feasible points, shape (k, m): points that they dominate need no exact value.
        """
        n = len(unit)
        result, is_open = np.full(n, np.nan), np.ones(n, dtype=np.bool_)
        if not n:
            return result
        if self._predict is None:
            rows = self._rng.permutation(n)[:_N_FIRST]
            result[rows], is_open[rows] = self._learn(unit[rows], nominal[rows]), False
        rows = np.flatnonzero(is_open)
        result[rows] = self.predict(unit[rows], nominal[rows])
        rows = np.flatnonzero(is_open & (result <= 0))
        rivals = _front_of(np.concatenate([front, values[~is_open & (result <= 0)]]))
        rows = self._first_on_front(rows[~is_dominated_by(values[rows] + _gain(rivals), rivals)], values)
        is_lost = not len(rivals) and not rows.size
        if is_lost:  # nothing is feasible yet: learn what is closest to it
            rows = np.flatnonzero(is_open)
            rows = rows[np.argsort(result[rows], kind="stable")[:_N_BEST]]
        if rows.size:
            result[rows], is_open[rows] = self._learn(unit[rows], nominal[rows]), False
        if is_lost and rows.size:  # what is known comes before what is predicted
            result[is_open] = np.maximum(result[is_open], result[rows].max())
        is_open &= result <= 0
        if values.shape[1] > 2:  # a front of three objectives has too many points: beyond the errors, predictions count
            error = float(np.quantile(self._errors[-_N_CHECKED:], 0.99)) if self._errors.size else np.inf
            is_open &= result > -error
        result[is_open] = np.maximum(np.abs(result[is_open]), 1e-12)
        return result

    def predict(self, unit: Float, nominal: Float) -> Float:
        """Return the interpolated violation of points, shape (n,)."""
        return nominal + self._difference_at(unit)

    def _first_on_front(self, rows: NDArray[np.int64], values: Float) -> NDArray[np.int64]:
        """Return at most 600 of the rows: those that none of them dominates, or of a single objective the best."""
        if values.shape[1] == 1:
            return rows[np.argsort(values[rows, 0], kind="stable")[:_N_BEST]]
        if rows.size:
            rows = rows[np.asarray(moocore.is_nondominated(values[rows]), dtype=np.bool_)]
        return rows if rows.size <= _N_EXACT else np.sort(self._rng.permutation(rows)[:_N_EXACT])

    def _difference_at(self, unit: Float) -> Float:
        return np.zeros(len(unit)) if self._predict is None else self._predict(unit)

    def _learn(self, unit: Float, nominal: Float) -> Float:
        """Return the exact violation of points, and learn it."""
        exact = self._exact(unit)
        if self._predict is None:  # a quarter of the first points checks the rest
            n = 3 * len(unit) // 4
            self._fit(unit[:n], (exact - nominal)[:n])
            checked = slice(n, None)
        else:
            checked = slice(0, None)
        difference = exact - nominal
        if self._predict is not None and len(unit[checked]):
            self._errors = np.r_[self._errors, np.abs(difference[checked] - self._predict(unit[checked]))]
        self._unit = np.concatenate([self._unit.reshape(-1, unit.shape[1]), unit])
        self._difference = np.r_[self._difference, difference]
        self._n_new += len(unit)
        if self._n_new >= _N_NEW:
            self._fit(*self._training_points())
        return exact

    def _training_points(self) -> tuple[Float, Float]:
        """Return the latest points, and some of the earlier ones."""
        n_late = 3 * _N_KNOWN // 4
        early = np.arange(max(0, len(self._difference) - n_late))
        early = self._rng.permutation(early)[: _N_KNOWN - n_late]
        rows = np.r_[early, np.arange(max(0, len(self._difference) - n_late), len(self._difference))]
        return self._unit[rows], self._difference[rows]

    def _fit(self, unit: Float, difference: Float) -> None:
        from scipy.interpolate import RBFInterpolator

        unit, rows = np.unique(np.round(unit, 6), axis=0, return_index=True)
        self._n_new = 0
        if len(unit) > 2 * (unit.shape[1] + 1):
            try:
                self._predict = RBFInterpolator(unit, difference[rows], kernel="cubic", smoothing=_SMOOTHING)
            except np.linalg.LinAlgError:  # points in a plane: the earlier interpolation remains
                return


def _gain(front: Float) -> Float:
    """Return the least improvement in each objective that is worth an exact value, shape (m,)."""
    return _LEAST_GAIN * np.ptp(front, axis=0) if len(front) > 1 else np.zeros(front.shape[1])


def _front_of(values: Float) -> Float:
    """Return the non-dominated points; of more than two objectives at most 1,000, evenly spread."""
    if not len(values):
        return values
    front = values[np.asarray(moocore.is_nondominated(np.ascontiguousarray(values)), dtype=np.bool_)]
    if values.shape[1] <= 2:
        return front
    front = front[np.argsort(front[:, 0], kind="stable")]
    return front[np.unique(np.linspace(0, len(front) - 1, _N_RIVALS).astype(np.int64))]
