"""The ledger in PostgreSQL: one round trip for a trial's end, three for a claim, on a connection of its own.

A worker whose trials take milliseconds spends most of its time talking to the server: Optuna's own way takes some
forty round trips a trial.
"""

import datetime
import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from explorer.search.ledger import Ending, IsFree
from explorer.search.ledger_read import Reader
from explorer.search.marks import BEAT_ATTR, WORKER_ATTR, Mark

# Rows are sent as one text of JSON: psycopg takes longer to make an array than the server to take that apart.
_ATTRS = """INSERT INTO trial_%s_attributes (trial_id, key, value_json)
 SELECT one.trial_id, x.key, x.value FROM one, json_each_text(%%s::json) AS x
 ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"""
_VALUES = """INSERT INTO trial_values (trial_id, objective, value, value_type)
 SELECT one.trial_id, x.objective, x.value, x.kind::trialvaluetype
 FROM one, json_to_recordset(%s::json) AS x (objective int, value float8, kind text)"""
_PARAMS = """INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
 SELECT one.trial_id, x.name, x.value, x.written
 FROM one, json_to_recordset(%s::json) AS x (name text, value float8, written text)
 ON CONFLICT (trial_id, param_name) DO NOTHING"""
_PARTS = f"user_attrs AS ({_ATTRS % 'user'}), system_attrs AS ({_ATTRS % 'system'}), told AS ({_VALUES})"
_CREATE = f"""WITH one AS (INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)
 VALUES (%s, %s, %s::trialstate, %s, %s) RETURNING trial_id), params AS ({_PARAMS}), {_PARTS}
 SELECT trial_id FROM one"""
_END = f"""WITH one AS (UPDATE trials SET state = %s::trialstate, datetime_complete = %s
 WHERE trial_id = %s AND state IN ('RUNNING', 'WAITING') RETURNING trial_id), {_PARTS} SELECT trial_id FROM one"""
_TAKE = f"""WITH one AS (UPDATE trials SET state = 'RUNNING', datetime_start = %s
 WHERE trial_id = %s AND state = 'WAITING' RETURNING trial_id), system_attrs AS ({_ATTRS % "system"})
 SELECT trial_id FROM one"""
_RUNNING = "WITH one AS (SELECT trial_id FROM trials WHERE trial_id = %s AND state = 'RUNNING')"
_ADD_PARAMS = f"{_RUNNING} {_PARAMS}"
_BEAT = f"{_RUNNING} {_ATTRS % 'system'}"
_BEATS = """SELECT t.trial_id, a.value_json FROM trials t
 LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = %s
 WHERE t.study_id = %s AND t.state = 'RUNNING'"""
# Whoever stands still while it holds the study's lock would stop everybody. And a server that has seen these tables
# empty, and planned to read them whole, would go on doing so.
_SETTINGS = "SET idle_in_transaction_session_timeout = '30s'; SET enable_seqscan = off"


