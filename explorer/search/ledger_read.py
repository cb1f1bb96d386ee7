"""Reading the trials of a shared study from a database: only those that changed, all of their parts at once."""

import copy
import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from explorer.search.ledger import Ending

Ask = Callable[[str, Mapping[str, Any]], Sequence[Any]]
"""Runs a query with its parameters, and returns its rows."""

_STATES: Mapping[str, TrialState] = {state.name: state for state in TrialState}
INFINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
_PARAM, _VALUE, _USER, _SYSTEM, _STEP = range(5)
# One statement for all parts of some trials: a round trip costs more than a row.
_BEGUN = f"""
SELECT trial_id, {_PARAM}, param_name, param_value, distribution_json FROM trial_params WHERE trial_id = ANY(%(ids)s)
UNION ALL SELECT trial_id, {_SYSTEM}, key, NULL::float8, value_json
FROM trial_system_attributes WHERE trial_id = ANY(%(ids)s)"""
_FINISHED = f"""{_BEGUN}
UNION ALL SELECT trial_id, {_USER}, key, NULL::float8, value_json
FROM trial_user_attributes WHERE trial_id = ANY(%(ids)s)
UNION ALL SELECT trial_id, {_VALUE}, objective::text, value, value_type::text
FROM trial_values WHERE trial_id = ANY(%(ids)s)
UNION ALL SELECT trial_id, {_STEP}, step::text, intermediate_value, intermediate_value_type::text
FROM trial_intermediate_values WHERE trial_id = ANY(%(ids)s)"""
_AT_ONCE = 1_000


class Reader:
    """The trials of one study, kept up to date.

    A finished trial is read once, one that is not whenever its state has changed or it lacks parameters, and without
    its user attributes: nobody asks for them before it is finished.

    Args:
        study_id: of the study.
    """

    def __init__(self, study_id: int) -> None:
        self._study = study_id
        self.trials: list[FrozenTrial] = []
        self._open: dict[int, TrialState] = {}  # by id, those that are not finished
        self._last = -1
        self._distributions: dict[str, BaseDistribution] = {}

    @property
    def query(self) -> str:
        """What to ask for `take_in`: the heads of new trials and of those that were not finished."""
        head = "SELECT trial_id, number, state::text, datetime_start, datetime_complete FROM trials WHERE"
        known = f" UNION ALL {head} trial_id IN ({','.join(map(str, self._open))})" if self._open else ""
        return f"{head} trial_id > {self._last} AND study_id = {self._study}{known}"

    def take_in(self, heads: Iterable[Any], ask: Ask, *, only_new: bool = False) -> None:
        """Take in the answer to `query`, and ask for the parts of what is news.

        Args:
            heads: the answer.
            ask: whom.
            only_new: leave what became of known trials for later.
        """
        rows = sorted(
            (row for row in heads if (row[0] not in self._open if only_new else self._is_news(row))),
            key=lambda row: row[1],
        )
        parts = self._parts(rows, ask)
        for trial_id, number, state, began, ended in rows:
            own = parts[trial_id]
            values = own.get(_VALUE)
            trial = FrozenTrial(
                number, _STATES[state], None, local_time(began), local_time(ended), own[_PARAM], own[-1], own[_USER],
                own[_SYSTEM], {int(step): value for step, value in own[_STEP].items()}, trial_id,
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

    def end(self, trial_id: int, ending: Ending) -> None:
        """Take in how a trial ended that was just stored."""
        before = next((t for t in reversed(self.trials) if t._trial_id == trial_id), None)
        if before is not None:
            trial = copy.copy(before)
            trial.state, trial.values = ending.state, None if ending.values is None else list(ending.values)
            trial.datetime_complete = datetime.datetime.now()  # noqa: DTZ005 - as Optuna's
            trial.user_attrs = {**before.user_attrs, **ending.user_attrs}
            trial.system_attrs = {**before.system_attrs, **ending.system_attrs}
            self._put(trial)

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

    def _is_news(self, row: Any) -> bool:
        trial_id, number, state, *_ = row
        before = self._open.get(trial_id)
        if before is None or before.name != state:
            return True
        return before == TrialState.RUNNING and not self.trials[number].params

    def _parts(self, rows: Sequence[Any], ask: Ask) -> Mapping[int, dict[int, dict[str, Any]]]:
        parts: dict[int, dict[int, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
        for begin in range(0, len(rows), _AT_ONCE):
            some = rows[begin : begin + _AT_ONCE]
            finished = [row[0] for row in some if _STATES[row[2]].is_finished()]
            begun = [row[0] for row in some if not _STATES[row[2]].is_finished()]
            for query, ids in ((_FINISHED, finished), (_BEGUN, begun)):
                if ids:
                    self._add_parts(parts, ask(query, {"ids": ids}))
        return parts

    def _add_parts(self, parts: Mapping[int, dict[int, dict[str, Any]]], rows: Sequence[Any]) -> None:
        attrs = [row for row in rows if row[1] in {_USER, _SYSTEM}]
        written = json.loads(f"[{','.join(row[4] for row in attrs)}]")  # one call for many
        for (trial_id, kind, key, *_), value in zip(attrs, written, strict=True):
            parts[trial_id][kind][key] = value
        for trial_id, kind, name, number, word in rows:
            if kind == _PARAM:
                distribution = self._distribution(word)
                parts[trial_id][_PARAM][name] = distribution.to_external_repr(number)
                parts[trial_id][-1][name] = distribution
            elif kind in {_VALUE, _STEP}:
                parts[trial_id][kind][name] = INFINITE.get(word, number)

    def _distribution(self, written: str) -> BaseDistribution:
        if written not in self._distributions:
            self._distributions[written] = json_to_distribution(written)
        return self._distributions[written]


def local_time(moment: Any) -> datetime.datetime | None:
    """Return naive local time from a database's naive UTC."""
    return None if moment is None else moment.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)
