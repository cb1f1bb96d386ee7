"""What a worker tries next: lost designs again, enqueued ones, measured configurations, what is left, or new ones."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from explorer.search.begin import Run
from explorer.search.board import Board, asked_params
from explorer.search.draft import Drafter, Proposed
from explorer.search.encoding import Encoding
from explorer.search.learning import LearningSampler
from explorer.search.marks import ALONE, RETRY_ATTR
from explorer.search.model_sampler import ModelSampler
from explorer.search.samplers import LEARNING, MODEL, make_sampler, own_seed, proposed_by
from explorer.search.tried import ORIGIN_ATTR, SAMPLE

_MOST_DRAFTS = 16


@dataclass(frozen=True, slots=True)
class Step:
    """A design that is to be tried.

    Args:
        params: its parameters.
        system_attrs: what its sampler keeps with its trial.
        user_attrs: where it comes from.
        waiting: the trial that somebody enqueued for it.
    """

    params: Mapping[str, Any]
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    waiting: FrozenTrial | None = None


class Steps:
    """What is to be tried, one design after the other.

    Args:
        run: the study at its storage.
        board: its state.
        index: of the worker; several of them draw different numbers.
    """

    def __init__(self, run: Run, board: Board, *, index: int) -> None:
        self._run, self._board, self._index = run, board, index
        self._distributions = Encoding(run.assessment.regions).distributions()
        study = run.assessment.study
        own = own_seed(study.seed, done=board.n_complete, worker=index + 1)
        self._rng = random.Random(own)  # noqa: S311 - of designs
        self._sampler = Drafter(run.study, _sampler(run, done=board.n_complete, index=index), self._distributions)
        self._anything = Drafter(run.study, RandomSampler(seed=own), self._distributions)

    def next(self, trials: Sequence[FrozenTrial], *, only_given: bool) -> Step | None:
        """Return what to try; None where there is nothing for now.

        Args:
            trials: all that are known.
            only_given: only lost and enqueued designs.
        """
        board = self._board
        for lost, params in board.to_repeat:
            return Step(params, _of_sampler(lost), {**_of_origin(lost), RETRY_ATTR: lost.number})
        if (step := self._enqueued(trials)) or only_given:
            return step
        if board.n_complete + board.n_tried >= board.wanted:
            return None  # others are at the last ones
        for params, label in board.samples_left:
            return Step(params, user_attrs={ORIGIN_ATTR: SAMPLE, "sample": label})
        return self._untried() if board.wants_all else self._proposed(trials)

    def _enqueued(self, trials: Sequence[FrozenTrial]) -> Step | None:
        for waiting in self._board.waiting.values():
            drafted = self._sampler.propose(trials, number=waiting.number, given=asked_params(waiting))
            if not self._board.is_tried(self._board.key_of(drafted.params)):  # else wait for what comes of it
                return Step(drafted.params, drafted.system_attrs, waiting=waiting)
        return None

    def _proposed(self, trials: Sequence[FrozenTrial]) -> Step | None:
        """Ask the sampler until it names a design that nobody tries or has tried, then take any other."""
        for drafter in (self._sampler, self._anything):
            for i in range(_MOST_DRAFTS):
                drafted = drafter.propose(trials, number=len(trials) + i)
                if self._is_new(drafted):
                    return Step(drafted.params, drafted.system_attrs)
            if self._board.is_finite:
                break
        return self._untried()

    def _untried(self) -> Step | None:
        left = self._board.untried()
        if not left:
            return None
        return Step(left[0] if self._index == ALONE else self._rng.choice(left))

    def _is_new(self, drafted: Proposed) -> bool:
        key = self._board.key_of(drafted.params)
        return not self._board.is_taken(key) and not self._board.is_hopeless(key)


def _sampler(run: Run, *, done: int, index: int) -> BaseSampler:
    assessment, study = run.assessment, run.assessment.study
    name = proposed_by(assessment)
    if name == MODEL:
        return ModelSampler(assessment, n_trials=study.trials, reference=run.reference, seed=study.seed)
    if name == LEARNING:
        # One plan for all of a study's runs, and another one for each worker: history decides the rest.
        seed = own_seed(study.seed, done=0, worker=index + 1)
        return LearningSampler(assessment, reference=run.reference, seed=seed)
    return make_sampler(
        name, seed=study.seed, done=done, trials=study.trials, worker=index + 1,
        distributions=Encoding(assessment.regions).distributions(),
    )  # fmt: skip


def _of_sampler(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a sampler kept with a trial: neither our own marks nor what its measurement gave."""
    ours = ("explorer:", "constraints", "fixed_params")
    return {key: value for key, value in trial.system_attrs.items() if not key.startswith(ours)}


def _of_origin(trial: FrozenTrial) -> dict[str, Any]:
    return {key: trial.user_attrs[key] for key in (ORIGIN_ATTR, "sample") if key in trial.user_attrs}