class PostgresLedger:
    """A ledger in PostgreSQL.

    Args:
        study: the study at its storage.
        backend: Optuna's storage, by the driver psycopg.
        distributions: of the parameters.
    """

    def __init__(self, study: optuna.Study, backend: RDBStorage, distributions: Mapping[str, BaseDistribution]) -> None:
        self._study, self._backend, self._distributions = study._study_id, backend, distributions
        self._written = {name: distribution_to_json(one) for name, one in distributions.items()}
        self._turn = threading.RLock()
        self._reader = Reader(self._study)
        self._connection: Any = None

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self._reader.trials

    def refresh(self) -> None:
        """Read what others have done."""
        with self._connected() as connection:
            self._reader.take_in(_ask(connection, self._reader.query), partial(_ask, connection))

    def claim(self, template: FrozenTrial, is_free: IsFree) -> FrozenTrial | None:
        """Create a trial, if it is free, under the lock by which Optuna numbers trials."""
        with self._connected() as connection:
            lock = f"BEGIN; SELECT study_id FROM studies WHERE study_id = {self._study} FOR UPDATE"
            heads = connection.execute(f"{lock}; {self._reader.query}", prepare=False)
            heads.nextset()
            heads.nextset()
            self._reader.take_in(heads.fetchall(), partial(_ask, connection), only_new=True)
            if not is_free(None):
                connection.execute("ROLLBACK")
                return None
            number = len(self._reader.trials)
            times = (_utc(template.datetime_start), _utc(template.datetime_complete))
            row = (number, self._study, template.state.name, *times, self._params(template.params))
            parts = (_attrs(template.user_attrs), _attrs(template.system_attrs), _values(template.values))
            with connection.pipeline():  # one round trip, while all others wait
                created = connection.execute(_CREATE, (*row, *parts))
                connection.execute("COMMIT")
            ((trial_id,),) = created.fetchall()
            return self._reader.add(template, number=number, trial_id=trial_id)

    def take_waiting(self, trial: FrozenTrial, mark: Mark) -> bool:
        """Take and mark it."""
        with self._connected() as connection:
            which = (_now(), trial._trial_id, _attrs({WORKER_ATTR: mark.as_json()}))
            return bool(_ask(connection, _TAKE, which))

    def add_params(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """Store those that are missing."""
        with self._connected() as connection:
            connection.execute(_ADD_PARAMS, (trial._trial_id, self._params(params)))

    def end(self, trial_id: int, ending: Ending) -> bool:
        """Store everything of a trial that ends, unless it has ended."""
        parts = (_attrs(ending.user_attrs), _attrs(ending.system_attrs), _values(ending.values))
        with self._connected() as connection:
            is_ours = bool(_ask(connection, _END, (ending.state.name, _now(), trial_id, *parts)))
        if is_ours:
            self._reader.end(trial_id, ending)
        return is_ours

    def beat(self, trial_id: int, count: int) -> None:
        """Store a sign of life."""
        with self._connected() as connection:
            connection.execute(_BEAT, (trial_id, _attrs({BEAT_ATTR: count})))

    def beats(self) -> Iterable[tuple[int, Any]]:
        """Return the ids of the RUNNING trials, and their workers' latest signs of life."""
        with self._connected() as connection:
            rows = _ask(connection, _BEATS, (BEAT_ATTR, self._study))
        return [(trial_id, None if beat is None else json.loads(beat)) for trial_id, beat in rows]

    def close(self) -> None:
        """Close the connection; it opens again when it is needed."""
        with self._turn:
            if self._connection is not None:
                with suppress(Exception):
                    self._connection.close()
            self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Lend the connection; after an error another one is opened, and what was begun is undone."""
        with self._turn:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._connection.autocommit = True
                    self._connection.execute(_SETTINGS, prepare=False)
                yield self._connection
            except BaseException:
                self.close()
                raise

    def _connect(self) -> Any:
        dialect = self._backend.engine.dialect
        args, options = dialect.create_connect_args(self._backend.engine.url)
        return dialect.connect(*args, **{**options, **self._backend.engine_kwargs.get("connect_args", {})})

    def _params(self, params: Mapping[str, Any]) -> str:
        return json.dumps(
            [
                {"name": name, "value": float(self._distributions[name].to_internal_repr(value)),
                 "written": self._written[name]}
                for name, value in params.items()
            ]
        )  # fmt: skip


def _ask(connection: Any, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Any]:
    return list(connection.execute(query, params).fetchall())


def _attrs(attrs: Mapping[str, Any]) -> str:
    return json.dumps({key: json.dumps(value) for key, value in attrs.items()})


def _values(values: Sequence[float] | None) -> str:
    """Return the rows of objectives: infinity is a kind of value, not a value."""
    rows = []
    for i, value in enumerate(values or ()):
        kind = "FINITE" if math.isfinite(value) else "INF_POS" if value > 0 else "INF_NEG"
        rows.append({"objective": i, "value": value if kind == "FINITE" else None, "kind": kind})
    return json.dumps(rows)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Return Optuna's naive local time as the naive UTC that a database keeps."""
    return None if moment is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
