"""Reading the trials of a shared study from a database: only those that changed, all of their parts at once."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from explorer.search.record_read import _INFINITE, _local

_NO_NUMBER = "CAST(NULL AS DOUBLE PRECISION)"
_PARAM, _VALUE, _USER, _SYSTEM, _STEP = range(5)
# One statement for all parts of some trials: a round trip costs more than a row.
_PARTS = f"""
SELECT trial_id, {_PARAM}, param_name, param_value, distribution_json FROM trial_params WHERE trial_id IN (%s)
UNION ALL SELECT trial_id, {_VALUE}, CAST(objective AS VARCHAR), value, CAST(value_type AS VARCHAR)
FROM trial_values WHERE trial_id IN (%s)
UNION ALL SELECT trial_id, {_USER}, key, {_NO_NUMBER}, value_json FROM trial_user_attributes WHERE trial_id IN (%s)
UNION ALL SELECT trial_id, {_SYSTEM}, key, {_NO_NUMBER}, value_json FROM trial_system_attributes WHERE trial_id IN (%s)
UNION ALL SELECT trial_id, {_STEP}, CAST(step AS VARCHAR), intermediate_value, CAST(intermediate_value_type AS VARCHAR)
FROM trial_intermediate_values WHERE trial_id IN (%s)
"""
_AT_ONCE = 1_000


class Reader:
    """The trials of one study, kept up to date.

    A finished trial is read once; one that is not, whenever its state has changed or it lacks parameters.

    Args:
        study_id: of the study.
    """

    def __init__(self, study_id: int) -> None:
        self._study = study_id
        self.trials: list[FrozenTrial] = []
        self._open: dict[int, TrialState] = {}  # by id, those that are not finished
        self._last = -1
        self._distributions: dict[str, BaseDistribution] = {}

    def read(self, connection: Connection) -> None:
        """Read what is new."""
        rows = self._changed(connection)
        if not rows:
            return
        parts = self._parts(connection, [trial_id for trial_id, *_ in rows])
        for trial_id, number, state_name, began, ended in sorted(rows, key=lambda row: row[1]):
            state, own = _STATES[state_name], parts[trial_id]
            values = own.pop(_VALUE, None)
            trial = FrozenTrial(
                number, state, None, _local(began), _local(ended), own[_PARAM], own[-1], own[_USER], own[_SYSTEM],
                {int(step): value for step, value in own[_STEP].items()}, trial_id,
                values=[values[key] for key in sorted(values, key=int)] if values else None,
            )  # fmt: skip
            self._put(trial)

    def add(self, template: FrozenTrial, *, number: int, trial_id: int) -> FrozenTrial:
        """Take in a trial that was just stored."""
        trial = FrozenTrial(
            number, template.state, None, template.datetime_start, template.datetime_complete, template.params,
            template.distributions, template.user_attrs, template.system_attrs, {}, trial_id, values=template.values,
        )  # fmt: skip
        self._put(trial)
        return trial

    def _put(self, trial: FrozenTrial) -> None:
        trial_id = trial._trial_id
        if trial.number == len(self.trials):
            self.trials.append(trial)
        else:
            self.trials[trial.number] = trial
        self._last = max(self._last, trial_id)
        self._open.pop(trial_id, None)
        if not trial.state.is_finished():
            self._open[trial_id] = trial.state

    def _changed(self, connection: Connection) -> list[Any]:
        among = f" OR trial_id IN ({_listed(self._open)})" if self._open else ""
        query = (
            "SELECT trial_id, number, CAST(state AS VARCHAR), datetime_start, datetime_complete FROM trials "
            f"WHERE study_id = {self._study} AND (trial_id > {self._last}{among})"
        )
        rows = connection.exec_driver_sql(query).all()
        return [row for row in rows if self._is_news(row)]

    def _is_news(self, row: Any) -> bool:
        trial_id, number, state, *_ = row
        before = self._open.get(trial_id)
        if before is None or before.name != state:
            return True
        return before == TrialState.RUNNING and not self.trials[number].params

    def _parts(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, dict[int, dict[str, Any]]]:
        parts: dict[int, dict[int, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
        for begin in range(0, len(ids), _AT_ONCE):
            some = _listed(ids[begin : begin + _AT_ONCE])
            for trial_id, kind, name, number, written in connection.exec_driver_sql(_PARTS.replace("%s", some)):
                own = parts[trial_id]
                if kind == _PARAM:
                    distribution = self._distribution(written)
                    own[_PARAM][name] = distribution.to_external_repr(number)
                    own[-1][name] = distribution
                elif kind in {_USER, _SYSTEM}:
                    own[kind][name] = json.loads(written)
                else:
                    own[kind][name] = _INFINITE.get(written, number)
        return parts

    def _distribution(self, written: str) -> BaseDistribution:
        if written not in self._distributions:
            self._distributions[written] = json_to_distribution(written)
        return self._distributions[written]


_STATES: Mapping[str, TrialState] = {state.name: state for state in TrialState}


def _listed(ids: Iterable[int]) -> str:
    return ",".join(map(str, ids))
