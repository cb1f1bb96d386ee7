"""Mirror of a study in memory: Optuna's samplers are asked on it, and the storage is written only when a trial ends."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from explorer.search.bulk import copy_system_attrs

# Where Optuna keeps a trial's constraints and fixed parameters among its own attributes.
_NOT_THE_SAMPLERS = ("constraints", "fixed_params")


class Mirror:
    """Study in memory with one sampler; designs in flight are RUNNING trials in it.

    Args:
        sampler: the sampler.
        stored: the stored study, for its directions, its finished trials and what samplers keep with it; None for a
            sampler that learns nothing.
        distributions: of the parameters.
        n_history: how many finished trials the sampler has to know; None for all.
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

    def ask(self) -> Trial:
        """Return a trial that the sampler proposes, RUNNING from now on."""
        return self._study.ask(dict(self._distributions))

    def draw(self) -> dict[str, Any]:
        """Return parameters without a trial."""
        trial = self.ask()
        self.fail(trial)
        return trial.params

    def enqueue(self, params: Mapping[str, Any]) -> Trial:
        """Return a RUNNING trial of given parameters."""
        self._study.enqueue_trial(dict(params))
        return self.ask()

    def attributes_of(self, trial: Trial) -> dict[str, Any]:
        """Return what the sampler keeps with a trial."""
        kept = self._study.get_trials(deepcopy=False)[trial.number].system_attrs
        return {key: value for key, value in kept.items() if not key.startswith(_NOT_THE_SAMPLERS)}

    def tell(
        self,
        trial: Trial,
        values: Sequence[float],
        *,
        constraints: Mapping[str, float],
        user_attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Finish a trial.

        Args:
            trial: the trial.
            values: its objectives.
            constraints: by how much it misses each limit.
            user_attrs: what else was measured.
        """
        for name, value in (user_attrs or {}).items():
            trial.set_user_attr(name, value)
        for name, excess in constraints.items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, list(values))

    def fail(self, trial: Trial) -> None:
        """Finish a trial without values."""
        self._study.tell(trial, state=TrialState.FAIL)

    def store_attributes(self) -> None:
        """Write what the sampler keeps with the study into the storage: how far a quasi-random sequence is."""
        if self._stored:
            copy_system_attrs(self._study, self._stored)
