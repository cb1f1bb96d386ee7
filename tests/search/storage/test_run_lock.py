"""Lock of a run: exclusive on any storage, released by any end of its holder, acquired again after a restart."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from explorer.errors import WrongUsage
from explorer.search.storage.advisory_lock import AdvisoryLock
from explorer.search.storage.retry import RetryPolicy
from explorer.search.storage.run_lock import run_lock, sqlite_file
from tests.search.measured import ENVIRONMENT

HOLD = """\
import pathlib, sys, time
from explorer.search.storage.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1]), sys.argv[2], study="study"):
    print("held", flush=True)
    time.sleep(60)
"""
ON_SERVER = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))


@pytest.fixture(params=["{}/shared.journal", "sqlite:///{}/shared.db?timeout=9", ON_SERVER])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Storage shared by two result folders."""
    return str(request.getfixturevalue("database") if request.param == "postgresql" else request.param.format(tmp_path))


@contextmanager
def holder(folder: Path, storage: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folder), storage]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def refused(folder: Path, storage: str | None, message: str, study: str = "study") -> WrongUsage:
    """Return the error of a run that cannot acquire the lock."""
    with pytest.raises(WrongUsage, match=message) as caught, run_lock(folder, storage, study=study):
        pass
    return caught.value


def test_second_run_on_a_study_is_refused_with_the_holder(tmp_path: Path, storage: str) -> None:
    with run_lock(tmp_path / "a", storage, study="study"):
        message = rf"another run is active: process {os.getpid()} on .*, since 20"
        error = refused(tmp_path / "b", storage, message)
        if "://" in storage:  # a journal is locked as a whole
            with run_lock(tmp_path / "c", storage, study="another") as ensure:
                ensure()

    assert error.exit_code == 2
    assert error.fix.startswith("wait for it with --wait, or choose another folder with --out")
    with run_lock(tmp_path / "b", storage, study="study"):
        pass


def test_result_folder_is_locked_for_one_run(tmp_path: Path) -> None:
    with run_lock(tmp_path, None, study="a"):
        refused(tmp_path, None, "another run is active", study="b")
        with run_lock(tmp_path / "elsewhere", None, study="a"):
            pass


@pytest.mark.processes
def test_lock_is_released_when_its_holder_is_killed(tmp_path: Path, storage: str) -> None:
    messages: list[str] = []
    with holder(tmp_path / "a", storage) as process:
        refused(tmp_path / "b", storage, f"process {process.pid} ")

        def end(message: str) -> None:
            messages.append(message)
            process.send_signal(signal.SIGKILL)

        with run_lock(tmp_path / "b", storage, study="study", should_wait=True, notify=end):
            assert len(messages) == 1
            assert "waiting for another run of" in messages[0]


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///relative.db", Path("relative.db").resolve()),
        ("sqlite:////data/studies.db", Path("/data/studies.db")),
        ("sqlite+pysqlite:////data/studies.db?timeout=60", Path("/data/studies.db")),
        ("sqlite:///file:/data/studies.db?mode=ro&uri=true", Path("/data/studies.db")),
        ("sqlite:///file:///data/studies.db?uri=true", Path("/data/studies.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:shared?mode=memory&uri=true", None),
        ("mysql://me@host/name", None),
    ],
)
def test_sqlite_file_is_parsed_from_the_url(url: str, file: Path | None, tmp_path: Path) -> None:
    assert sqlite_file(url) == file
    if file is None:
        with run_lock(tmp_path / "a", url, study="study"), run_lock(tmp_path / "b", url, study="study") as ensure:
            ensure()


def test_unreachable_server_error_masks_the_password(tmp_path: Path) -> None:
    error = refused(tmp_path, "postgresql://me:sEcReT@127.0.0.1:9/name", "cannot be opened: ")

    assert "sEcReT" not in str(error)


@pytest.mark.xdist_group("postgresql")
def test_advisory_lock_is_reacquired_after_server_restart(postgres: Any, database: str, tmp_path: Path) -> None:
    with run_lock(tmp_path / "a", database, study="study") as ensure:
        ensure()
        postgres.control("stop", "-m", "fast")
        try:
            with pytest.raises(OperationalError):
                ensure()
        finally:
            postgres.control("start")
        RetryPolicy("x", notify=lambda _: None)(ensure)
        refused(tmp_path / "b", database, "another run is active")


@pytest.mark.xdist_group("postgresql")
def test_broken_session_is_terminated_by_its_own_process(database: str) -> None:
    """As after a network failure that the server has not detected."""
    lock = AdvisoryLock(database, "study")
    assert lock.acquire() == ""
    cut, lock._session = lock._session, None  # noqa: SLF001
    assert lock.acquire() == ""
    assert lock.is_alive()
    with pytest.raises(OperationalError), cut:  # type: ignore[union-attr]
        cut.exec_driver_sql("SELECT 1")  # type: ignore[union-attr]
    lock.close()


@pytest.mark.xdist_group("postgresql")
def test_lock_acquired_by_another_run_raises_on_write(postgres: Any, database: str, tmp_path: Path) -> None:
    with run_lock(tmp_path / "a", database, study="study") as ensure:
        postgres.restart("immediate")
        with (
            holder(tmp_path / "b", database) as process,
            pytest.raises(WrongUsage, match=f"another run has started while .* unreachable: process {process.pid} on"),
        ):
            RetryPolicy("x", notify=lambda _: None)(ensure)
