"""Optuna sampler that proposes the designs of the exact front of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.batch_plan import MAX_OBJECTIVES, batch_plan
from explorer.problem.columns import Columns, n_rows, stack
from explorer.search.encoding import Encoding, rows_of
from explorer.search.session import prepare_reference
from explorer.search.storage.bulk import set_system_attr
from explorer.search.trial_table import trial_table

PLANNED_ATTR = "explorer:planned"
_N_PLANNED = 256


class ModelSampler(BaseSampler):
    """Optuna sampler that proposes designs of the exact front in order of their marginal hypervolume gain.

    The n-th trial is the n-th design of one plan in every process: workers with the same seed never repeat each
    other. Earlier trials of the study count as measured. In plain Optuna an objective suggests the
    parameters of `distributions`, or call `study.ask(sampler.distributions)`; other parameters are drawn at random.

    Args:
        problem: a study of one to three objectives with predicted designs: `explorer.load("edp-accuracy")`.
        n_trials: number of designs to plan first.
        reference: the hypervolume's reference point, in the objectives' order; default: the study's.
        seed: of the plan.

    Raises:
        WrongUsage: the study is a measured one, or has more than three objectives.
    """

    def __init__(
        self, problem: Problem, *, n_trials: int = _N_PLANNED, reference: Sequence[float] | None = None, seed: int = 0
    ) -> None:
        if not problem.is_vectorized:
            raise WrongUsage("every design would have to be measured", fix="use LearningSampler")
        if len(problem.study.objectives) > MAX_OBJECTIVES:
            raise WrongUsage("the exact front is computed for at most three objectives", fix="use NSGAIIISampler")
        self._problem, self._seed = problem, seed
        self._reference = prepare_reference(problem) if reference is None else tuple(reference)
        self._encoding = Encoding(problem.regions)
        self._independent = RandomSampler(seed=seed)
        self._n_planned = max(1, n_trials)
        self._prior_numbers: list[int] = []
        self._n_own_prior = 0
        self._plan: list[dict[str, Any]] | None = None
        self._prior_designs: Columns | None = None
        self._planned_designs: Columns | None = None

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Names and ranges of a trial's parameters."""
        return self._encoding.distributions()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the study."""
        del study, trial
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the planned design of a trial."""
        if self._plan is None:
            self._read_prior_trials(study, before=trial.number)
        index = trial.number - int(np.searchsorted(self._prior_numbers, trial.number))
        params = self._planned_params(index)
        set_system_attr(study, trial, PLANNED_ATTR, self._n_own_prior)
        return {name: params[name] for name in search_space if name in params}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that the study does not have."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _read_prior_trials(self, study: optuna.Study, *, before: int) -> None:
        """Read the earlier trials that are not of this plan: the same ones in every process and at any time.

        A plan is known by the number of unplanned trials before it. Trials of another plan are prior ones too, so that
        none of their designs is repeated.
        """
        trials = [t for t in study.get_trials(deepcopy=False) if t.number < before]
        self._n_own_prior = sum(PLANNED_ATTR not in t.system_attrs for t in trials)
        prior = [t for t in trials if t.system_attrs.get(PLANNED_ATTR) != self._n_own_prior]
        self._prior_numbers = [t.number for t in prior]
        complete = trial_table([t for t in prior if t.state == TrialState.COMPLETE], self._problem)
        self._prior_designs = complete.table if complete.n else None
        self._plan = []

    def _planned_params(self, index: int) -> dict[str, Any]:
        plan = self._plan or []
        while index >= len(plan):
            excluded = [part for part in (self._prior_designs, self._planned_designs) if part is not None]
            more = batch_plan(
                self._problem, self._reference, max(self._n_planned, len(plan)), seed=self._seed,
                known=stack(excluded) if excluded else None,
            )  # fmt: skip
            if not n_rows(more):  # no design is left: repeat
                return plan[index % len(plan)]
            evaluated = self._problem.evaluate(more)
            self._planned_designs = (
                evaluated if self._planned_designs is None else stack([self._planned_designs, evaluated])
            )
            plan += rows_of(self._encoding.encode(more))
        self._plan = plan
        return plan[index]
