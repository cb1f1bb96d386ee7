"""From a network to a bundle that keeps its promise, and back into the samples: the whole chain as a user types it."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

SPACE = """
family = "digits-cnn"
[axes]
pruning_ratio = { range = [0.0, 0.9] }
quant_step = { range = [0.002, 0.3], scale = "log" }
[operating_points]
law = "none"
"""
STUDY = """
space = "../space.toml"
model = "../model.json"
objectives = ["size_bytes", "accuracy"]
constraints = ["accuracy >= 0.9"]
[search]
trials = 150
"""


@pytest.mark.slow
def test_measure_fit_run_choose_deploy_verify_and_learn(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/mine.toml").write_text(STUDY)
    (tmp_path / "space.toml").write_text(SPACE)
    for command in (
        ("measure", "digits-cnn", "--data", "digits", "--grid", "R=0:0.9:6,D=0.002:0.3:6", "-o", "samples.csv"),
        ("fit", "samples.csv", "-o", "model.json"),
        ("run", "mine"),
        ("choose", "mine", "--minimize", "size_bytes", "--where", "accuracy>=0.95", "-o", "chosen.json"),
        ("deploy", "chosen.json", "--model", "digits-cnn", "-o", "bundle"),
        ("verify", "bundle", "--data", "digits", "--model", "digits-cnn", "--samples", "samples.csv"),
    ):
        done = cli(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    rows = (tmp_path / "samples.csv").read_text().splitlines()
    again = cli("fit", "samples.csv", "--json")

    assert len(rows) == 1 + 36 + 1
    assert again.returncode == 0, again.stderr

    (network,) = (tmp_path / "bundle").glob("*.onnx")
    damaged = bytearray(network.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    network.write_bytes(bytes(damaged))

    assert cli("verify", "bundle", "--data", "digits").returncode == 4
