"""The learning sampler: an Optuna sampler that proposes the design with the greatest expected gain of hypervolume."""

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

from explorer.models.assessment import Assessment
from explorer.models.ground import ground_of
from explorer.models.learner import Learned, learn
from explorer.pareto.next_design import Known, judge_of, next_designs
from explorer.pareto.pool import Key, Pool, placed, scanned
from explorer.problem.columns import Float, take
from explorer.search.bulk import set_system_attr
from explorer.search.encoding import Encoding, columns_of
from explorer.search.history import PROPOSED_ATTR, History, history_of

N_STARTUP = 4
# With eight in flight a fit to the first two of them proposes better designs than a wider spread is.
_FEWEST_TO_LEARN, _ENOUGH_IN_FLIGHT = 2, 8
N_DRAWS = 64
_STARTS = (64, 1024, 16384)  # designs of an even spread; a closer one where all of it is taken
# Threads that share a study ask one after the other: who asks sees what the others were given.
_ONE_AT_A_TIME = Lock()


class LearningSampler(BaseSampler):
    """Optuna's sampler for evaluations that cost: refit to what was measured, draw, propose what gains most.

    A few designs spread over the ground come first. Then each suggestion fits the targets that the trials record in
    their user attributes under their column names (or the objectives themselves, where they record none), draws what
    the targets could be everywhere, and takes the design that is expected to add most hypervolume to what was
    measured. Trials that are running count as measured in each draw as that draw has them; no design is proposed
    twice while another one is left. The same seed and the same trials give the same design. Whoever asks for several
    trials at once says so first by `expect`: they then share one fit.

    Args:
        assessment: the question; its evaluator is never called.
        reference: the hypervolume's reference point, in the objectives' order.
        seed: of draws and candidates. Each of several workers needs its own.
        n_startup: designs before the first fit.

    Attributes:
        fallbacks: why TPE had to propose instead, and how often.
    """

    def __init__(
        self, assessment: Assessment, *, reference: Sequence[float], seed: int, n_startup: int = N_STARTUP
    ) -> None:
        self._assessment = assessment
        self._signs = np.array([objective.sign for objective in assessment.study.objectives])
        self._reference: Float = np.asarray(reference, dtype=np.float64) * self._signs
        self._seed = seed
        self._n_startup = max(1, n_startup)
        self._encoding = Encoding(assessment.regions)
        self._space = self._encoding.distributions()
        self._ground = ground_of(assessment.regions)
        self._n_expected = 0
        self._is_batched = False  # whether several designs were ever asked for at once
        self._batch: list[Pool] = []  # designs selected beside the last one that was fitted for
        self._n_seen = 0  # trials when they were
        self._fit: tuple[str, Learned] | None = None  # the last fit, and what it was made of
        self.fallbacks: Counter[str] = Counter()

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What a trial's parameters are: names and ranges."""
        return dict(self._space)

    def expect(self, n: int) -> None:
        """Let the next n suggestions share one fit, until anything is expected anew.

        The first of them selects n designs; each counts as measured in every draw when the next is selected. The
        others are handed out without a fit unless they are taken by then. Suggestions beyond n share nothing.

        Args:
            n: the number of trials that are asked for before any of them is told.
        """
        with _ONE_AT_A_TIME:
            self._n_expected, self._batch = n, []
            self._is_batched |= n > 1

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the question, whatever was sampled before."""
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
        """Return a parameter that is none of the question's, or is asked in another range, by TPE."""
        return self._tpe(trial.number).sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Draw other numbers from now on, as Optuna asks of samplers that threads share; the seed itself stays."""
        self._seed = int(np.random.SeedSequence([self._seed, 1]).generate_state(1)[0])

    def _next(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        n, self._n_expected = max(1, self._n_expected), max(0, self._n_expected - 1)
        if params := self._selected(trials, own=trial.number):
            return params
        history = history_of(trials, self._assessment, own=trial.number)
        if not self._can_learn(history):
            return self._params(self._start(history, trial.number))
        try:
            chosen = self._proposed(history, trial.number, n=n)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            self.fallbacks[f"{type(error).__name__}: {error}"] += 1
            return self._by_tpe(study, trial, history)
        self._batch, self._n_seen = [chosen.rows(np.array([i])) for i in range(1, chosen.n)], len(trials)
        return self._params(chosen)

    def _can_learn(self, history: History) -> bool:
        """Tell whether it is time for a fit: after the start-up designs, or earlier where many are in flight."""
        n = len(history.values)
        has_many = self._is_batched and n + history.pending.n >= max(_ENOUGH_IN_FLIGHT, self._n_startup)
        return n >= self._n_startup or (has_many and n >= _FEWEST_TO_LEARN)

    def _selected(self, trials: Sequence[FrozenTrial], *, own: int) -> dict[str, Any] | None:
        """Return the next design of the batch that no trial has taken since it was selected, or None."""
        if not self._batch:
            return None
        # Finished trials of before the selection cannot take anything more.
        since = [t for t in trials if t.number >= self._n_seen or not t.state.is_finished()]
        taken = _taken(history_of(since, self._assessment, own=own))
        while self._batch:
            design = self._batch.pop(0)
            if design.keys[0] not in taken:
                return self._params(design)
        return None

    def _proposed(self, history: History, number: int, *, n: int) -> Pool:
        """Return the n designs that are expected to gain most together, fewer where no more are left, at least one.

        Raises:
            ValueError, ArithmeticError, LinAlgError: the measurements cannot be learned from, or draws make no sense.
        """
        judge = judge_of(self._assessment, self._learned(history).draws(N_DRAWS, seed=self._own(number)))
        known = Known(history.values[history.is_feasible], _best(history), history.pending, _taken(history))
        rng = np.random.default_rng(self._own(number))
        chosen = next_designs(judge, known, self._reference, n=n, rng=rng, seed=self._seed)
        # Where everything was measured there is nothing new to propose.
        return chosen if chosen.n else self._start(history, number)

    def _learned(self, history: History) -> Learned:
        """Return the fit to the measurements, the last one where nothing was measured since."""
        rows = history.rows_to_learn
        measured, trials = take(history.measured, rows), history.trials[rows]
        columns = tuple((name, tuple(values.tolist())) for name, values in measured.items())
        key = repr((self._seed, history.learned, trials.tolist(), columns))  # as text NaN equals NaN
        if self._fit is None or self._fit[0] != key:
            fit = learn(measured, history.learned, self._ground, seed=self._seed, trials=trials)
            self._fit = key, fit
        return self._fit[1]

    def _start(self, history: History, number: int) -> Pool:
        """Return a design of an even spread, of a closer one where all are taken; the same again where none is left."""
        taken = _taken(history)
        for n in _STARTS:
            pool = scanned(self._assessment.regions, n, seed=self._seed)
            left = pool.without(taken)
            if left.n:
                return left.rows(np.array([0]))
            if pool.is_whole:
                break
        return pool.rows(np.array([number % pool.n]))

    def _params(self, chosen: Pool) -> dict[str, Any]:
        params = self._encoding.encode(chosen.designs)
        return {name: params[name][0] for name in self._space}

    def _by_tpe(self, study: Study, trial: FrozenTrial, history: History) -> dict[str, Any]:
        """Return what TPE proposes; where it would draw at random, or what is taken, one of the spread."""
        params = self._tpe(trial.number).sample_relative(study, trial, self._space)
        if self._space.keys() <= params.keys():
            (key,) = placed(self._assessment.regions, self._encoding.decode(columns_of([params]), n=1)).keys
            if key not in _taken(history):
                return params
        return self._params(self._start(history, trial.number))

    def _tpe(self, number: int) -> TPESampler:
        """Return a TPE that knows nothing of earlier suggestions but what the study tells it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=self._own(number), multivariate=True, constant_liar=True)

    def _own(self, number: int) -> int:
        """Return the seed of one suggestion."""
        return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _best(history: History) -> Pool:
    """Return the designs to look around: the measured front, or everything while nothing is feasible."""
    feasible = np.flatnonzero(history.is_feasible)
    if not feasible.size:
        return history.done
    values = history.values[feasible]
    beaten = np.array([np.any(np.all(values <= one, axis=1) & np.any(values < one, axis=1)) for one in values])
    return history.done.rows(feasible[~beaten])


def _taken(history: History) -> set[Key]:
    """Return the designs that are not to be proposed again."""
    return {*history.done.keys, *history.pending.keys, *history.failed.keys}
