"""Bulk recording of finished trials in an Optuna storage, and the only home of Optuna's private names.

Optuna stores one trial per call: 268 us a trial in a journal file, 8,950 us in SQLite (Optuna 5.0.0). Here a batch of
trials is one append to a journal, or one transaction of a database. Other storages, and databases in which the
installed Optuna would write other rows, are written by the public `study.add_trials`.
"""

import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage, _CachedStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from explorer.problem.columns import Float
from explorer.search.storage.journal import BatchedJournalBackend

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BATCH_ATTR = "explorer:block"
"""System attribute of a recorded trial: token of its batch and index in it, so that none is stored twice."""

_attempted: WeakSet["TrialBatch"] = WeakSet()
"""Batches of which a write was started: they may be stored already."""
_verified_states: set[TrialState] = set()
"""States whose rows are equal to those that the installed Optuna writes."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TrialBatch:
    """Table of n finished trials, to be recorded together and in order.

    Args:
        params: parameter name to n external values: numbers, or choices of a CategoricalDistribution.
        distributions: the same names to their distributions.
        values: objectives, shape (n, m); the row of a FAIL trial is ignored.
        constraints: name to shape (n,), feasible if <= 0, as in `trial.set_constraint`; NaN only in FAIL trials.
        user_attrs: name to n JSON values (number, text or dict); None: that trial has no such attribute.
        system_attrs: the same.
        began, ended: start and end of all trials, with a time zone.
        states: COMPLETE or FAIL for each trial; None: all are COMPLETE.
        token: identifies the batch, so that retries record it once.
    """

    params: Mapping[str, Sequence[Any]]
    distributions: Mapping[str, BaseDistribution]
    values: Float
    constraints: Mapping[str, Float]
    user_attrs: Mapping[str, Sequence[Any]]
    system_attrs: Mapping[str, Sequence[Any]]
    began: datetime.datetime
    ended: datetime.datetime
    states: Sequence[TrialState] | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class InsertResult:
    """Outcome of recording a batch.

    Args:
        numbers: the trial numbers in the study, in the batch's order.
        note: empty, or the reason for the user why trials were added one by one.
    """

    numbers: Sequence[int]
    note: str


class _Unsupported(Exception):
    """Storage format without a bulk writer; its text completes "no bulk writer for ". Nothing was stored."""


def insert_trials(study: optuna.Study, batch: TrialBatch) -> InsertResult:
    """Record a batch atomically and idempotently: all of its trials or none, once for any number of calls.

    Only `study.add_trials` (with a note) stores trial by trial; after an error the next call adds the missing ones.

    Args:
        study: an Optuna study in any storage.
        batch: the trials. After an error call again with the same object: stored trials are recognized.

    Raises:
        ValueError, TypeError: Optuna refuses one of the trials; nothing was recorded.
        OSError, SQLAlchemyError: the storage is full, locked, unreachable, or cannot be written.
        KeyError: the study was deleted.
    """
    if not batch.n:
        return InsertResult(range(0), "")
    trials = _frozen_trials(batch, len(study.directions))
    storage, stored = study._storage, _numbers(study, batch)
    database = storage._backend if isinstance(storage, _CachedStorage) else storage
    try:
        if not stored and isinstance(storage, JournalStorage) and isinstance(storage._backend, BatchedJournalBackend):
            return InsertResult(_append(study, storage._backend, batch, trials), "")
        if not stored and isinstance(database, RDBStorage):
            return InsertResult(_insert(study, database.engine, batch, trials), "")
        reason = f"a {type(getattr(storage, '_backend', storage)).__name__}"
    except _Unsupported as error:
        reason = str(error)
    json.dumps([[trial.user_attrs, trial.system_attrs] for trial in trials])  # raises TypeError before any is stored
    _attempted.add(batch)
    study.add_trials(trial for i, trial in enumerate(trials) if i not in stored)
    is_quick = isinstance(storage, InMemoryStorage) or len(stored) == batch.n
    note = f"trials are recorded one by one, which is slower: explorer has no bulk writer for {reason}"
    return InsertResult([*_numbers(study, batch).values()], "" if is_quick else note)


def finish_enqueued(
    study: optuna.Study, trial: FrozenTrial, *, params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution], state: TrialState, values: Sequence[float] | None,
    constraints: Mapping[str, float], user_attrs: Mapping[str, Any], system_attrs: Mapping[str, Any],
) -> None:  # fmt: skip
    """Complete a trial that was enqueued with plain Optuna, under its own number.

    In a journal it is one atomic append. In other storages attributes are stored first and the state last: after a
    kill in between the trial is unfinished and has its user attributes. A finished trial is not changed, so that the
    call can be retried after a broken connection.

    `trial` is WAITING since `study.enqueue_trial`, or was left RUNNING; `values` is None for a FAIL trial; the other
    arguments are one row of a `TrialBatch`.

    Raises:
        ValueError: a value is NaN or not in its distribution; nothing was stored.
        OSError, SQLAlchemyError, StorageInternalError: the storage is full, unreachable, or cannot be written.
    """
    finished = create_trial(
        state=state, values=values, params=dict(params), distributions=dict(distributions),
        constraints=dict(constraints), user_attrs=dict(user_attrs), system_attrs=dict(system_attrs),
    )  # fmt: skip
    storage, trial_id = study._storage, trial._trial_id
    backend = getattr(storage, "_backend", None)
    with backend.transaction() if isinstance(backend, BatchedJournalBackend) else nullcontext():
        stored = storage.get_trial(trial_id)
        if stored.state.is_finished():
            return
        for key, value in finished.user_attrs.items():
            storage.set_trial_user_attr(trial_id, key, value)
        for key, value in finished.system_attrs.items():
            storage.set_trial_system_attr(trial_id, key, value)
        # A database accepts each parameter only once.
        for name in (name for name in finished.params if name not in stored.params):
            distribution = finished.distributions[name]
            value = distribution.to_internal_repr(finished.params[name])
            storage.set_trial_param(trial_id, name, value, distribution)
        if stored.state == TrialState.WAITING:
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)  # sets its start
        storage.set_trial_state_values(trial_id, state, finished.values)


def set_system_attr(study: optuna.Study, trial: Trial | FrozenTrial, key: str, value: Any) -> None:
    """Set a system attribute of a trial, as Optuna's own samplers do."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def system_attrs_of(study: optuna.Study) -> dict[str, Any]:
    """Return the system attributes of a study, in which samplers keep their state."""
    return dict(study._storage.get_study_system_attrs(study._study_id))


