"""Lock of a run: one at a time works on a study; the error of a second one names the holder."""

import datetime
import functools
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
from typing import IO

from explorer.errors import WrongUsage
from explorer.io.files import cannot_write
from explorer.search.storage.open import journal_path, storage_label, translate_open_errors

if sys.platform != "win32":
    import fcntl

LOCK_NAME = ".run.lock"
_POLL_S = 0.2

Ensure = Callable[[], None]
"""Checks that the lock is still held, and takes it again where a restarted database server freed it."""
Wait = Callable[[Callable[[], str], str], None]
"""Takes a lock by a function that returns '' or the holder; the text names the place."""


@contextmanager
def run_lock(
    out: Path,
    storage: str | None,
    *,
    study: str,
    should_wait: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Ensure]:
    """Hold the locks of a run: of its result folder, and of a storage elsewhere, which two folders may share.

    A journal or an SQLite database is locked by a file next to it, a study in PostgreSQL by an advisory lock; other
    databases have no lock. The kernel or the server frees a lock with its process. Two studies in one database may run
    at the same time.

    Args:
        out: the result folder.
        storage: a journal's path or a database's URL; None for the journal in the result folder.
        study: the study's name in the storage.
        should_wait: wait for another run to end.
        say: called with messages for the user.

    Yields:
        A function to call before each write after a connection was lost, at the cost of one round trip: a restarted
        server has freed the lock. It raises WrongUsage where another run has it by now, and SQLAlchemyError where the
        server does not answer; then call it again.

    Raises:
        WrongUsage: another run holds a lock, the folder cannot be written, or the database cannot be reached.
        MissingPart: the database's driver is not installed.
    """
    wait = functools.partial(_wait, should_wait=should_wait, say=say)
    with ExitStack() as held:
        held.enter_context(_file_lock(out / LOCK_NAME, wait))
        if (path := _lock_file(out, storage, study)) is not None:
            held.enter_context(_file_lock(path, wait))
        if storage is not None and storage.startswith("postgresql"):
            yield held.enter_context(_session_lock(storage, study, wait))
        else:
            yield lambda: None


def _lock_file(out: Path, storage: str | None, study: str) -> Path | None:
    """Return the lock file next to a storage; None where it has none, or is in the result folder."""
    journal = journal_path(storage, out)
    if journal is not None:
        journal = journal.absolute()
        return None if journal.parent == out.absolute() else journal.with_name(f".{journal.name}{LOCK_NAME}")
    database = sqlite_file(str(storage))
    if database is None or not database.parent.is_dir():  # opening it raises the error
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

    with translate_open_errors(url, url):
        parsed = make_url(url)
    name = parsed.database or ":memory:"
    if name.startswith("file:"):  # SQLite's own URI, which may have an (empty) host
        name = re.sub(r"^file:(//[^/]*(?=/))?", "", name)
    is_in_memory = name == ":memory:" or parsed.query.get("mode") == "memory"
    return None if is_in_memory else Path(name).resolve()


@contextmanager
def _file_lock(path: Path, wait: Wait) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
    with file:
        wait(lambda: _take(file), str(path.parent))
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with suppress(OSError):  # on a full disk it is held without its holder's name
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}))
            file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


@contextmanager
def _session_lock(url: str, study: str, wait: Wait) -> Iterator[Ensure]:
    place = storage_label(url, Path())
    with translate_open_errors(url, place):
        from explorer.search.storage.advisory_lock import AdvisoryLock

        lock = AdvisoryLock(url, study)

    def ensure() -> None:
        if not lock.is_held() and (holder := lock.take()):
            raise WrongUsage(
                f"{place}: another run has begun here while the database was away: {holder}",
                fix="run the same command again with --wait: every stored trial is kept",
            )

    try:
        with translate_open_errors(url, place):
            wait(lock.take, place)
        yield ensure
    finally:
        lock.close()


def _wait(take: Callable[[], str], place: str, *, should_wait: bool, say: Callable[[str], None]) -> None:
    """Take a lock, if need be once another run has ended.

    Raises:
        WrongUsage: another run holds it, and `should_wait` is False.
    """
    is_notified = False
    while holder := take():
        if not should_wait:
            raise WrongUsage(
                f"{place}: another run is at work here: {holder}",
                fix="wait for it with --wait, or choose another folder with --out or another --storage",
            )
        if not is_notified:
            say(f"waiting for another run of {place}: {holder}")
            is_notified = True
        time.sleep(_POLL_S)


def _take(file: IO[str]) -> str:
    """Take a file's lock, or return its holder; a file system without locks cannot guard a run."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            file.seek(0)
            holder = json.loads(file.read())
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that has only just begun"
    except OSError:
        pass
    return ""
