"""The ledger in a database that is known: few statements a trial, each step in one transaction under Optuna's lock."""

import datetime
import json
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, DateTime, bindparam, text

from explorer.search.ledger import Ending, IsFree
from explorer.search.ledger_read import Reader
from explorer.search.marks import BEAT_ATTR, WORKER_ATTR, Mark
from explorer.search.record_sql import DIALECTS

_USER, _SYSTEM = "trial_user_attributes", "trial_system_attributes"
_UNFINISHED = {state.name for state in TrialState if not state.is_finished()}
# PostgreSQL takes no text for the columns that are one of few words: they are written out.
_CREATE = {
    state: text(
        "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
        f"VALUES (:id, :number, :study, '{state.name}', :began, :ended)"
    ).bindparams(bindparam("began", type_=DateTime), bindparam("ended", type_=DateTime))
    for state in TrialState
}
_BEGIN = text("UPDATE trials SET state = 'RUNNING', datetime_start = :now WHERE trial_id = :id").bindparams(
    bindparam("now", type_=DateTime)
)
_END = {
    state: text(f"UPDATE trials SET state = '{state.name}', datetime_complete = :now WHERE trial_id = :id").bindparams(
        bindparam("now", type_=DateTime)
    )
    for state in (TrialState.COMPLETE, TrialState.FAIL)
}
_VALUE = {
    kind: text(
        f"INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (:id, :objective, :value, '{kind}')"
    )
    for kind in ("FINITE", "INF_POS", "INF_NEG")
}
_STATE = "SELECT CAST(state AS VARCHAR) FROM trials WHERE trial_id = :id"
_BEATS = text(
    "SELECT t.trial_id, a.value_json FROM trials t LEFT JOIN trial_system_attributes a "
    "ON a.trial_id = t.trial_id AND a.key = :key WHERE t.study_id = :study AND t.state = 'RUNNING'"
)


