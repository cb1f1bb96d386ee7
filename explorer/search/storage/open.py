"""Storage of trials: a journal file by default, any Optuna storage by URL."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage

from explorer.errors import ExplorerError, Fault, InvalidFile, MissingPart, WrongUsage
from explorer.io.files import cannot_write
from explorer.search.storage.journal import BatchedJournalBackend, is_record, journal_lock, repair_tail, unused_path

JOURNAL_NAME = "study.journal"
_TAIL_BYTES = 1_000_000
# A server that vanished is noticed within a minute, not after the hours of TCP's defaults.
_POSTGRES_ARGS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}


def open_storage(url: str | None, out: Path) -> BaseStorage:
    """Open a study's storage: a journal file in `out`, a journal file by path, or an Optuna URL.

    Raises:
        WrongUsage: the file cannot be written, or Optuna cannot open the URL.
        InvalidFile: the journal is damaged.
        MissingPart, MissingDriver: the database's driver is not installed.
    """
    path = journal_path(url, out)
    if path is None:
        with translate_open_errors(str(url), storage_label(url, out)):
            return get_storage(RDBStorage(driver_url(str(url)), engine_kwargs=engine_args(str(url))))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        repair_tail(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    check_last_record(path)
    try:
        return JournalStorage(BatchedJournalBackend(path))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        data = path.read_bytes()
        is_mendable = len(_whole_records(data)) < len(data)
        raise _damaged(path, f"has a record that cannot be read ({error})", is_mendable=is_mendable) from None
    except OSError as error:
        raise cannot_write(path, error) from None


def journal_path(url: str | None, out: Path) -> Path | None:
    """Return the journal file of a `--storage` argument, or None for another kind of storage."""
    if url is None:
        return out / JOURNAL_NAME
    if "://" not in url:
        if re.match(r"[A-Za-z][\w+]+:", url):
            raise WrongUsage(f"storage '{url}' looks like a URL without //", fix="write for example sqlite:///study.db")
        return Path(url).expanduser()
    return Path(url.removeprefix("journal://")).expanduser() if url.startswith("journal://") else None


def check_last_record(path: Path) -> None:
    """Check that the last whole line of a journal is JSON.

    Raises:
        InvalidFile: it is not; then earlier lines may be damaged too.
    """
    if not _is_tail_json(path):
        with journal_lock(path):  # another process may be in the middle of a write: not while the lock is held here
            is_json = _is_tail_json(path)
        if not is_json:
            raise _damaged(path, "ends with a record that is not JSON")


def _is_tail_json(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        whole, newline, _ = file.read().rpartition(b"\n")
    try:
        json.loads(whole.rsplit(b"\n", 1)[-1] if newline else b"0")
    except ValueError:
        return False
    return True


def _whole_records(data: bytes) -> bytes:
    """Return a journal up to its first line that is not a whole record."""
    end = 0
    for line in data.splitlines(keepends=True):
        if not (line.endswith(b"\n") and is_record(line)):
            break
        end += len(line)
    return data[:end]


def recover_journal(path: Path) -> Path | None:
    """Cut off a journal after its last whole record.

    Returns:
        A copy of the damaged file, next to it; None where nothing was damaged.

    Raises:
        WrongUsage: the file cannot be read or replaced.
    """
    try:
        with journal_lock(path):
            data = path.read_bytes()
            whole = _whole_records(data)
            if len(whole) == len(data):
                return None
            copy, temporary = unused_path(path, "damaged"), path.with_name(f".{path.name}.recovered")
            copy.write_bytes(data)
            temporary.write_bytes(whole)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    return copy


def storage_label(url: str | None, out: Path) -> str:
    """Return the name of a storage in messages and files, without its password."""
    path = journal_path(url, out)
    if path:
        return str(path)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", str(url)))


def _damaged(path: Path, what: str, *, is_mendable: bool = True) -> InvalidFile:
    anew = "begin anew with --out DIR"
    mend = f"run again with --recover (it keeps every whole record, and the damaged file beside them), or {anew}"
    return InvalidFile(path, [Fault("", what, mend if is_mendable else f"restore it from a copy, or {anew}")])


@contextmanager
def translate_open_errors(url: str, shown: str) -> Iterator[None]:
    """Translate the errors of opening a database to those of `open_storage`; `shown` is its URL without a password."""
    if url.startswith("grpc://"):
        raise WrongUsage(
            f"storage '{url}' is a gRPC proxy: explorer writes from one process, which needs none",
            fix="give the URL of the database behind it, for example postgresql://user@host/name",
        )
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUsage(
            f"storage '{shown}' is not a URL that Optuna can open",
            fix="write sqlite:///study.db, postgresql://user@host/name, or a file's path",
        ) from None
    except ImportError as error:
        # Optuna wraps the driver's own ImportError, which has its name.
        module = (getattr(error.__cause__, "name", None) or error.name or "the driver").split(".")[0]
        if url.startswith("postgresql"):
            raise MissingPart("psycopg", needed_for=f"storage '{shown}'", extra="postgresql") from None
        raise MissingDriver(module, shown) from None
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise WrongUsage(
            f"storage '{shown}' cannot be opened: {cause}",
            fix="check that the database runs, the name and the password",
        ) from None


def driver_url(url: str) -> str:
    """Add a driver to a PostgreSQL URL without one: psycopg 3 of our extra, unless only psycopg2 is installed."""
    is_old = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return re.sub(r"^postgresql://", f"postgresql+psycopg{'2' if is_old else ''}://", url)


def engine_args(url: str) -> dict[str, Any]:
    """Return the keyword arguments of SQLAlchemy's `create_engine` for a URL."""
    if not driver_url(url).startswith("postgresql+psycopg:"):
        return {}
    return {
        "pool_pre_ping": True,
        "connect_args": {name: value for name, value in _POSTGRES_ARGS.items() if f"{name}=" not in url},
    }


class MissingDriver(ExplorerError):
    """Missing database driver that no extra of ours installs (exit 5)."""

    exit_code = 5

    def __init__(self, module: str, shown: str) -> None:
        super().__init__(f"{module} is not installed; storage '{shown}' needs it", fix=f"pip install {module}")
