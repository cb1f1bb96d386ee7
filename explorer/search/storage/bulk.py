"""Bulk recording of finished trials in an Optuna storage, and the only home of Optuna's private names.

Optuna stores one trial a call: 268 us a trial into a journal file, 8,950 us into SQLite (Optuna 5.0.0). Here a block of
trials is one append to a journal, or one transaction of a database. Any other storage, and a database into which the
installed Optuna writes other rows, takes trials the public way, `study.add_trials`.
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
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, _CachedStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from explorer.problem.columns import Float
from explorer.search.storage.journal import BatchedJournalBackend

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BATCH_ATTR = "explorer:block"
"""System attribute of a recorded trial: its block's token and its index in the block, so that none is stored twice."""

_attempted: WeakSet["TrialBatch"] = WeakSet()
"""Blocks that were written, perhaps without an answer: they may be stored already."""
_compared: set[TrialState] = set()
"""States whose rows were found to be those that the installed Optuna writes."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TrialBatch:
    """Table of n finished trials, to be recorded together and in order.

    Args:
        params: parameter name to n external values: numbers, or choices of a CategoricalDistribution.
        distributions: the same names to their distributions.
        values: the objectives, shape (n, m); the row of a FAIL trial is ignored.
        constraints: name to shape (n,), feasible at most 0, as of `trial.set_constraint`; NaN only in FAIL trials.
        user_attrs: name to n JSON values (a number, a text, a whole dict); None: that trial has no such attribute.
        system_attrs: the same.
        began, ended: start and end of all trials, with a time zone.
        states: COMPLETE or FAIL for each trial; None: all are COMPLETE.
        token: identifies the block, so that it is recorded once however often it is tried.
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
    """Outcome of recording a block.

    Args:
        numbers: the trial numbers in the study, in the block's order.
        note: empty, or one sentence for the user why trials were added one by one.
    """

    numbers: Sequence[int]
    note: str


class _Unsupported(Exception):
    """Storage format without a bulk writer: completes "no bulk writer for ". Nothing was stored."""


def insert_trials(study: optuna.Study, block: TrialBatch) -> InsertResult:
    """Record a block: all of its trials or none, and once, however often it is called with the same block.

    Only the public way (with a note) stores trial by trial; after an error the next call adds those that are missing.

    Args:
        study: an Optuna study in any storage.
        block: the trials. After an error call again with this very object: trials that were stored are found.

    Raises:
        ValueError, TypeError: Optuna refuses one of the trials; nothing was recorded.
        OSError, SQLAlchemyError: the storage is full, locked, lost, or cannot be written.
        KeyError: the study was deleted.
    """
    if not block.n:
        return InsertResult(range(0), "")
    trials = _frozen_trials(block, len(study.directions))
    storage, stored = study._storage, _numbers(study, block)
    database = storage._backend if isinstance(storage, _CachedStorage) else storage
    try:
        if not stored and isinstance(storage, JournalStorage) and isinstance(storage._backend, BatchedJournalBackend):
            return InsertResult(_append(study, storage._backend, block, trials), "")
        if not stored and isinstance(database, RDBStorage):
            return InsertResult(_insert(study, database.engine, block, trials), "")
        reason = f"a {type(getattr(storage, '_backend', storage)).__name__}"
    except _Unsupported as error:
        reason = str(error)
    json.dumps([[trial.user_attrs, trial.system_attrs] for trial in trials])  # raises TypeError before any is stored
    _attempted.add(block)
    study.add_trials(trial for i, trial in enumerate(trials) if i not in stored)
    is_quick = isinstance(storage, InMemoryStorage) or len(stored) == block.n
    note = f"trials are recorded one by one, which takes longer: explorer has no bulk writer for {reason}"
    return InsertResult([*_numbers(study, block).values()], "" if is_quick else note)


