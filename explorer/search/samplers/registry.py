"""Registry of samplers by name, with their batch sizes."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import MissingPart, UnknownName
from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.batch_plan import MAX_OBJECTIVES

POPULATION = 50
MODEL, LEARNING = "model", "learning"
"""Meaning of `auto` for predicted and for measured designs."""
_FREE_BATCH = 256


class _AskTellGrid(GridSampler):
    """Grid sampler for ask-and-tell: Optuna's calls `Study.stop` at its end, which works in `optimize` only."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Do nothing."""


def derive_seed(seed: int, *, done: int) -> int:
    """Return the seed of a search that starts with `done` trials, so that a resumed one proposes other designs."""
    return int(np.random.SeedSequence([seed, done, 0]).generate_state(1)[0])


def sampler_name(problem: Problem) -> str:
    """Return the name of a study's sampler; `auto` is resolved.

    For predicted designs it is "model" (greedy hypervolume subset of the exact front) up to three objectives, else
    "nsga3"; for measured ones "learning".
    """
    study = problem.study
    if study.sampler != "auto":
        return study.sampler
    if not problem.is_vectorized:
        return LEARNING
    return MODEL if len(study.objectives) <= MAX_OBJECTIVES else "nsga3"


def is_full_factorial(problem: Problem) -> bool:
    """Return True if the number of trials suffices to evaluate every design of a finite space."""
    return problem.n_designs <= problem.study.trials


def make_sampler(
    name: str,
    *,
    seed: int,
    done: int,
    trials: int,
    distributions: Mapping[str, BaseDistribution],
    is_parallel: bool = False,
) -> BaseSampler:
    """Return one of Optuna's samplers.

    Args:
        name: name of the sampler in a study file.
        seed: the study's seed.
        done: number of COMPLETE trials, for the seed.
        trials: requested number of trials in total, for the size of the grid.
        distributions: of the parameters.
        is_parallel: whether several designs are in flight.

    Raises:
        MissingPart: `gp` needs torch.
        UnknownName: no sampler has this name.
    """
    derived = derive_seed(seed, done=done)
    if name == "gp" and find_spec("torch") is None:
        raise MissingPart("torch", needed_for="sampler 'gp'", extra="gp")
    makers: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: TPESampler(seed=derived, multivariate=True, constant_liar=is_parallel),
        "nsga2": lambda: NSGAIISampler(population_size=POPULATION, seed=derived),
        "nsga3": lambda: NSGAIIISampler(population_size=POPULATION, seed=derived),
        # A sequence is resumed only under the same seed.
        "qmc": lambda: QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False),
        "random": lambda: RandomSampler(seed=derived),
        "grid": lambda: _AskTellGrid(_grid(distributions, trials), seed=seed),
        "gp": lambda: GPSampler(seed=derived, deterministic_objective=True),
    }
    if name not in makers:
        raise UnknownName("sampler", name, makers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return makers[name]()


def batch_size(name: str) -> int:
    """Return the number of trials per batch: a generation, or one for a sampler that is updated by each trial."""
    if name in {"nsga2", "nsga3"}:
        return POPULATION
    return 1 if name in {"tpe", "gp"} else _FREE_BATCH


def _grid(distributions: Mapping[str, BaseDistribution], trials: int) -> dict[str, list[float] | list[str]]:
    """Return a full grid of at least `trials` points with its bounds, with equal numbers of levels per axis."""
    free = [name for name, d in distributions.items() if isinstance(d, FloatDistribution)]
    choices = {
        name: [str(one) for one in d.choices] if isinstance(d, CategoricalDistribution) else [*range(d.low, d.high + 1)]
        for name, d in distributions.items()
        if isinstance(d, CategoricalDistribution | IntDistribution)
    }
    cells = math.prod(map(len, choices.values()))
    n = max(2, math.ceil((trials / cells) ** (1 / max(len(free), 1)) - 1e-9))
    grid: dict[str, list[float] | list[str]] = {}
    for name, distribution in distributions.items():
        if name in choices:
            grid[name] = choices[name]
        elif isinstance(distribution, FloatDistribution):
            low, high = distribution.low, distribution.high
            points = np.geomspace(low, high, n) if distribution.log else np.linspace(low, high, n)
            grid[name] = np.clip(points, low, high).tolist()
    return grid
