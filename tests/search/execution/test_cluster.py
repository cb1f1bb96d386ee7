"""Executor on a Dask cluster of local processes, with workers that cannot import explorer."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from explorer.errors import WrongUsage
from explorer.search.execution.cluster import ClusterExecutor
from explorer.search.execution.executor import SchedulerUnavailable
from tests.search.execution.dask_processes import Cluster, end, ssh_server, submit
from tests.search.measured import ENVIRONMENT, until

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = pytest.mark.xdist_group("dask")
Connect = Callable[..., ClusterExecutor]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers of one thread, each with a board."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    started.start_worker("--nworkers", "2", "--resources", "board=1")
    yield started
    started.stop()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    started = Cluster(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to a scheduler that may be starting; `messages` gets the messages for the user."""
    opened: list[ClusterExecutor] = []

    def connected(url: str, slots: int = 1, messages: list[str] | None = None, **options: Any) -> ClusterExecutor:
        received = [] if messages is None else messages
        opened.append(ClusterExecutor(url, notify=received.append, **options))
        until(lambda: opened[-1].n_slots == slots)
        return opened[-1]

    yield connected
    for executor in opened:
        executor.shutdown(cancel_futures=True)
    assert "explorer-cluster" not in {thread.name for thread in threading.enumerate()}


def test_workers_without_explorer_evaluate_one_design_per_board(cluster: Cluster, connect: Connect) -> None:
    executor = connect(cluster.url, slots=2, resources={"board": 1.0})

    rows = [future.result(60)[1] for future in [submit(executor, x=float(x), sleep=0.1) for x in range(6)]]

    assert [row["energy_j"] for row in rows] == [0, 2, 4, 6, 8, 10]
    for pid in {row["pid"] for row in rows}:
        spans = sorted((row["begun"], row["ended"]) for row in rows if row["pid"] == pid)
        assert all(after[0] >= before[1] for before, after in pairwise(spans))
    assert submit(executor, **{"raise": "no board"}).result(60)[:2] == ("failed", "SystemExit: no board")
    assert connect(cluster.url, resources={"board": 2}).n_slots == 1


def test_design_of_a_killed_worker_is_evaluated_again(cluster: Cluster, connect: Connect, tmp_path: Path) -> None:
    executor = connect(cluster.url, slots=2)
    log, go = tmp_path / "log", tmp_path / "go"
    future = submit(executor, log=str(log), wait_for=str(go))
    until(log.exists)

    os.kill(int(log.read_text()), signal.SIGKILL)
    until(lambda: len(log.read_text().split()) == 2)
    go.touch()

    assert future.result(60)[0] == "ok"
    assert len(set(log.read_text().split())) == 2
    until(lambda: executor.n_slots == 2)


