"""Lock of a journal: Optuna's lock file, taken over at once from an explorer process that was killed."""

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
    """Hold the lock of a journal, also against plain Optuna processes.

    Optuna's lock is a file: a killed process leaves it behind, and all others wait for half a minute. So the journal's
    `flock` is taken first, which the kernel frees with its process, and the lock file gets a mark. The holder of the
    `flock` that finds a file with the mark of its own kernel knows that its maker is dead.
    """
    lock = JournalFileOpenLock(str(path))
    lock_file = Path(f"{path}.lock")
    with _flock(path) as is_alone:
        if is_alone and _is_marked(lock_file):
            os.utime(lock_file)  # an older file would be removed by a plain Optuna process that waits
        else:
            lock.acquire()
            if is_alone:
                with contextlib.suppress(OSError):  # on a full disk it is held without a mark
                    lock_file.write_text(_mark(), encoding="utf-8")
        try:
            yield
        finally:
            lock.release()


@contextmanager
def _flock(path: Path) -> Iterator[bool]:
    """Hold a file's `flock`; yield False where there is none, as on Windows and some shared disks."""
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
        # The journal was recovered meanwhile: this file is no longer the journal.


def _is_marked(lock_file: Path) -> bool:
    try:
        return lock_file.read_text(encoding="utf-8") == _mark()
    except (OSError, UnicodeDecodeError):
        return False


@functools.cache
def _mark() -> str:
    """Return the mark of this running kernel: some file systems share files between machines, but not `flock`."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"explorer {platform.node()} {boot}"
