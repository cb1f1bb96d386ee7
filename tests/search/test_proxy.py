"""Optuna's gRPC proxy in front of PostgreSQL, with workers behind it; and what cannot stand behind one."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.errors import WrongUsage
from explorer.search.connect import open_url, proxy_address
from explorer.search.proxy import open_proxy
from tests.search.measured import (
    assert_right,
    complete,
    ended,
    environment,
    kill,
    lost,
    make_measured,
    stored,
    until,
)


def start_proxy(database: str, port: int = 0) -> "tuple[subprocess.Popen[str], str]":
    """Start `explorer proxy`; return it and the URL that it prints once it answers."""
    command = [sys.executable, "-m", "explorer", "proxy", "--storage", database, "--port", str(port)]
    proxy = subprocess.Popen(command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert proxy.stdout
    return proxy, proxy.stdout.readline().strip()


@pytest.mark.xdist_group("postgresql")
def test_workers_behind_a_proxy_that_is_started_again_lose_nothing(database: str, tmp_path: Path) -> None:
    """One of them is killed at a design, one is asked to stop; a run behind the proxy collects what they did."""
    boards = make_measured(tmp_path, trials=25, seconds=0.05)
    proxy, url = start_proxy(database)
    with boards.held():
        workers = [boards.start("worker", "--storage", url, "--index", i, "--json") for i in range(3)]
        until(lambda: len(boards.calls) == 3)
        kill(workers[0])
    until(lambda: len(boards.calls) > 10)
    workers[1].send_signal(signal.SIGTERM)
    proxy.send_signal(signal.SIGTERM)
    assert ended(proxy)[0] == 0
    proxy, _ = start_proxy(database, proxy_address(url)[1])
    ends = [ended(worker) for worker in workers[1:]]
    done = boards.run("run", "--storage", url, "--json")
    proxy.send_signal(signal.SIGINT)
    trials = stored(database)

    assert ended(proxy)[0] == 0
    assert [code for code, _, _ in ends] == [130, 0], ends
    assert json.loads(ends[1][1])["n_complete"] == 25
    assert json.loads(done.stdout)["n_added"] == 0
    assert len(complete(trials)) == 25
    assert len(lost(trials)) == 1
    assert sum(boards.repeated.values()) == 2
    assert_right(trials)


@pytest.mark.xdist_group("postgresql")
def test_a_proxy_refuses_a_port_that_is_taken(database: str) -> None:
    with_it = open_proxy(database, host="127.0.0.1", port=0)
    port = proxy_address(with_it.url)[1]
    try:
        with pytest.raises(WrongUsage, match=f"127.0.0.1:{port}: cannot listen(.|\n)*fix: choose another --port"):
            open_proxy(database, host="127.0.0.1", port=port)
    finally:
        with_it.close()


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        pytest.param("study.journal", r"a journal file cannot stand behind a proxy", id="journal"),
        pytest.param("grpc://head:13000", r"is a proxy itself\n  fix: name the database behind it", id="proxy"),
    ],
)
def test_what_cannot_stand_behind_a_proxy_is_refused(storage: str, said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        open_proxy(storage, host="127.0.0.1", port=0)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("grpc://head:14000", ("head", 14000)),
        ("grpc://head/", ("head", 13000)),
        ("grpc://[::1]:9", ("[::1]", 9)),
    ],
)
def test_a_proxy_is_called_by_host_and_port(url: str, address: tuple[str, int]) -> None:
    assert proxy_address(url) == address


@pytest.mark.parametrize("url", ["grpc://", "grpc://a:b", "grpc://user@head:1", "grpc://head:1/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(WrongUsage, match=r"is no proxy's address\n  fix: write grpc://HOST:PORT"):
        proxy_address(url)


def test_a_proxy_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.search.connect._PROXY_WAIT_S", 0.5)
    with pytest.raises(WrongUsage, match=r"does not answer\n  fix: see that `explorer proxy` runs there"):
        open_url("grpc://127.0.0.1:9", "grpc://127.0.0.1:9")
