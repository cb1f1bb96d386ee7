"""Exclusive lock of a run: one run per study at a time; the error of a second one names the holder."""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from explorer.errors import WrongUsage
from explorer.io.file_lock import Acquire, acquire_lock, file_lock
from explorer.search.storage.open import journal_path, storage_label, translate_open_errors
from explorer.search.storage.retry import Notify

LOCK_NAME = ".run.lock"

EnsureLock = Callable[[], None]
"""Checks the lock, and acquires it again if a restarted database server has freed it."""


@contextmanager
def run_lock(
    out: Path, storage: str | None, *, study: str, should_wait: bool = False, notify: Notify = lambda _: None
) -> Iterator[EnsureLock]:
    """Lock the result folder of a run, and a storage outside of it, which two folders may share.

    A journal or an SQLite database is locked by a file in its folder, a study in PostgreSQL by an advisory lock; other
    databases are not locked. The kernel or the server frees a lock when its process ends. Two studies in one database
    may run at the same time.

    Args:
        out: the result folder.
        storage: a journal's path or a database's URL; None for the journal in the result folder.
        study: the study's name in the storage.
        should_wait: wait for another run to end.
        notify: called with messages for the user.

    Yields:
        A function to call before each write, at the cost of one round trip: a restarted server has freed the lock. It
        raises WrongUsage if another run has acquired it since, and SQLAlchemyError if the server does not answer; then
        call it again.

    Raises:
        WrongUsage: another run has a lock, the folder cannot be written, or the database cannot be reached.
        MissingPart: the database's driver is not installed.
    """
    acquire = functools.partial(
        acquire_lock, noun="run", should_wait=should_wait, notify=notify,
        fix="wait for it with --wait, or choose another folder with --out or another --storage",
    )  # fmt: skip
    with ExitStack() as locks:
        locks.enter_context(file_lock(out / LOCK_NAME, acquire, label=str(out)))
        if (path := _lock_file(out, storage, study)) is not None:
            locks.enter_context(file_lock(path, acquire, label=str(path.parent)))
        if storage is not None and storage.startswith("postgresql"):
            yield locks.enter_context(_session_lock(storage, study, acquire))
        else:
            yield lambda: None


def _lock_file(out: Path, storage: str | None, study: str) -> Path | None:
    """Return the lock file of a storage; None if it has none, or is in the result folder."""
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
def _session_lock(url: str, study: str, acquire: Acquire) -> Iterator[EnsureLock]:
    label = storage_label(url, Path())
    with translate_open_errors(url, label):
        from explorer.search.storage.advisory_lock import AdvisoryLock

        lock = AdvisoryLock(url, study)

    def ensure() -> None:
        if not lock.is_alive() and (holder := lock.acquire()):
            raise WrongUsage(
                f"{label}: another run has started while the database was unreachable: {holder}",
                fix="run the same command again with --wait: stored trials are preserved",
            )

    try:
        with translate_open_errors(url, label):
            acquire(lock.acquire, label)
        yield ensure
    finally:
        lock.close()
