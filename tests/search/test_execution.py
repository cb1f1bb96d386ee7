"""Execution of measured designs: workers crash, hang and are killed; nothing is lost, nothing repeated."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

import explorer
from explorer.errors import WrongUsage
from explorer.search.begin import FAILED_ATTR
from explorer.search.execution.executor import WorkerLost
from explorer.search.execution.local import InlineExecutor, LocalExecutor
from tests.search.measured import (
    FINITE,
    Measured,
    assert_right,
    complete,
    ended,
    environment,
    kill,
    make_measured,
    states,
    stored,
    until,
)


def trials_of(boards: Measured) -> list[FrozenTrial]:
    return stored(boards.folder / "results/boards/study.journal")


def pids(boards: Measured) -> set[int]:
    return {pid for pid, _ in boards.calls}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def front_is_that_of(boards: Measured, trials: list[FrozenTrial]) -> bool:
    """Tell whether the written front is that of the recorded trials."""
    front = json.loads((boards.folder / "results/boards/front.json").read_text(encoding="utf-8"))
    values = {trial.number: trial.values for trial in complete(trials)}
    best = {
        n for n, (e, a) in values.items() if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in values.values())
    }
    return {design["design_id"] for design in front["designs"]} == best


def test_local_workers_are_isolated_lazy_and_leave_nothing(tmp_path: Path) -> None:
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
        executor.submit(int, "7"),
        executor.submit(int, "seven"),
        executor.submit(os._exit, 3),
        executor.submit(os.kill, 0, signal.SIGKILL),
        executor.submit(child_of, 60.0),
        *(executor.submit(os.getpid) for _ in range(9)),
    ]
    wait(calls)
    errors = [call.exception() for call in calls[:5]]

    assert calls[0].result() == 7
    assert str(errors[1]) == "ValueError: invalid literal for int() with base 10: 'seven'"
    assert [type(error) for error in errors[2:]] == [WorkerLost] * 3
    assert [str(error) for error in errors[2:]] == [
        "its worker process ended (exit code 3)",
        "its worker process ended (SIGKILL, perhaps for lack of memory)",
        "it took longer than 1.5 s",
    ]
    workers = {call.result() for call in calls[5:]}
    assert os.getpid() not in workers
    until(lambda: not is_alive(int((tmp_path / "child").read_text(encoding="ascii"))))
    executor.shutdown()
    assert not any(is_alive(pid) for pid in workers)


def test_a_stopped_executor_ends_at_once_what_still_runs() -> None:
    executor = LocalExecutor(2)
    calls = [executor.submit(time.sleep, 60) for _ in range(4)]
    until(lambda: sum(call.running() for call in calls) == 2)
    began = time.monotonic()
    executor.shutdown(wait=False, cancel_futures=True)

    assert time.monotonic() - began < 30
    assert [call.cancelled() for call in calls] == [False, False, True, True]
    assert all(isinstance(call.exception(), WorkerLost) for call in calls[:2])


def test_an_inline_executor_answers_at_once_and_lets_ctrl_c_through() -> None:
    executor = InlineExecutor()

    assert executor.submit(int, "7").result() == 7
    assert isinstance(executor.submit(int, "x").exception(), ValueError)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(signal.raise_signal, signal.SIGINT)


@pytest.mark.parametrize("sampler", ["random", "tpe", "auto"])
def test_one_worker_gives_the_same_trials_as_none(tmp_path: Path, sampler: str) -> None:
    boards = make_measured(tmp_path, trials=14, sampler=sampler)
    tables = []
    for own in ((), ("--workers", 1)):
        assert boards.run("run", *own, "--out", f"out{len(own)}").returncode == 0
        tables.append((tmp_path / f"out{len(own)}/trials.csv").read_bytes())

    assert tables[0] == tables[1]


def test_a_killed_worker_costs_nothing_but_its_design_is_measured_again(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=40, seconds=0.01)
    with boards.held():
        run = boards.start("run", "--workers", 3, "--json")
        until(lambda: len(pids(boards)) == 3)
        victim, design = boards.calls[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: not is_alive(victim))
    code, out, err = ended(run)
    trials = trials_of(boards)

    assert code == 0, err
    assert "SIGKILL, perhaps for lack of memory); it is tried again (1 of 3)" in err
    assert json.loads(out)["n_complete"] == 40
    assert states(trials) == {TrialState.COMPLETE: 40}
    assert boards.repeated == {design: 2}
    assert_right(trials)
    assert front_is_that_of(boards, trials)


def test_a_design_that_kills_or_hangs_every_worker_is_given_up_with_its_reason(tmp_path: Path) -> None:
    """Three retries each; the study is finished without them."""
    deadly = (
        'if design["mode"] == "eco" and design["quant_step"] == 0.2: '
        'os.kill(os.getpid(), signal.SIGKILL) if design["frequency_hz"] > 1.7e9 '
        'else time.sleep(60 if design["frequency_hz"] < 7e8 else 0)'
    )
    boards = make_measured(tmp_path, trials=12, space=FINITE, extra=deadly)
    done = boards.run("run", "--workers", 2, "--time-limit", "0.7 s", "--json")
    failed = [t.user_attrs[FAILED_ATTR] for t in trials_of(boards) if t.state == TrialState.FAIL]

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 10
    assert boards.repeated == {(0.2, 1.8e9, "eco"): 4, (0.2, 6e8, "eco"): 4}
    assert sorted(failed) == [
        "given up: it took longer than 0.7 s (4 times)",
        "given up: its worker process ended (SIGKILL, perhaps for lack of memory) (4 times)",
    ]
    assert "this design is given up" in done.stderr
    again = boards.run("run", "--workers", 2, "--json")
    assert json.loads(again.stdout)["n_added"] == 0
    assert len(boards.calls) == 18


def test_a_board_that_always_kills_its_worker_ends_the_run(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=40, extra="os._exit(7)")
    done = boards.run("run", "--workers", 2)

    assert done.returncode == 4
    assert "20 designs in a row could not be measured" in done.stderr
    assert "exit code 7" in done.stderr
    assert len(boards.calls) <= 24


def test_a_killed_coordinator_leaves_no_process_and_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=60, seconds=0.02)
    run = boards.start("run", "--workers", 2)
    until(lambda: len(boards.calls) > 20)
    kill(run)
    until(lambda: not any(is_alive(pid) for pid in pids(boards)))
    before, n_called = trials_of(boards), len(boards.calls)
    done = boards.run("run", "--workers", 2, "--json")
    trials = trials_of(boards)

    assert states(before) == {TrialState.COMPLETE: len(before)}
    assert n_called - len(before) <= 3  # two in flight, and one that was just being recorded
    assert json.loads(done.stdout)["n_complete"] == 60
    assert Counter(boards.repeated.values()).keys() <= {2}
    assert len(boards.repeated) <= 3
    assert [t.values for t in trials[: len(before)]] == [t.values for t in before]
    assert_right(trials)
    assert front_is_that_of(boards, trials)


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
def test_ctrl_c_finishes_what_is_being_measured_and_the_same_command_goes_on(
    tmp_path: Path, workers: tuple[object, ...]
) -> None:
    boards = make_measured(tmp_path, trials=500, seconds=0.05)
    run = boards.start("run", *workers)
    until(lambda: len(boards.calls) > 10)
    run.send_signal(signal.SIGINT)
    code, _, err = ended(run)
    n = len(boards.calls)

    assert code == 130, err
    assert "run the same command again to go on" in err
    assert states(trials_of(boards)) == {TrialState.COMPLETE: n}
    more = json.loads(boards.run("run", *workers, "--trials", n + 3, "--json").stdout)
    assert (more["n_complete"], more["n_added"]) == (n + 3, 3)
    assert boards.repeated == {}


def test_two_runs_of_one_folder_take_turns(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=30)
    with boards.held():
        first = boards.start("run", "--workers", 2, "--json")
        until(lambda: len(boards.calls) == 2)
        refused = boards.run("run")
        patient = boards.start("run", "--wait", "--json")
        assert patient.stderr
        said = patient.stderr.readline()
    (code, out, err), (waited, later, _) = ended(first), ended(patient)

    assert (code, waited) == (0, 0), err
    assert refused.returncode == 2
    assert f"another run is at work here: process {first.pid} on " in refused.stderr
    assert "--wait" in refused.stderr
    assert "waiting for another run" in said
    assert json.loads(out)["n_complete"] == json.loads(later)["n_complete"] == 30
    assert json.loads(later)["n_added"] == 0
    assert boards.repeated == {}


@pytest.mark.parametrize("workers", [(), ("--workers", 4)])
def test_measurements_that_a_full_disk_refuses_are_kept_in_a_file_and_not_repeated(
    tmp_path: Path, workers: tuple[object, ...]
) -> None:
    """A limit on the file's size stands in for the disk."""
    boards = make_measured(tmp_path, trials=60)
    limited = ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *boards.command("run", *workers)]
    full = subprocess.run(limited, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    n_kept = len((tmp_path / "results/boards/unstored.jsonl").read_text(encoding="utf-8").splitlines())
    done = boards.run("run", "--json")

    assert full.returncode == 2, full.stderr
    assert "cannot write" in full.stderr
    assert "is kept in results/boards/unstored.jsonl, where the next run finds" in full.stderr
    assert "Traceback" not in full.stderr
    assert json.loads(done.stdout)["n_complete"] == 60
    assert n_kept >= 1
    assert len(boards.repeated) <= 4 * bool(workers)  # what the other workers were at
    assert_right(trials_of(boards))
    assert not (tmp_path / "results/boards/unstored.jsonl").exists()


def test_enqueued_designs_come_first_and_are_finished_under_their_own_number(tmp_path: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    boards = make_measured(tmp_path, trials=5)
    assert boards.run("run").returncode == 0
    path = str(tmp_path / "results/boards/study.journal")
    storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    study = optuna.load_study(study_name="boards", storage=storage)
    study.enqueue_trial({"quant_step": 0.125, "frequency_hz": 1e9, "mode": "eco"})
    study.enqueue_trial({"quant_step": 0.25})
    study.enqueue_trial({"mode": "warp"})
    done = boards.run("run", "--trials", 9, "--workers", 2, "--json")
    trials = trials_of(boards)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 9
    assert {(t.params["quant_step"], t.state.name) for t in trials[5:7]} == {(0.125, "COMPLETE"), (0.25, "COMPLETE")}
    assert trials[7].user_attrs[FAILED_ATTR].startswith("it was enqueued with mode = 'warp'")
    assert_right(trials)


def test_the_learning_sampler_keeps_several_workers_on_different_designs(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=24, sampler="auto", seconds=0.05)
    done = boards.run("run", "--workers", 4, "--json")

    assert done.returncode == 0, done.stderr
    assert boards.repeated == {}
    assert states(trials_of(boards)) == {TrialState.COMPLETE: 24}


def test_a_function_of_a_notebook_travels_by_value(tmp_path: Path) -> None:
    """No `if __name__ == "__main__"` is asked of a script, and no file of a function."""
    make_measured(tmp_path, trials=6)
    code = (
        "import explorer\n"
        "factor = 2.0\n"
        "def board(design): return {'accuracy': 1 - design['quant_step'], 'energy_j': factor}\n"
        "done = explorer.run('./boards.toml', measure=board, workers=2)\n"
        "print(done.results.n_complete, *sorted(set(done.results.table['energy_j'].tolist())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["6", "2.0"], done.stderr


def test_what_cannot_be_handed_to_another_process_is_refused(tmp_path: Path) -> None:
    make_measured(tmp_path, trials=6)
    with socket.socket() as board, pytest.raises(WrongUsage, match=r"cannot be handed to(.|\n)*FILE.py:NAME"):
        explorer.run(
            str(tmp_path / "boards.toml"), measure=lambda _: {"accuracy": board.fileno()}, workers=2, out=tmp_path / "o"
        )


def test_a_live_network_is_measured_by_workers_as_in_one_process(tmp_path: Path) -> None:
    for name, workers in (("a", None), ("b", 2)):
        explorer.run("digits-cnn-live", trials=6, workers=workers, out=tmp_path / name)
    one, two = (explorer.results(tmp_path / name).table for name in "ab")

    assert len(two["design_id"]) == 6
    names = ("accuracy", "size_bytes")
    knobs = [list(zip(t["pruning_ratio"], t["quant_step"], strict=True)) for t in (one, two)]
    shared = [(i, knobs[1].index(key)) for i, key in enumerate(knobs[0]) if key in knobs[1]]
    assert len(shared) >= 4  # the designs of the even spread
    assert all(one[name][i] == two[name][j] for name in names for i, j in shared)
