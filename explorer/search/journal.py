"""A journal file in Optuna's own format that waits for the disk once in a while, not twenty times a trial."""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from explorer.search.journal_lock import journal_lock

_SYNC_EVERY_S = 0.5
_LOOK_BACK_BYTES = 65_536


class SteadyJournal(BaseJournalBackend):
    """Optuna's journal file, synced to the disk every half second instead of at every record.

    Each record is still appended whole, under Optuna's own lock, so that other processes see it at once and a killed
    program loses nothing; only a crash of the whole machine can cost the last half second. A trial makes some twenty
    records, and on a slow disk waiting for each of them costs more than the search.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The reader never locks; without a lock of its own it would choose the one made of symbolic links.
        self._reader = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        self._synced = time.monotonic()
        self._own = threading.local()  # how often this thread has locked it, and what it holds back

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the records from a number on, as Optuna reads them."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole records under the lock."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        held_back = getattr(self._own, "lines", None)
        if held_back is not None:
            held_back.append(lines)
            return
        with self.locked():
            self.append(lines)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock: nobody else appends meanwhile. Who holds it may take it again."""
        depth = getattr(self._own, "depth", 0)
        if depth:
            yield
            return
        with journal_lock(self._path):
            self._own.depth = 1
            try:
                yield
            finally:
                self._own.depth = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold the lock, and append all records of the block in one write at its end; none where it fails."""
        with self.locked():
            self._own.lines = []
            try:
                yield
                lines = b"".join(self._own.lines)
            finally:
                self._own.lines = None
            if lines:
                self.append(lines)

    def append(self, lines: bytes) -> None:
        """Append whole lines, all or none, to a journal that is locked."""
        is_due = time.monotonic() - self._synced > _SYNC_EVERY_S
        append_whole(self._path, lines, is_synced=is_due)
        if is_due:
            self._synced = time.monotonic()


def append_whole(path: Path, lines: bytes, *, is_synced: bool) -> None:
    """Append whole lines to a locked journal in one write, or leave it as it was.

    Half a line at its end is cut off first and kept beside it: since the lock is ours, whoever wrote it was killed
    before anybody could rely on it, and what follows would be spoilt by it.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    with open(path, "a+b", buffering=0, opener=_open_existing) as file:
        _mend(path, file)
        size = file.seek(0, os.SEEK_END)
        try:
            _write(file, lines)
            if is_synced:
                os.fsync(file.fileno())
        except BaseException:
            # A full disk must not leave half a record behind.
            file.truncate(size)
            raise


def mend_tail(path: Path) -> Path | None:
    """Cut off the half line that a killed writer left at a journal's end.

    Returns:
        The file beside the journal that keeps it; None where there was none.

    Raises:
        OSError: the journal cannot be read or written.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in {b"", b"\n"}:
            return None
    # Perhaps somebody is just writing: nobody is while the lock is ours.
    with journal_lock(path), open(path, "a+b", buffering=0, opener=_open_existing) as file:
        return _mend(path, file)


def _mend(path: Path, file: FileIO) -> Path | None:
    """End a locked journal with its last whole record; return the file that keeps what was cut off."""
    end, size = _end_of_last_line(file), file.seek(0, os.SEEK_END)
    if end == size:
        return None
    file.seek(end)
    rest = file.read()
    if _is_record(rest):  # all but its newline
        _write(file, b"\n")
        return None
    kept = None
    with suppress(OSError):  # half a record is worth nothing but a look: a full disk must not stop the rest
        names = (path.with_name(f"{path.name}.cut{i}") for i in range(1, 10_000))
        kept = next(name for name in names if not name.exists())
        kept.write_bytes(rest)
    file.truncate(end)
    return kept


def _write(file: FileIO, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[file.write(rest) :]


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _open_existing(path: str, flags: int) -> int:
    """Open a file that is there: a deleted journal must not begin anew without its study."""
    return os.open(path, flags & ~os.O_CREAT)


def _end_of_last_line(file: FileIO) -> int:
    end, step = file.seek(0, os.SEEK_END), 1  # as a rule the last byte is a newline
    while end > 0:
        begin = max(0, end - step)
        file.seek(begin)
        if (newline := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + newline + 1
        end, step = begin, _LOOK_BACK_BYTES
    return 0