def copy_system_attrs(source: optuna.Study, target: optuna.Study) -> None:
    """Copy the system attributes of a study, in which samplers keep their state, to another study."""
    present = target._storage.get_study_system_attrs(target._study_id)
    for key, value in source._storage.get_study_system_attrs(source._study_id).items():
        if present.get(key) != value:
            target._storage.set_study_system_attr(target._study_id, key, value)


def _frozen_trials(batch: TrialBatch, n_objectives: int) -> list[FrozenTrial]:
    """Return the trials of a batch, validated by Optuna; times are naive and local, as in Optuna.

    Raises:
        ValueError: Optuna refuses one of them, or a column does not have one value per trial.
    """
    n, states = batch.n, batch.states or [TrialState.COMPLETE] * batch.n
    if batch.values.ndim != 2 or batch.values.shape[1] != n_objectives:
        raise ValueError(f"values have the shape {batch.values.shape}, but the study has {n_objectives} objectives")
    if not {TrialState.COMPLETE, TrialState.FAIL}.issuperset(states):
        raise ValueError("a trial to be recorded is COMPLETE or FAIL")
    params, constraints, user, system = (
        _rows(columns, n) for columns in (batch.params, batch.constraints, batch.user_attrs, batch.system_attrs)
    )
    began, ended = (moment.astimezone().replace(tzinfo=None) for moment in (batch.began, batch.ended))
    trials = []
    for i, (state, values) in enumerate(zip(states, batch.values.tolist(), strict=True)):
        is_complete = state == TrialState.COMPLETE
        trial = create_trial(
            state=state, values=values if is_complete else None, params=params[i],
            distributions=dict(batch.distributions),
            user_attrs={key: value for key, value in user[i].items() if value is not None},
            system_attrs={key: value for key, value in system[i].items() if value is not None},
            constraints={key: value for key, value in constraints[i].items() if is_complete or not np.isnan(value)},
        )  # fmt: skip
        trial.system_attrs[BATCH_ATTR] = [batch.token, i]
        trial.datetime_start, trial.datetime_complete = began, ended
        trials.append(trial)
    return trials