def test_shutdown_releases_everything_on_the_scheduler(cluster: Cluster, connect: Connect, tmp_path: Path) -> None:
    from distributed import Client

    executor = connect(cluster.url, slots=2)
    futures = [submit(executor, wait_for=str(tmp_path / "go")) for _ in range(4)]

    begun = time.monotonic()
    executor.shutdown(cancel_futures=True)

    assert time.monotonic() - begun < 12
    assert all(future.cancelled() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        submit(executor)
    with Client(cluster.url, set_as_default=False) as client:
        until(lambda: not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
    (tmp_path / "go").touch()


@pytest.mark.slow
def test_uploads_reach_a_worker_that_joins_later(
    empty: Cluster, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.execution.cluster._NO_WORKER_NOTICE_S", 0.2)
    (tmp_path / "mine").mkdir()  # not in the worker's directory
    (upload := tmp_path / "mine/calibration.txt").write_text("1.02", encoding="utf-8")
    messages: list[str] = []
    executor = connect(empty.url, messages=messages, uploads=[upload], resources={"board": 1})
    future = submit(executor, read="calibration.txt")
    until(lambda: messages)
    worker = f"dask worker {empty.url} --nthreads 1 --resources 'board=1'"
    assert messages == [f"{empty.url}: it has no worker; designs wait for `{worker}`"]

    empty.start_worker("--no-nanny", "--resources", "board=1")
    assert future.result(60)[:2] == ("ok", {"text": "1.02"})


@pytest.mark.slow
def test_three_boards_by_ssh(empty: Cluster, connect: Connect, tmp_path: Path) -> None:
    with ssh_server(tmp_path) as login:
        logins = [empty.start_worker("--no-nanny", "--resources", "board=1", before=login) for _ in range(3)]
        executor = connect(empty.url, slots=3, resources={"board": 1})

        rows = [future.result(60)[1] for future in [submit(executor, sleep=0.2) for _ in range(6)]]

        assert len({row["pid"] for row in rows}) == 3
        end(empty.scheduler)  # ends the workers and their logins
        assert [login.wait(60) for login in logins] == [0, 0, 0]


@pytest.mark.slow
def test_designs_survive_a_restart_of_the_scheduler(empty: Cluster, connect: Connect, tmp_path: Path) -> None:
    messages: list[str] = []
    worker = empty.start_worker()
    executor = connect(empty.url, messages=messages)
    until(lambda: submit(executor).result(60)[0] == "ok")
    log, go = tmp_path / "log", tmp_path / "go"
    futures = [submit(executor, log=str(log), wait_for=str(go)), submit(executor, x=3.0)]
    until(log.exists)

    end(empty.scheduler)
    until(lambda: messages)
    empty.start_scheduler()
    empty.start_worker()
    until(lambda: len(log.read_text().split()) == 2)
    go.touch()

    assert [future.result(60)[1]["energy_j"] for future in futures] == [2.0, 6.0]
    assert messages == [
        f"the scheduler {empty.url} does not answer: waiting up to 180 s for it",
        f"connected to {empty.url} again: designs in flight are submitted again",
    ]
    assert worker.wait(60) is not None


def test_unreachable_scheduler_fails_every_design(empty: Cluster, connect: Connect) -> None:
    executor = connect(empty.url, retry_timeout_s=1.0)
    futures = [submit(executor) for _ in range(3)]

    end(empty.scheduler)

    for future in [*futures, submit(executor)]:
        with pytest.raises(SchedulerUnavailable, match="did not answer for 1 s") as caught:
            future.result(60)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1", "head", "tcp://:8786x", "smoke://head:1", "tls://127.0.0.1:1"])
def test_address_without_a_scheduler_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.search.execution.connection._CONNECT_S", 0.3)
    with pytest.raises(WrongUsage, match=f"--cluster {url}: ") as caught:
        ClusterExecutor(url, notify=print)
    assert "dask scheduler" in caught.value.fix


def test_upload_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"--upload .*none.npz: no such file"):
        ClusterExecutor("tcp://127.0.0.1:1", notify=print, uploads=[tmp_path / "none.npz"])


def test_unencrypted_remote_address_gives_a_warning(cluster: Cluster, connect: Connect) -> None:
    messages: list[str] = []
    connect(cluster.url.replace("127.0.0.1", "0.0.0.0"), slots=2, messages=messages)  # noqa: S104 - this machine

    assert [message.partition(": anyone")[0] for message in messages] == [
        f"warning: tcp://0.0.0.0:{cluster.port} is not encrypted"
    ]


@pytest.mark.slow
def test_encrypted_cluster_by_environment_variables(tmp_path: Path) -> None:
    for name in ("ca", "node"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
             *(() if name == "ca" else ("-CA", "ca.pem", "-CAkey", "ca.key"))],
            check=True, cwd=tmp_path, capture_output=True,
        )  # fmt: skip
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    env = {f"{tls}CA_FILE": str(tmp_path / "ca.pem")}
    for part in ("SCHEDULER", "WORKER", "CLIENT"):
        env |= {f"{tls}{part}__CERT": str(tmp_path / "node.pem"), f"{tls}{part}__KEY": str(tmp_path / "node.key")}
    code = """
import sys
from explorer.search.execution.cluster import ClusterExecutor
from tests.search.execution.dask_processes import submit
with ClusterExecutor(sys.argv[1], notify=lambda text: sys.exit(text)) as executor:
    print(submit(executor).result(60)[0])
"""
    cluster = Cluster(tmp_path, "tls", env)
    try:
        cluster.start_worker("--no-nanny")
        done = subprocess.run(
            [sys.executable, "-c", code, cluster.url],
            env={**cluster.env, **ENVIRONMENT}, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    finally:
        cluster.stop()

    assert (done.stdout, done.stderr) == ("ok\n", "")
