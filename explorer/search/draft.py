"""What a sampler proposes for a shared study, before anybody sees it: no storage stands between it and a design."""

import datetime
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

_DRAFT = -1  # the id of a trial that no storage has


@dataclass(frozen=True, slots=True)
class Proposed:
    """A design that a sampler proposes: its parameters, and what the sampler keeps with its trial."""

    params: Mapping[str, Any]
    system_attrs: Mapping[str, Any]


class Drafter:
    """A sampler that is asked for designs, as many as one likes, none of which has to be tried.

    Args:
        study: the stored study: of it, only what samplers keep with a study is read and written.
        sampler: whom to ask.
        distributions: of the parameters.
    """

    def __init__(
        self, study: optuna.Study, sampler: BaseSampler, distributions: Mapping[str, BaseDistribution]
    ) -> None:
        self._storage = _Draft(study)
        self._asked = optuna.load_study(study_name=study.study_name, storage=self._storage, sampler=sampler)
        self._distributions = dict(distributions)

    def propose(
        self, trials: Sequence[FrozenTrial], *, number: int, given: Mapping[str, Any] | None = None
    ) -> Proposed:
        """Ask for a design.

        Args:
            trials: all that the sampler is to know.
            number: which trial it is told that this is.
            given: parameters that somebody has fixed.
        """
        self._storage.begin(trials, number=number, given=given or {})
        params = self._asked.ask(self._distributions).params
        attrs = self._storage.trial.system_attrs
        return Proposed(params, {key: value for key, value in attrs.items() if key != "fixed_params"})


def _refuse(*_: object, **__: object) -> NoReturn:
    """Stand for everything that a sampler never does."""
    raise NotImplementedError


class _Draft(BaseStorage):
    """A study as one sampler sees it: the trials as they were read, and one more that is still to be.

    What a sampler keeps with its trial stays here; what it keeps with the study goes into the storage.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._stored, self._id, self._name = study._storage, study._study_id, study.study_name  # noqa: SLF001
        self.begin((), number=0, given={})

    def begin(self, trials: Sequence[FrozenTrial], *, number: int, given: Mapping[str, Any]) -> None:
        """Begin a trial."""
        self._trials = trials
        attrs = {"fixed_params": dict(given)} if given else {}
        now = datetime.datetime.now()  # noqa: DTZ005 - as Optuna's own
        self.trial = FrozenTrial(number, TrialState.RUNNING, None, now, None, {}, {}, {}, attrs, {}, _DRAFT)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return what is known; what waits is not for samplers."""
        del study_id, deepcopy
        if states == (TrialState.WAITING,):
            return []
        known = [t for t in self._trials if t.state != TrialState.WAITING and (states is None or t.state in states)]
        return [*known, self.trial] if states is None or TrialState.RUNNING in states else known

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial."""
        return self.trial if trial_id == _DRAFT else self._stored.get_trial(trial_id)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Return the trial that was begun."""
        del study_id, template_trial
        return _DRAFT

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Keep a parameter."""
        del trial_id
        self.trial.params = {**self.trial.params, param_name: distribution.to_external_repr(param_value_internal)}
        self.trial.distributions = {**self.trial.distributions, param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep what a sampler keeps with its trial."""
        del trial_id
        self.trial.system_attrs = {**self.trial.system_attrs, key: value}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep it with the stored study."""
        self._stored.set_study_system_attr(study_id, key, value)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what samplers keep with the stored study."""
        return self._stored.get_study_system_attrs(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what is kept with the stored study."""
        return self._stored.get_study_user_attrs(study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the stored study's id."""
        del study_name
        return self._id

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the stored study's name."""
        del study_id
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the stored study's directions."""
        return self._stored.get_study_directions(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies of the storage."""
        return self._stored.get_all_studies()

    get_trial_id_from_study_id_trial_number = _refuse
    set_trial_state_values = _refuse
    set_trial_intermediate_value = _refuse
    set_trial_user_attr = _refuse
    create_new_study = _refuse
    delete_study = _refuse
    set_study_user_attr = _refuse
