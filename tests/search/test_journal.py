"""The journal: its lock among plain Optuna's and killed processes, and that what is appended is whole."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock

from explorer.errors import InvalidFile
from explorer.search.journal import SteadyJournal
from explorer.search.journal_lock import journal_lock
from explorer.search.storage import check_tail

LOGS = [{"op_code": 0, "i": i} for i in range(3)]
DIE_LOCKED = """
import os, pathlib, signal, sys
from explorer.search.journal_lock import journal_lock
with journal_lock(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.journal"
    path.touch()
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return list(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))).read_logs(0))


@contextmanager
def optunas_lock(path: Path, kind: type[Any] = JournalFileOpenLock) -> Iterator[None]:
    lock = kind(str(path))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def symbolic_lock(path: Path) -> Iterator[None]:
    with optunas_lock(path, JournalFileSymlinkLock):
        yield


def test_what_is_appended_is_what_optuna_reads_and_the_other_way_round(path: Path) -> None:
    ours, theirs = SteadyJournal(path), JournalFileBackend(str(path))
    ours.append_logs(LOGS)
    theirs.append_logs(LOGS)

    assert read(path) == list(ours.read_logs(0)) == LOGS * 2
    assert list(ours.read_logs(4)) == LOGS[1:]


@pytest.mark.parametrize("first", [journal_lock, optunas_lock, symbolic_lock])
@pytest.mark.parametrize("second", [journal_lock, optunas_lock, symbolic_lock])
def test_one_holds_the_lock_at_a_time_explorer_or_optuna(path: Path, first: Any, second: Any) -> None:
    order = []

    def wait() -> None:
        with second(path):
            order.append("second")

    with first(path):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]
    assert [file.name for file in path.parent.iterdir()] == ["x.journal"]


def test_many_threads_lose_no_record(path: Path) -> None:
    def append() -> None:
        journal = SteadyJournal(path)
        for _ in range(50):
            journal.append_logs(LOGS)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(path) == LOGS * 200


def test_the_lock_of_a_killed_process_is_taken_over_at_once(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE_LOCKED, str(path)], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -9
    assert path.with_name("x.journal.lock").exists()
    began = time.monotonic()
    SteadyJournal(path).append_logs(LOGS)

    assert time.monotonic() - began < 5  # Optuna waits for half a minute
    assert [file.name for file in path.parent.iterdir()] == ["x.journal"]


@pytest.mark.parametrize("content", ["", "explorer another-machine 1234"])
def test_a_lock_that_may_be_alive_is_waited_for(path: Path, content: str) -> None:
    """Plain Optuna's, or that of another machine on a shared disk."""
    lock = path.with_name("x.journal.lock")
    lock.write_text(content, encoding="utf-8")
    threading.Timer(0.3, lock.unlink).start()
    began = time.monotonic()
    SteadyJournal(path).append_logs(LOGS)

    assert time.monotonic() - began > 0.25
    assert read(path) == LOGS


@pytest.mark.parametrize("n_bytes", [1, 10, 200_000])
def test_half_a_line_that_a_killed_writer_left_is_cut_off(path: Path, n_bytes: int) -> None:
    journal = SteadyJournal(path)
    journal.append_logs(LOGS)
    with path.open("ab") as file:
        file.write(b"{" * n_bytes)
    journal.append_logs(LOGS)

    assert read(path) == LOGS * 2


def test_a_journal_of_half_a_line_begins_anew(path: Path) -> None:
    path.write_bytes(b'{"op_code":')
    SteadyJournal(path).append_logs(LOGS)

    assert read(path) == LOGS


def test_somebody_who_is_just_writing_has_not_damaged_the_journal(path: Path) -> None:
    line = b'{"op_code":0}\n'
    with journal_lock(path):
        path.write_bytes(line[:5])
        faults: list[Exception] = []

        def look() -> None:
            try:
                check_tail(path)
            except InvalidFile as error:
                faults.append(error)

        thread = threading.Thread(target=look)
        thread.start()
        time.sleep(0.2)
        path.write_bytes(line)
    thread.join()

    assert not faults


def test_a_journal_that_may_only_be_read_is_not_touched(path: Path) -> None:
    if os.geteuid() == 0:
        path = path.parent / "nowhere" / "x.journal"  # root may write everything that is there
    else:
        path.chmod(0o400)
    with pytest.raises(OSError, match=r"denied|No such file"), journal_lock(path):
        pass


def test_a_journal_that_was_deleted_does_not_begin_anew_without_its_study(path: Path) -> None:
    journal = SteadyJournal(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        journal.append_logs(LOGS)

    assert not list(path.parent.iterdir())


def test_who_waits_while_the_journal_is_recovered_appends_to_the_recovered_one(path: Path) -> None:
    path.write_bytes(b"{}\n{")
    with journal_lock(path):
        threads = [threading.Thread(target=SteadyJournal(path).append_logs, args=(LOGS,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        path.rename(path.with_name("old"))
        path.write_bytes(b"{}\n")
    for thread in threads:
        thread.join()

    assert read(path) == [{}, *LOGS * 3]
