"""Studies that measure a network live: every trial is run, kept, resumed; nothing is measured for a plot's sake."""

import csv
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from explorer.search.session import MEASURED_ATTR
from explorer.search.storage.open import open_storage
from tests.cli.conftest import Cli

# The command itself, but every network that is measured leaves a line, and after the twelfth it waits to be killed.
COUNTED = """
import time
from explorer.cli.app import main
from explorer.network.measurement import measure

inner = measure._measure_compression

def counted(*args, **kwargs):
    row = inner(*args, **kwargs)
    with open("measured.txt", "a", encoding="ascii") as file:
        file.write(row["effective"] + "\\n")
    with open("measured.txt", encoding="ascii") as file:
        if len(file.readlines()) == 12:
            time.sleep(300)
    return row

measure._measure_compression = counted
main()
"""


def _trials(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results/digits-cnn-live/trials.csv").read_text().splitlines()))


@pytest.mark.slow
def test_a_live_study_measures_its_trials_and_resumes(cli: Cli, tmp_path: Path) -> None:
    begun = cli("run", "digits-cnn-live", "--trials", 12)
    first = _trials(tmp_path)
    shown = cli("front", "digits-cnn-live")
    resumed = cli("run", "digits-cnn-live", "--trials", 40)
    every = _trials(tmp_path)

    assert begun.returncode == 0, begun.stderr
    assert resumed.returncode == 0, resumed.stderr
    assert "in brackets the 95 % Wilson interval of what was counted" in shown.stderr
    assert len(first) == 12
    assert len(every) == 40
    assert every[:12] == [{**row, "is_front": every[i]["is_front"]} for i, row in enumerate(first)]
    for row in every:
        assert float(row["accuracy_lo"]) <= float(row["accuracy"]) <= float(row["accuracy_hi"])
        if not float(row["is_stopped"]):
            assert abs(float(row["accuracy"]) * 719 % 1 - 0.5) > 0.499  # counted, not predicted

    for command in (
        ("choose", "digits-cnn-live", "--minimize", "size_bytes", "--where", "accuracy>=0.9", "-o", "c.json"),
        ("deploy", "c.json", "--model", "digits-cnn", "-o", "bundle"),
        ("verify", "bundle", "--data", "digits", "--model", "digits-cnn"),
    ):
        done = cli(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def _measured(folder: Path) -> list[str]:
    log = folder / "measured.txt"
    return log.read_text(encoding="ascii").split() if log.is_file() else []


def _complete(folder: Path) -> list[tuple[dict[str, Any], list[float], str]]:
    """Return what is kept of each finished trial: its knobs, its values, and which network was measured for it."""
    storage = open_storage(None, folder / "results/digits-cnn-live")
    trials = optuna.load_study(study_name="digits-cnn-live", storage=storage).trials
    kept = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return [(trial.params, trial.values, trial.user_attrs[MEASURED_ATTR]["effective"]) for trial in kept]


@pytest.mark.slow
def test_killed_live_study_keeps_and_repeats_no_measurement(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNTED, "run", "digits-cnn-live", "--trials", "30"]
    begun = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while len(_measured(tmp_path)) < 12 and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    begun.kill()
    assert begun.wait() == -9

    before, kept = _measured(tmp_path), _complete(tmp_path)
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    after, every = _measured(tmp_path)[len(before) :], _complete(tmp_path)

    in_flight = set(before) - {effective for _, _, effective in kept}
    assert (len(kept), len(in_flight)) == (11, 1), "the twelfth was measured, but its trial not finished"
    assert every[: len(kept)] == kept
    assert len(every) == len(_trials(tmp_path)) == 30
    assert len(set(before)) == len(before)
    assert len(set(after)) == len(after)
    assert set(before) & set(after) <= in_flight
    assert {effective for _, _, effective in every} <= {*before, *after}
