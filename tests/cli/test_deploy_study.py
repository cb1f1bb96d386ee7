"""From a study that measures to a verified bundle, with nothing said twice; and samples of `measure` likewise."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.slow
CASES = Path(__file__).parents[1] / "cases/bundles"
STUDY = """
space = "measured"
model = { onnx = "../plain.onnx", data = "../mlp.npz", codec = "dense", per_tensor = true }
objectives = ["size_bytes", "accuracy"]
[search]
trials = 5
[reference_point]
size_bytes = 4000
accuracy = 0.05
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the folder of the commands, with a network, its data and a study."""
    for name in ("plain.onnx", "mlp.npz"):
        shutil.copy(CASES / name, tmp_path / name)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/net.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def typed(cli: Cli, *words: object, code: int = 0) -> str:
    """Run a command; return what it printed."""
    done = cli(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def states(cli: Cli, *words: object) -> dict[str, str]:
    verdict = json.loads(cli("verify", *words, "--json").stdout)
    return {check["name"]: check["state"] for check in verdict["checks"]}


def test_a_live_study_is_deployed_and_verified_without_being_named_again(cli: Cli, place: Path) -> None:
    typed(cli, "run", "net")
    typed(cli, "choose", "net", "--minimize", "size_bytes", "--where", "accuracy>=0.5")
    typed(cli, "deploy", "results/net/chosen.json", "-o", "bundle")
    network = json.loads((place / "bundle/manifest.json").read_text())["network"]

    assert (network["size_codec"], network["per_tensor"]) == ("dense", True)
    assert network["reference"]["inputs"] == "8 samples of mlp.npz"
    assert states(cli, "bundle") == {
        "files": "kept", "runs": "kept", "codes": "kept", "outputs": "kept", "size_bytes": "kept",
        "accuracy": "not measured",
    }  # fmt: skip
    measured = states(cli, "bundle", "--data", "mlp.npz", "--model", "plain.onnx")
    assert {name for name, state in measured.items() if state == "kept"} == {
        "files", "runs", "codes", "outputs", "size_bytes", "accuracy", "limit of accuracy",
    }  # fmt: skip

    (place / "plain.onnx").rename(place / "moved.onnx")
    gone = typed(cli, "deploy", "results/net/chosen.json", "-o", "b2", code=2)
    assert "plain.onnx: the network of study 'net' is not there any more" in gone
    typed(cli, "deploy", "results/net/chosen.json", "-o", "b2", "--model", "moved.onnx")
    assert (place / "b2/network.onnx").read_bytes() == (place / "bundle/network.onnx").read_bytes()
    (place / "plain.onnx").write_bytes((place / "moved.onnx").read_bytes() + b"\x9a\x01\x00")
    other = typed(cli, "deploy", "results/net/chosen.json", "-o", "b3", code=2)
    assert "plain.onnx: is not the network that study 'net' measured" in other
    assert not (place / "b3").exists()


def test_samples_of_measure_carry_their_options(cli: Cli, place: Path) -> None:
    """The network that is named must be theirs; int8 activations need their calibration data."""
    grid = ("--grid", "R=0.2,D=0.05", "-o")
    typed(cli, "measure", "plain.onnx", "--data", "mlp.npz", "--clip", "int4", "--codec", "file", *grid, "float.csv")
    typed(cli, "measure", "plain.onnx", "--data", "mlp.npz", "--full-int8", "mlp.npz", *grid, "int8.csv")
    typed(cli, "run", "paper", "--trials", 40)
    typed(cli, "choose", "paper", "--knee", "-o", "paper.json")

    def choose(samples: str) -> str:
        chosen: dict[str, Any] = json.loads((place / "paper.json").read_text())
        chosen["provenance"]["model"]["name"] = samples
        chosen["design"] |= {"pruning_ratio": 0.2, "quant_step": 0.05}
        (place / "chosen.json").write_text(json.dumps(chosen))
        return "chosen.json"

    typed(cli, "deploy", choose("float.csv"), "--model", "plain.onnx", "-o", "float")
    network = json.loads((place / "float/manifest.json").read_text())["network"]
    assert (network["clip"], network["size_codec"], network["activations"]) == ("int4", "file", "float32")

    refused = typed(cli, "deploy", choose("int8.csv"), "--model", "plain.onnx", "-o", "int8", code=2)
    assert "int8.csv: its samples were measured with int8 activations\n  fix: give their data: --full-int8" in refused
    said = typed(cli, "deploy", choose("int8.csv"), "--model", "plain.onnx", "--full-int8", "mlp.npz", "-o", "int8")
    assert "activations are int8" not in said
    assert states(cli, "int8", "--model", "plain.onnx")["outputs"] == "kept"

    other = typed(cli, "deploy", choose("float.csv"), "--model", "digits-mlp", "-o", "other")
    assert "warning: numbers of another network: the samples of float.csv measured one with SHA-256" in other


TASK = """
import numpy as np

def data():
    stored = np.load("mlp.npz")
    return stored["x"], stored["y"]

def score(run, inputs, y):
    logits = run(inputs)["logits"]
    logits = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
"""
SCORED = """
space = "measured"
model = { onnx = "../plain.onnx", holdout = 0.3 }
objectives = ["nll", "size_bytes"]
[targets.nll]
direction = "min"
interval = "bootstrap"
[search]
trials = 5
[reference_point]
nll = 9
size_bytes = 4000
"""


def test_a_users_score_is_promised_shipped_and_verified_on_held_back_samples(cli: Cli, place: Path) -> None:
    """The study's data is Python code: it is run where it is named on the command line, and nowhere else."""
    (place / "studies/scored.toml").write_text(SCORED, encoding="utf-8")
    (place / "task.py").write_text(TASK, encoding="utf-8")
    typed(cli, "run", "scored", "--data", "python:./task.py")
    typed(cli, "choose", "scored", "--minimize", "nll")
    remarked = typed(cli, "deploy", "results/scored/chosen.json", "-o", "plain")
    typed(cli, "deploy", "results/scored/chosen.json", "-o", "bundle", "--data", "python:./task.py")
    chosen = json.loads((place / "results/scored/chosen.json").read_text())
    held = chosen["selection"]["holdout"]
    verdict = json.loads(cli("verify", "bundle", "--data", "python:./task.py", "--json").stdout)
    checks = {check["name"]: check for check in verdict["checks"]}

    assert "is Python code (python:./task.py), which was not run" in remarked
    assert (held["share"], held["n_samples"]) == (0.3, 60)
    assert held["targets"]["nll"]["value"] == chosen["design"]["nll_holdout"]
    assert "Quality on 60 held-back samples, which did not choose the design: nll" in " ".join(
        (place / "bundle/README.txt").read_text().split()
    )
    assert verdict["data"]["relation"] == "holdout"
    assert checks["nll_holdout"]["found"]["value"] == pytest.approx(held["targets"]["nll"]["value"], rel=1e-6)
    assert {checks[name]["state"] for name in ("nll_holdout", "outputs", "codes", "size_bytes", "runs")} == {"kept"}
    assert states(cli, "plain")["outputs"] == "kept"
