"""Studies that measure a network live: every trial is run, kept, resumed; nothing is measured for a plot's sake."""

import csv
from pathlib import Path

from tests.cli.conftest import Cli


def _trials(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results/digits-cnn-live/trials.csv").read_text().splitlines()))


def test_a_live_study_measures_its_trials_and_goes_on_where_it_stopped(cli: Cli, tmp_path: Path) -> None:
    begun = cli("run", "digits-cnn-live", "--trials", 12)
    first = _trials(tmp_path)
    resumed = cli("run", "digits-cnn-live", "--trials", 40)
    every = _trials(tmp_path)

    assert begun.returncode == 0, begun.stderr
    assert resumed.returncode == 0, resumed.stderr
    assert len(first) == 12
    assert len(every) == 40
    assert every[:12] == [{**row, "is_front": every[i]["is_front"]} for i, row in enumerate(first)]
    for row in every:
        assert float(row["accuracy_lo"]) <= float(row["accuracy"]) <= float(row["accuracy_hi"])
        assert abs(float(row["accuracy"]) * 719 % 1 - 0.5) > 0.499  # counted, not predicted

    chosen = cli("choose", "digits-cnn-live", "--minimize", "size_bytes", "--where", "accuracy>=0.9", "-o", "c.json")
    assert chosen.returncode == 0, chosen.stderr
