"""Workers that share a journal: real processes, killed and stopped at any moment; nothing is lost or done twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from explorer.search.begin import FAILED_ATTR
from explorer.search.marks import RETRY_ATTR
from tests.search.measured import (
    FINITE,
    Measured,
    assert_right,
    complete,
    design_of,
    ended,
    environment,
    kill,
    lost,
    make_measured,
    states,
    stored,
    until,
)


def trials_of(boards: Measured) -> list[FrozenTrial]:
    return stored(boards.folder / "results/boards/study.journal")


def pids(boards: Measured) -> set[int]:
    return {pid for pid, _ in boards.calls}


def front_is_that_of(boards: Measured, trials: list[FrozenTrial]) -> bool:
    """Tell whether the written front is that of the recorded trials."""
    front = json.loads((boards.folder / "results/boards/front.json").read_text(encoding="utf-8"))
    values = {trial.number: trial.values for trial in complete(trials)}
    best = {
        n for n, (e, a) in values.items() if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in values.values())
    }
    return {design["design_id"] for design in front["designs"]} == best


def test_where_a_worker_is_killed_another_one_tries_its_design_again(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=40, seconds=0.01)
    with boards.held():
        run = boards.start("run", "--workers", 3, "--json")
        until(lambda: len(pids(boards)) == 3)
        victim, design = boards.calls[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{victim}").exists())
    code, out, err = ended(run)
    trials = trials_of(boards)
    (gone,) = lost(trials)
    (again,) = [trial for trial in trials if trial.user_attrs.get(RETRY_ATTR) == gone.number]

    assert code == 0, err
    assert f"(process {victim}) died of SIGKILL; the others go on" in err
    assert json.loads(out)["n_complete"] == 40
    assert states(trials) == {TrialState.COMPLETE: 40, TrialState.FAIL: 1}
    assert boards.repeated == {design: 2}
    assert design_of(gone) == design_of(again) == design
    assert_right(trials)
    assert front_is_that_of(boards, trials)


def test_a_run_that_is_killed_with_its_workers_at_work_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    """The workers end by themselves, and store what they were at."""
    boards = make_measured(tmp_path, trials=60, seconds=0.02)
    run = boards.start("run", "--workers", 2)
    until(lambda: len(boards.calls) > 20)
    kill(run)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids(boards)))
    before = trials_of(boards)
    done = boards.run("run", "--json")
    trials = trials_of(boards)

    assert len(complete(before)) == len(boards.calls) - (60 - len(complete(before)))
    assert json.loads(done.stdout)["n_complete"] == 60
    assert boards.repeated == {}
    assert [trial.values for trial in trials[: len(before)]] == [trial.values for trial in before]
    assert_right(trials)
    assert front_is_that_of(boards, trials)


def test_a_run_that_is_killed_while_it_measures_repeats_that_design_only(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=12)
    with boards.held():
        run = boards.start("run")
        until(lambda: len(boards.calls) == 1)
        kill(run)
    done = boards.run("run", "--json")

    assert json.loads(done.stdout)["n_complete"] == 12
    assert boards.repeated == {boards.calls[0][1]: 2}
    assert states(trials_of(boards)) == {TrialState.COMPLETE: 12, TrialState.FAIL: 1}


def test_a_design_that_kills_every_worker_is_given_up_after_three(tmp_path: Path) -> None:
    """All workers die of it, another one is started in their place, and the study is finished without it."""
    deadly = 'if design["quant_step"] == 0.2 and design["frequency_hz"] > 1.7e9 and design["mode"] == "eco": '
    boards = make_measured(tmp_path, trials=12, space=FINITE, extra=f"{deadly}os.kill(os.getpid(), signal.SIGKILL)")
    done = boards.run("run", "--workers", 2, "--json")
    trials = trials_of(boards)
    given_up = [trial for trial in trials if FAILED_ATTR in trial.user_attrs]

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 11
    assert boards.repeated == {(0.2, 1.8e9, "eco"): 3}
    assert [trial.user_attrs[FAILED_ATTR] for trial in given_up] == ["3 workers were lost while they measured it"]
    assert "its design is given up" in done.stderr
    assert "is started in their place" in done.stderr


def test_all_workers_stop_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=500, seconds=0.05)
    run = boards.start("run", "--workers", 2)
    until(lambda: len(boards.calls) > 10)
    run.send_signal(signal.SIGINT)
    code, _, err = ended(run)
    n = len(boards.calls)

    assert code == 130, err
    assert "run the same command again to go on" in err
    assert states(trials_of(boards)) == {TrialState.COMPLETE: n}
    more = json.loads(boards.run("run", "--trials", n + 3, "--json").stdout)
    assert (more["n_complete"], more["n_added"]) == (n + 3, 3)
    assert boards.repeated == {}


def test_two_runs_of_one_folder_take_turns_and_workers_may_help(tmp_path: Path) -> None:
    """The second is refused, or waits; a worker that comes to help is none of them."""
    boards = make_measured(tmp_path, trials=30)
    with boards.held():
        first = boards.start("run", "--json")
        until(lambda: len(boards.calls) == 1)
        refused = boards.run("run")
        patient = boards.start("run", "--wait", "--json")
        helper = boards.start("worker", "--storage", "results/boards/study.journal", "--index", 7, "--json")
        until(lambda: len(boards.calls) == 2)
    (code, out, err), (helped, work, _), (waited, later, said) = ended(first), ended(helper), ended(patient)

    assert (code, helped, waited) == (0, 0, 0), err
    assert refused.returncode == 2
    assert f"another run is at work here: process {first.pid} on " in refused.stderr
    assert "--wait" in refused.stderr
    assert "waiting for another run" in said
    assert json.loads(out)["n_complete"] == json.loads(later)["n_complete"] == json.loads(work)["n_complete"] == 30
    assert json.loads(later)["n_added"] == 0
    assert (json.loads(work)["index"], json.loads(work)["schema"]) == (7, "explorer.worker/1")
    assert 0 < json.loads(work)["n_added"] < 30
    assert boards.repeated == {}


def test_what_a_full_disk_keeps_from_being_stored_is_kept_in_a_file_and_not_measured_again(tmp_path: Path) -> None:
    """A limit on the file's size stands in for the disk."""
    boards = make_measured(tmp_path, trials=60)
    limited = ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *boards.command("run")]
    full = subprocess.run(limited, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    done = boards.run("run", "--json")

    assert full.returncode == 2, full.stderr
    assert "cannot write" in full.stderr
    assert "the last measurement is kept in results/boards/unstored.jsonl, where the next run finds it" in full.stderr
    assert "Traceback" not in full.stderr
    assert json.loads(done.stdout)["n_complete"] == 60
    assert boards.repeated == {}
    assert_right(trials_of(boards))
    assert not (tmp_path / "results/boards/unstored.jsonl").exists()


def test_workers_that_learn_propose_different_designs(tmp_path: Path) -> None:
    """Sampler `auto` of a study that measures."""
    boards = make_measured(tmp_path, trials=12, sampler="auto")
    done = boards.run("run", "--workers", 2, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 12
    assert boards.repeated == {}
    assert states(trials_of(boards)) == {TrialState.COMPLETE: 12}


def test_a_function_that_measures_may_be_handed_over_in_python(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=6)
    code = (
        "import explorer\n"
        "done = explorer.worker('./boards.toml', storage='shared.journal', measure='task.py:measure', index=3)\n"
        "print(done.n_added, done.n_complete, done.n_wanted, done.index)"
    )
    done: Any = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["6", "6", "6", "3"], done.stderr
    assert states(stored(boards.folder / "shared.journal")) == {TrialState.COMPLETE: 6}
