"""Read-only storage with one study for optuna-dashboard, which shows its constraints."""

import copy
import re
from collections.abc import Container
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

# optuna-dashboard 0.21 reads one list under this key, without names; Optuna 5 stores constraints under `key:name`.
LEGACY_CONSTRAINTS = "constraints"
LIMIT_ATTR = "limit: "
# Notes are attributes of the dashboard (see its _note.py); no sampler reads them.
_NOTE = re.compile(r"dashboard:(\d+:)?note_(ver|str:\d+)")


class ReadOnly(Exception):
    """Refused write to a read-only storage."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise ReadOnly("this view of the study is read-only; only notes are stored")


class ReadOnlyStorage(BaseStorage):
    """Read-only storage with one study of another storage; only notes can be written, other writes raise `ReadOnly`.

    The named constraints of a trial appear as the unnamed list that optuna-dashboard reads, and as user attributes
    `limit: NAME`. Both are in the view only: with a stored list, samplers would count each violation twice.
    """

    def __init__(self, storage: BaseStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id

    def get_all_studies(self) -> list[Any]:  # of Optuna's FrozenStudy, a private name
        """Return the one study."""
        name = self._storage.get_study_name_from_id(self._study_id)
        return [study for study in self._storage.get_all_studies() if study.study_name == name]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the study's id."""
        return self._checked_id(self._storage.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the study's name."""
        return self._storage.get_study_name_from_id(self._checked_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the objectives' directions."""
        return self._storage.get_study_directions(self._checked_id(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the study's attributes."""
        return self._storage.get_study_user_attrs(self._checked_id(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of the study, with the metric names and notes."""
        return self._storage.get_study_system_attrs(self._checked_id(study_id))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial, converted by `dashboard_trial`."""
        return dashboard_trial(self._storage.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials, converted by `dashboard_trial`."""
        trials = self._storage.get_all_trials(self._checked_id(study_id), deepcopy=deepcopy, states=states)
        return [dashboard_trial(trial) for trial in trials]

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store a note."""
        if not _NOTE.fullmatch(key):
            _refuse()
        self._storage.set_study_system_attr(self._checked_id(study_id), key, value)

    def remove_session(self) -> None:
        """Close the storage's connection of this thread."""
        self._storage.remove_session()

    create_new_study = delete_study = set_study_user_attr = create_new_trial = _refuse
    set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
    set_trial_user_attr = set_trial_system_attr = _refuse

    def _checked_id(self, study_id: int) -> int:
        if study_id != self._study_id:
            raise KeyError(study_id)
        return study_id


def dashboard_trial(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial with its named constraints as a list and as user attributes."""
    constraints = trial.constraints
    if not constraints:
        return trial
    view = copy.copy(trial)
    attrs = {key: value for key, value in trial.system_attrs.items() if not key.startswith(f"{LEGACY_CONSTRAINTS}:")}
    view.system_attrs = {**attrs, LEGACY_CONSTRAINTS: list(constraints.values())}
    view.user_attrs = {**trial.user_attrs, **{f"{LIMIT_ATTR}{name}": value for name, value in constraints.items()}}
    return view
