"""Searching a table's own rows, and applying a choice to a device: whole commands as a user types them."""

import csv
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

STUDY = """\
model = {{ table = "rows.csv", knobs = ["resolution", "precision"] }}
objectives = ["energy_j", "accuracy"]
[search]
trials = {trials}
"""


def write_table(folder: Path, n: int = 60) -> list[dict[str, str]]:
    """Write rows that trade energy for accuracy with a good deal of chance; return them."""
    rng = random.Random(0)
    lines = ["name,family,resolution,precision,accuracy,energy_j"]
    for i in range(n):
        side, precision = 64 + 8 * i, rng.choice(["fp32", "int8"])
        energy = side**2 * (1.0 if precision == "fp32" else 0.4) * rng.uniform(0.8, 1.2) * 1e-6
        lines.append(f"net{i},{'AB'[i % 2]},{side},{precision},{0.5 + 0.0005 * side * rng.uniform(0.9, 1.1)},{energy}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return list(csv.DictReader(lines))


def test_the_front_of_a_table_is_exactly_the_measured_one(cli: Cli, tmp_path: Path) -> None:
    rows = write_table(tmp_path)
    (tmp_path / "mine.toml").write_text(STUDY.format(trials=500))
    done = cli("run", "./mine.toml")
    points = {row["name"]: (float(row["energy_j"]), float(row["accuracy"])) for row in rows}
    best = {
        name
        for name, (e, a) in points.items()
        if not any(x <= e and y >= a and (x, y) != (e, a) for x, y in points.values())
    }
    with (tmp_path / "results/mine/front.csv").open() as file:
        front = list(csv.DictReader(file))

    assert done.returncode == 0, done.stderr
    assert {row["row"] for row in front} == best
    assert "60 trials (60 added" in done.stdout
    assert "reached 100.0%" in done.stdout
    assert "all 60 rows of the table were evaluated" in done.stderr
    assert {"resolution", "precision"} <= front[0].keys()


def test_a_short_search_reports_its_share_of_rows_and_resumes(cli: Cli, tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "mine.toml").write_text(STUDY.format(trials=20))
    first, second = cli("run", "./mine.toml"), cli("run", "./mine.toml", "--trials", 60, "--json")
    chosen = cli("choose", "mine", "--minimize", "energy_j", "--where", "resolution >= 200")

    assert "rows of the table were evaluated" in first.stderr
    assert second.returncode == 0
    table = list(csv.DictReader((tmp_path / "results/mine/trials.csv").read_text().splitlines()))
    assert {row["row"] for row in table} == {f"net{i}" for i in range(60)}
    assert json.loads(second.stdout)["hypervolume_share"] == pytest.approx(1)
    assert "Resolution: 2" in chosen.stdout


@pytest.mark.slow
def test_a_choice_records_the_design_and_its_device_point(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "asked.toml").write_text('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n[search]\ntrials = 60\n')
    assert cli("run", "./asked.toml").returncode == 0
    done = cli("choose", "asked", "--knee", "--device", "rk3588-big")
    payload = json.loads((tmp_path / "results/asked/chosen.json").read_text())
    applied = payload["applied"]["design"]

    assert done.returncode == 0, done.stderr
    assert payload["applied"]["operating_point"] in done.stdout
    assert payload["machine"] == "the paper's accelerator"
    assert [text.partition(":")[0] for text in payload["warnings"]] == ["numbers of another machine"]
    assert f"WARNING: {payload['warnings'][0]}" in done.stdout
    assert (applied["frequency_hz"], applied["voltage_v"]) in {
        (2.208e9, 0.9875), (2.016e9, 0.925), (2.4e9, 1.0), (1.8e9, 0.85),
    }  # fmt: skip
    assert abs(applied["frequency_hz"] / payload["design"]["frequency_hz"] - 1) < 0.12  # its highest clock is 2.4 GHz
    assert applied["pruning_ratio"] == payload["design"]["pruning_ratio"]
    assert applied["energy_j"] != payload["design"]["energy_j"]
    assert applied["energy_j_lo"] <= applied["energy_j"] <= applied["energy_j_hi"]


@pytest.mark.slow
def test_a_device_point_that_violates_a_constraint_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "asked.toml").write_text('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n[search]\ntrials = 60\n')
    cli("run", "./asked.toml")
    slow = cli("choose", "asked", "--knee", "--device", "exynos5422-little", "--allow-extrapolation",
               "--where", "latency_s <= 150 ms")  # fmt: skip
    far = cli("choose", "asked", "--knee", "--device", "exynos5422-little")
    unknown = cli("choose", "asked", "--knee", "--device", "rk3588")
    bins = cli("choose", "asked", "--knee", "--device", "h6")

    assert (slow.returncode, far.returncode, unknown.returncode, bins.returncode) == (4, 4, 2, 3)
    assert "violates latency_s <= 150 ms" in slow.stderr
    assert "outside the model's domain" in far.stderr
    assert "did you mean 'rk3588-big'?" in unknown.stderr
    assert "3 speed bins" in bins.stderr
    assert not (tmp_path / "results/asked/chosen.json").exists()


