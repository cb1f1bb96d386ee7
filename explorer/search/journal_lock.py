"""The lock of a journal: Optuna's own lock file, taken over at once from an explorer process that was killed."""

import contextlib
import functools
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock

if sys.platform != "win32":
    import fcntl

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def journal_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a journal, against plain Optuna processes as well.

    Optuna's lock is a file: whoever is killed leaves it behind, and everybody else waits for half a minute. Ours takes
    the journal's `flock` first, which the kernel releases with its process, and then marks the lock file. Who holds the
    `flock` and meets a file with the mark of this very kernel knows that its maker is dead.
    """
    lock = JournalFileOpenLock(str(path))
    left = Path(f"{path}.lock")
    with _flock(path) as is_alone:
        if is_alone and _is_marked(left):
            os.utime(left)  # so that a plain Optuna process sees it change hands, and does not force it open
        else:
            lock.acquire()
            if is_alone:
                # Only a convenience: on a full disk the lock holds without it.
                with contextlib.suppress(OSError):
                    left.write_text(_mark(), encoding="utf-8")
        try:
            yield
        finally:
            lock.release()


@contextmanager
def _flock(path: Path) -> Iterator[bool]:
    """Hold a file's `flock`; False where there is none, as on Windows and some shared disks."""
    if sys.platform == "win32":
        yield False
        return
    while True:
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                yield False
                return
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield True
                return
        # Recovered while we waited: the file that we hold is no longer the journal.


def _is_marked(left: Path) -> bool:
    try:
        return left.read_text(encoding="utf-8") == _mark()
    except (OSError, UnicodeDecodeError):
        return False


@functools.cache
def _mark() -> str:
    """Return what only processes under this running kernel write: a file system may share files but not `flock`."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"explorer {platform.node()} {boot}"
