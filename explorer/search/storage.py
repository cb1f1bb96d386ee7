"""Where trials are kept: a journal file by default, any Optuna storage by URL."""

import json
import re
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.files import cannot_write
from explorer.search.connect import open_url
from explorer.search.journal import SteadyJournal, mend_tail
from explorer.search.journal_lock import journal_lock

JOURNAL_NAME = "study.journal"
_TAIL_BYTES = 1_000_000


def open_storage(url: str | None, out: Path) -> BaseStorage:
    """Open a study's storage: a journal file in `out`, a journal file by path, or an Optuna URL.

    Raises:
        WrongUsage: the place cannot be written, or the URL is not one that Optuna can open.
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
    except (json.JSONDecodeError, UnicodeDecodeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise _damaged(path, f"has a record that cannot be read ({error})", is_tail=_has_broken_line(path)) from None
    except OSError as error:
        raise cannot_write(path, error) from None


def journal_path(url: str | None, out: Path) -> Path | None:
    """Return the journal file that a storage argument means, or None where it means another kind of storage."""
    if url is None:
        return out / JOURNAL_NAME
    if "://" not in url:
        if re.match(r"[A-Za-z][\w+]+:", url):
            raise WrongUsage(f"storage '{url}' looks like a URL without //", fix="write for example sqlite:///study.db")
        return Path(url).expanduser()
    return Path(url.removeprefix("journal://")).expanduser() if url.startswith("journal://") else None


def check_tail(path: Path) -> None:
    """See that a journal's last whole line is a record: after anything else there is no telling what else is damaged.

    Raises:
        InvalidFile: it is not.
    """
    if _tail_fault(path):
        # Perhaps somebody is just writing: nobody is while the lock is ours.
        with journal_lock(path):
            fault = _tail_fault(path)
        if fault:
            raise _damaged(path, fault)


def _tail_fault(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    whole = tail[: tail.rfind(b"\n") + 1]
    if not whole:
        return ""
    try:
        json.loads(whole[:-1].rsplit(b"\n", 1)[-1])
    except (json.JSONDecodeError, UnicodeDecodeError):
        return "ends with a record that is not JSON"
    return ""


def _has_broken_line(path: Path) -> bool:
    return len(_whole_records(path.read_bytes())) < path.stat().st_size


def _whole_records(data: bytes) -> bytes:
    """Return a journal up to its first record that is not whole."""
    end = 0
    for line in data.splitlines(keepends=True):
        try:
            is_whole = line.endswith(b"\n") and isinstance(json.loads(line), dict)
        except (json.JSONDecodeError, UnicodeDecodeError):
            is_whole = False
        if not is_whole:
            break
        end += len(line)
    return data[:end]


def recover_journal(path: Path) -> Path | None:
    """Cut the journal after its last whole record; the damaged file is kept beside it.

    Returns:
        The path of the kept copy, or None where nothing was damaged.

    Raises:
        WrongUsage: the file cannot be read or replaced.
    """
    try:
        with journal_lock(path):
            data = path.read_bytes()
            whole = _whole_records(data)
            if len(whole) == len(data):
                return None
            kept = next(p for i in range(1, 10_000) if not (p := path.with_name(f"{path.name}.damaged{i}")).exists())
            kept.write_bytes(data)
            temporary = path.with_name(f".{path.name}.recovered")
            temporary.write_bytes(whole)
            temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    return kept


def shown_url(url: str | None, out: Path) -> str:
    """Return a storage's name for people and files; a password is never shown."""
    path = journal_path(url, out)
    if path:
        return str(path)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", str(url)))


def _damaged(path: Path, what: str, *, is_tail: bool = True) -> InvalidFile:
    anew = "begin anew with --out DIR"
    mend = f"run again with --recover (it keeps every whole record, and the damaged file beside them), or {anew}"
    return InvalidFile(path, [Fault("", what, mend if is_tail else f"restore it from a copy, or {anew}")])
