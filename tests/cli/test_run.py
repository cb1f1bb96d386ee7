"""`explorer run`: the main job, its second run, its refusals, and Ctrl-C."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.io.files import shipped_folder
from explorer.models.loading import load_model

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ALPHA_03 = {"alpha = 0.9": "alpha = 0.3"}


def front_rows(folder: Path, study: str = "paper") -> list[dict[str, str]]:
    with (folder / "results" / study / "front.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def changed_study(folder: Path, name: str, changes: dict[str, str]) -> Path:
    text = (shipped_folder("studies") / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_run_writes_every_file_of_the_contract(paper_run: Path) -> None:
    written = {path.name for path in (paper_run / "results" / "paper").iterdir()}

    assert {"front.csv", "front.json", "report.html", "provenance.json", "study.journal"} <= written


def test_every_front_design_has_a_feasible_operating_point(paper_run: Path) -> None:
    law = load_model("paper").law("CNN")
    assert law is not None
    rows = front_rows(paper_run)

    volts = np.array([float(row["voltage_v"]) for row in rows])
    clock = np.array([float(row["frequency_hz"]) for row in rows])
    assert len(rows) > 10
    assert np.all(clock <= law.frequency_max(volts))


def test_no_design_of_the_front_is_dominated_by_another_one(paper_run: Path) -> None:
    values = np.array([[float(row["edp_js"]), float(row["weighted_cost"])] for row in front_rows(paper_run)])

    for one in values:
        beats_it = np.all(values <= one, axis=1) & np.any(values < one, axis=1)
        assert not beats_it.any()


@pytest.mark.slow
def test_the_json_line_has_the_keys_of_the_contract(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")

    done = explorer_in(tmp_path, "run", "paper", "--trials", 300, "--json")

    line = json.loads(done.stdout.splitlines()[-1])
    promised = {"schema", "study", "out", "n_complete", "hypervolume", "front_size", "search_seconds"}
    assert promised <= line.keys()
    assert line["schema"] == "explorer.run/1"
    assert line["n_complete"] == 300
    assert line["front_size"] == len(front_rows(paper_run))


@pytest.mark.slow
def test_a_second_run_adds_nothing_and_reports_it(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")
    before = (tmp_path / "results/paper/front.csv").read_bytes()

    done = explorer_in(tmp_path, "run", "paper", "--trials", 300)

    assert done.returncode == 0
    assert "nothing to add: 300 trials are COMPLETE already" in done.stderr
    is_same = (tmp_path / "results/paper/front.csv").read_bytes() == before
    assert is_same  # the difference of two long lines takes pytest minutes


@pytest.mark.slow
def test_more_trials_are_added_to_finished_ones(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")

    done = explorer_in(tmp_path, "run", "paper", "--trials", 340, "--json")

    line = json.loads(done.stdout)
    assert (line["n_complete"], line["n_added"]) == (340, 40)


@pytest.mark.slow
def test_the_same_study_and_seed_give_the_same_front(cli: Cli, paper_run: Path, tmp_path: Path) -> None:
    done = cli("run", "paper", "--trials", 300, "--seed", 0)

    assert done.returncode == 0
    assert (tmp_path / "results/paper/front.csv").read_text() == (paper_run / "results/paper/front.csv").read_text()


def test_a_changed_declaration_is_refused_with_two_fixes(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")
    before = (tmp_path / "results/paper/study.journal").read_bytes()
    study = changed_study(tmp_path, "paper", {"alpha = 0.9": "alpha = 0.8"})

    done = explorer_in(tmp_path, "run", study, "--trials", 400)

    assert done.returncode == 2
    assert "alpha: 0.9 -> 0.8" in done.stderr
    assert "restore the declaration" in done.stderr
    assert "--out" in done.stderr
    assert (tmp_path / "results/paper/study.journal").read_bytes() == before


@pytest.mark.parametrize("name", ["edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families"])
@pytest.mark.slow
def test_no_shipped_study_pairs_lowest_voltage_and_highest_clock(shared_run: Callable[[str], Path], name: str) -> None:
    with (shared_run(name) / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for family in {row["family"] for row in rows}:
        own = [row for row in rows if row["family"] == family]
        volts = np.array([float(row["voltage_v"]) for row in own])
        clock = np.array([float(row["frequency_hz"]) for row in own])
        slowest = clock[np.isclose(volts, volts.min())]
        assert slowest.max() < clock.max()
        assert np.all(clock <= [float(row["frequency_max_hz"]) for row in own])


@pytest.mark.slow
def test_every_front_design_of_a_capped_study_meets_its_cap(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "power-cap", "--trials", 150)

    assert done.returncode == 0, done.stderr
    assert max(float(row["power_w"]) for row in front_rows(tmp_path, "power-cap")) <= 22.0


@pytest.mark.slow
def test_redundant_objectives_are_warned_of(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", changed_study(tmp_path, "paper", ALPHA_03), "--trials", 60)

    assert done.returncode == 0
    assert "alpha = 0.3" in done.stderr
    assert "nearly equivalent" in done.stderr


@pytest.mark.slow
def test_an_infeasible_study_reports_the_gap_and_exits_4(cli: Cli, tmp_path: Path) -> None:
    study = changed_study(tmp_path, "power-cap", {"power_w <= 22 W": "power_w <= 5 W"})

    done = cli("run", study, "--trials", 60)

    assert done.returncode == 4
    assert "power_w <= 5 W: nearest is" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "results/power-cap/trials.csv").is_file()

    for rule in (["--knee"], ["--alpha", "0.5"], ["--minimize", "energy_j"]):
        chosen = cli("choose", "power-cap", *rule)

        assert chosen.returncode == 4
        assert "power_w <= 5 W: nearest is" in chosen.stderr


def test_a_misspelt_study_suggests_the_nearest_name(cli: Cli) -> None:
    done = cli("run", "edp-acuracy")

    assert done.returncode == 2
    assert "did you mean 'edp-accuracy'?" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param(["--trials", "0"], "trials = 0 is outside", id="no-trials"),
        pytest.param(["--trials", "many"], "Invalid value for '--trials'", id="not-a-number"),
        pytest.param(["--seed", "-1"], "seed = -1 is outside", id="negative-seed"),
        pytest.param(["--sampler", "nsga"], "did you mean 'nsga", id="sampler"),
        pytest.param(["--workers", "0"], "workers = 0 is outside", id="no-workers"),
        pytest.param(["--storage", "foo://bar"], "is not a URL that Optuna can open", id="storage"),
    ],
)
def test_wrong_usage_exits_2_with_a_fix(cli: Cli, args: list[str], said: str) -> None:
    done = cli("run", "paper", *args)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_folder_is_reported(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    done = cli("run", "paper", "--trials", 20, "--out", tmp_path / "file" / "below")

    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "--out" in done.stderr


def test_all_faults_of_a_study_are_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "faulty.toml"
    path.write_text(
        'space = "cn"\nobjectives = ["edp_j", "accuracy"]\nmodle = "paper"\nconstraints = ["power_w <= 22 V"]\n'
        "[cost]\nalpha = 1.5\n[search]\ntrials = -1\n"
    )

    done = cli("run", path)

    assert done.returncode == 3
    for said in ("'cnn'?", "'edp_js'?", "'model'?", "'V' is not a unit of W", "alpha = 1.5", "[search] trials"):
        assert said in done.stderr
    assert "7 faults" in done.stderr or "6 faults" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [pytest.param("", "the file is empty", id="empty"), pytest.param("a = [", "is not TOML", id="malformed")],
)
def test_a_file_that_is_no_study_exits_3(cli: Cli, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.toml").write_text(text)

    done = cli("run", "broken.toml")

    assert done.returncode == 3
    assert said in done.stderr


@pytest.mark.slow
def test_an_incomplete_record_is_saved_and_reported(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")
    journal = tmp_path / "results/paper/study.journal"
    half = b'{"op_code":4,"worker_id":"half a rec'
    journal.write_bytes(journal.read_bytes() + half)

    done = explorer_in(tmp_path, "run", "paper", "--trials", 310, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 310
    assert "was cut off by a crash; its 36 bytes are kept in study.journal.cut1" in done.stderr
    assert journal.with_name("study.journal.cut1").read_bytes() == half


@pytest.mark.slow
def test_a_damaged_journal_is_refused_then_recovered(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results", tmp_path / "results")
    journal = tmp_path / "results/paper/study.journal"
    journal.write_bytes(journal.read_bytes() + b"{not json}\n")
    damaged = journal.read_bytes()

    refused = explorer_in(tmp_path, "run", "paper", "--trials", 310)
    assert refused.returncode == 3
    assert "--recover" in refused.stderr
    assert journal.read_bytes() == damaged

    mended = explorer_in(tmp_path, "run", "paper", "--trials", 310, "--recover", "--json")
    assert mended.returncode == 0, mended.stderr
    assert json.loads(mended.stdout)["n_complete"] == 310
    assert journal.with_name("study.journal.damaged1").read_bytes() == damaged


@pytest.mark.slow
def test_ctrl_c_saves_finished_trials_and_the_run_resumes(cli: Cli, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "explorer", "run", "paper", "--sampler", "tpe", "--trials", "5000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    journal = tmp_path / "results/paper/study.journal"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.is_file() and journal.stat().st_size > 100_000):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    lines = (tmp_path / "results/paper/trials.csv").read_text(encoding="utf-8").splitlines()[1:]
    n = sum(not line.startswith("-") for line in lines)  # measured rows have negative numbers
    assert n > 3
    more = json.loads(cli("run", "paper", "--sampler", "tpe", "--trials", n + 5, "--json").stdout)
    assert (more["n_complete"], more["n_added"]) == (n + 5, 5)


@pytest.mark.slow
def test_progress_and_notes_never_mix_with_the_data(cli: Cli) -> None:
    done = cli("run", "edp-accuracy", "--trials", 60, "--json")

    assert len(done.stdout.splitlines()) == 1
    json.loads(done.stdout)


@pytest.mark.slow
def test_a_full_disk_loses_no_finished_trial(cli: Cli, tmp_path: Path) -> None:
    """A limit on the file's size stands in for the disk: the write fails in the middle of a record all the same."""
    command = f"ulimit -f 600; exec {sys.executable} -m explorer run paper --trials 500"
    full = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert full.returncode == 2
    assert "cannot write" in full.stderr
    assert "Traceback" not in full.stderr
    more = json.loads(cli("run", "paper", "--trials", 400, "--json").stdout)
    assert more["n_complete"] == 400
    assert 0 < more["n_added"] < 397


@pytest.mark.slow
def test_a_run_ends_with_the_next_command(cli: Cli) -> None:
    default = cli("run", "edp-accuracy", "--trials", 10).stderr.splitlines()[-1]
    own = cli("run", "edp-accuracy", "--trials", 10, "--out", "my results").stderr.splitlines()[-1]

    assert default == "next: explorer choose edp-accuracy --knee"
    assert own == "next: explorer choose 'my results' --knee"
    assert cli(*shlex.split(own)[2:]).returncode == 0


def test_colons_in_a_message_are_no_pictures(cli: Cli) -> None:
    done = cli("run", "s:smile:[red].toml")

    assert "error: s:smile:[red].toml: no such study file" in done.stderr
