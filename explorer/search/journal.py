"""A journal file in Optuna's own format that waits for the disk once in a while, not twenty times a trial."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

_SYNC_EVERY_S = 0.5


class SteadyJournal(BaseJournalBackend):
    """Optuna's journal file, synced to the disk every half second instead of at every record.

    Each record is still appended whole, under Optuna's own lock, so that other processes see it at once and a killed
    program loses nothing; only a crash of the whole machine can cost the last half second. A trial makes some twenty
    records, and on a slow disk waiting for each of them costs more than the search.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = JournalFileOpenLock(str(path))
        self._reader = JournalFileBackend(str(path), lock_obj=self._lock)
        self._synced = time.monotonic()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the records from a number on, as Optuna reads them."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole records under the lock."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            size = self._path.stat().st_size
            try:
                self._append(text)
            except OSError:
                # A full disk must not leave half a record behind: it would spoil the next one as well.
                os.truncate(self._path, size)
                raise
        finally:
            self._lock.release()

    def _append(self, text: str) -> None:
        with self._path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            if time.monotonic() - self._synced > _SYNC_EVERY_S:
                os.fsync(file.fileno())
                self._synced = time.monotonic()
