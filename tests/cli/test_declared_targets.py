"""Targets that explorer does not define, from a table to a checked bundle: mAP to maximize, perplexity as a limit."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import explorer
from tests.cli.conftest import run_process

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CASES = Path(__file__).parents[1] / "cases/tables"
SPACE = """family = "network"
[axes]
pruning_ratio = { values = [0.0, 0.25, 0.5, 0.75] }
weight_bits = { values = [4, 8, 16] }
frequency = { values = [600, 1200, 1800], unit = "MHz" }
[operating_points]
law = "none"
[targets.mAP]
direction = "max"
range = [0, 1]
[targets.perplexity]
direction = "min"
"""
STUDY = """space = "detector"
model = "../mAP.csv"
objectives = ["mAP", "energy_j"]
constraints = ["perplexity <= 9.08 @ 90 %"]
[search]
trials = 60
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, explorer_in: Cli) -> Path:
    """Return a folder with the table, its space and the finished study."""
    root = tmp_path_factory.mktemp("declared")
    (root / "mAP.csv").write_bytes((CASES / "mAP.csv").read_bytes())
    for name, text in (("search_spaces/detector.toml", SPACE), ("studies/detector.toml", STUDY)):
        (root / name).parent.mkdir()
        (root / name).write_text(text, encoding="utf-8")
    done = explorer_in(root, "run", "detector")
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.slow
def test_the_front_is_of_the_declared_targets(folder: Path) -> None:
    front = json.loads((folder / "results/detector/front.json").read_text(encoding="utf-8"))
    designs = front["designs"]

    assert [(o["name"], o["direction"]) for o in front["objectives"]] == [("mAP", "maximize"), ("energy_j", "minimize")]
    assert front["targets"][0] == {
        "name": "mAP",
        "direction": "max",
        "unit": "",
        "range": [0.0, 1.0],
        "interval": "none",
    }
    assert all(one["mAP_lo"] <= one["mAP"] <= one["mAP_hi"] for one in designs)
    assert all(one["perplexity_p90"] <= 9.08 for one in designs)
    assert all(one["p_limits"] >= 0.9 for one in designs)
    by_energy = sorted(designs, key=lambda one: one["energy_j"])
    assert [one["mAP"] for one in by_energy] == sorted(one["mAP"] for one in designs)


@pytest.mark.slow
def test_a_choice_by_a_declared_target_is_deployed_and_checked(folder: Path, explorer_in: Cli) -> None:
    """In processes of their own: each file carries the targets that it names."""
    done = [
        run_process(folder, command.split())
        for command in (
            "choose detector --best mAP --where perplexity<=9.07 -o chosen.json",
            "deploy chosen.json -o bundle",
            "verify bundle --measured mAP=0.4748..0.4752",
            "verify bundle --measured mAP=0.40 --measured latency_ms=14",
        )
    ]
    assert [one.returncode for one in done] == [0, 0, 0, 4], [one.stderr for one in done]
    chosen = json.loads((folder / "chosen.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((CASES / "mAP.csv").read_text(encoding="utf-8").splitlines()))

    assert chosen["design"]["mAP"] >= max(float(row["mAP"]) for row in rows if float(row["perplexity"]) <= 9.07) - 1e-3
    assert chosen["limits"][0]["constraint"].startswith("perplexity <= 9.08")
    assert re.search(r"mAP .* 0\.475 .* yes +as stated", done[2].stdout)
    assert re.search(r"mAP .* 0\.4 +NO +below it; as stated", done[3].stdout)
    assert re.search(r"Latency T .* 14 ms +NO", done[3].stdout)
    assert "perplexity" in (folder / "bundle/README.txt").read_text(encoding="utf-8")


def test_a_name_that_was_not_declared_says_how(explorer_in: Cli, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    text = 'space = "cnn"\nobjectives = ["mIoU", "energy_j"]\n'
    (tmp_path / "studies/s.toml").write_text(text, encoding="utf-8")
    done = explorer_in(tmp_path, "run", "s")

    assert done.returncode == 3
    assert "unknown name 'mIoU'" in done.stderr
    assert "[targets.mIoU]" in done.stderr


def test_a_function_measures_declared_targets_with_their_intervals(tmp_path: Path) -> None:
    def measure(design: dict[str, float]) -> dict[str, float]:
        wer = 0.05 + 0.2 * design["pruning_ratio"] ** 2
        return {"wer": wer, "wer_lo": wer - 0.01, "wer_hi": wer + 0.01, "gain": 3.0 - 9 * design["pruning_ratio"]}

    study = explorer.study(
        name="speech",
        space={"family": "a", "axes": {"pruning_ratio": {"range": [0, 0.9]}}, "operating_points": {"law": "none"}},
        model={"measures": ["wer", "gain"]},
        measure=measure,
        objectives=["wer", "gain"],
        targets={
            "wer": {"direction": "min", "range": [0, 1], "interval": "bootstrap"},
            "gain": {"direction": "min", "unit": "dB", "range": [float("-inf"), float("inf")]},
        },
        reference_point={"wer": 0.5, "gain": 5.0},
        search={"sampler": "random", "trials": 12},
    )
    results = explorer.run(study, out=tmp_path / "out").results
    front = results.front()

    assert np.allclose(front["wer_hi"] - front["wer_lo"], 0.02)
    assert front["gain"].min() < 0 < front["gain"].max()
    assert explorer.choose(results, minimize="gain").record["design"]["gain"] == front["gain"].min()


def test_a_value_outside_the_declared_range_ends_the_measurement(tmp_path: Path) -> None:
    study = explorer.study(
        name="speech",
        space={"family": "a", "axes": {"pruning_ratio": {"range": [0, 0.9]}}, "operating_points": {"law": "none"}},
        model={"measures": ["wer", "energy_j"]},
        measure=lambda _: {"wer": 3.0, "energy_j": 1.0},
        objectives=["wer", "energy_j"],
        targets={"wer": {"direction": "min", "range": [0, 1]}},
        reference_point={"wer": 0.5, "energy_j": 5.0},
        search={"sampler": "random", "trials": 3},
    )
    with pytest.raises(explorer.ExplorerError, match="returned wer = 3, outside"):
        explorer.run(study, out=tmp_path / "out")