@pytest.mark.slow
def test_an_imported_device_is_searched_by_its_own_points(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "board.dts").write_text(
        "/ { big: opp-table { opp-1 { opp-hz = /bits/ 64 <2200000000>; opp-microvolt = <900000>; };\n"
        "opp-2 { opp-hz = /bits/ 64 <2400000000>; opp-microvolt = <950000>; }; }; };\n"
    )
    done = cli("import-opp", "board.dts", "-o", "board.toml")
    (tmp_path / "space.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0, 0.9] }\nquant_step = { values = [0.02, 0.05] }\n'
        '[operating_points]\ndevice = "./board.toml"\n'
    )
    (tmp_path / "asked.toml").write_text(
        'space = "./space.toml"\nobjectives = ["edp_js", "accuracy"]\n[search]\ntrials = 40\nsampler = "random"\n'
    )
    ran = cli("run", "./asked.toml")
    table = list(csv.DictReader((tmp_path / "results/asked/trials.csv").read_text().splitlines()))

    assert done.returncode == 0, done.stderr
    assert ran.returncode == 0, ran.stderr
    assert {(float(r["frequency_hz"]), float(r["voltage_v"])) for r in table} == {(2.2e9, 0.9), (2.4e9, 0.95)}
    assert {r["quant_step"] for r in table} == {"0.02", "0.05"}


@pytest.mark.slow
def test_own_knobs_are_fitted_by_the_form_with_the_least_error(cli: Cli, tmp_path: Path) -> None:
    write_table(tmp_path)
    done = cli("fit", "rows.csv", "--knob", "resolution", "--knob", "precision", "-o", "model.json")
    asked = cli("predict", "model.json", "--family", "A", "--set", "resolution=100", "--set", "precision=int8",
                "--format", "json")  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "error, unseen rows" in done.stdout
    assert asked.returncode == 0, asked.stderr
    (design,) = json.loads(asked.stdout)["designs"]
    assert design["energy_j_lo"] < design["energy_j"] < design["energy_j_hi"]


def test_predicted_designs_need_only_varied_knobs(cli: Cli, tmp_path: Path) -> None:
    """No family column, all rows of 8 bits: neither is asked for again."""
    rows = [f"{side},8,{side * 1e-3},{side * 2e-4}" for side in (96, 128, 160, 192, 224)]
    (tmp_path / "rows.csv").write_text("\n".join(["resolution,weight_bits,energy_j,latency_s", *rows]) + "\n")
    (tmp_path / "asked.csv").write_text("resolution\n112\n176\n")
    done = cli("predict", "rows.csv", "--designs", "asked.csv", "--format", "csv")

    assert done.returncode == 0, done.stderr
    (first, second) = csv.DictReader(done.stdout.splitlines())
    assert list(first)[:3] == ["resolution", "family", "weight_bits"]
    assert 0.1 < float(first["energy_j"]) < 0.125
    assert float(second["weight_bits"]) == 8


def test_from_a_file_to_a_front_in_two_commands(cli: Cli, tmp_path: Path) -> None:
    write_table(tmp_path)
    began, ran = cli("init", "rows.csv", "--table"), cli("run", "rows")
    again = cli("init", "rows.csv", "--table")

    assert began.returncode == 0, began.stderr
    assert began.stdout.splitlines() == ["studies/rows.toml"]
    assert "\n  explorer run rows\n" in began.stderr
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "results/rows/report.html").stat().st_size > 1000
    assert again.returncode == 2
    assert "there already" in again.stderr


@pytest.mark.slow
def test_one_knob_and_three_objectives_are_enough_for_a_front(cli: Cli, tmp_path: Path) -> None:
    rows = [f"{i / 25},{10 - i / 4},{5 - i / 10},{0.95 - (i / 25) ** 2 / 10}" for i in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["pruning_ratio,latency_ms,energy_mj,accuracy", *rows]) + "\n")
    began, ran = cli("init", "rows.csv"), cli("run", "rows", "--trials", "60")
    found = json.loads((tmp_path / "results/rows/front.json").read_text())

    assert (began.returncode, ran.returncode) == (0, 0), began.stderr + ran.stderr
    assert [(row["objective"], row["total"]) for row in found["importance"]] == [
        ("energy_j", pytest.approx(1, abs=0.05)), ("latency_s", pytest.approx(1, abs=0.05)),
        ("accuracy", pytest.approx(1, abs=0.05)),
    ]  # fmt: skip


def test_devices_are_listed_with_their_titles(cli: Cli) -> None:
    listed = json.loads(cli("list", "--json").stdout)

    assert {"rk3399-big", "exynos5422-little", "imx8mm", "jetson-nano-gpu"} <= {d["name"] for d in listed["devices"]}
    assert all(d["title"] for d in listed["devices"])
