"""Journal: its lock with plain Optuna and killed processes, and atomic records after any failure."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock

from explorer.search.storage.journal import BatchedJournalBackend, journal_lock
from explorer.search.storage.open import check_last_record
from tests.search.measured import ENVIRONMENT

LOGS = [{"op_code": 0, "i": i} for i in range(3)]
DIE_LOCKED = """
import os, pathlib, signal, sys
from explorer.search.storage.journal import journal_lock
with journal_lock(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "x.journal").touch()
    return tmp_path / "x.journal"


def read(path: Path) -> list[dict[str, Any]]:
    return list(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))).read_logs(0))


def append(path: Path, n: int = 1) -> None:
    journal = BatchedJournalBackend(path)
    for _ in range(n):
        journal.append_logs(LOGS)


@contextmanager
def optuna_lock(kind: Any, path: Path) -> Iterator[None]:
    lock = kind(str(path))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


LOCKS = [journal_lock, partial(optuna_lock, JournalFileOpenLock), partial(optuna_lock, JournalFileSymlinkLock)]


def test_journal_is_compatible_with_optuna_in_both_directions(path: Path) -> None:
    ours, theirs = BatchedJournalBackend(path), JournalFileBackend(str(path))
    ours.append_logs(LOGS)
    theirs.append_logs(LOGS)

    assert read(path) == list(ours.read_logs(0)) == LOGS * 2
    assert list(ours.read_logs(4)) == LOGS[1:]


@pytest.mark.parametrize("first", LOCKS)
@pytest.mark.parametrize("second", LOCKS)
def test_journal_lock_excludes_explorer_and_optuna_writers(path: Path, first: Any, second: Any) -> None:
    has_second = threading.Event()

    def wait() -> None:
        with second(path):
            has_second.set()

    with first(path):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not has_second.wait(0.1)
    thread.join()

    assert has_second.is_set()
    assert [file.name for file in path.parent.iterdir()] == ["x.journal"]


def test_concurrent_appends_of_threads_lose_no_record(path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(append, [path] * 4, [50] * 4))

    assert read(path) == LOGS * 200


def test_journal_lock_of_a_killed_process_is_acquired_at_once(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE_LOCKED, str(path)], check=False, env=ENVIRONMENT)
    assert killed.returncode == -9
    assert path.with_name("x.journal.lock").exists()
    began = time.monotonic()
    append(path)

    assert time.monotonic() - began < 5  # Optuna waits for half a minute
    assert [file.name for file in path.parent.iterdir()] == ["x.journal"]


@pytest.mark.parametrize("content", ["", "explorer another-machine 1234"])
def test_journal_lock_of_a_possibly_live_process_blocks(path: Path, content: str) -> None:
    """Lock file of plain Optuna, or of another host on a shared disk."""
    lock = path.with_name("x.journal.lock")
    lock.write_text(content, encoding="utf-8")
    threading.Timer(0.3, lock.unlink).start()
    began = time.monotonic()
    append(path)

    assert time.monotonic() - began > 0.25
    assert read(path) == LOGS


@pytest.mark.parametrize("before", [[], LOGS])
@pytest.mark.parametrize("n_bytes", [1, 10, 200_000])
def test_partial_line_of_a_killed_writer_is_truncated(path: Path, before: list[Any], n_bytes: int) -> None:
    journal = BatchedJournalBackend(path)
    if before:
        journal.append_logs(before)
    with path.open("ab") as file:
        file.write(b"{" * n_bytes)
    journal.append_logs(LOGS)

    assert read(path) == [*before, *LOGS]


def test_line_during_a_write_is_not_reported_as_corrupt(path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        with journal_lock(path):
            path.write_bytes(b'{"op_c')
            check = pool.submit(check_last_record, path)
            time.sleep(0.2)
            path.write_bytes(b'{"op_code":0}\n')
        check.result()


def test_deleted_or_unwritable_journal_is_not_created_again(path: Path) -> None:
    """A new journal would lack its study."""
    journal = BatchedJournalBackend(path)
    path.chmod(0o400)
    if os.geteuid() != 0:  # root ignores file permissions
        with pytest.raises(OSError, match="denied"), journal_lock(path):
            pass
    path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.append_logs(LOGS)
    with pytest.raises(OSError, match="No such file"), journal_lock(path.parent / "nowhere/x.journal"):
        pass

    assert not list(path.parent.iterdir())


def test_waiting_writers_append_to_the_recovered_journal(path: Path) -> None:
    path.write_bytes(b"{}\n{")
    with ThreadPoolExecutor() as pool:
        with journal_lock(path):
            appends = [pool.submit(append, path) for _ in range(3)]
            time.sleep(0.1)
            path.rename(path.with_name("old"))
            path.write_bytes(b"{}\n")
        for one in appends:
            one.result()

    assert read(path) == [{}, *LOGS * 3]
