"""Recording a block into an Optuna database: all of its rows in one transaction, under Optuna's own lock."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from optuna.distributions import check_distribution_compatibility, json_to_distribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.orm import scoped_session, sessionmaker

from explorer.search.block import BLOCK_KEY, Unknown, earlier
from explorer.search.record_read import read_trials
from explorer.search.record_sheet import Sheet, frozen_trials
from explorer.search.record_sql import DIALECTS, Dialect, insert_block

# What the database says of a statement that it understands but whose tables are not as they are known.
_OTHER_TABLES = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


def write_rdb(storage: RDBStorage | _CachedStorage, study_id: int, sheet: Sheet, *, is_retry: bool) -> Sequence[int]:
    """Store a block, all of it or nothing, and return the numbers that its trials have.

    Where the connection was lost it is unknown whether the block was stored: a retry finds out, under the same lock.

    Raises:
        SQLAlchemyError: the database is locked, full, lost, or cannot be written.
        KeyError: the study is gone.
        ValueError: a parameter had another kind of distribution before.
        Unknown: an earlier attempt went the public way, or the tables are not as they are known; nothing was stored.
    """
    engine = _backend(storage).engine
    with engine.connect() as connection:
        try:
            numbers, ids = _store(connection, _dialect(engine), study_id, sheet, is_retry=is_retry)
        except _OTHER_TABLES as error:
            raise Unknown(f"the tables of this database ({str(error.orig).splitlines()[0]})") from error
        connection.commit()
    if isinstance(storage, _CachedStorage) and ids:
        _remember(storage, study_id, frozen_trials(sheet, numbers=numbers, ids=ids))
    return numbers


def check_rdb(storage: RDBStorage | _CachedStorage, specimens: Sequence[tuple[Sheet, FrozenTrial]]) -> None:
    """See that the installed Optuna stores trials in the same rows as `write_rdb`, in a database in memory.

    Args:
        storage: where they are to be written; nothing is.
        specimens: blocks of one trial, each with the same trial.

    Raises:
        Unknown: it does not, or the database or its driver is not one of those that are known.
    """
    backend = _backend(storage)
    _dialect(backend.engine)
    if type(backend) is not RDBStorage:
        raise Unknown(f"a {type(backend).__name__}")
    engine = create_engine("sqlite://")
    try:
        BaseModel.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO studies (study_id, study_name) VALUES (1, 'theirs'), (2, 'ours')"))
        # Not RDBStorage("sqlite://"): loading all of its migrations costs more than storing a thousand trials.
        twin = object.__new__(RDBStorage)
        own = {"engine": engine, "scoped_session": scoped_session(sessionmaker(engine))}
        twin.__dict__.update(backend.__dict__ | own)
        for sheet, trial in specimens:
            twin.create_new_trial(1, template_trial=trial)
            write_rdb(twin, 2, sheet, is_retry=False)
        with engine.connect() as connection:
            is_same = _rows_of(connection, study_id=1) == _rows_of(connection, study_id=2)
            if not is_same or read_trials(connection, 1, after=0)[0] != twin.get_all_trials(1):
                raise Unknown("how the installed Optuna stores a trial in a database")
        twin.remove_session()
    finally:
        engine.dispose()


def _backend(storage: RDBStorage | _CachedStorage) -> RDBStorage:
    return storage._backend if isinstance(storage, _CachedStorage) else storage


def _dialect(engine: Engine) -> Dialect:
    name = f"{engine.dialect.name}+{engine.dialect.driver}"
    if name not in DIALECTS:
        raise Unknown(f"a {name} database")
    return DIALECTS[name]


def _store(
    connection: Connection, dialect: Dialect, study_id: int, sheet: Sheet, *, is_retry: bool
) -> tuple[Sequence[int], Sequence[int]]:
    """Store a block in a transaction that is left open; return its numbers and ids, no ids where it was there."""
    dialect.lock(connection, study_id)
    study = {"study": study_id}
    if connection.execute(text("SELECT 1 FROM studies WHERE study_id = :study"), study).first() is None:
        raise KeyError("Record does not exist.")  # as Optuna says
    if is_retry:
        found = earlier(_marks(connection, study_id, sheet.token), sheet.token)
        if found.singles:
            raise Unknown("a block that was begun one by one")
        if found.first is not None:
            return range(found.first, found.first + sheet.n), ()
    _check_distributions(connection, study_id, sheet)
    # Counted, as Optuna does: numbers go on where they would have without us.
    first = connection.execute(text("SELECT count(*) FROM trials WHERE study_id = :study"), study).scalar_one()
    ids = insert_block(connection, dialect, study_id, sheet, first=first)
    return range(first, first + sheet.n), ids


def _marks(connection: Connection, study_id: int, token: str) -> list[tuple[int, Any]]:
    query = text(
        "SELECT t.number, a.value_json FROM trials t JOIN trial_system_attributes a ON a.trial_id = t.trial_id "
        "WHERE t.study_id = :study AND a.key = :key AND a.value_json LIKE :token"
    )
    rows = connection.execute(query, {"study": study_id, "key": BLOCK_KEY, "token": f"%{token}%"})
    return [(number, json.loads(mark)) for number, mark in rows]


def _check_distributions(connection: Connection, study_id: int, sheet: Sheet) -> None:
    query = text(
        "SELECT p.distribution_json FROM trials t JOIN trial_params p ON p.trial_id = t.trial_id "
        "WHERE t.study_id = :study AND p.param_name = :name LIMIT 1"
    )
    for name, distribution in sheet.block.distributions.items():
        before = connection.execute(query, {"study": study_id, "name": name}).scalar_one_or_none()
        if before is not None and before != sheet.distributions[name]:
            check_distribution_compatibility(json_to_distribution(before), distribution)


def _remember(storage: _CachedStorage, study_id: int, trials: Sequence[FrozenTrial]) -> None:
    """Spare Optuna's cache from reading the trials back, which costs more than storing them.

    Only where the cache knows all trials before them; otherwise it reads them when it is asked.
    """
    with storage._lock, suppress(AttributeError, KeyError):
        study = storage._studies.setdefault(study_id, _StudyInfo())
        first = number = trials[0].number
        if len(study.trials) != first:
            return
        unfinished = set()
        while number > 0 and (before := study.trials[number := number - 1])._trial_id > study.last_finished_trial_id:
            if not before.state.is_finished():
                unfinished.add(before._trial_id)
        storage._add_trials_to_cache(study_id, list(trials))
        study.unfinished_trial_ids |= unfinished
        study.last_finished_trial_id = trials[-1]._trial_id


def _rows_of(connection: Connection, *, study_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return all that a database holds of a study's trials, without the keys that differ from trial to trial."""
    tables, look = {}, inspect(connection)
    mine = f"trial_id IN (SELECT trial_id FROM trials WHERE study_id = {study_id})"
    for table in look.get_table_names():
        names = {column["name"] for column in look.get_columns(table)}
        if "trial_id" in names:
            own = sorted(names - {"trial_id", "study_id", *look.get_pk_constraint(table)["constrained_columns"]})
            rows = connection.exec_driver_sql(f"SELECT {', '.join(own)} FROM {table} WHERE {mine}")
            tables[table] = sorted((dict(zip(own, row, strict=True)) for row in rows), key=str)
    return tables
