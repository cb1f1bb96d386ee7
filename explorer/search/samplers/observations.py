"""Observations of a study for the learning sampler: measured, pending and failed designs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.candidate_pool import CandidatePool, pool_of_designs
from explorer.pareto.geometry.dominance import to_minimization
from explorer.problem.columns import TARGETS, Columns, Float
from explorer.problem.objectives import needs_of
from explorer.search.encoding import Encoding, columns_of
from explorer.search.session import MEASURED_ATTR
from explorer.search.trial_table import is_feasible_of

# Parameters of a proposal, stored at once: an objective suggests them one by one, while other processes ask.
PROPOSED_ATTR = "explorer:proposed"
# Limits the time of a fit. Of more rows, a third are the latest, a third are on the front or next to it, and the
# others are spread evenly over the rest.
MAX_ROWS = 120
_WORST = 1e300


@dataclass(frozen=True, slots=True)
class Observations:
    """Trials of a study as tables.

    Args:
        measured: knobs and fitted columns of the COMPLETE trials, shape (n,) each; NaN where not recorded.
        fit_columns: names of the columns to be fitted, from which objectives and constraints are computed.
        n_samples: number of samples of each accuracy, shape (n,); 0 if unknown.
        values: objectives, to be minimized, shape (n, m).
        is_feasible: shape (n,).
        done: the measured designs.
        pending: designs of RUNNING and WAITING trials.
        failed: designs of FAIL and PRUNED trials, and of those with an infinite value and without targets.
    """

    measured: Columns
    fit_columns: tuple[str, ...]
    n_samples: Float
    values: Float
    is_feasible: NDArray[np.bool_]
    done: CandidatePool
    pending: CandidatePool
    failed: CandidatePool

    @property
    def fit_rows(self) -> NDArray[np.int64]:
        """Indices of the rows for a fit: all of them, or MAX_ROWS."""
        n = len(self.values)
        if n <= MAX_ROWS:
            return np.arange(n)
        # Sort by the number of designs that are better in every objective, then the latest first.
        n_better = np.sum(np.all(self.values[:, None, :] > self.values[None, :, :], axis=-1), axis=1)
        third = MAX_ROWS // 3
        before = n - third
        is_selected = np.zeros(n, dtype=np.bool_)
        is_selected[before:] = True
        is_selected[np.lexsort((-np.arange(before), n_better[:before]))[:third]] = True
        rest = np.flatnonzero(~is_selected)
        is_selected[rest[np.linspace(0, len(rest) - 1, MAX_ROWS - 2 * third).astype(np.int64)]] = True
        return np.flatnonzero(is_selected)


def observations_from(trials: Sequence[FrozenTrial], problem: Problem, *, exclude: int) -> Observations:
    """Return the observations in trials; `exclude` is the number of the trial being proposed, which is not pending."""
    encoding, objectives = Encoding(problem.regions), problem.study.objectives
    names = set(encoding.distributions())
    needs = {need for name in problem.study.compared_columns for need in needs_of(name)}
    usable = {t.number for t in trials if t.state == TrialState.COMPLETE and (_is_finite(t) or _has(t, needs))}
    complete = [t for t in trials if t.number in usable and names <= t.params.keys()]
    waiting = [t for t in trials if t.state in {TrialState.RUNNING, TrialState.WAITING} and t.number != exclude]
    failed = [t for t in trials if t.state.is_finished() and t.number not in usable]
    params = columns_of([t.params for t in complete])
    designs = encoding.decode(params, n=len(complete))
    values = np.array([t.values for t in complete], dtype=np.float64).reshape(len(complete), len(objectives))
    fit_columns = columns_to_fit(complete, problem)
    columns = {name: _column(name, complete, values, problem) for name in fit_columns}
    return Observations(
        measured={**designs, **columns},
        fit_columns=fit_columns,
        n_samples=np.array([_n_samples(t) for t in complete], dtype=np.float64),
        # A design that cannot keep up with its inputs has infinite values: infeasible, but its targets are known.
        values=np.clip(to_minimization(values, objectives), -_WORST, _WORST),
        is_feasible=is_feasible_of(complete),
        done=pool_of_designs(problem.regions, designs),
        pending=_pool(waiting, names, problem),
        failed=_pool(failed, names, problem),
    )


def columns_to_fit(complete: Sequence[FrozenTrial], problem: Problem) -> tuple[str, ...]:
    """Return the targets that objectives and constraints need, or these themselves if trials lack a target.

    Targets are preferred: an energy-delay product is fitted better as the product of two forms.
    """
    study = problem.study
    names: list[str] = []
    for name in study.compared_columns:
        needs = needs_of(name)
        is_recorded = all(any(_recorded(t, need) is not None for t in complete) for need in needs)
        names += needs if is_recorded or name in TARGETS else [name]
    return tuple(dict.fromkeys(names))


def _column(name: str, complete: Sequence[FrozenTrial], values: Float, problem: Problem) -> Float:
    """Return a column of the trials: recorded, else from the objectives, else from its constraint violation."""
    study = problem.study
    result = np.array([_recorded(t, name) for t in complete], dtype=np.float64)
    for j, objective in enumerate(study.objectives):
        if objective.name == name:
            result = np.where(np.isfinite(result), result, values[:, j])
    for constraint in study.constraints:
        if constraint.column == name and constraint.probability is None:  # else it compares a percentile
            excess = np.array([t.constraints.get(constraint.text, np.nan) for t in complete], dtype=np.float64)
            sign, scale = (1.0 if constraint.sense == "<=" else -1.0), abs(constraint.limit) or 1.0
            result = np.where(np.isfinite(result), result, constraint.limit + sign * scale * excess)
    return result


def _has(trial: FrozenTrial, targets: Collection[str]) -> bool:
    """Return whether a trial records all of some targets, and no value of it is unknown."""
    return not np.isnan(trial.values).any() and all(_recorded(trial, target) is not None for target in targets)


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
    """Return the designs of the trials that have all parameters suggested, proposed or enqueued."""
    encoding = Encoding(problem.regions)
    attrs = [[t.system_attrs.get(kind, {}) for kind in (PROPOSED_ATTR, "fixed_params")] for t in trials]
    params = [{**proposed, **fixed, **t.params} for (proposed, fixed), t in zip(attrs, trials, strict=True)]
    params = [p for p in params if names <= p.keys() and encoding.has_choices(p)]
    return pool_of_designs(problem.regions, encoding.decode(columns_of(params), n=len(params)))
