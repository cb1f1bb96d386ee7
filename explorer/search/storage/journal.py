"""Journal file in Optuna's format: atomic appends of records, fsync at most every half second."""

import functools
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

if sys.platform != "win32":
    import fcntl

_SYNC_EVERY_S = 0.5
_READ_BACK_BYTES = 65_536
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def journal_lock(path: Path) -> Iterator[None]:
    """Lock a journal, also against plain Optuna processes.

    Optuna's lock is a file: a killed process leaves it behind, and all others wait for half a minute. So the journal's
    `flock` is acquired first, which the kernel frees with its process, and the lock file gets a kernel id. If the owner
    of the `flock` reads its own kernel id in the lock file, then the process that created the file is dead.
    """
    lock = JournalFileOpenLock(str(path))
    lock_file = Path(f"{path}.lock")
    with _flock(path) as has_flock:
        if has_flock and _is_from_this_kernel(lock_file):
            os.utime(lock_file)  # a waiting plain Optuna process removes an older file
        else:
            lock.acquire()
            if has_flock:
                with suppress(OSError):  # on a full disk the lock is valid without a kernel id
                    lock_file.write_text(_kernel_id(), encoding="utf-8")
        try:
            yield
        finally:
            lock.release()


@contextmanager
def _flock(path: Path) -> Iterator[bool]:
    """Acquire a file's `flock`; yield False where it is not supported, as on Windows and some network file systems."""
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
        # The journal was replaced by a recovery meanwhile.


def _is_from_this_kernel(lock_file: Path) -> bool:
    try:
        return lock_file.read_text(encoding="utf-8") == _kernel_id()
    except (OSError, UnicodeDecodeError):
        return False


@functools.cache
def _kernel_id() -> str:
    """Return an id of the running kernel: some file systems share files between hosts, but not `flock`."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"explorer {platform.node()} {boot}"


class BatchedJournalBackend(BaseJournalBackend):
    """Optuna's journal file with an fsync every half second instead of at every record.

    Appends are atomic, under Optuna's lock: other processes read them at once, and a killed process loses none. Only a
    crash of the host can lose the last half second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The reader never locks; its default lock needs symbolic links.
        self._reader = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._synced = time.monotonic()
        self._thread = threading.local()  # is_locked, and the lines of an open transaction

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the records from a number on."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all or none, in one write; within a `transaction` at its end."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        if (pending := getattr(self._thread, "lines", None)) is not None:
            pending.append(lines)
            return
        with self.lock():
            self._append(lines)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Acquire the lock, reentrant within a thread."""
        if getattr(self._thread, "is_locked", False):
            yield
            return
        with journal_lock(self._path):
            self._thread.is_locked = True
            try:
                yield
            finally:
                self._thread.is_locked = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Acquire the lock, and append all records of the context in one write at its end; none after an error."""
        with self.lock():
            self._thread.lines = []
            try:
                yield
                lines = b"".join(self._thread.lines)
            finally:
                self._thread.lines = None
            if lines:
                self._append(lines)

    def _append(self, lines: bytes) -> None:
        """Append lines in one write, or leave the file unchanged."""
        is_due = time.monotonic() - self._synced > _SYNC_EVERY_S
        with open(self._path, "a+b", buffering=0, opener=_open_existing) as file:
            _truncate_partial_line(self._path, file)
            size = file.seek(0, os.SEEK_END)
            try:
                _write(file, lines)
                if is_due:
                    os.fsync(file.fileno())
                    self._synced = time.monotonic()
            except BaseException:  # for example a full disk
                file.truncate(size)
                raise


def repair_tail(path: Path) -> Path | None:
    """Truncate the partial line that a killed writer left at a journal's end.

    Returns:
        The file with the partial line, in the journal's folder; None if there was none.

    Raises:
        OSError: the journal cannot be read or written.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in {b"", b"\n"}:
            return None
    # Another process may be writing; it cannot while this one has the lock.
    with journal_lock(path), open(path, "a+b", buffering=0, opener=_open_existing) as file:
        return _truncate_partial_line(path, file)


def _truncate_partial_line(path: Path, file: FileIO) -> Path | None:
    """Truncate a partial line of a locked journal, whose writer is dead; return the file to which it was copied."""
    end, size = _end_of_last_line(file), file.seek(0, os.SEEK_END)
    if end == size:
        return None
    file.seek(end)
    partial = file.read()
    if is_record(partial):  # complete except for its newline
        _write(file, b"\n")
        return None
    copy = None
    with suppress(OSError):  # a full disk must not prevent the truncation
        copy = unused_path(path, "cut")
        copy.write_bytes(partial)
    file.truncate(end)
    return copy


def is_record(line: bytes) -> bool:
    """Return True for a line with a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def unused_path(path: Path, kind: str) -> Path:
    """Return the first unused path of the form `study.journal.cut1`."""
    names = (path.with_name(f"{path.name}.{kind}{i}") for i in range(1, 10_000))
    return next(name for name in names if not name.exists())


def _write(file: FileIO, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[file.write(rest) :]


def _open_existing(path: str, flags: int) -> int:
    """Open an existing file: a deleted journal must not be created again without its study."""
    return os.open(path, flags & ~os.O_CREAT)


def _end_of_last_line(file: FileIO) -> int:
    end, step = file.seek(0, os.SEEK_END), 1  # usually the last byte is a newline
    while end > 0:
        begin = max(0, end - step)
        file.seek(begin)
        if (newline := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + newline + 1
        end, step = begin, _READ_BACK_BYTES
    return 0
