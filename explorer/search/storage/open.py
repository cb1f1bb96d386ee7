"""Opening the storage of trials: a journal file by default, any Optuna storage by URL."""

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
_RECORD = b'{"op_code"'  # start of each record
# A dead server is detected within a minute; TCP's defaults take hours.
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
        InvalidFile: the journal is corrupt.
        MissingPart, MissingDriver: the database's driver is not installed.
    """
    path = journal_path(url, out)
    if path is None:
        with translate_open_errors(str(url), storage_label(url, out)):
            return get_storage(RDBStorage(driver_url(str(url)), engine_kwargs=engine_args(str(url))))
    ensure_journal(path)
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
        is_recoverable = len(_valid_prefix(data)) < len(data)
        fault = f"has a record that cannot be read ({error})"
        raise _corrupt_journal(path, fault, is_recoverable=is_recoverable) from None
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


def ensure_journal(path: Path) -> None:
    """Raise if a file exists that is no journal: its last line would be taken for a cut-off record, and removed.

    Raises:
        WrongUsage: its first bytes begin no record, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(_RECORD))
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from None
    if not _RECORD.startswith(begin):
        raise WrongUsage(f"{path}: exists, and is no journal of trials", fix="name another file with --storage")


def check_last_record(path: Path) -> None:
    """Check that the last complete line of a journal is JSON.

    Raises:
        InvalidFile: it is not; then earlier lines may be corrupt too.
    """
    if not _ends_with_json(path):
        with journal_lock(path):  # another process may be writing; it cannot while this one has the lock
            is_json = _ends_with_json(path)
        if not is_json:
            raise _corrupt_journal(path, "ends with a record that is not JSON")


def _ends_with_json(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        complete, newline, _ = file.read().rpartition(b"\n")
    try:
        json.loads(complete.rsplit(b"\n", 1)[-1] if newline else b"0")
    except ValueError:
        return False
    return True


def _valid_prefix(data: bytes) -> bytes:
    """Return the records before the first line that is not a complete record."""
    end = 0
    for line in data.splitlines(keepends=True):
        if not (line.endswith(b"\n") and is_record(line)):
            break
        end += len(line)
    return data[:end]


def recover_journal(path: Path) -> Path | None:
    """Truncate a journal after its last complete record.

    Returns:
        A copy of the corrupt file in the same folder; None if the journal was intact.

    Raises:
        WrongUsage: the file cannot be read or replaced.
    """
    try:
        with journal_lock(path):
            data = path.read_bytes()
            records = _valid_prefix(data)
            if len(records) == len(data):
                return None
            copy, temporary = unused_path(path, "damaged"), path.with_name(f".{path.name}.recovered")
            copy.write_bytes(data)
            temporary.write_bytes(records)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    return copy


def storage_label(url: str | None, out: Path) -> str:
    """Return the name of a storage for messages and files, with its password masked."""
    path = journal_path(url, out)
    if path:
        return str(path)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", str(url)))


def _corrupt_journal(path: Path, fault: str, *, is_recoverable: bool = True) -> InvalidFile:
    recover = "run again with --recover (it keeps every complete record, and a copy of the damaged file)"
    fix = recover if is_recoverable else "restore it from a copy"
    return InvalidFile(path, [Fault("", fault, f"{fix}, or start a new study with --out DIR")])


@contextmanager
def translate_open_errors(url: str, label: str) -> Iterator[None]:
    """Translate the errors of opening a database to those of `open_storage`; `label` is its `storage_label`."""
    if url.startswith("grpc://"):
        raise WrongUsage(
            f"storage '{url}' is a gRPC proxy, which explorer does not need: it writes from one process",
            fix="give the URL of its database, for example postgresql://user@host/name",
        )
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUsage(
            f"storage '{label}' is not a URL that Optuna can open",
            fix="write sqlite:///study.db, postgresql://user@host/name, or a file's path",
        ) from None
    except ImportError as error:
        # Optuna wraps the driver's own ImportError, which has its name.
        module = (getattr(error.__cause__, "name", None) or error.name or "the driver").split(".")[0]
        if url.startswith("postgresql"):
            raise MissingPart("psycopg", needed_for=f"storage '{label}'", extra="postgresql") from None
        raise MissingDriver(module, label) from None
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise WrongUsage(
            f"storage '{label}' cannot be opened: {cause}",
            fix="check that the database runs, the name and the password",
        ) from None


def driver_url(url: str) -> str:
    """Add a driver to a PostgreSQL URL without one: psycopg 3, unless only psycopg2 is installed."""
    is_psycopg2 = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return re.sub(r"^postgresql://", f"postgresql+psycopg{'2' if is_psycopg2 else ''}://", url)


def engine_args(url: str) -> dict[str, Any]:
    """Return the keyword arguments of SQLAlchemy's `create_engine` for a URL."""
    if not driver_url(url).startswith("postgresql+psycopg:"):
        return {}
    return {
        "pool_pre_ping": True,
        "connect_args": {name: value for name, value in _POSTGRES_ARGS.items() if f"{name}=" not in url},
    }


class MissingDriver(ExplorerError):
    """Missing database driver that is in no extra of explorer (exit 5)."""

    exit_code = 5

    def __init__(self, module: str, label: str) -> None:
        super().__init__(f"{module} is not installed; storage '{label}' needs it", fix=f"pip install {module}")