class DatabaseLedger:
    """A ledger in SQLite or PostgreSQL.

    Args:
        study: the study.
        backend: Optuna's own storage, without its cache.
        distributions: of the parameters.
    """

    def __init__(self, study: optuna.Study, backend: RDBStorage, distributions: Mapping[str, Any]) -> None:
        self._id = study._study_id
        engine = backend.engine
        self._engine, self._reading = engine, engine.execution_options(isolation_level="AUTOCOMMIT")
        self._dialect = DIALECTS[f"{engine.dialect.name}+{engine.dialect.driver}"]
        # SQLite locks the whole database at once, and knows no lock of a row.
        self._locks_rows = engine.dialect.name != "sqlite"
        self._distributions = distributions
        self._written = {name: distribution_to_json(one) for name, one in distributions.items()}
        self._turn = threading.RLock()
        self._reader = Reader(self._id)

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._reader.trials

    def refresh(self) -> None:
        """Read what others have done."""
        with self._turn, self._reading.connect() as connection:
            self._reader.read(connection)

    def claim(self, template: FrozenTrial, is_free: IsFree) -> FrozenTrial | None:
        """Create a trial, if it is free, while nobody else can create one."""
        with self._turn, self._engine.connect() as connection:
            self._dialect.lock(connection, self._id)
            self._reader.read(connection)
            if not is_free(None):
                return None
            (trial_id,) = self._dialect.reserve(connection, 1)
            number = len(self._reader.trials)
            times = {"began": _utc(template.datetime_start), "ended": _utc(template.datetime_complete)}
            row = {"id": trial_id, "number": number, "study": self._id, **times}
            connection.execute(_CREATE[template.state], row)
            self._write_params(connection, trial_id, template.params)
            _write_values(connection, trial_id, template.values)
            _write_attrs(connection, _USER, trial_id, template.user_attrs)
            _write_attrs(connection, _SYSTEM, trial_id, template.system_attrs)
            connection.commit()
            return self._reader.add(template, number=number, trial_id=trial_id)

    def take_waiting(self, trial: FrozenTrial, mark: Mark) -> bool:
        """Take and mark it at once."""
        with self._turn, self._engine.connect() as connection:
            if self._locked_state(connection, trial._trial_id) != TrialState.WAITING.name:
                return False
            _write_attrs(connection, _SYSTEM, trial._trial_id, {WORKER_ATTR: mark.as_json()})
            connection.execute(_BEGIN, {"id": trial._trial_id, "now": _now()})
            connection.commit()
        return True

    def add_params(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """Store those that are missing."""
        missing = {name: value for name, value in params.items() if name not in trial.params}
        with self._turn, self._engine.connect() as connection:
            if self._locked_state(connection, trial._trial_id) == TrialState.RUNNING.name:
                self._write_params(connection, trial._trial_id, missing)
                connection.commit()

    def end(self, trial_id: int, ending: Ending) -> bool:
        """Store what is kept with a trial and its state in one transaction."""
        with self._turn, self._engine.connect() as connection:
            if self._locked_state(connection, trial_id) not in _UNFINISHED:
                return False
            _write_attrs(connection, _USER, trial_id, ending.user_attrs)
            _write_attrs(connection, _SYSTEM, trial_id, ending.system_attrs)
            _write_values(connection, trial_id, ending.values)
            connection.execute(_END[ending.state], {"id": trial_id, "now": _now()})
            connection.commit()
        return True

    def beat(self, trial_id: int, count: int) -> None:
        """Store a sign of life."""
        with self._turn, self._engine.connect() as connection:
            if self._locked_state(connection, trial_id) == TrialState.RUNNING.name:
                _write_attrs(connection, _SYSTEM, trial_id, {BEAT_ATTR: count})
                connection.commit()

    def beats(self) -> Iterable[tuple[int, Any]]:
        """Return the ids of the RUNNING trials, and their workers' latest signs of life."""
        with self._turn, self._reading.connect() as connection:
            rows = connection.execute(_BEATS, {"study": self._id, "key": BEAT_ATTR}).all()
        return [(trial_id, None if beat is None else json.loads(beat)) for trial_id, beat in rows]

    def _locked_state(self, connection: Connection, trial_id: int) -> str | None:
        if not self._locks_rows:
            self._dialect.lock(connection, self._id)
        query = text(f"{_STATE} FOR UPDATE" if self._locks_rows else _STATE)
        found: str | None = connection.execute(query, {"id": trial_id}).scalar_one_or_none()
        return found

    def _write_params(self, connection: Connection, trial_id: int, params: Mapping[str, Any]) -> None:
        rows = [
            {"id": trial_id, "name": name, "value": float(self._distributions[name].to_internal_repr(value)),
             "written": self._written[name]}
            for name, value in params.items()
        ]  # fmt: skip
        _insert(connection, "trial_params (trial_id, param_name, param_value, distribution_json)", rows)


def _write_values(connection: Connection, trial_id: int, values: Sequence[float] | None) -> None:
    for i, value in enumerate(values or ()):
        kind = "FINITE" if math.isfinite(value) else "INF_POS" if value > 0 else "INF_NEG"
        row = {"id": trial_id, "objective": i, "value": value if kind == "FINITE" else None}
        connection.execute(_VALUE[kind], row)


def _write_attrs(connection: Connection, table: str, trial_id: int, attrs: Mapping[str, Any]) -> None:
    rows = [{"id": trial_id, "key": key, "value": json.dumps(value)} for key, value in attrs.items()]
    again = " ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
    _insert(connection, f"{table} (trial_id, key, value_json)", rows, again=again)


def _insert(connection: Connection, into: str, rows: Sequence[Mapping[str, Any]], *, again: str = "") -> None:
    """Insert rows in one statement."""
    if not rows:
        return
    values = {f"{name}{i}": value for i, row in enumerate(rows) for name, value in row.items()}
    marks = [f"({', '.join(f':{name}{i}' for name in row)})" for i, row in enumerate(rows)]
    connection.execute(text(f"INSERT INTO {into} VALUES {', '.join(marks)}{again}"), values)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return Optuna's naive local time as the naive UTC that a database keeps."""
    return None if moment is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
