"""Measurement functions with side effects: fork, threads, exit, output, change of directory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

import explorer
from explorer.errors import WrongUsage
from explorer.search.execution import local
from explorer.search.execution.local import LocalExecutor
from explorer.search.session import FAILED_ATTR
from tests.search.measured import ENVIRONMENT, is_alive, make_measured, plain_study, states, until


def failing(error: BaseException) -> Callable[[Mapping[str, Any]], dict[str, float]]:
    """Return a function that fails for some designs."""

    def measure(design: Mapping[str, Any]) -> dict[str, float]:
        if design["quant_step"] > 0.15:
            raise error
        return {"accuracy": 0.5, "energy_j": 1.0}

    return measure


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_forked_child_does_not_hide_its_worker_death(tmp_path: Path) -> None:
    """A process pool whose parent is killed by the OOM killer would keep the pipes open."""

    def forks_and_dies() -> None:
        if (pid := os.fork()) == 0:
            time.sleep(120)
            os._exit(0)
        (tmp_path / "child").write_text(str(pid), encoding="ascii")
        os.kill(os.getpid(), signal.SIGKILL)

    executor = LocalExecutor(1)
    error = executor.submit(forks_and_dies).exception(60)
    executor.shutdown()

    assert "SIGKILL" in str(error)
    until(lambda: not is_alive(int((tmp_path / "child").read_text(encoding="ascii"))))


def test_child_processes_end_with_their_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the worker ends by itself; all workers share one deadline."""

    def leaves_something() -> tuple[int, int]:
        threading.Thread(target=time.sleep, args=(120,)).start()
        time.sleep(0.2)
        return os.getpid(), subprocess.Popen(["sleep", "120"]).pid

    monkeypatch.setattr(local, "_STOP_S", 2.0)
    executor = LocalExecutor(4)
    calls = [executor.submit(leaves_something) for _ in range(4)]
    calls.append(executor.submit(lambda: (os.getpid(), subprocess.Popen(["sleep", "120"]).pid)))
    pids = {pid for call in calls for pid in call.result(60)}
    began = time.monotonic()
    executor.shutdown()

    assert time.monotonic() - began < 6
    until(lambda: not any(map(is_alive, pids)))


def test_interrupted_worker_ends_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    executor = LocalExecutor(1)
    errors = [
        executor.submit(signal.raise_signal, signal.SIGINT).exception(60),
        executor.submit(os.closerange, 3, 256).exception(60),
    ]
    executor.shutdown()

    assert [str(error) for error in errors] == ["its worker process ended (exit code 1)"] * 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("error", [SystemExit(0), Unprintable(), RecursionError("deep")])
@pytest.mark.parametrize("workers", [None, 1])
def test_exception_fails_one_design(tmp_path: Path, error: BaseException, workers: int | None) -> None:
    make_measured(tmp_path, trials=4)
    explorer.run(str(tmp_path / "boards.toml"), measure=failing(error), workers=workers, out=tmp_path / "out")
    trials = plain_study(tmp_path / "out/study.journal", "boards").trials

    assert states(trials)[TrialState.COMPLETE] == 4
    reasons = {trial.user_attrs[FAILED_ATTR] for trial in trials if trial.state == TrialState.FAIL}
    assert all(type(error).__name__ in reason for reason in reasons)
    assert reasons


def test_function_has_its_own_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of directory does not move the result folder, and persists until the next call."""
    (tmp_path / "data").mkdir()
    make_measured(tmp_path, trials=4, extra="assert (HERE / 'data').samefile('.')")
    source = (tmp_path / "task.py").read_text(encoding="utf-8")
    (tmp_path / "task.py").write_text(f"import os\nos.chdir('data')\n{source}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    explorer.run("./boards.toml", measure="task.py:measure", out="out")

    assert Path.cwd() == tmp_path
    assert states(plain_study(tmp_path / "out/study.journal", "boards").trials) == {TrialState.COMPLETE: 4}


def test_unloadable_file_fails_no_design(tmp_path: Path) -> None:
    """A missing package is no failure of a design, which would never be proposed again."""
    make_measured(tmp_path, trials=4)
    (tmp_path / "task.py").write_text("import nowhere_installed\ndef measure(design): ...", encoding="utf-8")
    with pytest.raises(WrongUsage, match=r"cannot be loaded on .*nowhere_installed"):
        explorer.run(str(tmp_path / "boards.toml"), measure=str(tmp_path / "task.py:measure"), workers=2, out=tmp_path)

    assert not plain_study(tmp_path / "study.journal", "boards").trials


@pytest.mark.processes
def test_function_output_is_not_data_and_ctrl_c_is_explained(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=4, extra="print('hello')")
    assert json.loads(boards.run("--json").stdout)["n_complete"] == 4
    with boards.paused():
        run = boards.start("--workers", 2, "--trials", 9)
        until(lambda: len(boards.calls) == 6)
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        first = run.stderr.readline()
    _, err = run.communicate(timeout=240)

    assert first == "stopping after the designs in flight (2); Ctrl-C again ends at once\n"
    assert (run.returncode, len(boards.trials)) == (130, 6), err


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["inline", "workers"])
@pytest.mark.processes
def test_function_streams_directory_and_exit_are_isolated(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """In a child process, which has its own standard output and input."""
    extra = (
        'print("on standard output", flush=True); os.chdir("/"); CALLS.append(1); '
        'CALLS == [1, 1] and __import__("sys").exit(3)'
    )
    boards = make_measured(tmp_path, trials=6, extra=extra)
    (tmp_path / "task.py").write_text("CALLS = []\n" + (tmp_path / "task.py").read_text(encoding="utf-8"))
    done = subprocess.run(
        boards.command(*workers, "--json"), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    failed = [t for t in boards.trials if FAILED_ATTR in t.user_attrs]

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 6
    assert "on standard output" in done.stderr
    assert failed
    assert {t.user_attrs[FAILED_ATTR] for t in failed} == {"task.py:measure: SystemExit: 3"}


@pytest.mark.processes
def test_study_without_a_measure_function_is_refused_first(tmp_path: Path) -> None:
    make_measured(tmp_path, trials=5)
    command = [sys.executable, "-m", "explorer", "run", "./boards.toml"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "fix: name it: --measure FILE.py:NAME" in done.stderr
    assert not (tmp_path / "results/boards/front.json").exists()
