"""Optuna sampler that maximizes the expected hypervolume improvement (Emmerich 2006; Daulton et al. 2020)."""

import warnings
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from explorer.models.evaluation import Problem
from explorer.models.online.input_space import build_input_space
from explorer.models.online.surrogate import OnlineSurrogate, fit_online
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, placed, scanned
from explorer.pareto.acquisition.expected_improvement import SearchHistory, posterior_objectives, select_by_ehvi
from explorer.problem.columns import Float, take
from explorer.search.encoding import Encoding, columns_of
from explorer.search.samplers.observations import PROPOSED_ATTR, Observations, observations_from
from explorer.search.storage.bulk import set_system_attr

N_STARTUP = 4
# With eight designs in flight, a fit to the first two results is better than more initial designs.
_MIN_TO_FIT, _MANY_IN_FLIGHT = 2, 8
N_DRAWS = 64
_SPREAD_SIZES = (64, 1024, 16384)  # sizes of space-filling designs: the next one once all designs of the last are used
# Threads that share a study propose in sequence, so that each counts the proposals of the others as pending.
_ASK_LOCK = Lock()


class LearningSampler(BaseSampler):
    """Optuna sampler for expensive evaluations by Bayesian optimization on posterior draws.

    The initial design is space-filling. Then each suggestion fits the targets that trials record as user attributes
    under their column names (or the objectives, if they record none), and selects the design of greatest expected
    hypervolume improvement over posterior draws. In each draw, RUNNING trials count as measured at their drawn values.
    No design is proposed twice while another is left. The same seed and trials give the same design. Call `expect`
    before asking for several trials at once: they share one fit.

    Args:
        problem: the study; its evaluator is never called.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of draws and candidates. Parallel workers need different seeds.
        n_startup: size of the initial design.

    Attributes:
        fallbacks: number of proposals by TPE after a failed fit, by error.
    """

    def __init__(self, problem: Problem, *, reference: Sequence[float], seed: int, n_startup: int = N_STARTUP) -> None:
        self._problem = problem
        self._signs = np.array([objective.sign for objective in problem.study.objectives])
        self._reference: Float = np.asarray(reference, dtype=np.float64) * self._signs
        self._seed = seed
        self._n_startup = max(1, n_startup)
        self._encoding = Encoding(problem.regions)
        self._space = self._encoding.distributions()
        self._input_space = build_input_space(problem.regions)
        self._n_expected = 0
        self._is_batched = False  # whether `expect` was ever called with several designs
        self._batch: list[CandidatePool] = []  # selected, not yet proposed
        self._n_trials = 0  # number of trials at their selection
        self._fit: tuple[str, OnlineSurrogate] | None = None  # last fit, with a key of its data
        self.fallbacks: Counter[str] = Counter()

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Names and ranges of a trial's parameters."""
        return dict(self._space)

    def expect(self, n: int) -> None:
        """Let the next n suggestions share one fit.

        The first of them selects n designs greedily: in every draw, each counts as measured when the next is selected.

        Args:
            n: number of trials to be asked for before any of them is finished.
        """
        with _ASK_LOCK:
            self._n_expected, self._batch = n, []
            self._is_batched |= n > 1

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the study."""
        del study, trial
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the next design."""
        if search_space.keys() <= trial.system_attrs.get("fixed_params", {}).keys():
            return {}
        with _ASK_LOCK:
            params = self._propose(study, trial)
            set_system_attr(study, trial, PROPOSED_ATTR, params)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample, by TPE, a parameter that the study does not have, or not in this range."""
        return self._tpe(trial.number).sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Derive a new seed, as Optuna requires of samplers that threads share."""
        self._seed = int(np.random.SeedSequence([self._seed, 1]).generate_state(1)[0])

    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        n, self._n_expected = max(1, self._n_expected), max(0, self._n_expected - 1)
        if params := self._next_of_batch(trials, exclude=trial.number):
            return params
        observations = observations_from(trials, self._problem, exclude=trial.number)
        if not self._can_fit(observations):
            return self._params(self._initial_design(observations, trial.number))
        try:
            selected = self._select_batch(observations, trial.number, n=n)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.fallbacks[f"{type(error).__name__}: {error}"] += 1
            return self._propose_by_tpe(study, trial, observations)
        self._batch, self._n_trials = [selected.rows(np.array([i])) for i in range(1, selected.n)], len(trials)
        return self._params(selected)

    def _can_fit(self, observations: Observations) -> bool:
        """Return True after the initial design, or earlier with many designs in flight."""
        n = len(observations.values)
        has_many = self._is_batched and n + observations.pending.n >= max(_MANY_IN_FLIGHT, self._n_startup)
        return n >= self._n_startup or (has_many and n >= _MIN_TO_FIT)

    def _next_of_batch(self, trials: Sequence[FrozenTrial], *, exclude: int) -> dict[str, Any] | None:
        """Return the next design of the batch that no trial has yet, or None."""
        if not self._batch:
            return None
        # Trials that were finished before the selection cannot have one of its designs.
        recent = [t for t in trials if t.number >= self._n_trials or not t.state.is_finished()]
        excluded = _excluded_keys(observations_from(recent, self._problem, exclude=exclude))
        while self._batch:
            design = self._batch.pop(0)
            if design.keys[0] not in excluded:
                return self._params(design)
        return None

    def _select_batch(self, observations: Observations, number: int, *, n: int) -> CandidatePool:
        """Return at most n designs, at least one, of the greatest joint expected hypervolume improvement.

        Raises:
            ValueError, ArithmeticError, LinAlgError: the fit or its draws failed.
        """
        posterior = posterior_objectives(
            self._problem, self._fit_surrogate(observations).draws(N_DRAWS, seed=self._seed_of(number))
        )
        search_history = SearchHistory(
            observations.values[observations.is_feasible],
            _incumbent_front(observations),
            observations.pending,
            _excluded_keys(observations),
        )
        rng = np.random.default_rng(self._seed_of(number))
        selected = select_by_ehvi(posterior, search_history, self._reference, n=n, rng=rng, seed=self._seed)
        return selected if selected.n else self._initial_design(observations, number)

    def _fit_surrogate(self, observations: Observations) -> OnlineSurrogate:
        """Return the fit to the measurements, cached while they do not change."""
        rows = observations.fit_rows
        measured, n_samples = take(observations.measured, rows), observations.n_samples[rows]
        columns = tuple((name, tuple(values.tolist())) for name, values in measured.items())
        key = repr((self._seed, observations.fit_columns, n_samples.tolist(), columns))  # as text, since NaN != NaN
        if self._fit is None or self._fit[0] != key:
            fit = fit_online(
                measured, observations.fit_columns, self._input_space, seed=self._seed, n_counted=n_samples
            )
            self._fit = key, fit
        return self._fit[1]

    def _initial_design(self, observations: Observations, number: int) -> CandidatePool:
        """Return a new design of a space-filling sequence; a repeated one if no other is left."""
        excluded = _excluded_keys(observations)
        for n in _SPREAD_SIZES:
            pool = scanned(self._problem.regions, n, seed=self._seed)
            remaining = pool.without(excluded)
            if remaining.n:
                return remaining.rows(np.array([0]))
            if pool.is_whole:
                break
        return pool.rows(np.array([number % pool.n]))

    def _params(self, selected: CandidatePool) -> dict[str, Any]:
        params = self._encoding.encode(selected.designs)
        return {name: params[name][0] for name in self._space}

    def _propose_by_tpe(self, study: Study, trial: FrozenTrial, observations: Observations) -> dict[str, Any]:
        """Return a proposal of TPE; an initial design if TPE samples independently or repeats a design."""
        params = self._tpe(trial.number).sample_relative(study, trial, self._space)
        if self._space.keys() <= params.keys():
            (key,) = placed(self._problem.regions, self._encoding.decode(columns_of([params]), n=1)).keys
            if key not in _excluded_keys(observations):
                return params
        return self._params(self._initial_design(observations, trial.number))

    def _tpe(self, number: int) -> TPESampler:
        """Return a stateless TPE sampler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=self._seed_of(number), multivariate=True, constant_liar=True)

    def _seed_of(self, number: int) -> int:
        """Return the seed of one suggestion."""
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _incumbent_front(observations: Observations) -> CandidatePool:
    """Return the measured front, or all measured designs if none is feasible."""
    feasible = np.flatnonzero(observations.is_feasible)
    if not feasible.size:
        return observations.done
    values = observations.values[feasible]
    is_dominated = np.array([np.any(np.all(values <= one, axis=1) & np.any(values < one, axis=1)) for one in values])
    return observations.done.rows(feasible[~is_dominated])


def _excluded_keys(observations: Observations) -> set[Key]:
    """Return the measured, pending and failed designs."""
    return {*observations.done.keys, *observations.pending.keys, *observations.failed.keys}
