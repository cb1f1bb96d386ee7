"""Results: every finished design of a study as one table with its origin, free of how it was searched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.exact import ExactFront
from explorer.pareto.front import feasible_front, hypervolume
from explorer.problem.columns import COLUMNS, Column, Columns, Float, bounds, describe, knobs_of, n_rows, take
from explorer.problem.objectives import Objective

if TYPE_CHECKING:
    import pandas as pd


# Columns of words that are told of a design beside its numbers: how sure its place is, the sample that lies nearest.
WORDS = ("certainty", "nearest_sample")


@dataclass(frozen=True, slots=True)
class Results:
    """What a study has found.

    Args:
        study: the study's name.
        title: one line for people.
        table: one row a finished design: `design_id`, `origin` (sample or search), the knobs, predictions, objectives,
            `frequency_max_hz`, `domain_distance`, `is_feasible`; shape (n,) each.
        objectives: what was asked, in order.
        constraints: the study's own floors and caps, as text.
        reference_point: of the hypervolume, one number for each objective.
        samples: the measured samples with their objectives, for comparison: the same column names.
        sample_labels: a name for each of them.
        notes: what a user must know before trusting the front.
        provenance: where all of it comes from.
        exact: the exact front of the question, where the evaluator is cheap enough to have one.
        advice: what to measure next, in one line.
        importance: rows of `explorer.pareto.importance.knob_importance`.
        model_check: what the model is worth, as `explorer fit --json` tells it: `targets` with leave-one-out errors,
            `identifiability`, `calibration`, `warnings`; empty where the model was not fitted.
        own_columns: what the user's own knobs mean, by name.
    """

    study: str
    title: str
    table: Columns
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...]
    reference_point: tuple[float, ...]
    samples: Columns
    sample_labels: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    exact: ExactFront | None = None
    advice: str = ""
    importance: tuple[Mapping[str, Any], ...] = ()
    model_check: Mapping[str, Any] = field(default_factory=dict)
    own_columns: Mapping[str, Column] = field(default_factory=dict)
    # What follows from the table and is asked for often: of a hundred thousand designs it takes a while.
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def column(self, name: str) -> Column:
        """Return what a column means: a knob of the user's own as it was declared, any other as it is known."""
        return self.own_columns.get(name) or describe(name)

    @property
    def n_complete(self) -> int:
        """Number of finished designs."""
        return n_rows(self.table)

    @property
    def values(self) -> Float:
        """The objectives of all designs, shape (n, number of objectives)."""
        return np.stack([self.table[o.name].astype(np.float64) for o in self.objectives], axis=-1)

    @property
    def is_front(self) -> NDArray[np.bool_]:
        """Which designs are feasible and dominated by no feasible one, shape (n,)."""
        if "is_front" not in self._known:
            found = feasible_front(self.values, self.table["is_feasible"], self.objectives)
            found.flags.writeable = False
            self._known["is_front"] = found
        return cast("NDArray[np.bool_]", self._known["is_front"])

    @property
    def front_columns(self) -> Columns:
        """The front, in order of the first objective."""
        rows = np.flatnonzero(self.is_front)
        return take(self.table, rows[np.argsort(self.table[self.objectives[0].name][rows], kind="stable")])

    @property
    def hypervolume(self) -> float:
        """The volume that the front dominates up to the reference point."""
        if "hypervolume" not in self._known:
            values = self.values[self.is_front]
            self._known["hypervolume"] = hypervolume(values, self.reference_point, self.objectives)
        return float(self._known["hypervolume"])

    @property
    def reached(self) -> float:
        """The share of the exact front's hypervolume that the search reached; NaN where that is not known."""
        if self.exact is None or self.exact.hypervolume <= 0:
            return float("nan")
        return self.hypervolume / self.exact.hypervolume

    def frame(self) -> "pd.DataFrame":
        """Return all finished designs as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.table)

    def front(self) -> "pd.DataFrame":
        """Return the front as a DataFrame, in order of the first objective."""
        import pandas as pd

        columns = self.front_columns
        return pd.DataFrame({name: columns[name] for name in front_order(columns)})


def front_order(columns: Columns) -> list[str]:
    """Return a front's column names in the order of files: identity, knobs, predictions, objectives, checks."""
    kinds = ("prediction", "objective", "check")
    others = [name for kind in kinds for name, column in COLUMNS.items() if column.kind == kind and name in columns]
    known = [*knobs_of(columns), *others]
    bounded = [own for name in known for own in (name, *(end for end in bounds(name) if end in columns))]
    return ["design_id", "origin", *bounded, *(name for name in WORDS if name in columns)]