def finish_enqueued(
    study: optuna.Study,
    trial: FrozenTrial,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    state: TrialState,
    values: Sequence[float] | None,
    constraints: Mapping[str, float],
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> None:
    """Complete a trial that was enqueued with plain Optuna, under its own number.

    In a journal it is one append, all or nothing. Elsewhere attributes are stored first and the state last: after a
    kill in between the trial is unfinished and has its user attributes. A finished trial stays as it is, so that a
    call whose answer was lost can be repeated.

    `trial` is WAITING since `study.enqueue_trial`, or was left RUNNING; `values` is None for a FAIL trial; all others
    are one row of a `TrialBatch`.

    Raises:
        ValueError: a value is NaN or not in its distribution; nothing was stored.
        OSError, SQLAlchemyError, StorageInternalError: the storage is full, lost, or cannot be written.
    """
    done = create_trial(
        state=state, values=values, params=dict(params), distributions=dict(distributions),
        constraints=dict(constraints), user_attrs=dict(user_attrs), system_attrs=dict(system_attrs),
    )  # fmt: skip
    storage, trial_id = study._storage, trial._trial_id
    backend = getattr(storage, "_backend", None)
    with backend.together() if isinstance(backend, BatchedJournalBackend) else nullcontext():
        stored = storage.get_trial(trial_id)
        if stored.state.is_finished():
            return
        for key, value in done.user_attrs.items():
            storage.set_trial_user_attr(trial_id, key, value)
        for key, value in done.system_attrs.items():
            storage.set_trial_system_attr(trial_id, key, value)
        for name in (name for name in done.params if name not in stored.params):  # a database takes each once
            distribution = done.distributions[name]
            storage.set_trial_param(trial_id, name, distribution.to_internal_repr(done.params[name]), distribution)
        if stored.state == TrialState.WAITING:
            storage.set_trial_state_values(trial_id, TrialState.RUNNING)  # sets its start
        storage.set_trial_state_values(trial_id, state, done.values)


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return the storage of a study."""
    return study._storage


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


def _frozen_trials(block: TrialBatch, n_objectives: int) -> list[FrozenTrial]:
    """Return the block's trials as Optuna makes and validates them; times are naive and local, as Optuna's are.

    Raises:
        ValueError: Optuna refuses one of them, or the columns do not have one value a trial.
    """
    n, states = block.n, block.states or [TrialState.COMPLETE] * block.n
    if block.values.ndim != 2 or block.values.shape[1] != n_objectives:
        raise ValueError(f"values have the shape {block.values.shape}, but the study has {n_objectives} objectives")
    if not {TrialState.COMPLETE, TrialState.FAIL}.issuperset(states):
        raise ValueError("a trial to be recorded is COMPLETE or FAIL")
    params, constraints, user, system = (
        _rows(columns, n) for columns in (block.params, block.constraints, block.user_attrs, block.system_attrs)
    )
    began, ended = (moment.astimezone().replace(tzinfo=None) for moment in (block.began, block.ended))
    trials = []
    for i, (state, values) in enumerate(zip(states, block.values.tolist(), strict=True)):
        is_complete = state == TrialState.COMPLETE
        trial = create_trial(
            state=state, values=values if is_complete else None, params=params[i],
            distributions=dict(block.distributions),
            user_attrs={key: value for key, value in user[i].items() if value is not None},
            system_attrs={key: value for key, value in system[i].items() if value is not None},
            constraints={key: value for key, value in constraints[i].items() if is_complete or not np.isnan(value)},
        )  # fmt: skip
        trial.system_attrs[BATCH_ATTR] = [block.token, i]
        trial.datetime_start, trial.datetime_complete = began, ended
        trials.append(trial)
    return trials


def _rows(columns: Mapping[str, Sequence[Any] | Float], n: int) -> list[dict[str, Any]]:
    """Return one dict a trial, of Python's own values: JSON knows none of numpy's."""
    for name, column in columns.items():
        if len(column) != n:
            raise ValueError(f"'{name}' has {len(column)} values for {n} trials")
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)] if columns else [{}] * n


def _numbers(study: optuna.Study, block: TrialBatch) -> dict[int, int]:
    """Return what earlier attempts stored of a block: index in the block to trial number, in order."""
    numbers: dict[int, int] = {}
    for trial in reversed(study.get_trials(deepcopy=False) if block in _attempted else ()):
        mark = trial.system_attrs.get(BATCH_ATTR)
        if isinstance(mark, list) and mark[0] == block.token:
            numbers[int(mark[1])] = trial.number
            if len(numbers) == block.n:
                break
    return dict(sorted(numbers.items()))


def _append(
    study: optuna.Study, backend: BatchedJournalBackend, block: TrialBatch, trials: list[FrozenTrial]
) -> list[int]:
    """Append one line a trial to a journal, all in one write, and return the trial numbers."""
    records = _journal_records(trials, study._study_id)
    with backend.locked():
        first = len(study.get_trials(deepcopy=False))  # raises KeyError where the study was deleted
        if stored := _numbers(study, block):
            return [*stored.values()]
        _attempted.add(block)
        backend.append_logs(records)
    return list(range(first, first + block.n))


def _journal_records(trials: Sequence[FrozenTrial], study_id: int) -> list[dict[str, Any]]:
    """Return a journal's records of trials with equal times and distributions.

    The installed Optuna makes the first of each state; the fields in which others differ are replaced in a copy.

    Raises:
        _Unsupported: the installed Optuna writes those fields otherwise.
    """
    records, made = [], dict[TrialState, dict[str, Any]]()
    for trial in trials:
        values, distributions = trial.values or [], trial.distributions
        own = {
            "value": values[0] if len(values) == 1 else None,
            "values": values if len(values) > 1 else None,
            "params": {name: distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
            "user_attrs": trial.user_attrs,
            "system_attrs": trial.system_attrs,
        }
        if trial.state not in made:
            twin = _Memory()
            JournalStorage(twin).create_new_trial(0, trial)
            # The name of no process: Optuna raises errors of a process's own records only.
            made[trial.state] = {**twin.records[1], "worker_id": "explorer", "study_id": study_id}
            if {**made[trial.state], **own} != made[trial.state]:
                raise _Unsupported(f"the journal of Optuna {optuna.__version__}")
        records.append({**made[trial.state], **own})
    return records


class _Memory(BaseJournalBackend):
    """Journal in memory with one study, to see what the installed Optuna writes."""

    def __init__(self) -> None:
        study = {"op_code": 0, "worker_id": "", "study_name": "twin", "directions": [1]}
        self.records: list[dict[str, Any]] = [study]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.records += logs


def _insert(study: optuna.Study, engine: "Engine", block: TrialBatch, trials: list[FrozenTrial]) -> list[int]:
    """Insert a block in one transaction under Optuna's own lock, and return the trial numbers.

    Where the connection was lost it is unknown whether the block was stored: a retry finds out, under the same lock.
    SQLite has no row locks: its transaction takes the right to write at once, since one that began by reading could
    not get it while another process writes.

    Raises:
        _Unsupported: the tables are not as they are known.
    """
    from optuna.storages._rdb.models import NOT_FOUND_MSG, StudyModel
    from sqlalchemy import select
    from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError, ProgrammingError

    study_id = study._study_id
    _compare_rows(trials)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            locked = select(StudyModel.study_id).where(StudyModel.study_id == study_id).with_for_update()
            if connection.execute(locked).first() is None:
                raise KeyError(NOT_FOUND_MSG)
            if stored := _numbers(study, block):
                return [*stored.values()]
            numbers = _insert_rows(connection, study_id, trials)
            _attempted.add(block)
            connection.commit()
            return numbers
    except (DataError, IntegrityError, NotSupportedError, ProgrammingError) as error:
        raise _Unsupported(f"the tables of this database ({str(error.orig).splitlines()[0]})") from error


def _insert_rows(connection: "Connection", study_id: int, trials: Sequence[FrozenTrial]) -> list[int]:
    """Insert finished trials with equal times and distributions, and return their numbers."""
    from optuna.storages._rdb.models import BaseModel, TrialValueModel
    from sqlalchemy import func, insert, select

    tables = BaseModel.metadata.tables
    table, is_own = tables["trials"], tables["trials"].c.study_id == study_id
    # Counted, as Optuna does: a number is the count of earlier trials.
    first = connection.execute(select(func.count()).select_from(table).where(is_own)).scalar_one()
    numbers = list(range(first, first + len(trials)))
    same = {"study_id": study_id, "datetime_start": _utc(trials[0].datetime_start)}
    same["datetime_complete"] = _utc(trials[0].datetime_complete)
    rows = [{**same, "number": number, "state": one.state} for number, one in zip(numbers, trials, strict=True)]
    connection.execute(insert(table), rows)
    ids = connection.execute(select(table.c.trial_id).where(is_own, table.c.number >= first).order_by(table.c.number))
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
    for name, some in zip(names, (params, values, user, system), strict=True):
        if some:
            connection.execute(insert(tables[name]), some)
    return numbers


def _utc(local: datetime.datetime | None) -> datetime.datetime | None:
    return None if local is None else local.astimezone(datetime.UTC).replace(tzinfo=None)


def _compare_rows(trials: Sequence[FrozenTrial]) -> None:
    """Compare `_insert_rows` with the installed Optuna in a database in memory, once a process and state.

    Raises:
        _Unsupported: they differ. Any error is a difference: the installed Optuna may differ in any way.
    """
    specimens = {trial.state: trial for trial in trials if trial.state not in _compared}
    if not specimens:
        return
    try:
        from optuna.storages._rdb.models import BaseModel
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import scoped_session, sessionmaker

        engine = create_engine("sqlite://")
        BaseModel.metadata.create_all(engine)
        # Not RDBStorage("sqlite://"): loading its migrations takes 120 ms, this 20 ms.
        twin = object.__new__(RDBStorage)
        twin.__dict__.update(engine=engine, scoped_session=scoped_session(sessionmaker(engine)))
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO studies (study_id, study_name) VALUES (1, 'ours'), (2, 'theirs')"))
            _insert_rows(connection, 1, [*specimens.values()])
        for trial in specimens.values():
            twin.create_new_trial(2, template_trial=trial)
        pairs = zip(twin.get_all_trials(1), twin.get_all_trials(2), strict=True)
        is_same = all(
            {**ours.__dict__, "_trial_id": 0} == {**theirs.__dict__, "_trial_id": 0} for ours, theirs in pairs
        )
        twin.remove_session()
        engine.dispose()
    except Exception as error:
        raise _Unsupported(f"the tables of Optuna {optuna.__version__} ({error!r})") from error
    if not is_same:
        raise _Unsupported(f"the tables of Optuna {optuna.__version__}")
    _compared.update(specimens)
