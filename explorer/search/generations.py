"""Generations of Optuna's NSGA samplers whose parents are known, so that no trial makes them read the whole history."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial, create_trial

from explorer.models.assessment import Assessment
from explorer.pareto.front import ranks
from explorer.problem.columns import Float, take
from explorer.search.encoding import Encoding, columns_of, rows_of
from explorer.search.samplers import POPULATION
from explorer.search.sources import Proposal
from explorer.search.tried import Tried

# A front of thousands has more parents than a generation can use; sorting all of history would be quadratic again.
_MOST_PARENTS = 20 * POPULATION
# Where plain Optuna looks for a trial's generation: with it, its samplers go on from ours.
GENERATION_KEYS = {"nsga2": "NSGAIISampler:generation", "nsga3": "NSGAIIISampler:generation"}


class _Known:
    """What Optuna's genetic samplers ask of history, answered from what is at hand.

    Optuna 5 looks for the latest generation through all trials at every trial, and takes as parents only trials that it
    has marked itself: neither samples nor enqueued nor resumed trials. Here the generation and its parents are set.
    """

    generation: int
    parents: list[FrozenTrial]
    children: list[FrozenTrial]

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        del study, trial
        return self.generation

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        del study, generation
        return self.parents

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        del study, generation
        return self.children


class _KnownNSGAII(_Known, NSGAIISampler):
    pass


class _KnownNSGAIII(_Known, NSGAIIISampler):
    pass


_MAKERS: Mapping[str, Callable[[int], Any]] = {
    "nsga2": lambda seed: _KnownNSGAII(population_size=POPULATION, seed=seed),
    "nsga3": lambda seed: _KnownNSGAIII(population_size=POPULATION, seed=seed),
}


class Generational:
    """NSGA-II or NSGA-III, a generation at a time: everything that is finished may become a parent.

    Args:
        name: `nsga2` or `nsga3`.
        study: only for its directions; nothing is written to it.
        assessment: for the parameters of what was tried.
        tried: what is finished.
        seed: of the sampler.
    """

    def __init__(self, name: str, study: optuna.Study, assessment: Assessment, tried: Tried, *, seed: int) -> None:
        self._study, self._key = study, GENERATION_KEYS[name]
        self._encoding = Encoding(assessment.regions)
        self._distributions = self._encoding.distributions()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._sampler = _MAKERS[name](seed)
        self._sampler.generation, self._sampler.parents = 0, []
        self._sampler.children = _parents(assessment, tried, self._encoding)
        self._number = tried.n
        if len(self._sampler.children) >= POPULATION:
            self._next()

    @property
    def batch(self) -> int:
        """As many as the generation still lacks."""
        return POPULATION - len(self._sampler.children)

    def propose(self, n: int) -> Proposal:
        """Return at most n designs of the generation at hand."""
        params = [self._child(self._number + i) for i in range(n)]
        return Proposal(columns_of(params), n, {self._key: [self._sampler.generation] * n})

    def learn(self, proposal: Proposal, values: Float, constraints: Mapping[str, Float]) -> None:
        """Make children of what became of a proposal, and parents of the best when they are a population."""
        for i, params in enumerate(rows_of(proposal.params)):
            missed = {name: float(misses[i]) for name, misses in constraints.items()}
            self._sampler.children.append(_trial(params, self._distributions, values[i], missed, self._number))
            self._number += 1
        if len(self._sampler.children) >= POPULATION:
            self._next()

    def _next(self) -> None:
        self._sampler.parents = self._sampler.select_parent(self._study, self._sampler.generation + 1)
        self._sampler.children = []
        self._sampler.generation += 1

    def _child(self, number: int) -> dict[str, Any]:
        blank = _blank(number)
        drawn = self._sampler.sample_relative(self._study, blank, self._distributions)
        return {
            name: drawn[name] if name in drawn
            else self._sampler.sample_independent(self._study, blank, name, distribution)
            for name, distribution in self._distributions.items()
        }  # fmt: skip


def _parents(assessment: Assessment, tried: Tried, encoding: Encoding) -> list[FrozenTrial]:
    """Return what is finished as trials; of a long history the best, by feasibility and layer."""
    if not tried.n:
        return []
    excess = assessment.excess(tried.table)
    rows = np.arange(tried.n)
    if tried.n > _MOST_PARENTS:
        missed = (
            np.sum([np.maximum(misses, 0.0) for misses in excess.values()], axis=0) if excess else np.zeros(tried.n)
        )
        rank = ranks(assessment.values(tried.table), assessment.study.objectives)
        rows = np.lexsort((rank, missed))[:_MOST_PARENTS]
    params = rows_of(encoding.encode(take(tried.table, rows))) or [{} for _ in rows]
    values, distributions = assessment.values(tried.table), encoding.distributions()
    return [
        _trial(one, distributions, values[i], {name: float(misses[i]) for name, misses in excess.items()}, i)
        for one, i in zip(params, rows.tolist(), strict=True)
    ]


def _trial(
    params: dict[str, Any], distributions: Mapping[str, BaseDistribution], values: Float, missed: Mapping[str, float],
    number: int,
) -> FrozenTrial:  # fmt: skip
    trial = create_trial(
        params=params, distributions=dict(distributions), values=values.tolist(), constraints=dict(missed)
    )
    trial.number = number  # Optuna's crowding distance tells trials apart by it
    return trial


def _blank(number: int) -> FrozenTrial:
    trial = create_trial(state=optuna.trial.TrialState.RUNNING)
    trial.number = number
    return trial
