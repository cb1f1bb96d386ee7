"""A study with scenarios as typed: run, front, choose, explain, and the price of robustness."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
STUDY = """\
space = "cnn"
objectives = ["edp_js", "accuracy"]
constraints = ["power_w <= 17 W", "accuracy >= 0.9"]
[scenario.droop]
voltage = "-3 %"
[scenario.fast]
voltage = "+3 %"
clock = "+1 %"
[search]
trials = 60
[reference_point]
edp_js = 5.0
accuracy = 0.86
"""


@pytest.fixture(scope="module")
def ran(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the study was run; not to be changed."""
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "robust.toml").write_text(STUDY, encoding="utf-8")
    done = explorer_in(folder, "run", "./robust.toml")
    assert done.returncode == 0, done.stderr
    return folder


def test_front_holds_its_limits_in_every_scenario(ran: Path) -> None:
    rows = [*csv.DictReader((ran / "results/robust/front.csv").read_text(encoding="utf-8").splitlines())]
    told = json.loads((ran / "results/robust/front.json").read_text(encoding="utf-8"))

    assert told["constraints"] == ["power_w_worst <= 17 W", "accuracy_worst >= 0.9"]
    assert told["hypervolume_share"] > 0.95
    assert len(rows) > 10
    for row in rows:
        assert float(row["power_w"]) < float(row["power_w_worst"]) <= 17
        assert 0.9 <= float(row["accuracy_worst"]) <= float(row["accuracy"])
        assert float(row["domain_distance"]) <= float(row["domain_distance_worst"])


def test_table_shows_the_limited_worst_case(explorer_in: Cli, ran: Path) -> None:
    head = explorer_in(ran, "front", "robust").stdout

    assert "worst" in head
    assert "edp_js_worst" not in head


def test_choice_tells_the_scenario_that_binds_each_limit(explorer_in: Cli, ran: Path) -> None:
    done = explorer_in(ran, "choose", "robust", "--minimize", "edp_js", "--where", "power_w<=16 W")
    chosen = json.loads((ran / "results/robust/chosen.json").read_text(encoding="utf-8"))
    bound = {one["limit"]: one for one in chosen["scenarios"]}

    assert done.returncode == 0, done.stderr
    assert "fast (voltage_v +3 %, frequency_hz +1 %)" in bound["power_w_worst <= 17 W"]["scenario"]
    assert bound["operating_point"]["scenario"] == "droop (voltage_v -3 %)"
    assert bound["power_w_worst <= 17 W"]["value"] == pytest.approx(chosen["design"]["power_w_worst"])
    assert chosen["design"]["power_w_worst"] <= 16  # --where holds in every scenario as well
    assert bound["power_w_worst <= 17 W"]["text"] in " ".join(done.stdout.split())


def test_explanation_names_the_clock_with_its_guard_band(explorer_in: Cli, ran: Path) -> None:
    row = next(csv.DictReader((ran / "results/robust/front.csv").read_text(encoding="utf-8").splitlines()))
    done = explorer_in(ran, "explain", "robust", "--design", row["design_id"])
    told = json.loads(explorer_in(ran, "explain", "robust", "--design", row["design_id"], "--json").stdout)
    clock = next(limit for limit in told["limits"] if limit["kind"] == "voltage and clock")

    assert done.returncode == 0, done.stderr
    assert "in every scenario" in clock["text"]
    assert 0 <= clock["left"] < float(row["frequency_max_hz"]) - float(row["frequency_hz"])
    assert "Scenario that binds each limit:" in done.stdout
    assert {one["limit"] for one in told["scenarios"]} >= {"power_w_worst <= 17 W", "operating_point"}


def test_nominal_front_is_compared_with_the_robust_one(explorer_in: Cli, ran: Path) -> None:
    told = json.loads(explorer_in(ran, "compare", "robust", "--nominal", "--json").stdout)
    text = explorer_in(ran, "compare", "./robust.toml", "--nominal").stdout

    assert told["robust"]["hypervolume"] < told["nominal"]["hypervolume"]
    assert told["n_nominal_broken"] > 0
    assert f"{told['n_nominal_broken']:,} of {told['nominal']['front_size']:,} nominal designs break a limit" in text
    assert "Price of robustness" in text


def test_wrong_use_of_nominal_is_explained(explorer_in: Cli, ran: Path) -> None:
    for args, said in ((["paper"], "has no scenarios"), (["robust", "robust"], "2 studies"),
                       (["robust", "-o", "page.html"], "excludes")):  # fmt: skip
        done = explorer_in(ran, "compare", *args, "--nominal")
        assert done.returncode == 2
        assert said in done.stderr


def test_a_table_scales_its_targets_and_moves_no_knob(explorer_in: Cli, tmp_path: Path) -> None:
    rows = [f"A,{64 + 8 * i},{0.5 + 0.01 * i},{1 + 0.1 * i}" for i in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(["family,resolution,accuracy,energy_j", *rows]), encoding="utf-8")
    text = (
        'model = { table = "rows.csv", knobs = ["resolution"] }\nobjectives = ["energy_j", "accuracy"]\n'
        'constraints = ["energy_j <= 3 J"]\n[scenario.hot]\n%s\n[search]\ntrials = 30\n'
    )
    (tmp_path / "hot.toml").write_text(text % 'energy_j = "+20 %"', encoding="utf-8")
    (tmp_path / "moved.toml").write_text(text % 'resolution = "+20 %"', encoding="utf-8")
    done, moved = explorer_in(tmp_path, "run", "./hot.toml"), explorer_in(tmp_path, "run", "./moved.toml")
    front = [*csv.DictReader((tmp_path / "results/hot/front.csv").read_text(encoding="utf-8").splitlines())]

    assert done.returncode == 0, done.stderr
    assert max(float(row["energy_j"]) for row in front) == pytest.approx(2.5)
    assert all(float(r["energy_j_worst"]) == pytest.approx(1.2 * float(r["energy_j"])) for r in front)
    assert moved.returncode == 3
    assert "resolution: is a knob, and the designs are measured as they are" in moved.stderr
