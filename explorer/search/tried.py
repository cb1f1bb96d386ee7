"""What was tried: a study's finished trials as columns, in order of their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from explorer.models.assessment import Assessment
from explorer.problem.columns import TARGETS, Columns, bounds, knobs_of, n_rows, stack
from explorer.problem.objectives import OBJECTIVES
from explorer.search.encoding import Encoding, Params, columns_of

ORIGIN_ATTR = "origin"
SEARCH, SAMPLE = "search", "sample"


@dataclass(frozen=True, slots=True)
class Tried:
    """Finished designs.

    Args:
        numbers: of their trials, shape (n,).
        table: the designs, assessed, with the objectives as they were told, shape (n,) each.
        origin: `sample` where the design was measured before the search, shape (n,).
    """

    numbers: NDArray[np.int64]
    table: Columns
    origin: NDArray[Any]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.numbers)

    def and_then(self, other: "Tried") -> "Tried":
        """Return these with others after them."""
        if not self.n:
            return other
        return Tried(
            np.concatenate([self.numbers, other.numbers]),
            stack([self.table, other.table]),
            np.concatenate([self.origin, other.origin]),
        )


def tried_of(trials: Sequence[FrozenTrial], assessment: Assessment) -> Tried:
    """Return COMPLETE trials as columns; what was told is the record, the rest follows from the parameters."""
    known = [trial for trial in trials if _has_all(trial, assessment)]
    if not known:
        return Tried(np.empty(0, dtype=np.int64), assessment.nothing(), np.empty(0, dtype=object))
    designs = Encoding(assessment.regions).decode(columns_of([trial.params for trial in known]), n=len(known))
    table = assessment.assess(designs)
    told = np.array([trial.values for trial in known], dtype=np.float64)
    for j, objective in enumerate(assessment.study.objectives):
        table[objective.name] = told[:, j]
    origin = np.array([trial.user_attrs.get(ORIGIN_ATTR, SEARCH) for trial in known], dtype=object)
    return Tried(np.array([trial.number for trial in known], dtype=np.int64), table, origin)


def _has_all(trial: FrozenTrial, assessment: Assessment) -> bool:
    """Tell whether a trial says which design it is: one that was added by hand may not."""
    return Encoding(assessment.regions).distributions().keys() <= trial.params.keys()


def is_feasible_of(trials: Sequence[FrozenTrial]) -> NDArray[np.bool_]:
    """Tell which trials meet all of their recorded constraints, shape (n,)."""
    return np.array([all(c <= 0 for c in trial.constraints.values()) for trial in trials], dtype=np.bool_)


def attributes(columns: Columns, params: Params) -> dict[str, list[Any]]:
    """Return what each trial keeps beside its parameters: scalars, so that optuna-dashboard shows them.

    Args:
        columns: the assessed designs, shape (n,) each.
        params: their parameters: a knob that is one is not kept twice.
    """
    targets = [own for name in TARGETS for own in (name, *bounds(name))]
    names = (*[k for k in knobs_of(columns) if k != "family"], *targets, *OBJECTIVES, "domain_distance", "is_feasible")
    return {name: columns[name].tolist() for name in names if name in columns and name not in params}


def row_of(columns: Mapping[str, Sequence[Any]], i: int) -> dict[str, Any]:
    """Return one row of a table of lists."""
    return {name: values[i] for name, values in columns.items()}


def keys_of(designs: Columns) -> list[tuple[Any, ...]]:
    """Return each design's knobs as a key; designs of choices repeat to the last digit."""
    if not n_rows(designs):
        return []
    return list(zip(*[designs[name].tolist() for name in knobs_of(designs)], strict=True))
