"""Tables of any source, Optuna studies of other projects among them: their complete trials as rows."""

import re
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import Fault, InvalidFile, UnknownName, WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.io.files import is_file, read_bytes, write_text
from explorer.io.tables.assembly import CellGrid, cell_text, table_of
from explorer.io.tables.frame import Table
from explorer.io.tables.read import read_table
from explorer.search.storage.open import (
    driver_url,
    engine_args,
    journal_path,
    open_storage,
    storage_label,
    translate_open_errors,
)

MAX_STORAGE_BYTES = 2_000_000_000
_SQLITE_MAGIC = b"SQLite format 3\0"
_STATES = {TrialState.FAIL: "failed", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running",
           TrialState.WAITING: "waiting"}  # fmt: skip


def load_table(source: Table | CsvTable) -> CsvTable:
    """Read a table of any source.

    Args:
        source: a file, a DataFrame, a mapping of columns, or an Optuna storage: its URL or file, with `#NAME` for one
            of several studies.

    Raises:
        WrongUsage: there is no such file or storage, or a storage has several studies and none is named.
        InvalidFile: it is no table; all faults at once.
        MissingPart, MissingDriver: the package that reads the format is not installed.
    """
    if isinstance(source, (str, Path)) and is_storage(str(source)):
        return read_storage(str(source))
    return read_table(source)


def save_table(table: CsvTable, path: Path) -> Path:
    """Write a table as CSV next to a study, which names its samples by a file; return the path.

    Raises:
        WrongUsage: another file is there already, or the folder cannot be written.
    """
    if is_file(path) and path.read_text(encoding="utf-8") == table.text:
        return path
    if path.exists():
        raise WrongUsage(f"{path}: there already, with other rows", fix="move it, or take another --name")
    write_text(path, table.text)
    return path


def storage_file_name(source: str) -> str:
    """Return a file name for the trials of an Optuna storage.

    >>> storage_file_name("sqlite:///runs/my.db#sweep 2"), storage_file_name("postgresql://me@host/trials")
    ('my-sweep-2-trials.csv', 'trials-trials.csv')
    """
    base, _, study = source.rpartition("#") if "#" in source else (source, "", "")
    stem = Path(base.split("?")[0]).stem
    return "-".join(filter(None, [stem, study.replace(" ", "-"), "trials.csv"]))


def is_storage(source: str) -> bool:
    """Return whether a source is an Optuna storage: a URL, an SQLite file, or a journal file.

    >>> is_storage("sqlite:///study.db"), is_storage("samples.csv")
    (True, False)
    """
    if "://" in source:
        return True
    path = Path(source.rpartition("#")[0] or source).expanduser()
    if not is_file(path):
        return False
    with path.open("rb") as file:
        start = file.read(200)
    return start.startswith(_SQLITE_MAGIC) or (start.startswith(b'{"') and b'"op_code"' in start)


def read_storage(url: str, study_name: str | None = None) -> CsvTable:
    """Read the complete trials of an Optuna study, made by any version of Optuna.

    A file is copied, and the copy is upgraded where it is of an older version; the file itself stays as it is.

    Args:
        url: `sqlite:///study.db`, `journal:///study.log`, `postgresql://user@host/name`, or a file's path; `URL#NAME`
            names one of several studies.
        study_name: the study, if not in `url`.

    Returns:
        One row a trial: `name` ("trial 7"), `params_*`, `values_*` (or `value`) and `user_attrs_*`, as in Optuna's
        `trials_dataframe`. `numbers` are trial numbers. `directions` has 'min' or 'max' of each value.

    Raises:
        WrongUsage: there is no such storage, or it cannot be opened.
        UnknownName: there is no such study, or there are several and none is named.
        InvalidFile: the file is no storage, damaged, or has no complete trial.
        MissingPart, MissingDriver: the database's driver is not installed.
    """
    base, _, name = url.rpartition("#") if "#" in url else (url, "", "")
    label = storage_label(base, Path())
    with _opened(base, label) as storage:
        names = optuna.get_all_study_names(storage)
        chosen = _study_name(study_name or name, names, label=label)
        study = optuna.load_study(study_name=chosen, storage=storage)
        trials = study.get_trials(deepcopy=False)
        values = ["value"] if len(study.directions) == 1 else [
            f"values_{one}" for one in study.metric_names or range(len(study.directions))
        ]  # fmt: skip
        directions = {
            value: "max" if direction == StudyDirection.MAXIMIZE else "min"
            for value, direction in zip(values, study.directions, strict=True)
        }
    return _table(trials, values, directions, source=label, study=chosen)


def _study_name(name: str, names: list[str], *, label: str) -> str:
    if not names:
        raise InvalidFile(label, [Fault("", "has no study", "give a storage with a study that Optuna has written")])
    if name in names:
        return name
    if name:
        raise UnknownName(f"{label}#{name}", name, names)
    if len(names) > 1:
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise WrongUsage(f"{label} has {len(names)} studies: {listed}", fix=f"name one, as in '{label}#{names[0]}'")
    return names[0]


