"""Learning sampler: an Optuna sampler that proposes the design of greatest expected hypervolume improvement."""

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
from explorer.models.online.input_space import input_space
from explorer.models.online.surrogate import OnlineSurrogate, fit_online
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, pool_of_designs, pool_of_scan
from explorer.pareto.acquisition.expected_improvement import SearchHistory, posterior_objectives, select_by_ehvi
from explorer.problem.columns import Float, take
from explorer.search.encoding import Encoding, columns_of
from explorer.search.samplers.observations import PROPOSED_ATTR, Observations, observations_from
from explorer.search.storage.bulk import set_system_attr

N_STARTUP = 4
# With eight in flight, a fit to the first two of them is better than more designs of the spread.
_FEWEST_TO_LEARN, _ENOUGH_IN_FLIGHT = 2, 8
N_DRAWS = 64
_STARTS = (64, 1024, 16384)  # sizes of even spreads: the next one where all designs of the last are taken
# Threads that share a study ask in turn, so that each sees the proposals of the others.
_ONE_AT_A_TIME = Lock()


class LearningSampler(BaseSampler):
    """Optuna sampler for expensive evaluations: fit the trials, draw from the posterior, propose the best gain.

    The initial designs are an even spread. Then each suggestion fits the targets that trials record as user attributes
    under their column names (or the objectives, where they record none), and selects the design of greatest expected
    hypervolume improvement over posterior draws. RUNNING trials count as measured in each draw, at its own values. No
    design is proposed twice while another is left. The same seed and trials give the same design. Call `expect` before
    several trials are asked for at once: they share one fit.

    Args:
        problem: the question; its evaluator is never called.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of draws and candidates. Several workers need different ones.
        n_startup: number of initial designs.

    Attributes:
        fallbacks: number of proposals of TPE instead, by error.
    """

    def __init__(self, problem: Problem, *, reference: Sequence[float], seed: int, n_startup: int = N_STARTUP) -> None:
        self._problem = problem
        self._signs = np.array([objective.sign for objective in problem.study.objectives])
        self._reference: Float = np.asarray(reference, dtype=np.float64) * self._signs
        self._seed = seed
        self._n_startup = max(1, n_startup)
        self._encoding = Encoding(problem.regions)
        self._space = self._encoding.distributions()
        self._ground = input_space(problem.regions)
        self._n_expected = 0
        self._is_batched = False  # whether several designs were ever expected
        self._batch: list[CandidatePool] = []  # selected and not yet proposed
        self._n_seen = 0  # number of trials at their selection
        self._fit: tuple[str, OnlineSurrogate] | None = None  # last fit, with a key of its data
        self.fallbacks: Counter[str] = Counter()

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Names and ranges of a trial's parameters."""
        return dict(self._space)

    def expect(self, n: int) -> None:
        """Let the next n suggestions share one fit.

        The first of them selects n designs, each of which counts as measured in every draw when the next is selected.

        Args:
            n: the number of trials that are asked for before any of them is told.
        """
        with _ONE_AT_A_TIME:
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
        with _ONE_AT_A_TIME:
            params = self._next(study, trial)
            set_system_attr(study, trial, PROPOSED_ATTR, params)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return, by TPE, a parameter that the study does not have, or not in this range."""
        return self._tpe(trial.number).sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Change the random numbers, as Optuna does for samplers that threads share."""
        self._seed = int(np.random.SeedSequence([self._seed, 1]).generate_state(1)[0])

    def _next(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        n, self._n_expected = max(1, self._n_expected), max(0, self._n_expected - 1)
        if params := self._selected(trials, own=trial.number):
            return params
        history = observations_from(trials, self._problem, own=trial.number)
        if not self._can_learn(history):
            return self._params(self._start(history, trial.number))
        try:
            chosen = self._proposed(history, trial.number, n=n)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.fallbacks[f"{type(error).__name__}: {error}"] += 1
            return self._by_tpe(study, trial, history)
        self._batch, self._n_seen = [chosen.rows(np.array([i])) for i in range(1, chosen.n)], len(trials)
        return self._params(chosen)

    def _can_learn(self, history: Observations) -> bool:
        """Return True after the initial designs, or earlier with many in flight."""
        n = len(history.values)
        has_many = self._is_batched and n + history.pending.n >= max(_ENOUGH_IN_FLIGHT, self._n_startup)
        return n >= self._n_startup or (has_many and n >= _FEWEST_TO_LEARN)

    def _selected(self, trials: Sequence[FrozenTrial], *, own: int) -> dict[str, Any] | None:
        """Return the next design of the batch that no trial has meanwhile, or None."""
        if not self._batch:
            return None
        # Trials that were finished before the selection cannot have one of its designs.
        since = [t for t in trials if t.number >= self._n_seen or not t.state.is_finished()]
        taken = _taken(observations_from(since, self._problem, own=own))
        while self._batch:
            design = self._batch.pop(0)
            if design.keys[0] not in taken:
                return self._params(design)
        return None

    def _proposed(self, history: Observations, number: int, *, n: int) -> CandidatePool:
        """Return at most n designs, at least one, of the greatest expected improvement together.

        Raises:
            ValueError, ArithmeticError, LinAlgError: the fit or its draws failed.
        """
        judge = posterior_objectives(self._problem, self._learned(history).draws(N_DRAWS, seed=self._own(number)))
        known = SearchHistory(history.values[history.is_feasible], _best(history), history.pending, _taken(history))
        rng = np.random.default_rng(self._own(number))
        chosen = select_by_ehvi(judge, known, self._reference, n=n, rng=rng, seed=self._seed)
        return chosen if chosen.n else self._start(history, number)

    def _learned(self, history: Observations) -> OnlineSurrogate:
        """Return the fit to the measurements; the last one where they are the same."""
        rows = history.rows_to_learn
        measured, trials = take(history.measured, rows), history.trials[rows]
        columns = tuple((name, tuple(values.tolist())) for name, values in measured.items())
        key = repr((self._seed, history.learned, trials.tolist(), columns))  # as text NaN equals NaN
        if self._fit is None or self._fit[0] != key:
            fit = fit_online(measured, history.learned, self._ground, seed=self._seed, trials=trials)
            self._fit = key, fit
        return self._fit[1]

    def _start(self, history: Observations, number: int) -> CandidatePool:
        """Return an untaken design of an even spread; a taken one where no other is left."""
        taken = _taken(history)
        for n in _STARTS:
            pool = pool_of_scan(self._problem.regions, n, seed=self._seed)
            left = pool.excluding(taken)
            if left.n:
                return left.rows(np.array([0]))
            if pool.is_whole:
                break
        return pool.rows(np.array([number % pool.n]))

    def _params(self, chosen: CandidatePool) -> dict[str, Any]:
        params = self._encoding.encode(chosen.designs)
        return {name: params[name][0] for name in self._space}

    def _by_tpe(self, study: Study, trial: FrozenTrial, history: Observations) -> dict[str, Any]:
        """Return a proposal of TPE; of the spread where TPE draws at random or proposes a taken design."""
        params = self._tpe(trial.number).sample_relative(study, trial, self._space)
        if self._space.keys() <= params.keys():
            (key,) = pool_of_designs(self._problem.regions, self._encoding.decode(columns_of([params]), n=1)).keys
            if key not in _taken(history):
                return params
        return self._params(self._start(history, trial.number))

    def _tpe(self, number: int) -> TPESampler:
        """Return a TPE sampler without a state."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=self._own(number), multivariate=True, constant_liar=True)

    def _own(self, number: int) -> int:
        """Return the seed of one suggestion."""
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _best(history: Observations) -> CandidatePool:
    """Return the measured front, or all measured designs while none is feasible."""
    feasible = np.flatnonzero(history.is_feasible)
    if not feasible.size:
        return history.done
    values = history.values[feasible]
    is_dominated = np.array([np.any(np.all(values <= one, axis=1) & np.any(values < one, axis=1)) for one in values])
    return history.done.rows(feasible[~is_dominated])


def _taken(history: Observations) -> set[Key]:
    """Return the measured, pending and failed designs."""
    return {*history.done.keys, *history.pending.keys, *history.failed.keys}
