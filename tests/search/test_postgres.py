"""A run with its storage in PostgreSQL: restarted under it, gone for good, wanted by a second run."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from explorer.api import load
from explorer.search.begin import Run, prepare
from explorer.search.execution.coordinator import search_measured
from explorer.search.execution.local import InlineExecutor
from explorer.search.patience import StorageLost
from explorer.search.unstored import UNSTORED_NAME
from tests.search.measured import Measured, assert_right, ended, make_measured, states, stored, until

pytestmark = pytest.mark.xdist_group("postgresql")


@pytest.fixture
def boards(tmp_path: Path) -> Measured:
    return make_measured(tmp_path, trials=6)


@pytest.fixture
def prepared(boards: Measured, database: str) -> Run:
    assessment = load(str(boards.folder / "boards.toml"), measure=str(boards.folder / boards.measure))
    return prepare(assessment, out=boards.folder / "out", storage_url=database)


def test_a_server_that_restarts_twice_is_waited_for(postgres: Any, database: str, tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=60, seconds=0.05)
    process = boards.start("run", "--storage", database, "--json")
    for n, mode in ((10, "fast"), (30, "immediate")):
        until(lambda n=n: len(boards.calls) > n)  # type: ignore[misc]
        postgres.restart(mode)
    code, out, err = ended(process)
    trials = stored(database)

    assert (code, json.loads(out)["n_complete"]) == (0, 60), err
    assert states(trials) == {TrialState.COMPLETE: 60}
    assert boards.repeated == {}
    assert_right(trials)


def test_a_second_run_is_told_who_is_there_without_the_password(database: str, boards: Measured) -> None:
    url = database.replace("explorer@", "explorer:sEcReT@")  # the server trusts everybody
    with boards.held():
        first = boards.start("run", "--storage", url)
        until(lambda: len(boards.calls) == 1)
        refused = boards.run("run", "--storage", url, "--out", "other")
        assert refused.returncode == 2
        assert f"another run is at work here: process {first.pid} on " in refused.stderr
        assert "explorer:***@" in refused.stderr
    code, _, err = ended(first)
    found = (boards.folder / "results/boards/front.json").read_text(encoding="utf-8")

    assert code == 0
    assert "sEcReT" not in refused.stderr + err + found


def test_a_measurement_whose_server_went_for_good_is_kept_in_a_file(
    postgres: Any, boards: Measured, prepared: Run, database: str
) -> None:
    (boards.folder / "HOLD").touch()
    said: list[str] = []

    def pull_the_plug() -> None:
        until(lambda: len(boards.calls) == 1)
        postgres.control("stop", "-m", "immediate")
        (boards.folder / "HOLD").unlink()

    thread = threading.Thread(target=pull_the_plug)
    thread.start()
    try:
        with pytest.raises(StorageLost, match="has not answered for 1 s") as caught:
            search_measured(prepared, InlineExecutor(), notify=said.append, patience_s=1)
    finally:
        thread.join()
        postgres.control("start")

    kept = prepared.out / UNSTORED_NAME
    assert f"the last measurement is kept in {kept}, where the next run finds it" in str(caught.value)
    assert any("does not answer" in text for text in said)
    again = prepare(prepared.assessment, out=prepared.out, storage_url=database)
    assert search_measured(again, InlineExecutor()) == 6
    assert (boards.repeated, len(boards.calls)) == ({}, 6)
    assert not kept.exists()
    assert states(stored(database))[TrialState.COMPLETE] == 6
    began = time.monotonic()
    assert search_measured(again, InlineExecutor()) == 0  # a complete study is only read
    assert time.monotonic() - began < 10
