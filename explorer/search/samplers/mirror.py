"""In-memory mirror of a study for ask-and-tell, so that the storage is written only at the end of a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from explorer.search.storage.bulk import copy_system_attrs, system_attrs_of

# Optuna's own system attributes of a trial, by prefix; the others are the sampler's.
_OPTUNA_PREFIXES = ("constraints", "fixed_params")


class StudyMirror:
    """Study in memory with one sampler; designs in flight are RUNNING trials in it.

    Args:
        sampler: the sampler.
        stored: the stored study, for its directions, finished trials and system attributes; None for a sampler without
            history.
        distributions: of the parameters.
        n_history: number of finished trials that the sampler needs; None for all.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        stored: optuna.Study | None,
        distributions: Mapping[str, BaseDistribution],
        *,
        n_history: int | None = None,
    ) -> None:
        self._stored, self._distributions = stored, dict(distributions)
        self._study = optuna.create_study(directions=stored.directions if stored else None, sampler=sampler)
        if stored:
            copy_system_attrs(stored, self._study)
            finished = [] if n_history == 0 else [t for t in stored.get_trials(deepcopy=False) if t.state.is_finished()]
            self._study.add_trials(finished[:n_history])
        self._attributes = system_attrs_of(self._study)  # last version in the storage

    def ask(self) -> Trial:
        """Return a new RUNNING trial that the sampler proposes."""
        return self._study.ask(dict(self._distributions))

    def draw(self) -> dict[str, Any]:
        """Return the parameters of a proposal, and discard its trial."""
        trial = self.ask()
        self.fail(trial)
        return trial.params

    def enqueue(self, params: Mapping[str, Any]) -> Trial:
        """Return a new RUNNING trial of given parameters."""
        self._study.enqueue_trial(dict(params))
        return self.ask()

    def attributes_of(self, trial: Trial) -> dict[str, Any]:
        """Return the sampler's system attributes of a trial."""
        attrs = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        return {key: value for key, value in attrs.items() if not key.startswith(_OPTUNA_PREFIXES)}

    def tell(
        self,
        trial: Trial,
        values: Sequence[float],
        *,
        constraints: Mapping[str, float],
        user_attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Finish a trial with its objectives and constraint violations."""
        for name, value in (user_attrs or {}).items():
            trial.set_user_attr(name, value)
        for name, excess in constraints.items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, list(values))

    def fail(self, trial: Trial) -> None:
        """Finish a trial as FAIL."""
        self._study.tell(trial, state=TrialState.FAIL)

    def store_attributes(self) -> None:
        """Copy the sampler's attributes of the study, such as the state of a quasi-random sequence, to the storage."""
        if self._stored and self.is_changed:
            copy_system_attrs(self._study, self._stored)
            self._attributes = system_attrs_of(self._study)

    @property
    def is_changed(self) -> bool:
        """Whether the sampler has changed its attributes of the study since they were stored."""
        return system_attrs_of(self._study) != self._attributes
