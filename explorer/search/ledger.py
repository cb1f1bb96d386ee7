"""The ledger of a shared study: its trials as last read, claims of designs, and how a trial ends, each all or nothing.

Any of Optuna's storages will do. In a journal file and in a database that is known, a claim is checked and made under
one lock, and a trial ends in one write; elsewhere Optuna's public calls stand in for that, and a claim that came too
late is taken back.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from explorer.search.journal import SteadyJournal
from explorer.search.marks import BEAT_ATTR, WITHDRAWN_ATTR, WORKER_ATTR, Mark

IsFree = Callable[[int | None], bool]
"""Whether a claim may be made, given what was just read; with a number: whether the trial of that number may stay."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ends.

    Args:
        state: COMPLETE or FAIL.
        values: the objectives of a COMPLETE trial.
        user_attrs: what is kept with it.
        system_attrs: what Optuna keeps with it: constraints.
    """

    state: TrialState
    values: Sequence[float] | None = None
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


class Ledger(Protocol):
    """What workers that share a study do with its storage; safe for the threads of one process."""

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in the order of their numbers, as last read; not to be changed."""

    def refresh(self) -> None:
        """Read what others have done."""

    def claim(self, template: FrozenTrial, is_free: IsFree) -> FrozenTrial | None:
        """Create a trial, if it is free; `is_free` is asked after reading, so that no two workers claim one design."""

    def take_waiting(self, trial: FrozenTrial, mark: Mark) -> bool:
        """Turn a WAITING trial into one's own RUNNING one; False where somebody else was quicker."""

    def add_params(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """Store the parameters of a trial that waited without them."""

    def end(self, trial_id: int, ending: Ending) -> bool:
        """End a trial; False where it has ended already."""

    def beat(self, trial_id: int, count: int) -> None:
        """Store a sign of life."""

    def beats(self) -> Iterable[tuple[int, Any]]:
        """Return the ids of the RUNNING trials, and their workers' latest signs of life."""

    def close(self) -> None:
        """Let go of what it holds open; it opens again when it is needed."""


class OpenLedger:
    """A ledger over Optuna's public calls, for every storage.

    Args:
        study: the study at its storage.
        distributions: of the parameters.
    """

    _is_exact = False  # whether what is written together is written alone

    def __init__(self, study: optuna.Study, distributions: Mapping[str, Any]) -> None:
        self._study, self._distributions = study, distributions
        self._storage: BaseStorage = study._storage
        self._turn = threading.RLock()
        self._trials: Sequence[FrozenTrial] = ()

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._trials

    def refresh(self) -> None:
        """Read what others have done."""
        with self._turn:
            self._trials = self._study.get_trials(deepcopy=False)

    def claim(self, template: FrozenTrial, is_free: IsFree) -> FrozenTrial | None:
        """Create a trial; taken back where another one of an earlier number has the same design."""
        with self._turn:
            self.refresh()
            if not is_free(None):
                return None
            trial = self._create(template)
            if is_free(trial.number):
                return trial
            late = "another worker was quicker"
            self.end(trial._trial_id, Ending(TrialState.FAIL, system_attrs={WITHDRAWN_ATTR: late}))
            return None

    def take_waiting(self, trial: FrozenTrial, mark: Mark) -> bool:
        """Take it, then mark it."""
        trial_id = trial._trial_id
        with self._turn, self._together():
            try:
                if self._storage.get_trial(trial_id).state != TrialState.WAITING:
                    return False
                is_taken = self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
                if not is_taken and not self._is_exact:
                    return False
                self._storage.set_trial_system_attr(trial_id, WORKER_ATTR, mark.as_json())
            except UpdateFinishedTrialError:
                return False
        return True

    def add_params(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """Store those that are missing."""
        with self._turn:
            for name, value in params.items():
                if name not in trial.params:
                    distribution = self._distributions[name]
                    internal = distribution.to_internal_repr(value)
                    self._storage.set_trial_param(trial._trial_id, name, internal, distribution)

    def end(self, trial_id: int, ending: Ending) -> bool:
        """Store what is kept with a trial, then its state: whoever sees the state finds the rest."""
        with self._turn, self._together():
            try:
                if self._storage.get_trial(trial_id).state.is_finished():
                    return False
                for name, value in ending.user_attrs.items():
                    self._storage.set_trial_user_attr(trial_id, name, value)
                for name, value in ending.system_attrs.items():
                    self._storage.set_trial_system_attr(trial_id, name, value)
                self._storage.set_trial_state_values(trial_id, state=ending.state, values=ending.values)
            except UpdateFinishedTrialError:
                return False
        return True

    def beat(self, trial_id: int, count: int) -> None:
        """Store a sign of life."""
        with self._turn:
            self._storage.set_trial_system_attr(trial_id, BEAT_ATTR, count)

    def beats(self) -> Iterable[tuple[int, Any]]:
        """Return the ids of the RUNNING trials, and their workers' latest signs of life."""
        with self._turn:
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [(trial._trial_id, trial.system_attrs.get(BEAT_ATTR)) for trial in running]

    def close(self) -> None:
        """Do nothing: the storage is somebody else's."""

    def _create(self, template: FrozenTrial) -> FrozenTrial:
        trial_id = self._storage.create_new_trial(self._study._study_id, template_trial=template)
        self.refresh()
        return next(trial for trial in reversed(self._trials) if trial._trial_id == trial_id)

    def _together(self) -> AbstractContextManager[None]:
        """Write everything at once, where the storage can."""
        return nullcontext()


class JournalLedger(OpenLedger):
    """A ledger in a journal file, whose lock keeps all others out."""

    _is_exact = True

    def claim(self, template: FrozenTrial, is_free: IsFree) -> FrozenTrial | None:
        """Create a trial, if it is free, while nobody else can write."""
        with self._turn:
            self.refresh()  # most of it before others have to wait
            with self._journal.locked():
                self.refresh()
                return self._create(template) if is_free(None) else None

    def _together(self) -> AbstractContextManager[None]:
        return self._journal.together()

    @property
    def _journal(self) -> SteadyJournal:
        storage = self._storage
        if not isinstance(storage, JournalStorage) or not isinstance(storage._backend, SteadyJournal):
            raise TypeError(f"{type(storage).__name__} is no journal of ours")
        return storage._backend
