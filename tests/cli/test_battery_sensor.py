"""A battery's life: the shipped study `battery-sensor`, and studies with a workload, as typed."""

import csv
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

import explorer
from explorer.devices.device import read_device_points
from explorer.io.files import shipped_folder
from explorer.models.evaluation import Problem
from explorer.problem.columns import Columns, take

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
WORKLOAD = '[workload]\nperiod = "130 ms"\nidle_power = "0.4 W"\nbattery = "100 kWh"\n'
STUDY = 'space = "cnn"\nmodel = "paper"\nobjectives = ["battery_days", "accuracy"]\n'
CLOCKS = (408e6, 600e6, 816e6, 1.008e9, 1.2e9, 1.416e9)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return explorer.load_study("battery-sensor")


def _best_clock(problem: Problem, idle_power_w: float, accuracy: float = 0.95) -> tuple[float, Columns]:
    """Return the clock of the longest life at an accuracy, over a dense grid of R and all clocks, and its design."""
    constants = problem.study.constants
    assert constants.workload is not None
    workload = replace(constants.workload, idle_power_w=idle_power_w)
    study = replace(problem.study, constants=replace(constants, workload=workload))
    points = read_device_points("rk3399-little")
    ratio, point = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 0.75, 301), range(6)))
    designs: Columns = {
        "family": np.full(len(ratio), "transformer", dtype=object),
        "pruning_ratio": ratio,
        "voltage_v": np.array(points.voltage_v)[point],
        "frequency_hz": np.array(points.frequency_hz)[point],
    }
    columns = replace(problem, study=study).evaluate(designs)
    columns = take(columns, columns["is_feasible"] & (columns["accuracy"] >= accuracy))
    best = take(columns, np.array([np.argmax(columns["battery_days"])]))
    return float(best["frequency_hz"][0]), best


@pytest.mark.parametrize(("idle_power_w", "clock"), [(0.0, 1.416e9), (0.9, 1.2e9), (1.2, 1.008e9)])
@pytest.mark.slow
def test_idle_power_moves_the_best_clock_inside(problem: Problem, idle_power_w: float, clock: float) -> None:
    """Switched off in between, the highest clock is best: race to idle. The more idling costs, the slower is best."""
    assert read_device_points("rk3399-little").frequency_hz == CLOCKS
    assert _best_clock(problem, idle_power_w)[0] == clock


def test_samples_are_the_formula_of_the_study() -> None:
    """T = 20 cycles x MACs x (0.15 + 0.85 (1 - R)) / f, E = (1.5 + 0.2 V^2 + 0.5e-9 V^2 f) T; accuracy as counted."""
    text = (shipped_folder("studies") / "battery-sensor.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(StringIO(text)))

    assert len(rows) == 36
    for row in rows:
        r, v, f = (float(row[name]) for name in ("pruning_ratio", "voltage_v", "frequency_hz"))
        time = 20 * 141_632 * (0.15 + 0.85 * (1 - r)) / f
        assert float(row["latency_s"]) == pytest.approx(time, rel=1e-4)
        assert float(row["energy_j"]) == pytest.approx((1.5 + 0.2 * v**2 + 0.5e-9 * v**2 * f) * time, rel=1e-4)
        assert float(row["accuracy"]) == pytest.approx(int(row["n_right"]) / int(row["n_samples"]), abs=1e-4)


@pytest.mark.slow
def test_battery_sensor_reaches_the_optimum_of_a_grid(explorer_in: Cli, tmp_path: Path, problem: Problem) -> None:
    done = explorer_in(tmp_path, "run", "battery-sensor", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["hypervolume"] > 0.995 * summary["exact_hypervolume"]

    chosen = explorer_in(tmp_path, "choose", "battery-sensor", "--minimize", "mean_power_w", "--where",
                         "accuracy >= 0.95", "-o", tmp_path / "chosen.json")  # fmt: skip
    assert chosen.returncode == 0, chosen.stderr
    design = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))["design"]
    front = json.loads(explorer_in(tmp_path, "front", "battery-sensor", "--format", "json").stdout)
    best = max((d for d in front["designs"] if d["accuracy"] >= 0.95), key=lambda d: d["battery_days"])
    clock, grid = _best_clock(problem, 0.9)
    assert best["frequency_hz"] == clock == 1.2e9
    assert best["battery_days"] == pytest.approx(float(grid["battery_days"][0]), rel=3e-3)
    assert design["battery_days"] == pytest.approx(best["battery_days"], rel=3e-3)
    assert {"mean_power_w_lo", "battery_days_hi", "utilization", "p99_latency_s"} <= best.keys()
    assert "carbon_g_per_day" not in best

    explained = explorer_in(tmp_path, "explain", "battery-sensor", "--design", best["design_id"])
    assert "utilization <= 1" in explained.stdout
    page = (tmp_path / "results/battery-sensor/report.html").read_text(encoding="utf-8")
    assert "Battery life (d)" in page


@pytest.mark.slow
def test_design_that_cannot_keep_up_is_infeasible(explorer_in: Cli, tmp_path: Path) -> None:
    (tmp_path / "half.toml").write_text(STUDY + WORKLOAD, encoding="utf-8")
    done = explorer_in(tmp_path, "run", "half.toml", "--sampler", "random", "--trials", 120)
    assert done.returncode == 0, done.stderr

    lines = (tmp_path / "results/half/trials.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    overloaded = [row for row in rows if float(row["latency_s"]) >= 0.13]
    assert overloaded
    assert all(float(row["battery_days"]) == 0 for row in overloaded)
    assert {row["is_feasible"].lower() for row in overloaded} == {"false"}
    front = json.loads(explorer_in(tmp_path, "front", "half", "--format", "json").stdout)
    assert max(design["utilization"] for design in front["designs"]) < 1


@pytest.mark.parametrize("extra", ["", "[reference_point]\nbattery_days = 1\naccuracy = 0.5\n"])
@pytest.mark.slow
def test_period_shorter_than_every_latency_is_told(explorer_in: Cli, tmp_path: Path, extra: str) -> None:
    (tmp_path / "fast.toml").write_text(STUDY + WORKLOAD.replace("130 ms", "50 ms") + extra, encoding="utf-8")
    done = explorer_in(tmp_path, "run", "fast.toml", "--trials", 20)

    assert done.returncode == 4
    assert "an input arrives every 50 ms, the fastest design takes 7" in done.stderr
    assert "fix: at least period = '7" in done.stderr
    assert "Traceback" not in done.stderr
