"""Storage of trials: a journal file by default, any Optuna storage by URL."""

import json
import re
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.files import cannot_write
from explorer.search.connect import open_url
from explorer.search.journal import SteadyJournal, free_name, is_record, mend_tail
from explorer.search.journal_lock import journal_lock

JOURNAL_NAME = "study.journal"
_TAIL_BYTES = 1_000_000


def open_storage(url: str | None, out: Path) -> BaseStorage:
    """Open a study's storage: a journal file in `out`, a journal file by path, or an Optuna URL.

    Raises:
        WrongUsage: the file cannot be written, or Optuna cannot open the URL.
        InvalidFile: the journal is damaged.
        MissingPart: the database's driver is not installed.
    """
    path = journal_path(url, out)
    if path is None:
        return open_url(str(url), shown_url(url, out))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        mend_tail(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    check_tail(path)
    try:
        return JournalStorage(SteadyJournal(path))
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


def check_tail(path: Path) -> None:
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
            copy, temporary = free_name(path, "damaged"), path.with_name(f".{path.name}.recovered")
            copy.write_bytes(data)
            temporary.write_bytes(whole)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    return copy


def shown_url(url: str | None, out: Path) -> str:
    """Return the name of a storage in messages and files, without its password."""
    path = journal_path(url, out)
    if path:
        return str(path)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", str(url)))


def _damaged(path: Path, what: str, *, is_mendable: bool = True) -> InvalidFile:
    anew = "begin anew with --out DIR"
    mend = f"run again with --recover (it keeps every whole record, and the damaged file beside them), or {anew}"
    return InvalidFile(path, [Fault("", what, mend if is_mendable else f"restore it from a copy, or {anew}")])
