"""The closed loop as typed: measure, fit, run, choose, deploy, verify; and one byte that spoils it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.models.samples.samples import read_samples_csv

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SPACE = """[axes]
pruning_ratio = { range = [0, 0.8] }
quant_step = { range = [0.01, 0.2], scale = "log" }
[operating_points]
law = "none"
"""
STUDY = """space = "./space.toml"
model = "./model.json"
families = ["digits-cnn"]
objectives = ["size_bytes", "accuracy"]
[search]
trials = 80
"""
STEPS = (
    ("measure", "digits-cnn", "--data", "digits", "--grid", "R=0:0.8:5,D=0.01:0.2:5(log)", "--energy", "none",
     "-o", "cnn.csv"),
    ("fit", "cnn.csv", "-o", "model.json"),
    ("run", "./study.toml", "--out", "results"),
    ("choose", "results", "--minimize", "size_bytes", "--where", "accuracy>=0.985", "-o", "chosen.json"),
    ("deploy", "chosen.json", "--model", "digits-cnn", "-o", "bundle/"),
)  # fmt: skip


@pytest.fixture(scope="module")
def shipped(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a network was measured, fitted, searched, chosen and deployed as a user would."""
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    for step in STEPS:
        done = explorer_in(folder, *step)
        assert done.returncode == 0, f"{step}: {done.stderr}"
    return folder


@pytest.mark.slow
def test_verify_measures_predictions_and_detects_a_flipped_byte(explorer_in: Cli, shipped: Path) -> None:
    typed = ("verify", "bundle/", "--data", "digits", "--samples", "more.csv")
    kept = explorer_in(shipped, *typed)

    assert kept.returncode == 0, kept.stdout + kept.stderr
    lines = {line.split("  ")[0]: line for line in kept.stdout.splitlines()}
    assert all(" yes " in lines[name] for name in ("files", "runs", "codes", "Accuracy", "Model size"))
    assert "95 % Wilson interval" in lines["Accuracy"]

    path = shipped / "bundle/network.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    broken = explorer_in(shipped, *typed)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    assert broken.returncode == 4
    assert "network.onnx was changed" in broken.stdout
    assert "error: bundle: broken: files\n  fix: deploy it again" in broken.stderr
    assert (shipped / "more.csv").read_text(encoding="utf-8").count("\n") == 2, "the spoilt one adds no row"


@pytest.mark.slow
def test_a_verified_measurement_becomes_a_sample(explorer_in: Cli, shipped: Path) -> None:
    (shipped / "loop.csv").write_bytes((shipped / "cnn.csv").read_bytes())

    explorer_in(shipped, "verify", "bundle", "--data", "digits", "--samples", "loop.csv")
    fitted = explorer_in(shipped, "fit", "loop.csv", "--json")

    assert fitted.returncode == 0, fitted.stderr
    assert json.loads(fitted.stdout)["targets"]["accuracy"]["n"] == 26
    chosen = json.loads((shipped / "chosen.json").read_text(encoding="utf-8"))["design"]
    samples = read_samples_csv(shipped / "loop.csv")
    assert samples.columns["quant_step"][-1] == chosen["quant_step"]


def test_json_carries_every_check_with_its_numbers(explorer_in: Cli, shipped: Path) -> None:
    said = json.loads(explorer_in(shipped, "verify", "bundle", "--data", "digits", "--no-energy", "--json").stdout)

    assert (said["schema"], said["is_kept"]) == ("explorer.verify/1", True)
    checks = {check["name"]: check for check in said["checks"]}
    accuracy = checks["accuracy"]
    assert accuracy["state"] == "kept"
    assert accuracy["found"]["lo"] < accuracy["found"]["value"] < accuracy["found"]["hi"]
    assert accuracy["promised"]["lo"] <= accuracy["promised"]["value"] <= accuracy["promised"]["hi"]
    assert "energy_j" not in checks


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        pytest.param(("gone",), 2, "gone: no such folder", id="folder"),
        pytest.param((".",), 2, "is not a bundle", id="no-bundle"),
        pytest.param(("bundle", "--data", "gone.npz"), 2, "gone.npz: no such file", id="data"),
        pytest.param(("bundle", "--data", "study.toml"), 2, "unknown name 'study.toml'", id="no-data"),
        pytest.param(("bundle", "--samples", "x.csv"), 2, "--samples needs --data", id="samples"),
        pytest.param(("bundle", "--data", "digits", "--samples", "space.toml"), 3, "'family' is missing", id="table"),
        pytest.param(("bundle", "--model", "digits-mlp"), 4, "the source network of the bundle is not", id="source"),
    ],
)
def test_an_unverifiable_bundle_is_refused_in_a_few_lines(
    explorer_in: Cli, shipped: Path, args: tuple[str, ...], code: int, said: str
) -> None:
    done = explorer_in(shipped, "verify", *args)

    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_onnx_the_install_line_is_printed(explorer_in: Cli, shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ImportError", encoding="utf-8")
    env = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}

    deployed = explorer_in(shipped, "deploy", "chosen.json", "--model", "digits-cnn", "-o", "again", env=env)
    verified = explorer_in(shipped, "verify", "bundle", env=env)

    assert (deployed.returncode, verified.returncode) == (5, 5)
    assert "fix: pip install onnx onnxruntime" in deployed.stderr
    assert not (shipped / "again").exists()
