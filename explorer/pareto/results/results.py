"""Results of a study: all finished designs as one table, independent of Optuna, with provenance and diagnostics."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from explorer.errors import NoFeasibleDesign
from explorer.pareto.geometry.dominance import feasible_front, hypervolume, is_nondominated
from explorer.pareto.results.measured_rows import front_with_measured_rows, is_superseded
from explorer.problem.columns import (
    COLUMNS,
    JOINT_VIOLATION,
    Column,
    Columns,
    Float,
    bounds,
    cases_of,
    column_of,
    knobs_of,
    n_rows,
    own_knobs,
    percentiles_of,
    take,
)
from explorer.problem.constraints import Constraint, joint_groups, joint_text, parse_constraint
from explorer.problem.objectives import Objective
from explorer.problem.workload.usage import overload_text

if TYPE_CHECKING:
    import pandas as pd

_N_POINTS = 60

# Text columns that the uncertainty analysis adds: the front-probability class, and the nearest measured sample.
ANNOTATION_COLUMNS = ("certainty", "nearest_sample")


@dataclass(frozen=True, slots=True)
class ExactFront:
    """Reference front of a problem: hypervolume, convergence and a sample of its points.

    Args:
        hypervolume: dominated volume up to the reference point, in the product of the objectives' units.
        convergence: the share of it that the last half of the evaluations added; with one objective, the last four
            generations.
        n_evaluated: number of designs evaluated.
        values: at most 300 of its points for plots, in the objectives' order, shape (k, m).
    """

    hypervolume: float
    convergence: float
    n_evaluated: int
    values: Float


@dataclass(frozen=True, slots=True)
class Results:
    """Finished designs of a study, with its declaration, diagnostics and provenance.

    Args:
        study: the study's name.
        title: a one-line title.
        table: one row per finished trial, then one per measured design of the model's samples: `design_id` (negative
            for a measured row), `origin` (`search`, `initial` for the prediction at a sample, `sample` for a measured
            row), the knobs, predictions or measured values, objectives, `frequency_max_hz`, `domain_distance`,
            `is_feasible`; shape (n,) each.
        objectives: in the order of the declaration.
        constraints: the study's constraints, as text.
        reference_point: of the hypervolume, one number for each objective.
        samples: the measured samples with their objectives, for comparison, under the same column names.
        sample_labels: the name of each sample.
        notes: warnings on the validity of the front.
        provenance: files, versions, seeds and declaration of the run.
        exact: the exact front, if the evaluator is cheap enough to compute it.
        advice: the suggested next measurement, in one line.
        importance: rows of `explorer.pareto.uncertainty.sensitivity.knob_importance`.
        model_check: the model quality of `explorer fit --json`: `targets` with leave-one-out errors, `identifiability`,
            `calibration`, `warnings`; empty where the model was not fitted.
        own_columns: descriptions of the user's own knobs, by name.
        model_warnings: reasons not to trust the model, `kind` and `text` each.
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
    model_warnings: tuple[Mapping[str, str], ...] = ()
    # Cached properties: the front of a hundred thousand designs takes seconds to compute.
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        size = int(self.is_front.sum())
        rows = f" and {self.n_measured} measured rows" if self.n_measured else ""
        return (
            f"Results({self.study}: {self.n_complete} designs{rows}, {size} on the front, "
            f"hypervolume {self.hypervolume:.6g})"
        )

    def _repr_html_(self) -> str:
        """Return the front as an HTML table, for notebooks."""
        return f"<p>{html.escape(repr(self))}</p>{self.front().to_html(max_rows=20)}"

    def column(self, name: str) -> Column:
        """Return the description of a column: a user's own knob as declared, otherwise the built-in one."""
        column = self.own_columns.get(name) or column_of(name)
        number = name.removeprefix("p_limit_")
        if number != name and number.isdigit() and 0 < int(number) <= len(self.constraints):
            limit = self.constraints[int(number) - 1].partition(" @")[0]
            return replace(column, label=f"Probability of {limit}")
        return column

    @property
    def n_complete(self) -> int:
        """Number of finished trials, without the measured rows of the model's samples."""
        return n_rows(self.table) - self.n_measured

    @property
    def n_measured(self) -> int:
        """Number of measured rows among the designs."""
        return int(self.is_measured.sum())

    @property
    def is_measured(self) -> NDArray[np.bool_]:
        """Mask of the measured rows of the model's samples, shape (n,)."""
        return np.asarray(self.table["design_id"] < 0)

    @property
    def n_designs(self) -> int:
        """Number of different rows: trials and measured rows, without the predictions at measured designs."""
        return int(np.sum(~self.is_superseded))

    def n_labelled(self, word: str) -> int:
        """Return the number of designs with a label of `certainty`, predictions at measured designs left out."""
        return int(np.sum((self.table["certainty"] == word) & ~self.is_superseded))

    @property
    def trials(self) -> Columns:
        """The finished trials: all designs without the measured rows, shape (n_complete,) each."""
        return take(self.table, ~self.is_measured) if self.n_measured else self.table

    @property
    def values(self) -> Float:
        """The objectives of all designs, shape (n, number of objectives)."""
        return self._values_of(self.table)

    @property
    def is_superseded(self) -> NDArray[np.bool_]:
        """Mask of the predictions at designs that have a measured row, which counts instead, shape (n,)."""
        return self._cached("is_superseded", lambda: is_superseded(self.table))

    @property
    def is_front(self) -> NDArray[np.bool_]:
        """Mask of the front of predictions and measured rows (see `front_with_measured_rows`), shape (n,)."""
        return self._cached(
            "is_front",
            lambda: front_with_measured_rows(
                self.table, self.values, self.objectives, is_superseded=self.is_superseded
            ),
        )

    @property
    def front_columns(self) -> Columns:
        """The front, in order of the first objective."""
        rows = np.flatnonzero(self.is_front)
        return take(self.table, rows[np.argsort(self.table[self.objectives[0].name][rows], kind="stable")])

    @property
    def hypervolume(self) -> float:
        """The hypervolume of the front of all trials up to the reference point: what the search reached.

        Measured rows do not count, so that it compares with the exact front, which is predicted as well.
        """
        if "hypervolume" not in self._cache:
            values = self._values_of(self.trials)
            front = values[feasible_front(values, self.trials["is_feasible"], self.objectives)]
            self._cache["hypervolume"] = hypervolume(front, self.reference_point, self.objectives)
        return float(self._cache["hypervolume"])

    @property
    def reached(self) -> float:
        """The hypervolume as a share of that of the exact front; NaN without an exact front."""
        if self.exact is None or self.exact.hypervolume <= 0:
            return float("nan")
        return self.hypervolume / self.exact.hypervolume

    def _values_of(self, table: Columns) -> Float:
        return np.stack([table[o.name].astype(np.float64) for o in self.objectives], axis=-1)

    def _cached(self, name: str, compute: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        if name not in self._cache:
            mask = compute()
            mask.flags.writeable = False
            self._cache[name] = mask
        return cast("NDArray[np.bool_]", self._cache[name])

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
    """Return the column names in the order of the files: identity, knobs, predictions, objectives, checks."""
    kinds = ("prediction", "objective", "check")
    computed = [name for kind in kinds for name, column in COLUMNS.items() if column.kind == kind and name in columns]
    with_bounds = [
        column
        for name in (*knobs_of(columns), *computed)
        for column in (name, *(own for own in _statistics_of(name) if own in columns), *percentiles_of(name, columns))
    ]
    joint = percentiles_of(JOINT_VIOLATION, columns)
    return ["design_id", "origin", *with_bounds, *joint, *(name for name in ANNOTATION_COLUMNS if name in columns)]


def _statistics_of(name: str) -> list[str]:
    """Return the names of a column's interval, and of its worst and best case over scenarios with theirs."""
    return [own for one in (name, *cases_of(name)) for own in (one, *bounds(one))][1:]


def hypervolume_history(results: Results, *, n_points: int = _N_POINTS) -> tuple[NDArray[np.int64], Float]:
    """Return the convergence history of the trials: their numbers and hypervolumes, shape (k,) each.

    At most `n_points` prefixes, evenly spaced in the logarithm of their length, because a search gains most at its
    beginning. The last prefix is the whole study.
    """
    n = results.n_complete
    if not n:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    counts = np.unique(np.geomspace(1, n, n_points).round().astype(np.int64))
    values = results.values[~results.is_measured]  # noqa: PD011 - Results, not a DataFrame
    is_feasible = results.trials["is_feasible"].astype(np.bool_)
    # The front of a prefix is a subset of the previous front and the designs added since: no pair is compared twice.
    front = np.zeros(0, dtype=np.int64)
    history = []
    for begin, end in zip(np.concatenate([[0], counts[:-1]]), counts, strict=True):
        added = np.arange(begin, end)
        front = np.concatenate([front, added[is_feasible[added]]])
        front = front[is_nondominated(values[front], results.objectives)]
        history.append(hypervolume(values[front], results.reference_point, results.objectives))
    return counts, np.array(history)


def constraint_gaps(table: Columns, constraints: Sequence[Constraint]) -> list[str]:
    """Return a line for each constraint: met by some designs, or the value of the design closest to meeting it."""
    lines = []
    for constraint in constraints:
        if constraint.compared not in table:
            continue
        excess = constraint.violation(table)
        best = float(table[constraint.compared][int(np.argmin(excess))])
        column = column_of(constraint.compared)
        what = f"nearest {column.label.partition(', ')[2]}" if constraint.probability is not None else "nearest"
        met = "met by some designs" if excess.min() <= 0 else f"{what} is {column.text(best)}"
        lines.append(f"{constraint.text}: {met}")
    for name, probability, members in joint_groups(constraints):
        if name in table and float(np.min(table[name])) > 0 and all(np.min(c.violation(table)) <= 0 for c in members):
            lines.append(f"{joint_text(probability)}: each limit is met by some designs, but none meets all of them")
    if "utilization" in table and np.all(table["utilization"] >= 1):
        lines.append(overload_text(table["latency_s"], table["utilization"])[0])
    return lines


def _loosen(table: Columns) -> str:
    if "utilization" in table and n_rows(table) and np.all(table["utilization"] >= 1):
        return overload_text(table["latency_s"], table["utilization"])[1]
    return "loosen the constraint that is furthest from being met, or widen the space"


def no_feasible_design(results: Results) -> NoFeasibleDesign:
    """Return the error of results without a front, with the gap to each constraint and a fix."""
    own = own_knobs(results.table)
    constraints = [parse_constraint(text, own=own) for text in results.constraints]
    gaps = constraint_gaps(results.table, constraints) if n_rows(results.table) else []
    misses = "".join(f"\n  {line}" for line in gaps)
    return NoFeasibleDesign(
        f"none of {n_rows(results.table)} designs meets every constraint{misses}",
        fix=_loosen(results.table),
    )
