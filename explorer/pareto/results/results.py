"""Results: every finished design of a study as one table with its origin, free of how it was searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from explorer.errors import NoFeasibleDesign
from explorer.pareto.exact_front import ExactFront
from explorer.pareto.geometry.dominance import feasible_front, hypervolume, is_nondominated
from explorer.problem.columns import (
    COLUMNS,
    Column,
    Columns,
    Float,
    bounds,
    column_of,
    knobs_of,
    n_rows,
    own_knobs,
    take,
)
from explorer.problem.constraints import Constraint, parse_constraint
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
        importance: rows of `explorer.pareto.uncertainty.sensitivity.knob_importance`.
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
        return self.own_columns.get(name) or column_of(name)

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
    values, is_feasible = results.values, results.table["is_feasible"].astype(np.bool_)  # noqa: PD011 - of Results
    # The front of a longer prefix is among the front of a shorter one and what came since: nothing is compared twice.
    kept = np.zeros(0, dtype=np.int64)
    history = []
    for begin, end in zip(np.concatenate([[0], places[:-1]]), places, strict=True):
        new = np.arange(begin, end)
        kept = np.concatenate([kept, new[is_feasible[new]]])
        kept = kept[is_nondominated(values[kept], results.objectives)]
        history.append(hypervolume(values[kept], results.reference_point, results.objectives))
    return places, np.array(history)


def constraint_gaps(table: Columns, constraints: Sequence[Constraint]) -> list[str]:
    """Say, for each limit, how near the best design came to it, where no design meets them all."""
    lines = []
    for constraint in constraints:
        miss = constraint.violation(table)
        best = float(table[constraint.column][int(np.argmin(miss))])
        met = "met by some designs" if miss.min() <= 0 else f"nearest is {column_of(constraint.column).text(best)}"
        lines.append(f"{constraint.text}: {met}")
    return lines


def nothing_feasible(results: Results) -> NoFeasibleDesign:
    """Return the error of results without a front: how near the designs came to each constraint, and what to do."""
    own = own_knobs(results.table)
    asked = [parse_constraint(text, own=own) for text in results.constraints]
    misses = "".join(f"\n  {line}" for line in constraint_gaps(results.table, asked)) if results.n_complete else ""
    return NoFeasibleDesign(
        f"none of {results.n_complete} designs meets every constraint{misses}",
        fix="loosen the constraint that is furthest from being met, or widen the space",
    )
