"""`explorer measure` as it is typed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer
from explorer.cli.measure import Codec
from explorer.errors import WrongUsage
from explorer.network.compression.sizes import CODECS
from explorer.network.measurement.measure import MEASURED
from explorer.network.measurement.samples_file import open_samples_file
from explorer.network.measurement.setup import MeasurementOptions
from tests.search.measured import disk_of

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
GRID = "R=0:0.9:3,D=0.01:0.3:2(log)"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_measure_prints_a_table_and_writes_samples(cli: Cli, tmp_path: Path) -> None:
    done = cli("measure", "digits-cnn", "--data", "digits", "--grid", GRID, "--family", "CNN", "-o", "s.csv")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "s.csv")
    said = json.loads((tmp_path / "s.provenance.json").read_text(encoding="utf-8"))

    assert "digits-cnn: 38,160 weights, 154,992 bytes" in done.stdout
    assert "no meter on this machine, none measured" in done.stderr or "RAPL" in done.stderr
    assert [(row["family"], row["pruning_ratio"], row["quant_step"]) for row in rows] == [
        ("CNN", ratio, step) for ratio in ("0.0", "0.45", "0.9") for step in ("0.01", "0.3")
    ]
    assert all(float(row["accuracy_lo"]) <= float(row["accuracy"]) <= float(row["accuracy_hi"]) for row in rows)
    assert said["network"]["n_weights"] == 38_160
    assert said["size"]["codec"] == "deflate"


def test_json_is_all_that_json_prints(cli: Cli, tmp_path: Path) -> None:
    done = cli("measure", "digits-mlp", "--data", "digits", "--grid", "R=0.5,D=0.02", "--codec", "dense",
               "--energy", "none", "--json")  # fmt: skip
    payload: dict[str, Any] = json.loads(done.stdout)
    (design,) = payload["designs"]

    assert payload["schema"] == "explorer.measure/1"
    assert design["size_bytes"] == design["size_dense_bytes"]
    assert sum(operator["n_macs"] for operator in payload["operators"]) == design["n_macs"]
    assert list(tmp_path.iterdir()) == []


def test_designs_come_from_a_csv(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("pruning_ratio,quant_step\n0.2,0.05\n")
    done = cli("measure", "digits-gru", "--data", "digits", "--designs", "d.csv", "-o", "s.csv")

    assert done.returncode == 0, done.stderr
    assert [row["r_effective"][:3] for row in rows_of(tmp_path / "s.csv")] == ["0.2"]


def test_a_failed_design_is_noted_and_the_rest_is_written(cli: Cli, tmp_path: Path) -> None:
    done = cli("measure", "digits-mlp", "--data", "digits", "--grid", "R=0,D=0.000001:0.1:2", "-o", "s.csv")

    assert done.returncode == 0
    assert "note: R = 0, D = 1e-06 failed: quant_step = 1e-06 is outside the range of int16 codes" in done.stderr
    assert [bool(row["error"]) for row in rows_of(tmp_path / "s.csv")] == [True, False]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("digits-cnn", "--data", "gone.npz"), 2, "gone.npz: no such file"),
        (("gone.onnx", "--data", "digits"), 2, "gone.onnx: no such file"),
        (("text.onnx", "--data", "digits"), 3, "text.onnx: is not an ONNX file"),
        (("digits-cnn", "--data", "few.npz"), 3, "array 'x': has 4 samples, y has 3"),
        (("digits-cnn", "--data", "wide.npz"), 3, "the network takes 8 x 8"),
        (("digits-cnn", "--data", "digits", "--grid", "R=2,D=0.1"), 2, "R must be within [0, 1)"),
        (("digits-cnn", "--data", "digits", "--grid", "R=0,D=0.1", "--designs", "d.csv"), 2, "stands beside --grid"),
        (("digits-cnn", "--data", "digits", "--grid", "R=0,D=0.000001", "-o", "s.csv"), 4, "none of 1 designs could"),
        (("digits-cnn", "--data", "digits", "--level", "tape"), 2, "unknown name 'tape'"),
        (("digits-cnn", "--data", "digits", "--device", "tpu"), 2, "cannot run on 'tpu'"),
    ],
)
def test_a_user_error_has_an_exit_code_and_writes_nothing(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    np.savez(tmp_path / "few.npz", x=np.ones((4, 8, 8)), y=np.arange(3))
    np.savez(tmp_path / "wide.npz", x=np.ones((3, 9, 9)), y=np.arange(3))
    before = sorted(tmp_path.iterdir())
    done = cli("measure", *words)

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "  fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_without_onnx_measure_prints_the_install_line(tmp_path: Path) -> None:
    """An importer that refuses onnx stands for an environment without it."""
    code = (
        "import sys; sys.modules['onnx'] = None; sys.argv[1:] = ['measure', 'digits-cnn', '--data', 'digits'];"
        "from explorer.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip

    assert done.returncode == 5
    assert "fix: pip install onnx onnxruntime" in done.stderr


NO_METER = MeasurementOptions(energy="none")
MLP = ("measure", "digits-mlp", "--data", "digits", "--energy", "none", "-o", "s.csv")
# Columns that two measurements of one design share: all but times, and whether the machine was busy.
TIMED = {name for name in MEASURED if name.startswith("latency_")} | {"is_busy"}


def untimed(path: Path) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name not in TIMED} for row in rows_of(path)]


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Start `explorer WORDS` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "explorer", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip


def wait_for_rows(path: Path, n: int) -> None:
    until = time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") > n) and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.slow
def test_another_grid_extends_the_file_and_repeats_no_design(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    first = cli(*MLP, "--grid", "R=0:0.9:3,D=0.01")
    before = path.read_text()
    wider = cli(*MLP, "--grid", "R=0:0.9:5,D=0.01", "--json")
    after = path.read_text()
    same = cli(*MLP, "--grid", "R=0:0.9:5,D=0.01")

    assert (first.returncode, wider.returncode, same.returncode) == (0, 0, 0), wider.stderr
    assert "note: s.csv: has 3 measured designs, which are kept" in wider.stderr
    assert after.startswith(before)
    assert [row["pruning_ratio"] for row in rows_of(path)] == ["0.0", "0.45", "0.9", "0.225", "0.675"]
    asked = [design["pruning_ratio"] for design in json.loads(wider.stdout)["designs"]]
    assert asked == [0, 0.225, 0.45, 0.675, 0.9]
    assert path.read_text() == after
    assert sorted(one.name for one in tmp_path.iterdir()) == ["s.csv", "s.provenance.json"]


@pytest.mark.slow
def test_any_cut_of_a_file_is_healed_to_the_whole_table(cli: Cli, tmp_path: Path) -> None:
    path, words = tmp_path / "s.csv", (*MLP, "--grid", "R=0:0.5:2,D=0.01:0.1:2")
    cli(*words)
    whole, rows = path.read_bytes(), untimed(path)
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (ends[0] // 2, ends[0] + 1, ends[1] + 30, ends[2] + 1, ends[3] - 1, ends[3], len(whole) - 1):
        path.write_bytes(whole[:cut])
        done = cli(*words)

        assert done.returncode == 0, (cut, done.stderr)
        assert untimed(path) == rows
        n_kept = sum(end <= cut for end in ends[1:])
        assert whole[: ends[n_kept] + 1] == path.read_bytes()[: ends[n_kept] + 1]


@pytest.mark.slow
def test_rows_of_other_conditions_are_not_mixed(cli: Cli, tmp_path: Path) -> None:
    path, grid = tmp_path / "s.csv", ("--grid", "R=0.5,D=0.02")
    cli(*MLP, *grid)
    before = path.read_bytes()
    other = ("measure", "digits-gru", *MLP[2:], *grid, "--codec", "dense", "--per-tensor")
    refused = cli(*other)
    lonely = (tmp_path / "s.provenance.json").rename(tmp_path / "kept.json")
    unknown = cli(*MLP, "--grid", "R=0.2,D=0.02")

    messages = ("the network (", "the pruning (global", "the size's codec (deflate there", "without s.provenance.json")
    for done, message in zip((refused, refused, refused, unknown), messages, strict=True):
        assert done.returncode == 2
        assert message in done.stderr
        assert "begin it anew with --force" in done.stderr
    assert path.read_bytes() == before
    lonely.rename(tmp_path / "s.provenance.json")
    assert cli(*other, "--force").returncode == 0
    assert [row["size_codec"] for row in rows_of(path)] == ["dense"]


@pytest.mark.slow
def test_rows_that_were_added_stay(cli: Cli, tmp_path: Path) -> None:
    """`verify --samples` appends rows without an effective key; they are of no design that was measured here."""
    path = tmp_path / "s.csv"
    cli(*MLP, "--grid", "R=0.5,D=0.02")
    header = path.read_text().splitlines()[0].split(",")
    added = {"family": "digits-mlp", "pruning_ratio": "0.5", "quant_step": "0.02", "accuracy": "0.25"}
    with path.open("a", encoding="utf-8") as file:
        csv.DictWriter(file, header, restval="", lineterminator="\n").writerow(added)
    done = cli(*MLP, "--grid", "R=0.5:0.6:2,D=0.02")

    assert done.returncode == 0, done.stderr
    assert [(row["pruning_ratio"], row["accuracy"] == "0.25") for row in rows_of(path)] == [
        ("0.5", False), ("0.5", True), ("0.6", False)
    ]  # fmt: skip


@pytest.mark.slow
def test_python_saves_into_a_file_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    for grid in ("R=0.5,D=0.02", "R=0.2,D=0.02"):
        explorer.measure("digits-mlp", data="digits", grid=grid).save(path)
    table = tmp_path / "mine.csv"
    table.write_text("a\n1\n")
    with pytest.raises(explorer.ExplorerError, match="columns are not those"):
        explorer.measure("digits-mlp", data="digits", grid="R=0.5,D=0.02").save(table)

    assert [row["pruning_ratio"] for row in rows_of(path)] == ["0.5", "0.2"]
    assert table.read_text() == "a\n1\n"


@pytest.mark.processes
def test_kills_lose_no_row_and_a_second_process_is_refused(cli: Cli, tmp_path: Path) -> None:
    path, words = tmp_path / "s.csv", (*MLP, "--grid", "R=0:0.9:20,D=0.01")
    for n in (2, 6):
        running = start(tmp_path, *words)
        wait_for_rows(path, n)
        running.send_signal(signal.SIGSTOP)
        second = cli(*words)
        running.kill()
        running.communicate(timeout=60)
        kept = path.read_bytes()

        assert second.returncode == 2
        assert f"s.csv: another measurement is active: process {running.pid} on" in second.stderr
        with path.open("ab") as file:  # half a row, as a killed write leaves it
            file.write(b"digits-mlp,0.9,0.0")
        assert kept.count(b"\n") > n
    done = cli(*words)
    rows = rows_of(path)

    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert len({row["pruning_ratio"] for row in rows}) == len(rows) == 20


@pytest.mark.slow
def test_a_full_disk_keeps_the_rows_and_has_a_fix(cli: Cli, tmp_path: Path) -> None:
    """The disk is full for the table only: the runtime needs files of its own."""
    path, words = tmp_path / "s.csv", (*MLP, "--grid", "R=0:0.9:3,D=0.01")
    measured = explorer.measure("digits-mlp", data="digits", grid="R=0:0.9:3,D=0.01", options=NO_METER)

    def fill() -> None:
        with open_samples_file(path, measured.provenance) as file:
            for i, row in enumerate(measured.rows * 9):
                file.append({**row, "pruning_ratio": i / 100})

    with disk_of(2_200), pytest.raises(WrongUsage, match=r"s.csv: cannot write: .*\n  fix: free disk space"):
        fill()
    kept = path.read_bytes()
    done = cli(*words)

    assert 2 < kept.count(b"\n") < 9
    assert kept.endswith(b"\n")
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(kept)


@pytest.mark.slow
def test_an_interrupted_measurement_keeps_finished_designs(tmp_path: Path) -> None:
    running = start(tmp_path, "measure", "digits-transformer", "--data", "digits", "--grid", "R=0:0.9:9999,D=0.01",
                    "-o", "s.csv")  # fmt: skip
    wait_for_rows(tmp_path / "s.csv", 1)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)

    assert running.returncode == 130, stderr
    assert "designs measured so far are in s.csv" in stderr
    assert len(rows_of(tmp_path / "s.csv")) >= 1


def test_every_codec_is_selectable() -> None:
    assert {codec.value for codec in Codec} == set(CODECS)


def test_the_shipped_networks_are_listed(cli: Cli) -> None:
    assert "digits-cnn, digits-gru, digits-mlp, digits-mobile, digits-transformer" in cli("list").stdout
    assert "digits-gru" in json.loads(cli("list", "--json").stdout)["networks"]
