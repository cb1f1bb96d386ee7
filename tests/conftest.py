"""Fixtures and rules of all tests: hypothesis without deadlines, tiers, CPU seconds, and a PostgreSQL server.

The README command runs the quick tier; tests with a marker (`slow`, `browser`, `postgres`, `processes`) run in CI
and by `pytest -m MARKER`. Machines are shared, so a slow test never fails: it is listed at the end of the run.
"""

import contextlib
import fcntl
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None, max_examples=20)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

MARKERS = ("slow", "browser", "postgres", "processes")
MAX_CPU_S = 1.0  # of a test without a marker
# A test that needs one of these fixtures belongs to that tier.
TIER_OF_FIXTURE = {"postgres": "postgres", "database": "postgres", "chromium": "browser",
                   "cluster": "processes"}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a browser, a database server or a cluster by their fixtures, or by their xdist group."""
    for item in items:
        for group in item.iter_markers("xdist_group"):
            item.add_marker({"postgresql": "postgres", "dask": "processes"}.get(str(group.args[0]), "browser"))
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in TIER_OF_FIXTURE:
                item.add_marker(TIER_OF_FIXTURE[fixture])
    # The commands of a README take minutes: begun last, they would leave all but one process idle.
    items.sort(key=lambda item: "test_every_command_block" not in item.nodeid)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the CPU seconds of a test with its report; setup counts for the first test that needs it."""
    item.stash[CPU_AT_START] = cpu_seconds()
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    used = cpu_seconds() - item.stash[CPU_AT_START]
    if used > MAX_CPU_S and not any(item.get_closest_marker(name) for name in MARKERS):
        item.user_properties.append(("cpu_seconds", used))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests of the quick tier that took more than a CPU second."""
    used = {
        report.nodeid: dict(report.user_properties).get("cpu_seconds", 0.0)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
    }
    slow = sorted(((seconds, name) for name, seconds in used.items() if seconds), reverse=True)
    if slow:
        terminalreporter.section(f"{len(slow)} tests without a marker took more than {MAX_CPU_S:g} CPU s")
        for seconds, name in slow[:20]:
            terminalreporter.line(f"{seconds:5.1f} s  {name}")


CPU_AT_START = pytest.StashKey[float]()
# Scripts that made shipped networks and stored cases: they need other packages, and are no tests.
collect_ignore = ["networks", "cases"]


@pytest.fixture(autouse=True)
def _own_vocabulary() -> Iterator[None]:
    """Forget the targets that a test declares: they are of the process, which runs other tests as well."""
    from explorer.problem import targets

    before = dict(targets._DECLARED)
    yield
    targets._DECLARED.clear()
    targets._DECLARED.update(before)


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A server in a folder of its own, on this machine's loopback only."""

    programs: Path
    folder: Path
    port: int
    user: str | None

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database and give its URL; what is left connected at the end is closed."""
        import psycopg
        from sqlalchemy import event
        from sqlalchemy.pool import Pool

        name, opened = f"test_{uuid.uuid4().hex}", []

        def remember(connection: object, _: object) -> None:
            if isinstance(connection, psycopg.Connection):
                opened.append(connection)

        with psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        event.listen(Pool, "connect", remember)
        try:
            yield self._url(name)
        finally:
            event.remove(Pool, "connect", remember)
            for left in opened:
                left.close()

    def restart(self, mode: str = "fast") -> None:
        """Stop and start it again; every connection is lost. `immediate` is as a crash."""
        self.control("restart", "-m", mode)

    def control(self, action: str, *options: str) -> None:
        """Run pg_ctl and wait for what it does."""
        log = self.folder / "log"
        self.run("pg_ctl", action, "-w", "-t", "60", "-D", str(self.folder / "data"), "-l", str(log), *options)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, none of which works as root."""
        subprocess.run(
            [self.programs / program, *arguments],
            check=True, cwd=self.folder, user=self.user, extra_groups=None if self.user is None else [],
            stdout=subprocess.DEVNULL, timeout=120, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://explorer@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that runs a shipped study once for all test processes; tests must not change its results.

    It returns the result folder, of 300 trials of `paper` (seed 0) and 120 of the others.
    """
    import explorer

    root = tmp_path_factory.getbasetemp()
    root = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "shared_runs"

    def run_once(study: str) -> Path:
        root.mkdir(exist_ok=True)
        with (root / f"{study}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / f"{study}.done").exists():
                with contextlib.chdir(root):  # the page names a study that lies in `results/`, and another one's folder
                    explorer.run(study, trials=300 if study == "paper" else 120)
                (root / f"{study}.done").touch()
        return root / "results" / study

    return run_once


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL server; without its programs or driver tests skip, but never in CI."""
    programs = _programs()
    if programs is None or find_spec("psycopg") is None:
        reason = "needs PostgreSQL's programs (apt-get install postgresql) and psycopg (the extra 'postgresql')"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        server = PostgreSQL(programs, Path(name), port, _user())
        if server.user is not None:
            shutil.chown(name, server.user)
        server.run(
            "initdb", "-D", f"{name}/data", "-U", "explorer", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"
        )
        # A crash of the server loses nothing without fsync, only one of the whole machine does.
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        with (server.folder / "data" / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{option} = '{value}'\n" for option, value in options.items())
        server.control("start")
        try:
            yield server
        finally:
            server.control("stop", "-m", "immediate")


@pytest.fixture
def database(postgres: PostgreSQL) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgres.database() as url:
        yield url


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the PATH, one folder a version."""
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return found[-1].parent if found else None


def _user() -> str | None:
    """Return whom to run it as: root may not."""
    if os.geteuid() != 0:
        return None
    import pwd

    return next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
