"""The learning sampler: an Optuna sampler that proposes the design with the greatest expected gain of hypervolume."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from explorer.models.assessment import Assessment
from explorer.models.ground import ground_of
from explorer.models.learner import learn
from explorer.pareto.front import feasible_front
from explorer.pareto.next_design import Known, judge_of, next_designs
from explorer.pareto.pool import Pool, placed, pooled, scanned
from explorer.problem.columns import TARGETS, Columns, Float, take
from explorer.problem.objectives import OBJECTIVES
from explorer.search.encoding import Encoding

N_STARTUP = 4
N_DRAWS = 64


class LearningSampler(BaseSampler):
    """Proto."""

    def __init__(self, assessment, *, reference, seed, n_startup=N_STARTUP):
        self._assessment, self._reference = assessment, reference
        self._seed = seed
        self._n_startup = n_startup
        self._encoding = Encoding(assessment.regions)
        self._ground = ground_of(assessment.regions)
        self._tpe = TPESampler(seed=seed, multivariate=True)
        self.fallbacks: Counter[str] = Counter()
        self.targets = _targets_of(assessment)

    def infer_relative_search_space(self, study, trial):
        return self._encoding.distributions()

    def sample_relative(self, study, trial, search_space):
        params = self._proposed(study, trial)
        return params

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def _proposed(self, study, trial):
        trials = study.get_trials(deepcopy=False)
        done = [t for t in trials if t.state == TrialState.COMPLETE]
        regions = self._assessment.regions
        rng = np.random.default_rng([self._seed, trial.number])
        if len(done) < self._n_startup:
            pool = scanned(regions, 16, seed=self._seed)
            return self._encoding.encode(take(pool.designs, np.array([trial.number])))[0]
        a = self._assessment
        designs = self._encoding.decode([t.params for t in done])
        columns = {**designs, **{t: np.array([d.user_attrs[t] for d in done]) for t in self.targets}}
        trials_n=np.array([float(d.user_attrs.get('explorer:measured',{}).get('n_samples',0)) for d in done]); learned = learn(columns, self.targets, self._ground, seed=self._seed, trials=trials_n)
        objectives = a.study.objectives
        signs = np.array([o.sign for o in objectives])
        values = np.array([t.values for t in done])*signs
        ok = np.array([all(c <= 0 for c in t.constraints.values()) for t in done])
        pool = placed(regions, designs)
        pending = [t for t in trials if t.state == TrialState.RUNNING and t.params]
        front = feasible_front(values*signs, ok, objectives)
        best = pool.rows(front) if front.any() else pool
        empty = pool.rows(np.zeros(0, dtype=np.int64))
        known = Known(values[ok], best, placed(regions, self._encoding.decode([t.params for t in pending])) if pending else empty, set(pool.keys))
        judge = judge_of(a, learned.draws(N_DRAWS, seed=self._seed + trial.number))
        found = next_designs(judge, known, np.array(self._reference)*signs, n=1, rng=rng, seed=self._seed)
        return self._encoding.encode(found.designs)[0]


def _targets_of(assessment):
    names = []
    for o in assessment.study.objectives: names += list(o.needs)
    for c in assessment.study.constraints:
        names += list(OBJECTIVES[c.column].needs) if c.column in OBJECTIVES else [c.column]
    return [n for n in dict.fromkeys(names) if n in TARGETS]
