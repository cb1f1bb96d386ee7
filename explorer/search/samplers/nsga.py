"""NSGA-II and NSGA-III by generations with given parents, without reading the whole history for each trial.

Deb et al. 2002 (NSGA-II), Deb and Jain 2014 (NSGA-III).
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.models.evaluation import Problem
from explorer.pareto.geometry.dominance import nondominated_rank
from explorer.problem.columns import Float, take
from explorer.search.encoding import Encoding, columns_of, rows_of
from explorer.search.samplers.generators import CandidateBatch
from explorer.search.samplers.registry import POPULATION
from explorer.search.trial_table import TrialTable

# A generation cannot use more, and non-dominated sorting of a long history is quadratic.
_MAX_PARENTS = 20 * POPULATION
# System attributes of a trial's generation, from which plain Optuna's samplers continue.
GENERATION_KEYS = {"nsga2": "NSGAIISampler:generation", "nsga3": "NSGAIIISampler:generation"}


class _FixedParents:
    """Mixin of Optuna's genetic samplers with a given generation and parents.

    Optuna 5 reads all trials at every trial to get the latest generation, and selects as parents only trials of its own
    generations: neither samples nor enqueued nor resumed trials.
    """

    generation = 0
    parents: Sequence[FrozenTrial] = ()
    children: list[FrozenTrial]

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        del study, trial
        return self.generation

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        del study, generation
        return list(self.parents)

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        del study, generation
        return self.children


class _NSGAII(_FixedParents, NSGAIISampler):
    pass


class _NSGAIII(_FixedParents, NSGAIIISampler):
    pass


_SAMPLERS: Mapping[str, type[_NSGAII | _NSGAIII]] = {"nsga2": _NSGAII, "nsga3": _NSGAIII}


class NSGAGenerator:
    """Generator by NSGA-II or NSGA-III, one generation at a time, with all COMPLETE trials as possible parents.

    Args:
        name: `nsga2` or `nsga3`.
        study: only for its directions; nothing is written to it.
        problem: the study with its evaluator.
        trials: the COMPLETE trials.
        seed: of the sampler.
    """

    def __init__(self, name: str, study: optuna.Study, problem: Problem, trials: TrialTable, *, seed: int) -> None:
        self._study, self._key = study, GENERATION_KEYS[name]
        encoding = Encoding(problem.regions)
        self._distributions = encoding.distributions()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._sampler = _SAMPLERS[name](population_size=POPULATION, seed=seed)
        self._sampler.children = _candidate_parents(problem, trials, encoding)
        self._number = trials.n
        self._next_generation()

    @property
    def batch(self) -> int:
        """Number of missing designs of the generation."""
        return POPULATION - len(self._sampler.children)

    def propose(self, n: int) -> CandidateBatch:
        """Return at most n designs of this generation."""
        params = [self._child(self._number + i) for i in range(n)]
        return CandidateBatch(columns_of(params), n, {self._key: [self._sampler.generation] * n})

    def tell(self, proposal: CandidateBatch, values: Float, constraints: Mapping[str, Float]) -> None:
        """Add the outcome of a proposal to the generation, and select parents once it is complete."""
        for i, params in enumerate(rows_of(proposal.params)):
            excess = {name: float(of[i]) for name, of in constraints.items()}
            self._sampler.children.append(_trial(params, self._distributions, values[i], excess, self._number))
            self._number += 1
        self._next_generation()

    def _next_generation(self) -> None:
        if len(self._sampler.children) >= POPULATION:
            self._sampler.parents = self._sampler.select_parent(self._study, self._sampler.generation + 1)
            self._sampler.children = []
            self._sampler.generation += 1

    def _child(self, number: int) -> dict[str, Any]:
        blank = create_trial(state=TrialState.RUNNING)
        blank.number = number
        params = self._sampler.sample_relative(self._study, blank, self._distributions)
        return {
            name: params[name] if name in params
            else self._sampler.sample_independent(self._study, blank, name, distribution)
            for name, distribution in self._distributions.items()
        }  # fmt: skip


def _candidate_parents(problem: Problem, trials: TrialTable, encoding: Encoding) -> list[FrozenTrial]:
    """Return the COMPLETE trials; of many the best, by total constraint violation, then by non-domination rank."""
    if not trials.n:
        return []
    excess, values, rows = (
        problem.constraint_violations(trials.table),
        problem.values(trials.table),
        np.arange(trials.n),
    )
    if trials.n > _MAX_PARENTS:
        total = np.zeros(trials.n)
        for of in excess.values():
            total += np.maximum(of, 0.0)
        rows = np.lexsort((nondominated_rank(values, problem.study.objectives), total))[:_MAX_PARENTS]
    params = rows_of(encoding.encode(take(trials.table, rows))) or [{} for _ in rows]
    distributions = encoding.distributions()
    return [
        _trial(one, distributions, values[i], {name: float(of[i]) for name, of in excess.items()}, i)
        for one, i in zip(params, rows.tolist(), strict=True)
    ]


def _trial(
    params: dict[str, Any], distributions: Mapping[str, BaseDistribution], values: Float, excess: dict[str, float],
    number: int,
) -> FrozenTrial:  # fmt: skip
    trial = create_trial(params=params, distributions=dict(distributions), values=values.tolist(), constraints=excess)
    trial.number = number  # key of a trial in Optuna's crowding distance
    return trial
