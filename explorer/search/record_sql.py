"""A block as rows of Optuna's tables, and how SQLite and PostgreSQL take many rows at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, cycle, islice, repeat
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from explorer.search.block import Unknown
from explorer.search.record_sheet import Sheet

Rows = Mapping[str, Sequence[Any]]
"""Rows of one table: column name to one value a row."""

_PATIENCE = 5  # as often as Optuna itself tries again to number a trial
_NULL = "NULL"
# What PostgreSQL calls the columns that are not text; those of few different texts are sent as an index into them.
_NUMBERS = {
    "trial_id": "integer",
    "number": "integer",
    "objective": "integer",
    "param_value": "float8",
    "value": "float8",
}
_REPEATED = {"param_name", "key", "distribution_json"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between databases.

    Args:
        lock: begin a transaction, and take the lock under which Optuna numbers a study's trials.
        reserve: return n free ids of trials in ascending order.
        insert: store rows in a table, with SQL literals for the columns that have the same value in all of them.
    """

    lock: Callable[[Connection, int], None]
    reserve: Callable[[Connection, int], Sequence[int]]
    insert: Callable[[Connection, str, Rows, Mapping[str, str]], None]


def insert_block(connection: Connection, dialect: Dialect, study_id: int, sheet: Sheet, *, first: int) -> Sequence[int]:
    """Store a block with numbers from `first` on, and return the ids that its trials got."""
    ids = dialect.reserve(connection, sheet.n)
    for table, rows, same in _tables(sheet, study_id=study_id, ids=ids, first=first):
        if rows["trial_id"]:
            dialect.insert(connection, table, rows, same)
    return ids


def _tables(
    sheet: Sheet, *, study_id: int, ids: Sequence[int], first: int
) -> Iterator[tuple[str, Rows, Mapping[str, str]]]:
    """Yield each table's rows, trial by trial: so its index only grows at its end."""
    began, ended = (
        f"'{moment.replace(tzinfo=None).isoformat(' ', timespec='microseconds')}'"
        for moment in (sheet.began, sheet.ended)
    )
    trials = {"trial_id": ids, "number": range(first, first + sheet.n)}
    state = f"'{TrialState.COMPLETE.name}'"
    yield (
        "trials",
        trials,
        {"study_id": str(study_id), "state": state, "datetime_start": began, "datetime_complete": ended},
    )
    owners, names, numbers = _long(ids, sheet.params)
    texts = [sheet.distributions[name] for name in names]
    yield (
        "trial_params",
        {"trial_id": owners, "param_name": names, "param_value": numbers, "distribution_json": texts},
        {},
    )
    owners, objectives, numbers = _long(ids, dict(enumerate(sheet.values)))
    # Infinity is a kind of value, not a value.
    for kind, is_kind in _KINDS.items():
        rows = [is_kind(number) for number in numbers]
        column = {"value": list(compress(numbers, rows))} if kind == "FINITE" else {}
        chosen = {"trial_id": list(compress(owners, rows)), "objective": list(compress(objectives, rows)), **column}
        yield "trial_values", chosen, {"value_type": f"'{kind}'"}
    for table, columns in (
        ("trial_user_attributes", sheet.user_attrs),
        ("trial_system_attributes", sheet.system_attrs),
    ):
        owners, names, texts = _long(ids, columns)
        rows = [value is not None for value in texts]
        all_three = {"trial_id": owners, "key": names, "value_json": texts}
        yield table, {name: list(compress(column, rows)) for name, column in all_three.items()}, {}


_KINDS: Mapping[str, Callable[[float], bool]] = {
    "FINITE": lambda number: abs(number) < float("inf"),
    "INF_POS": lambda number: number == float("inf"),
    "INF_NEG": lambda number: number == float("-inf"),
}


def _long(ids: Sequence[int], columns: Mapping[Any, Sequence[Any]]) -> tuple[list[int], list[Any], list[Any]]:
    """Return one row a trial and column: the trial's id, the column's name, the value."""
    values = list(chain.from_iterable(zip(*columns.values(), strict=True)))
    owners = list(chain.from_iterable(repeat(trial_id, len(columns)) for trial_id in ids))
    return owners, list(islice(cycle(columns), len(values))), values


def _lock_sqlite(connection: Connection, study_id: int) -> None:
    """Take the right to write at once: a transaction that began by reading could not be turned into a writing one."""
    del study_id
    for attempt in range(_PATIENCE):
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            # The driver has waited for its own timeout already; another writer may have been quicker each time.
            if getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY" or attempt + 1 == _PATIENCE:
                raise
        else:
            return


def _reserve_sqlite(connection: Connection, n: int) -> Sequence[int]:
    last = connection.execute(text("SELECT coalesce(max(trial_id), 0) FROM trials")).scalar_one()
    return range(last + 1, last + 1 + n)


def _insert_sqlite(connection: Connection, table: str, rows: Rows, same: Mapping[str, str]) -> None:
    marks = [*("?" for _ in rows), *same.values()]
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join([*rows, *same])}) VALUES ({', '.join(marks)})",
        list(zip(*rows.values(), strict=True)),
    )


def _lock_postgresql(connection: Connection, study_id: int) -> None:
    """Lock the study's row: Optuna does so before it numbers a trial."""
    connection.execute(text("SELECT study_id FROM studies WHERE study_id = :study FOR UPDATE"), {"study": study_id})


def _reserve_postgresql(connection: Connection, n: int) -> Sequence[int]:
    ids = text("SELECT nextval(pg_get_serial_sequence('trials', 'trial_id')) FROM generate_series(1, :n)")
    reserved = list(connection.execute(ids, {"n": n}).scalars())
    if None in reserved:
        raise Unknown("where this database takes its numbers from")
    return sorted(reserved)


def _insert_postgresql(connection: Connection, table: str, rows: Rows, same: Mapping[str, str]) -> None:
    """Send each column as one text, which the server takes apart: a newline is in no number and in no line of JSON."""
    chosen, arrays, few, many = [], [], [], []
    for i, (name, column) in enumerate(rows.items()):
        kind, sent, value = _NUMBERS.get(name, "text"), column, f"c{i}"
        if name in _REPEATED:
            place = {word: k for k, word in enumerate(dict.fromkeys(column), 1)}
            few.append(list(place))
            kind, sent, value = "integer", [place[word] for word in column], f"(%s::text[])[c{i}]"
        chosen.append(value)
        many.append("\n".join(map(str, sent)))
        arrays.append(f"string_to_array(%s, E'\\n')::{kind}[]")
    names = ", ".join(f"c{i}" for i in range(len(rows)))
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join([*rows, *same])}) SELECT {', '.join([*chosen, *same.values()])} "
        f"FROM unnest({', '.join(arrays)}) AS t ({names})",
        (*few, *many),
    )


DIALECTS: Mapping[str, Dialect] = {
    "sqlite+pysqlite": Dialect(_lock_sqlite, _reserve_sqlite, _insert_sqlite),
    "postgresql+psycopg": Dialect(_lock_postgresql, _reserve_postgresql, _insert_postgresql),
}
"""The databases and drivers that are known; all others take trials one by one."""
