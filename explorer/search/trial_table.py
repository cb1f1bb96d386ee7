"""COMPLETE trials of a study as a table of columns, ordered by trial number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from explorer.models.evaluation import Problem
from explorer.problem.columns import TARGETS, Columns, bounds, knobs_of, n_rows, stack
from explorer.problem.objectives import OBJECTIVES
from explorer.search.encoding import Encoding, Params, columns_of

ORIGIN_ATTR = "origin"
# Origin of a row of results: proposed by the search, a prediction at a measured design, a measured row itself, or a
# trial that was measured by an earlier study.
SEARCH, INITIAL, SAMPLE, ADOPTED = "search", "initial", "sample", "adopted"
SOURCE_ATTR = "explorer:adopted_from"


@dataclass(frozen=True, slots=True)
class TrialTable:
    """Table of COMPLETE trials.

    Args:
        numbers: trial numbers, shape (n,).
        table: the assessed designs, with the objectives as they are stored, shape (n,) each.
        origin: `initial` for the prediction at a sample of the model, `adopted` for a measurement that was taken over,
            else `search`, shape (n,).
    """

    numbers: NDArray[np.int64]
    table: Columns
    origin: NDArray[Any]

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.numbers)

    def append(self, later: "TrialTable") -> "TrialTable":
        """Return the concatenation of both tables."""
        if not self.n:
            return later
        return TrialTable(
            np.concatenate([self.numbers, later.numbers]),
            stack([self.table, later.table]),
            np.concatenate([self.origin, later.origin]),
        )


def trial_table(trials: Sequence[FrozenTrial], problem: Problem) -> TrialTable:
    """Return COMPLETE trials as a table: objectives as stored, other columns computed from the parameters."""
    encoding, objectives = Encoding(problem.regions), problem.study.objectives
    names = encoding.distributions().keys()
    pairs = [(trial, encoding.with_row_index(trial.params)) for trial in trials]
    pairs = [(trial, params) for trial, params in pairs if names <= params.keys()]  # one added by hand may lack some
    trials, n = [trial for trial, _ in pairs], len(pairs)
    table = problem.evaluate(encoding.decode(columns_of([{k: p[k] for k in names} for _, p in pairs]), n=n))
    values = np.array([trial.values for trial in trials], dtype=np.float64).reshape(n, len(objectives))
    for j, objective in enumerate(objectives):
        table[objective.name] = values[:, j]
    origins = [trial.user_attrs.get(ORIGIN_ATTR, SEARCH) for trial in trials]
    # Earlier versions stored `sample` for the predictions at samples; now measured rows alone have this origin.
    origin = np.array([INITIAL if one == SAMPLE else one for one in origins], dtype=object)
    return TrialTable(np.array([trial.number for trial in trials], dtype=np.int64), table, origin)


def is_feasible_of(trials: Sequence[FrozenTrial]) -> NDArray[np.bool_]:
    """Return a mask of the trials that meet all of their stored constraints, shape (n,)."""
    return np.array([all(c <= 0 for c in trial.constraints.values()) for trial in trials], dtype=np.bool_)


def user_attributes(columns: Columns, params: Params) -> dict[str, list[Any]]:
    """Return the user attributes of assessed designs: scalars, as optuna-dashboard shows them, without parameters."""
    targets = [column for name in TARGETS for column in (name, *bounds(name))]
    names = (*[k for k in knobs_of(columns) if k != "family"], *targets, *OBJECTIVES, "domain_distance", "is_feasible")
    return {name: columns[name].tolist() for name in names if name in columns and name not in params}


def row_of(columns: Mapping[str, Sequence[Any]], i: int) -> dict[str, Any]:
    """Return one row of a table of lists."""
    return {name: values[i] for name, values in columns.items()}


def design_keys(designs: Columns) -> list[tuple[Any, ...]]:
    """Return the knobs of each design as a tuple."""
    if not n_rows(designs):
        return []
    return list(zip(*[designs[name].tolist() for name in knobs_of(designs)], strict=True))
