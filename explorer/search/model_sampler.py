"""An ordinary Optuna sampler that knows the model: it proposes from the exact front of the evaluator's surrogate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import WrongUsage
from explorer.models.assessment import Assessment
from explorer.pareto.plan import MAX_OBJECTIVES, plan_designs
from explorer.problem.columns import Columns, n_rows, stack
from explorer.search.begin import prepare_reference
from explorer.search.bulk import set_system_attr
from explorer.search.encoding import Encoding, rows_of
from explorer.search.tried import tried_of

PLANNED_ATTR = "explorer:planned"
_FIRST = 256


class ModelSampler(BaseSampler):
    """Proposes the designs that together show the exact front of a model best, each where it adds most to the others.

    Any number of trials is a good picture of the front: the n-th trial is the n-th design of one plan, whichever
    process asks for it, so that workers with the same seed never repeat each other. What a study held before counts as
    tried.

    In plain Optuna an objective suggests the parameters under the names and ranges of `distributions`, or a trial is
    asked with them: `study.ask(sampler.distributions)`. Parameters of other names are drawn at random.

    Args:
        assessment: the study with a vectorized evaluator, of two or three objectives: `explorer.load("edp-accuracy")`.
        n_trials: how many trials are expected; more are planned when they are asked for.
        reference: the hypervolume's reference point, in the objectives' order; default: the study's.
        seed: the same one gives the same plan.

    Raises:
        WrongUsage: every design would have to be measured, or there are more than three objectives.
    """

    def __init__(
        self,
        assessment: Assessment,
        *,
        n_trials: int = _FIRST,
        reference: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        if not assessment.is_cheap:
            raise WrongUsage("every design would have to be measured", fix="use LearningSampler")
        if len(assessment.study.objectives) > MAX_OBJECTIVES:
            raise WrongUsage("the exact front of more than three objectives is not known", fix="use NSGAIIISampler")
        self._assessment, self._seed = assessment, seed
        self._reference = prepare_reference(assessment) if reference is None else tuple(reference)
        self._encoding = Encoding(assessment.regions)
        self._independent = RandomSampler(seed=seed)
        self._n_planned = max(1, n_trials)
        self._others: list[int] = []
        self._plan: list[dict[str, Any]] | None = None
        self._known: Columns | None = None
        self._designs: Columns | None = None

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What a trial's parameters are: names and ranges."""
        return self._encoding.distributions()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are proposed together: all of the model's."""
        del study, trial
        return self.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the design of the plan that is this trial's."""
        if self._plan is None:
            self._look(study, before=trial.number)
        place = trial.number - int(np.searchsorted(self._others, trial.number))
        params = self._at(place)
        set_system_attr(study, trial, PLANNED_ATTR, place)
        return {name: params[name] for name in search_space if name in params}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that the model has no name for."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _look(self, study: optuna.Study, *, before: int) -> None:
        """Take in what is there that no such plan has proposed: whoever looks, and whenever, sees the same."""
        trials = study.get_trials(deepcopy=False)
        others = [t for t in trials if t.number < before and PLANNED_ATTR not in t.system_attrs]
        self._others = [t.number for t in others]
        tried = tried_of([t for t in others if t.state == TrialState.COMPLETE], self._assessment)
        self._known = tried.table if tried.n else None
        self._plan = []

    def _at(self, place: int) -> dict[str, Any]:
        plan = self._plan or []
        while place >= len(plan):
            known = [part for part in (self._known, self._designs) if part is not None]
            more = plan_designs(
                self._assessment, self._reference, max(self._n_planned, len(plan)), seed=self._seed,
                known=stack(known) if known else None,
            )  # fmt: skip
            if not n_rows(more):  # there are no more designs: begin again
                return plan[place % len(plan)]
            assessed = self._assessment.assess(more)
            self._designs = assessed if self._designs is None else stack([self._designs, assessed])
            plan += rows_of(self._encoding.encode(more))
        self._plan = plan
        return plan[place]
