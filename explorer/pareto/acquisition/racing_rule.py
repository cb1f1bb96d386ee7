"""Rule of racing: whether a design can still matter for the front, given the possible range of its accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.pareto.geometry.dominance import hypervolume, is_nondominated
from explorer.problem.columns import Columns, Float
from explorer.problem.constraints import Constraint
from explorer.problem.objectives import Constants, Objective, add_objectives

TOLERANCE = 0.002
"""Share of the hypervolume that all stopped designs together may add at most, at the upper bounds of their accuracy.

On the shipped networks .001 runs 2 % more of the samples and .006 4 % fewer, and loses up to .3 %."""


@dataclass(frozen=True, slots=True)
class RacingRule:
    """Rule that stops a design which breaks a limit, or adds too little to the hypervolume at its best.

    Args:
        objectives: of the study.
        constraints: of the study; those with a probability stop nothing.
        constants: parameters of derived columns.
        reference: reference point of the hypervolume, in the order of the objectives.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    constants: Constants
    reference: tuple[float, ...]

    def front(self, columns: Columns) -> list[list[float]]:
        """Return the objectives of the feasible, non-dominated designs as plain numbers.

        Args:
            columns: knobs and targets of measured designs, shape (n,) each.
        """
        columns = add_objectives(columns, self.constants)
        values = self._values(columns)
        is_kept = np.isfinite(values).all(axis=1)
        for constraint in self._checked(columns):
            is_kept &= constraint.violation(columns) <= 0
        values = values[is_kept]
        return values[is_nondominated(values, self.objectives)].tolist() if len(values) else []

    def best(self, columns: Columns) -> Float:
        """Return the best value of each objective over possible versions of one design, shape (m,).

        NaN where no version meets the limits.
        """
        columns = add_objectives(columns, self.constants)
        values = self._values(columns)
        if any((constraint.violation(columns) > 0).all() for constraint in self._checked(columns)):
            return np.full(len(self.objectives), np.nan)
        signs = np.array([objective.sign for objective in self.objectives])
        return np.asarray((values * signs).min(axis=0) * signs)

    def can_matter(
        self, columns: Columns, *, front: Sequence[Sequence[float]], stopped: Sequence[Sequence[float]]
    ) -> bool:
        """Return whether a design can meet the limits and add more than `TOLERANCE` to the hypervolume.

        While the front has no hypervolume, a design matters unless it is dominated.

        Args:
            columns: knobs and targets of the design with the least and with the greatest accuracy, shape (2,) each.
            front: objectives of the designs that were measured on all samples.
            stopped: best objectives of the designs that were stopped: with this one, they may add `TOLERANCE` at most.
        """
        best = self.best(columns)
        if not np.isfinite(best).all():
            return not np.isnan(best).all()
        if not hypervolume(np.array(front, dtype=np.float64), self.reference, self.objectives):
            # Nothing reaches the reference point yet: a search has a front all the same.
            return bool(is_nondominated(np.array([*front, best.tolist()]), self.objectives)[-1])
        volumes = [
            hypervolume(np.array(points, dtype=np.float64), self.reference, self.objectives)
            for points in (front, [*front, *stopped, best.tolist()])
        ]
        return volumes[1] - volumes[0] > TOLERANCE * volumes[0]

    def _values(self, columns: Columns) -> Float:
        return np.stack([np.asarray(columns[one.name], dtype=np.float64) for one in self.objectives], axis=-1)

    def _checked(self, columns: Columns) -> list[Constraint]:
        """Return the constraints whose columns are known."""
        return [
            one for one in self.constraints
            if one.probability is None and one.column in columns and np.isfinite(columns[one.column]).all()
        ]  # fmt: skip
