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

from explorer.cli.measure import Codec
from explorer.network.compression.sizes import CODECS

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


@pytest.mark.slow
def test_an_interrupted_measurement_keeps_finished_designs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "explorer", "measure", "digits-transformer", "--data", "digits",
               "--grid", "R=0:0.9:9999,D=0.01", "-o", "s.csv"]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    until = time.monotonic() + 60  # the first row is written at once
    while not (tmp_path / "s.csv").exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)

    assert running.returncode == 130, stderr
    assert "designs measured so far are in s.csv" in stderr
    assert len(rows_of(tmp_path / "s.csv")) >= 1


def test_every_codec_is_selectable() -> None:
    assert {codec.value for codec in Codec} == set(CODECS)


def test_the_shipped_networks_are_listed(cli: Cli) -> None:
    assert "digits-cnn, digits-gru, digits-mlp, digits-transformer" in cli("list").stdout
    assert "digits-gru" in json.loads(cli("list", "--json").stdout)["networks"]
