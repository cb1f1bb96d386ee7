"""Execution of measured designs: workers crash, hang and are killed; no measurement is lost or repeated."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

import explorer
from explorer.errors import WrongUsage
from explorer.problem.columns import Columns, take
from explorer.search.execution.executor import WorkerLost
from explorer.search.execution.local import InlineExecutor, LocalExecutor
from explorer.search.run import Execution
from explorer.search.session import FAILED_ATTR
from tests.search.measured import (
    ENVIRONMENT,
    Measured,
    assert_measured,
    disk_of,
    is_alive,
    make_measured,
    plain_study,
    until,
)


def pids(boards: Measured) -> set[int]:
    return {pid for pid, _ in boards.calls}


def assert_complete(boards: Measured, n: int) -> None:
    """Assert that n correct trials are stored, and that the written front is computed from them."""
    assert_measured(boards.trials, n)
    front = json.loads((boards.folder / "results/boards/front.json").read_text(encoding="utf-8"))
    values = {trial.number: trial.values for trial in boards.trials}
    best = {
        n for n, (e, a) in values.items() if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in values.values())
    }
    assert {design["design_id"] for design in front["designs"]} == best


def test_local_workers_are_isolated_lazy_and_leave_no_process(tmp_path: Path) -> None:
    """Each call fails alone: by an exception, a crash, a kill, or the time limit, its own children included."""

    def child_of(seconds: float) -> int:
        process = subprocess.Popen(["sleep", "60"])
        (tmp_path / "child").write_text(str(process.pid), encoding="ascii")
        time.sleep(seconds)
        return process.pid

    executor = LocalExecutor(3, time_limit=1.5)
    assert executor.n_slots == 3
    assert not executor._processes  # noqa: SLF001
    calls: list[Future[Any]] = [
        executor.submit(int, "7"), executor.submit(int, "seven"), executor.submit(os._exit, 3),
        executor.submit(os.kill, 0, signal.SIGKILL), executor.submit(child_of, 60.0),
        *(executor.submit(os.getpid) for _ in range(9)),
    ]  # fmt: skip
    wait(calls)
    errors = [call.exception() for call in calls[:5]]
    workers = {call.result() for call in calls[5:]}
    until(lambda: not is_alive(int((tmp_path / "child").read_text(encoding="ascii"))))
    executor.shutdown()

    assert calls[0].result() == 7
    assert [type(error) for error in errors[2:]] == [WorkerLost] * 3
    assert [str(error) for error in errors[1:]] == [
        "ValueError: invalid literal for int() with base 10: 'seven'",
        "its worker process ended (exit code 3)",
        "its worker process ended (SIGKILL, perhaps for lack of memory)",
        "it took longer than 1.5 s",
    ]
    assert os.getpid() not in workers
    assert not any(is_alive(pid) for pid in workers)


def test_shutdown_without_wait_ends_running_calls_at_once() -> None:
    executor = LocalExecutor(2)
    calls = [executor.submit(time.sleep, 60) for _ in range(4)]
    until(lambda: sum(call.running() for call in calls) == 2)
    began = time.monotonic()
    executor.shutdown(wait=False, cancel_futures=True)

    assert time.monotonic() - began < 30
    assert [call.cancelled() for call in calls] == [False, False, True, True]
    assert all(isinstance(call.exception(), WorkerLost) for call in calls[:2])


def test_inline_executor_evaluates_at_once_and_raises_ctrl_c() -> None:
    executor = InlineExecutor()

    assert executor.submit(int, "7").result() == 7
    assert isinstance(executor.submit(int, "x").exception(), ValueError)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(signal.raise_signal, signal.SIGINT)


@pytest.mark.parametrize("sampler", ["random", "tpe", "auto"])
@pytest.mark.processes
def test_one_worker_gives_the_same_trials_as_inline(tmp_path: Path, sampler: str) -> None:
    boards = make_measured(tmp_path, trials=14, sampler=sampler)
    for out, workers in (("none", ()), ("one", ("--workers", 1))):
        assert boards.run(*workers, "--out", out).returncode == 0

    assert (tmp_path / "none/trials.csv").read_bytes() == (tmp_path / "one/trials.csv").read_bytes()


def test_design_of_a_killed_worker_is_measured_again(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=40, seconds=0.01)

    def kill_one() -> None:
        with boards.paused():
            until(lambda: len(pids(boards)) == 3)
            victim = boards.calls[0][0]
            os.kill(victim, signal.SIGKILL)
            until(lambda: not is_alive(victim))

    done = boards.run("--workers", 3, "--json", meanwhile=kill_one)

    assert done.returncode == 0, done.stderr
    assert "SIGKILL, perhaps for lack of memory); retry (1 of 3)" in done.stderr
    assert json.loads(done.stdout)["n_complete"] == 40
    assert boards.repeated == {boards.calls[0][1]: 2}
    assert_complete(boards, 40)


@pytest.mark.processes
def test_design_that_kills_or_hangs_its_workers_is_given_up(tmp_path: Path) -> None:
    """It is measured four times, and never again; the study completes without it."""
    deadly = (
        'if design["mode"] == "eco" and design["quant_step"] == 0.2: '
        'os.kill(os.getpid(), signal.SIGKILL) if design["frequency_hz"] > 1.7e9 '
        'else time.sleep(60 if design["frequency_hz"] < 7e8 else 0)'
    )
    boards = make_measured(tmp_path, trials=12, is_finite=True, extra=deadly)
    done = boards.run("--workers", 2, "--time-limit", "0.7 s", "--json")
    again = boards.run("--workers", 2, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 10
    assert boards.repeated == {(0.2, 1.8e9, "eco"): 4, (0.2, 6e8, "eco"): 4}
    assert sorted(t.user_attrs[FAILED_ATTR] for t in boards.trials if t.state == TrialState.FAIL) == [
        "given up: it took longer than 0.7 s (4 times)",
        "given up: its worker process ended (SIGKILL, perhaps for lack of memory) (4 times)",
    ]
    assert "the design is given up" in done.stderr
    assert json.loads(again.stdout)["n_added"] == 0
    assert len(boards.calls) == 18


@pytest.mark.processes
def test_twenty_failed_designs_in_a_row_end_the_run(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=40, extra="os._exit(7)")
    done = boards.run("--workers", 2)

    assert done.returncode == 4
    assert "20 designs in a row could not be measured" in done.stderr
    assert "exit code 7" in done.stderr
    assert len(boards.calls) <= 24


@pytest.mark.processes
def test_killed_coordinator_leaves_no_process_and_loses_no_trial(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=60, seconds=0.02)
    with boards.start("--workers", 2) as run:
        until(lambda: len(boards.calls) > 20)
        run.kill()
    until(lambda: not any(is_alive(pid) for pid in pids(boards)))
    before, n_called = boards.trials, len(boards.calls)
    done = boards.run("--workers", 2, "--json")

    assert_measured(before, len(before))
    assert n_called - len(before) <= 3  # two in flight, and one being recorded
    assert json.loads(done.stdout)["n_complete"] == 60
    assert set(boards.repeated.values()) <= {2}
    assert len(boards.repeated) <= 3
    assert [t.values for t in boards.trials[: len(before)]] == [t.values for t in before]
    assert_complete(boards, 60)


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
@pytest.mark.processes
def test_ctrl_c_finishes_running_designs_and_the_run_resumes(tmp_path: Path, workers: tuple[object, ...]) -> None:
    boards = make_measured(tmp_path, trials=500, seconds=0.05)
    done = boards.run(*workers, meanwhile=lambda: boards.interrupt(10))
    n = len(boards.calls)

    assert done.returncode == 130, done.stderr
    assert "run the same command again to go on" in done.stderr
    assert_measured(boards.trials, n)
    more = json.loads(boards.run(*workers, "--trials", n + 3, "--json").stdout)
    assert (more["n_complete"], more["n_added"]) == (n + 3, 3)
    assert boards.repeated == {}


@pytest.mark.processes
def test_second_run_of_a_folder_is_refused_or_waits(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=30)
    hold = boards.folder / "HOLD"
    hold.touch()
    with boards.start("--workers", 2) as first:
        until(lambda: len(boards.calls) == 2)
        refused = boards.run()
        timer = threading.Timer(1.0, hold.unlink)
        waited = boards.run("--wait", "--json", meanwhile=timer.start)

    assert refused.returncode == 2
    assert f"another run is active: process {first.pid} on " in refused.stderr
    assert "--wait" in refused.stderr
    assert (first.returncode, waited.returncode) == (0, 0)
    assert "waiting for another run" in waited.stderr
    assert [json.loads(waited.stdout)[key] for key in ("n_complete", "n_added")] == [30, 0]
    assert boards.repeated == {}


@pytest.mark.parametrize("workers", [(), ("--workers", 4)])
@pytest.mark.processes
def test_measurement_is_spooled_on_a_full_disk(tmp_path: Path, workers: tuple[object, ...]) -> None:
    boards = make_measured(tmp_path, trials=60)
    spool_file = tmp_path / "results/boards/unstored.jsonl"
    with disk_of(40 * 1024):
        full = boards.run(*workers)
    n_spooled = len(spool_file.read_text(encoding="utf-8").splitlines())
    done = boards.run("--json")

    assert full.returncode == 2, full.stderr
    assert "cannot write" in full.stderr
    assert "is saved in results/boards/unstored.jsonl, which the next run reads" in full.stderr
    assert json.loads(done.stdout)["n_complete"] == 60
    assert n_spooled >= 1
    assert len(boards.repeated) <= 4 * bool(workers)  # in flight on the other workers
    assert_measured(boards.trials, 60)
    assert not spool_file.exists()


def test_enqueued_designs_are_measured_first(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=5)
    assert boards.run().returncode == 0
    study = plain_study(tmp_path / "results/boards/study.journal", "boards")
    for params in ({"quant_step": 0.125, "frequency_hz": 1e9, "mode": "eco"}, {"quant_step": 0.25}, {"mode": "warp"}):
        study.enqueue_trial(params)
    # RUNNING trial of a killed worker of an earlier version.
    study.add_trial(create_trial(state=TrialState.RUNNING, system_attrs={"explorer:worker": {"pid": 1}}))
    done = boards.run("--trials", 9, "--workers", 2, "--json")
    trials = boards.trials
    misspelt, abandoned = trials.pop(7), trials.pop(7)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 9
    assert {trial.params["quant_step"] for trial in trials[5:7]} == {0.125, 0.25}
    assert misspelt.state == abandoned.state == TrialState.FAIL
    assert FAILED_ATTR not in abandoned.user_attrs
    assert misspelt.user_attrs[FAILED_ATTR].startswith("it was enqueued with mode = 'warp'")
    assert_measured(trials, 9)


@pytest.mark.processes
def test_learning_sampler_gives_workers_different_designs(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=24, sampler="auto", seconds=0.05)

    assert boards.run("--workers", 4).returncode == 0
    assert boards.repeated == {}
    assert_measured(boards.trials, 24)


@pytest.mark.processes
def test_notebook_function_is_pickled_by_value(tmp_path: Path) -> None:
    """A script needs no `if __name__ == "__main__"`, and a function no file."""
    make_measured(tmp_path, trials=6)
    code = (
        "import explorer\n"
        "factor = 2.0\n"
        "def board(design): return {'accuracy': 1 - design['quant_step'], 'energy_j': factor}\n"
        "done = explorer.run('./boards.toml', measure=board, workers=2)\n"
        "print(done.results.n_complete, *sorted(set(done.results.table['energy_j'].tolist())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["6", "2.0"], done.stderr


def test_unpicklable_function_is_refused(tmp_path: Path) -> None:
    study = str(make_measured(tmp_path).folder / "boards.toml")
    with (
        socket.socket() as board,
        pytest.raises(WrongUsage, match=r"cannot be sent to another process(.|\n)*FILE.py:NAME"),
    ):
        explorer.run(study, measure=lambda _: {"accuracy": board.fileno()}, workers=2, out=tmp_path / "out")


@pytest.mark.parametrize("workers", [0, -1, 1000])
def test_number_of_workers_out_of_range_is_refused(workers: int) -> None:
    with pytest.raises(WrongUsage, match=rf"workers = {workers} is outside \[1, 256\]"):
        Execution(workers=workers)


def _not_stopped(table: Columns) -> Columns:
    return take(table, table["is_stopped"] == 0)


@pytest.mark.processes
def test_workers_measure_a_network_as_one_process_does(tmp_path: Path) -> None:
    tables = [
        explorer.run("digits-cnn-live", trials=6, workers=workers, out=tmp_path / str(workers)).results.table
        for workers in (None, 2)
    ]
    one, two = (
        dict(zip(zip(table["pruning_ratio"], table["quant_step"], strict=True),
                 zip(table["accuracy"], table["size_bytes"], strict=True), strict=True))
        for table in map(_not_stopped, tables)
    )  # fmt: skip
    shared = one.keys() & two.keys()

    assert len(tables[1]["design_id"]) == 6
    assert len(shared) >= 2  # of the initial designs; when a design is stopped depends on those that finished before it
    assert all(one[design] == two[design] for design in shared)
