"""Run with its storage in PostgreSQL: restarts of the server, permanent outage, a second run."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from explorer.api import load_study as load
from explorer.search.execution.coordinator import search_measured
from explorer.search.execution.local import InlineExecutor
from explorer.search.execution.spool import UNSTORED_NAME
from explorer.search.session import open_session
from explorer.search.storage.retry import StorageUnavailable
from explorer.search.storage.run_lock import run_lock
from tests.search.measured import assert_measured, make_measured, plain_study, states, until

pytestmark = pytest.mark.xdist_group("postgresql")


@pytest.mark.slow
def test_search_survives_two_restarts_of_the_server(postgres: Any, database: str, tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=60, seconds=0.05)

    def restart_twice() -> None:
        for n, mode in ((10, "fast"), (30, "immediate")):
            until(lambda n=n: len(boards.calls) > n)  # type: ignore[misc]
            postgres.restart(mode)

    done = boards.run("--storage", database, "--json", meanwhile=restart_twice)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 60
    assert boards.repeated == {}
    assert_measured(plain_study(database, "boards").trials, 60)


def test_second_run_is_refused_with_a_masked_password(database: str, tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=6)
    url = database.replace("explorer@", "explorer:sEcReT@")  # the server ignores passwords
    with run_lock(tmp_path / "first", url, study="boards"):
        refused = boards.run("--storage", url)
    done = boards.run("--storage", url)
    front = (tmp_path / "results/boards/front.json").read_text(encoding="utf-8")

    assert (refused.returncode, done.returncode) == (2, 0)
    assert f"another run is active: process {os.getpid()} on " in refused.stderr
    assert "explorer:***@" in refused.stderr
    assert "sEcReT" not in refused.stderr + done.stdout + done.stderr + front


def test_measurement_is_spooled_if_the_server_is_unreachable(postgres: Any, database: str, tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=6)
    problem = load(str(tmp_path / "boards.toml"), measure=str(tmp_path / "task.py:measure"))
    session = open_session(problem, out=tmp_path / "out", storage_url=database)
    (tmp_path / "HOLD").touch()
    messages: list[str] = []

    def pull_the_plug() -> None:
        until(lambda: len(boards.calls) == 1)
        postgres.control("stop", "-m", "immediate")
        (tmp_path / "HOLD").unlink()

    thread = threading.Thread(target=pull_the_plug)
    thread.start()
    try:
        with pytest.raises(StorageUnavailable, match="has not answered for 3 s") as caught:
            search_measured(session, InlineExecutor(), notify=messages.append, retry_timeout_s=3)
    finally:
        thread.join()
        postgres.control("start")

    spool_file = session.out / UNSTORED_NAME
    assert f"the last measurement is saved in {spool_file}, which the next run reads" in str(caught.value)
    assert any("does not answer" in text for text in messages)
    again = open_session(problem, out=session.out, storage_url=database)
    assert search_measured(again, InlineExecutor()) == 6
    assert (boards.repeated, len(boards.calls)) == ({}, 6)
    assert not spool_file.exists()
    assert states(plain_study(database, "boards").trials)[TrialState.COMPLETE] == 6
    began = time.monotonic()
    assert search_measured(again, InlineExecutor()) == 0  # a complete study is only read
    assert time.monotonic() - began < 10