def _rows(columns: Mapping[str, Sequence[Any] | Float], n: int) -> list[dict[str, Any]]:
    """Return one dict per trial, of built-in Python values: JSON cannot encode those of numpy."""
    for name, column in columns.items():
        if len(column) != n:
            raise ValueError(f"'{name}' has {len(column)} values for {n} trials")
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)] if columns else [{}] * n


def _numbers(study: optuna.Study, batch: TrialBatch) -> dict[int, int]:
    """Return the trials of a batch that earlier attempts stored: index in the batch to trial number, sorted."""
    numbers: dict[int, int] = {}
    for trial in reversed(study.get_trials(deepcopy=False) if batch in _attempted else ()):
        origin = trial.system_attrs.get(BATCH_ATTR)
        if isinstance(origin, list) and origin[0] == batch.token:
            numbers[int(origin[1])] = trial.number
            if len(numbers) == batch.n:
                break
    return dict(sorted(numbers.items()))


def _append(
    study: optuna.Study, backend: BatchedJournalBackend, batch: TrialBatch, trials: list[FrozenTrial]
) -> list[int]:
    """Append one line per trial to a journal in one write, and return the trial numbers."""
    records = _journal_records(trials, study._study_id)
    with backend.lock():
        n_before = len(study.get_trials(deepcopy=False))  # raises KeyError if the study was deleted
        if stored := _numbers(study, batch):
            return [*stored.values()]
        _attempted.add(batch)
        backend.append_logs(records)
    return list(range(n_before, n_before + batch.n))


