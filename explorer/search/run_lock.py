"""Lock of a run: one at a time works on a study, and a second one is told who is at work."""

import datetime
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from explorer.errors import WrongUsage
from explorer.files import cannot_write
from explorer.search.connect import opening
from explorer.search.storage import journal_path, shown_url

if TYPE_CHECKING:
    from explorer.search.advisory_lock import AdvisoryLock

if sys.platform != "win32":
    import fcntl

LOCK_NAME = ".run.lock"
_LOOK_AGAIN_S = 0.2

Ensure = Callable[[], None]
"""Sees that the lock is still held, and takes it again where a restarted database server lost it."""


@contextmanager
def run_lock(
    out: Path,
    storage: str | None,
    *,
    study: str,
    is_patient: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Ensure]:
    """Hold the locks of a run: its result folder's, and that of a storage elsewhere, which two folders could share.

    A journal or an SQLite database is locked by a file beside it, a study in PostgreSQL by an advisory lock. Other
    databases have no lock: two folders that share one are not guarded. Two studies in one database may run at the same
    time. The kernel, or the server, frees a lock with its process, however that ends.

    Args:
        out: the result folder.
        storage: a journal's path or a database's URL; None for the journal in the result folder.
        study: the study's name in the storage.
        is_patient: wait for another run to end.
        say: tells the user something.

    Yields:
        A function to call before something is written after a connection was lost: the server may have restarted,
        and freed the lock. It costs one round trip. It raises WrongUsage where another run holds the lock by now, and
        SQLAlchemyError where the server does not answer; then it is to be called again.

    Raises:
        WrongUsage: another run holds a lock, the folder cannot be written, or the database cannot be reached.
        MissingPart: the database's driver is not installed.
    """
    with ExitStack() as held:
        held.enter_context(_file_held(out / LOCK_NAME, is_patient=is_patient, say=say))
        if (path := _beside(out, storage, study)) is not None:
            held.enter_context(_file_held(path, is_patient=is_patient, say=say))
        if storage is not None and storage.startswith("postgresql"):
            yield held.enter_context(_session_held(storage, study, is_patient=is_patient, say=say))
        else:
            yield lambda: None


def _beside(out: Path, storage: str | None, study: str) -> Path | None:
    """Return the lock file beside a storage; None where the storage has none, or is in the result folder."""
    journal = journal_path(storage, out)
    if journal is not None:
        place = journal.absolute()
        return None if place.parent == out.absolute() else place.with_name(f".{place.name}{LOCK_NAME}")
    database = sqlite_file(str(storage))
    if database is None or not database.parent.is_dir():  # opening it says what is wrong
        return None
    digest = hashlib.sha256(study.encode()).hexdigest()[:8]
    return database.with_name(f".{database.name}.{digest}{LOCK_NAME}")


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL, links resolved; None for a database in memory and for any other URL.

    >>> sqlite_file("sqlite:////data/studies.db?timeout=60")
    PosixPath('/data/studies.db')
    >>> sqlite_file("sqlite:///:memory:"), sqlite_file("postgresql://host/name")
    (None, None)
    """
    if not re.match(r"sqlite(\+\w+)?://", url):
        return None
    from sqlalchemy.engine import make_url

    with opening(url, url):
        parsed = make_url(url)
    name = parsed.database or ":memory:"
    if name.startswith("file:"):  # SQLite's own URI, which may have an (empty) host
        name = re.sub(r"^file:(//[^/]*(?=/))?", "", name)
    is_in_memory = name == ":memory:" or parsed.query.get("mode") == "memory"
    return None if is_in_memory else Path(name).resolve()


@contextmanager
def _file_held(path: Path, *, is_patient: bool, say: Callable[[str], None]) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
    with file:
        _wait(lambda: "" if _is_taken(file) else _holder(file), str(path.parent), is_patient=is_patient, say=say)
        _sign(file)
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


@contextmanager
def _session_held(url: str, study: str, *, is_patient: bool, say: Callable[[str], None]) -> Iterator[Ensure]:
    place = shown_url(url, Path())
    with opening(url, place):
        from explorer.search.advisory_lock import AdvisoryLock

        lock = AdvisoryLock(url, study)
    try:
        with opening(url, place):
            _wait(lock.take, place, is_patient=is_patient, say=say)
        yield lambda: _ensure(lock, place)
    finally:
        lock.close()


def _wait(take: Callable[[], str], place: str, *, is_patient: bool, say: Callable[[str], None]) -> None:
    """Take a lock, perhaps once another run has ended.

    Raises:
        WrongUsage: another run holds it.
    """
    is_told = False
    while holder := take():
        if not is_patient:
            raise WrongUsage(
                f"{place}: another run is at work here: {holder}",
                fix="wait for it with --wait, or choose another folder with --out or another --storage",
            )
        if not is_told:
            say(f"waiting for another run of {place}: {holder}")
            is_told = True
        time.sleep(_LOOK_AGAIN_S)


def _ensure(lock: "AdvisoryLock", place: str) -> None:
    if not lock.is_held() and (holder := lock.take()):
        raise WrongUsage(
            f"{place}: another run has begun here while the database was away: {holder}",
            fix="run the same command again with --wait: every stored trial is kept",
        )


def _is_taken(file: IO[str]) -> bool:
    """Take a file's lock; a file system without locks has to do without, as before there were any."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sign(file: IO[str]) -> None:
    """Write who holds a lock; only a convenience: on a full disk the lock holds without it."""
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}))
        file.flush()


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        known = json.loads(file.read())
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun"
