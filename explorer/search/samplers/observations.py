"""Observations of a study for the learning sampler: designs that are measured, pending and failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.candidate_pool import CandidatePool, pool_of_designs
from explorer.pareto.geometry.dominance import to_minimization
from explorer.problem.columns import TARGETS, Columns, Float
from explorer.problem.objectives import OBJECTIVES
from explorer.search.encoding import Encoding, columns_of
from explorer.search.session import MEASURED_ATTR
from explorer.search.trial_table import is_feasible_of

# Parameters of a proposal: an objective suggests them one by one, and meanwhile other threads and processes ask.
PROPOSED_ATTR = "explorer:proposed"
# The time of a suggestion grows with the rows of its fit. Of more rows, a third are the latest, a third are on the
# front or next to it, and the others are spread evenly over the rest.
MAX_ROWS = 120


@dataclass(frozen=True, slots=True)
class Observations:
    """Trials of a study as tables.

    Args:
        measured: knobs and learned columns of the COMPLETE trials, shape (n,) each; NaN where not recorded.
        learned: names of the columns to be learned, from which objectives and constraints are computed.
        trials: number of samples behind each accuracy, shape (n,); 0 where unknown.
        values: objectives, to be minimized, shape (n, m).
        is_feasible: shape (n,).
        done: the measured designs.
        pending: designs of RUNNING and WAITING trials.
        failed: designs of FAIL and PRUNED trials, and of those with an infinite value.
    """

    measured: Columns
    learned: tuple[str, ...]
    trials: Float
    values: Float
    is_feasible: NDArray[np.bool_]
    done: CandidatePool
    pending: CandidatePool
    failed: CandidatePool

    @property
    def rows_to_learn(self) -> NDArray[np.int64]:
        """Indices of the rows for a fit: all of them, or MAX_ROWS."""
        n = len(self.values)
        if n <= MAX_ROWS:
            return np.arange(n)
        # Rank by how many designs are better in every objective: the front first, and of equals the latest.
        beaten = np.sum(np.all(self.values[:, None, :] > self.values[None, :, :], axis=-1), axis=1)
        third = MAX_ROWS // 3
        before = n - third
        kept = np.zeros(n, dtype=np.bool_)
        kept[before:] = True
        kept[np.lexsort((-np.arange(before), beaten[:before]))[:third]] = True
        left = np.flatnonzero(~kept)
        kept[left[np.linspace(0, len(left) - 1, MAX_ROWS - 2 * third).astype(np.int64)]] = True
        return np.flatnonzero(kept)


def observations_from(trials: Sequence[FrozenTrial], problem: Problem, *, own: int) -> Observations:
    """Return the history of trials; the number `own` is that of the trial being proposed, which is not pending."""
    encoding, objectives = Encoding(problem.regions), problem.study.objectives
    names = set(encoding.distributions())
    complete = [t for t in trials if t.state == TrialState.COMPLETE and names <= t.params.keys() and _is_finite(t)]
    waiting = [t for t in trials if t.state in {TrialState.RUNNING, TrialState.WAITING} and t.number != own]
    failed = [t for t in trials if t.state.is_finished() and not (t.state == TrialState.COMPLETE and _is_finite(t))]
    params = columns_of([t.params for t in complete])
    designs = encoding.decode(params, n=len(complete))
    values = np.array([t.values for t in complete], dtype=np.float64).reshape(len(complete), len(objectives))
    learned = learned_columns(complete, problem)
    columns = {name: _column(name, complete, values, problem) for name in learned}
    return Observations(
        measured={**designs, **columns},
        learned=learned,
        trials=np.array([_n_samples(t) for t in complete], dtype=np.float64),
        values=to_minimization(values, objectives),
        is_feasible=is_feasible_of(complete),
        done=pool_of_designs(problem.regions, designs),
        pending=_pool(waiting, names, problem),
        failed=_pool(failed, names, problem),
    )


def learned_columns(complete: Sequence[FrozenTrial], problem: Problem) -> tuple[str, ...]:
    """Return the targets that objectives and constraints need, or these themselves where trials lack a target.

    Targets are preferred: an energy-delay product is learned better as the product of two forms.
    """
    study = problem.study
    columns = [*(one.name for one in study.objectives), *(one.column for one in study.constraints)]
    names: list[str] = []
    for name in columns:
        needs = OBJECTIVES[name].needs if name in OBJECTIVES else (name,) if name in TARGETS else ()
        is_recorded = all(any(_recorded(t, need) is not None for t in complete) for need in needs)
        names += needs if is_recorded or name in TARGETS else [name]
    return tuple(dict.fromkeys(names))


def _column(name: str, complete: Sequence[FrozenTrial], values: Float, problem: Problem) -> Float:
    """Return a column of the trials: recorded, else from the objectives, else from the excess over its limit."""
    study = problem.study
    result = np.array([_recorded(t, name) for t in complete], dtype=np.float64)
    for j, objective in enumerate(study.objectives):
        if objective.name == name:
            result = np.where(np.isfinite(result), result, values[:, j])
    for constraint in study.constraints:
        if constraint.column == name:
            excess = np.array([t.constraints.get(constraint.text, np.nan) for t in complete], dtype=np.float64)
            sign, scale = (1.0 if constraint.sense == "<=" else -1.0), abs(constraint.limit) or 1.0
            result = np.where(np.isfinite(result), result, constraint.limit + sign * scale * excess)
    return result


def _recorded(trial: FrozenTrial, name: str) -> float | None:
    value = trial.user_attrs.get(name)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _n_samples(trial: FrozenTrial) -> float:
    row = trial.user_attrs.get(MEASURED_ATTR)
    n = row.get("n_samples") if isinstance(row, dict) else None
    return float(n) if isinstance(n, int | float) and n > 0 else 0.0


def _is_finite(trial: FrozenTrial) -> bool:
    return bool(np.all(np.isfinite(trial.values)))


def _pool(trials: Sequence[FrozenTrial], names: set[str], problem: Problem) -> CandidatePool:
    """Return the designs of the trials whose parameters were all suggested, proposed or enqueued."""
    encoding = Encoding(problem.regions)
    attrs = [[t.system_attrs.get(kind, {}) for kind in (PROPOSED_ATTR, "fixed_params")] for t in trials]
    params = [{**proposed, **fixed, **t.params} for (proposed, fixed), t in zip(attrs, trials, strict=True)]
    params = [p for p in params if names <= p.keys() and encoding.has_choices(p)]
    return pool_of_designs(problem.regions, encoding.decode(columns_of(params), n=len(params)))