def _journal_records(trials: Sequence[FrozenTrial], study_id: int) -> list[dict[str, Any]]:
    """Return the journal records of trials with equal times and distributions.

    The installed Optuna writes a template of each state, in which the fields that differ are replaced.

    Raises:
        _Unsupported: the installed Optuna writes those fields in another format.
    """
    records, templates = [], dict[TrialState, dict[str, Any]]()
    for trial in trials:
        values, distributions = trial.values or [], trial.distributions
        fields = {
            "value": values[0] if len(values) == 1 else None,
            "values": values if len(values) > 1 else None,
            "params": {name: distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
            "user_attrs": trial.user_attrs,
            "system_attrs": trial.system_attrs,
        }
        if trial.state not in templates:
            backend = _RecordingBackend()
            JournalStorage(backend).create_new_trial(0, trial)
            # Not this process's id: Optuna raises errors only for a process's own records.
            templates[trial.state] = {**backend.records[1], "worker_id": "explorer", "study_id": study_id}
            if {**templates[trial.state], **fields} != templates[trial.state]:
                raise _Unsupported(f"the journal of Optuna {optuna.__version__}")
        records.append({**templates[trial.state], **fields})
    return records


class _RecordingBackend(BaseJournalBackend):
    """Journal in memory with one study, which records the output of the installed Optuna."""

    def __init__(self) -> None:
        study = {"op_code": 0, "worker_id": "", "study_name": "twin", "directions": [1]}
        self.records: list[dict[str, Any]] = [study]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.records += logs


def _insert(study: optuna.Study, engine: "Engine", batch: TrialBatch, trials: list[FrozenTrial]) -> list[int]:
    """Insert a batch in one transaction under Optuna's row lock, and return the trial numbers.

    After a broken connection it is unknown whether the batch was stored: a retry checks it under the same lock. SQLite
    has no row locks: BEGIN IMMEDIATE acquires the write lock at once, since a transaction that began by reading fails
    while another process writes.

    Raises:
        _Unsupported: the tables have another schema.
    """
    from optuna.storages._rdb.models import NOT_FOUND_MSG, StudyModel
    from sqlalchemy import select
    from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError, ProgrammingError

    study_id = study._study_id
    _verify_rows(trials)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            lock = select(StudyModel.study_id).where(StudyModel.study_id == study_id).with_for_update()
            if connection.execute(lock).first() is None:
                raise KeyError(NOT_FOUND_MSG)
            if stored := _numbers(study, batch):
                return [*stored.values()]
            numbers = _insert_rows(connection, study_id, trials)
            _attempted.add(batch)
            connection.commit()
            return numbers
    except (DataError, IntegrityError, NotSupportedError, ProgrammingError) as error:
        raise _Unsupported(f"the tables of this database ({str(error.orig).splitlines()[0]})") from error


def _insert_rows(connection: "Connection", study_id: int, trials: Sequence[FrozenTrial]) -> list[int]:
    """Insert finished trials with equal times and distributions, and return their numbers."""
    from optuna.storages._rdb.models import BaseModel, TrialValueModel
    from sqlalchemy import func, insert, select

    tables = BaseModel.metadata.tables
    table, in_study = tables["trials"], tables["trials"].c.study_id == study_id
    # As in Optuna, a trial number is the count of earlier trials.
    n_before = connection.execute(select(func.count()).select_from(table).where(in_study)).scalar_one()
    numbers = list(range(n_before, n_before + len(trials)))
    started, ended = _utc(trials[0].datetime_start), _utc(trials[0].datetime_complete)
    shared = {"study_id": study_id, "datetime_start": started, "datetime_complete": ended}
    rows = [{**shared, "number": number, "state": one.state} for number, one in zip(numbers, trials, strict=True)]
    connection.execute(insert(table), rows)
    ids = connection.execute(
        select(table.c.trial_id).where(in_study, table.c.number >= n_before).order_by(table.c.number)
    )
    texts = {name: distribution_to_json(distribution) for name, distribution in trials[0].distributions.items()}
    params, values, user, system = [list[dict[str, Any]]() for _ in range(4)]
    for i, trial in zip(ids.scalars(), trials, strict=True):
        for key, value in trial.params.items():
            internal = trial.distributions[key].to_internal_repr(value)
            params += [{"trial_id": i, "param_name": key, "param_value": internal, "distribution_json": texts[key]}]
        for objective, value in enumerate(trial.values or ()):
            stored, kind = TrialValueModel.value_to_stored_repr(value)
            values += [{"trial_id": i, "objective": objective, "value": stored, "value_type": kind}]
        user += [{"trial_id": i, "key": k, "value_json": json.dumps(v)} for k, v in trial.user_attrs.items()]
        system += [{"trial_id": i, "key": k, "value_json": json.dumps(v)} for k, v in trial.system_attrs.items()]
    names = ("trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes")
    for name, new_rows in zip(names, (params, values, user, system), strict=True):
        if new_rows:
            connection.execute(insert(tables[name]), new_rows)
    return numbers


def _utc(local: datetime.datetime | None) -> datetime.datetime | None:
    return None if local is None else local.astimezone(datetime.UTC).replace(tzinfo=None)


def _verify_rows(trials: Sequence[FrozenTrial]) -> None:
    """Compare `_insert_rows` with the installed Optuna in an in-memory database, once per process and state.

    Raises:
        _Unsupported: they differ. Any error is a difference: the installed Optuna may differ in any way.
    """
    specimens = {trial.state: trial for trial in trials if trial.state not in _verified_states}
    if not specimens:
        return
    try:
        from optuna.storages._rdb.models import BaseModel
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import scoped_session, sessionmaker

        engine = create_engine("sqlite://")
        BaseModel.metadata.create_all(engine)
        # Not RDBStorage("sqlite://"): loading its migrations takes 120 ms, this 20 ms.
        storage = object.__new__(RDBStorage)
        storage.__dict__.update(engine=engine, scoped_session=scoped_session(sessionmaker(engine)))
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO studies (study_id, study_name) VALUES (1, 'ours'), (2, 'theirs')"))
            _insert_rows(connection, 1, [*specimens.values()])
        for trial in specimens.values():
            storage.create_new_trial(2, template_trial=trial)
        pairs = zip(storage.get_all_trials(1), storage.get_all_trials(2), strict=True)
        is_same = all(
            {**ours.__dict__, "_trial_id": 0} == {**optunas.__dict__, "_trial_id": 0} for ours, optunas in pairs
        )
        storage.remove_session()
        engine.dispose()
    except Exception as error:
        raise _Unsupported(f"the tables of Optuna {optuna.__version__} ({error!r})") from error
    if not is_same:
        raise _Unsupported(f"the tables of Optuna {optuna.__version__}")
    _verified_states.update(specimens)