def _table(
    trials: list[FrozenTrial], values: list[str], directions: Mapping[str, str], *, source: str, study: str
) -> CsvTable:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        fault = Fault(f"study {study}", f"none of its {len(trials)} trials is complete", "run it first")
        raise InvalidFile(source, [fault])
    records: list[dict[str, Any]] = [
        {"name": f"trial {trial.number}"}
        | {f"params_{name}": value for name, value in trial.params.items()}
        | dict(zip(values, trial.values, strict=True))
        | {f"user_attrs_{name}": value for name, value in trial.user_attrs.items()}
        for trial in complete
    ]
    found = dict.fromkeys(name for record in records for name in record)
    header = sorted(found, key=lambda name: ("name", "params_", "value", "user_attrs_").index(_group(name)))
    rows = [[cell_text(record.get(name)) for name in header] for record in records]
    states = Counter(_STATES[trial.state] for trial in trials if trial.state != TrialState.COMPLETE)
    left_out = ", ".join(f"{n} {state}" for state, n in states.items())
    note = f"study '{study}': {len(complete)} of {len(trials)} trials are complete"
    grid = CellGrid(header, rows, [trial.number for trial in complete])
    grid.notes.append(f"{note}; left out: {left_out}" if left_out else note)
    return replace(table_of(grid, source=source), directions=directions)


def _group(column: str) -> str:
    return next(start for start in ("name", "params_", "value", "user_attrs_") if column.startswith(start))


@contextmanager
def _opened(url: str, label: str) -> Iterator[BaseStorage]:
    """Open a storage without changing it: a temporary copy of a file, a database server as it is."""
    path = _file_of(url)
    if path is None:
        with translate_open_errors(url, label):
            try:
                storage = get_storage(
                    RDBStorage(driver_url(url), engine_kwargs=engine_args(url), skip_table_creation=True)
                )
            except RuntimeError as error:  # another version's schema; upgrading a shared database is not ours to do
                fix = f"copy the database, then: optuna storage upgrade --storage {label}"
                raise WrongUsage(f"{label}: {str(error).split('. ')[0]}", fix=fix) from None
        yield storage
        return
    content = b"" if _is_sqlite(path) else read_bytes(path, max_bytes=MAX_STORAGE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        try:
            if content:
                copy.write_bytes(content)
                yield open_storage(str(copy), copy.parent)
            else:
                with _sqlite_copy(path, copy) as storage:
                    yield storage
        except InvalidFile as error:
            raise InvalidFile(label, error.faults) from None


def _file_of(url: str) -> Path | None:
    """Return the file of a storage; None for a database server."""
    sqlite = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", url)
    return Path(sqlite[1]).expanduser() if sqlite else journal_path(url, Path())


def _is_sqlite(path: Path) -> bool:
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


@contextmanager
def _sqlite_copy(path: Path, copy: Path) -> Iterator[RDBStorage]:
    """Copy an SQLite storage, consistent while others write, and upgrade the copy to the schema of this Optuna."""
    if path.stat().st_size > MAX_STORAGE_BYTES:
        fix = f"keep it under {MAX_STORAGE_BYTES:,} bytes"
        raise InvalidFile(path, [Fault("", f"has {path.stat().st_size:,} bytes", fix)])
    from sqlalchemy.exc import SQLAlchemyError

    storage = None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source:
            target = sqlite3.connect(copy)
            source.backup(target)
            target.close()
        storage = RDBStorage(f"sqlite:///{copy}", skip_compatibility_check=True)
        version = storage.get_current_version()
        if version not in storage.get_all_versions():
            fault = Fault("", "was written by a newer version of Optuna", "pip install --upgrade optuna")
            raise InvalidFile(path, [fault])
        if version != storage.get_head_version():
            _upgrade(copy, path)
        yield storage
    except (sqlite3.Error, SQLAlchemyError, StorageInternalError) as error:
        raise _unreadable(path, str(getattr(error, "orig", None) or error).splitlines()[0]) from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _upgrade(copy: Path, path: Path) -> None:
    """Upgrade a copy in another process: alembic replaces the handlers of all loggers in its own."""
    code = "import sys, optuna; optuna.storages.RDBStorage(sys.argv[1], skip_compatibility_check=True).upgrade()"
    command = [sys.executable, "-W", "ignore", "-c", code, f"sqlite:///{copy}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise _unreadable(path, (done.stderr.strip().splitlines() or ["the upgrade of its schema failed"])[-1][:200])


def _unreadable(path: Path, cause: str) -> InvalidFile:
    fix = "copy it again, or give a storage that Optuna opens"
    return InvalidFile(path, [Fault("", f"is no Optuna storage that can be read: {cause}", fix)])
