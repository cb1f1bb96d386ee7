"""Journal file in Optuna's own format: appends of whole records, synced to the disk every half second."""

import contextlib
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


_SYNC_EVERY_S = 0.5
_LOOK_BACK_BYTES = 65_536


class BatchedJournalBackend(BaseJournalBackend):
    """Optuna's journal file, synced to the disk every half second instead of at every record.

    Records are appended whole, under Optuna's own lock: other processes see them at once, and a killed process loses
    none. Only a crash of the machine can cost the last half second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The reader never locks; its default lock would need symbolic links.
        self._reader = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._synced = time.monotonic()
        self._own = threading.local()  # of this thread: whether it holds the lock, and lines for one write

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the records from a number on."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all or none, in one write; within `together` at the end of its block."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        if (pending := getattr(self._own, "lines", None)) is not None:
            pending.append(lines)
            return
        with self.locked():
            self._append(lines)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; a thread that holds it may take it again."""
        if getattr(self._own, "is_locked", False):
            yield
            return
        with journal_lock(self._path):
            self._own.is_locked = True
            try:
                yield
            finally:
                self._own.is_locked = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold the lock, and append all records of the block in one write at its end; none after an error."""
        with self.locked():
            self._own.lines = []
            try:
                yield
                lines = b"".join(self._own.lines)
            finally:
                self._own.lines = None
            if lines:
                self._append(lines)

    def _append(self, lines: bytes) -> None:
        """Append whole lines in one write, or leave the file as it was."""
        is_due = time.monotonic() - self._synced > _SYNC_EVERY_S
        with open(self._path, "a+b", buffering=0, opener=_open_existing) as file:
            _cut_half_line(self._path, file)
            size = file.seek(0, os.SEEK_END)
            try:
                _write(file, lines)
                if is_due:
                    os.fsync(file.fileno())
                    self._synced = time.monotonic()
            except BaseException:  # such as a full disk
                file.truncate(size)
                raise


def repair_tail(path: Path) -> Path | None:
    """Cut off the half line that a killed writer left at a journal's end.

    Returns:
        The file next to the journal with the half line; None where there was none.

    Raises:
        OSError: the journal cannot be read or written.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in {b"", b"\n"}:
            return None
    # Another process may be in the middle of a write: not while the lock is held here.
    with journal_lock(path), open(path, "a+b", buffering=0, opener=_open_existing) as file:
        return _cut_half_line(path, file)


def _cut_half_line(path: Path, file: FileIO) -> Path | None:
    """Cut off half a line at the end of a locked journal: its writer is dead. Return the file that keeps it."""
    end, size = _end_of_last_line(file), file.seek(0, os.SEEK_END)
    if end == size:
        return None
    file.seek(end)
    half = file.read()
    if is_record(half):  # whole but for its newline
        _write(file, b"\n")
        return None
    copy = None
    with suppress(OSError):  # a full disk must not prevent the cut
        copy = unused_path(path, "cut")
        copy.write_bytes(half)
    file.truncate(end)
    return copy


def is_record(line: bytes) -> bool:
    """Return True for a line of JSON with an object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def unused_path(path: Path, kind: str) -> Path:
    """Return the first free name of the form `study.journal.cut1`."""
    names = (path.with_name(f"{path.name}.{kind}{i}") for i in range(1, 10_000))
    return next(name for name in names if not name.exists())


def _write(file: FileIO, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[file.write(rest) :]


def _open_existing(path: str, flags: int) -> int:
    """Open an existing file: a deleted journal must not come back without its study."""
    return os.open(path, flags & ~os.O_CREAT)


def _end_of_last_line(file: FileIO) -> int:
    end, step = file.seek(0, os.SEEK_END), 1  # nearly always the last byte is a newline
    while end > 0:
        begin = max(0, end - step)
        file.seek(begin)
        if (newline := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + newline + 1
        end, step = begin, _LOOK_BACK_BYTES
    return 0
