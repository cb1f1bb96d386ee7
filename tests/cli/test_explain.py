"""`explorer explain` as typed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_explain_prints_sensitivities_and_limits(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "explain", "paper", "--design", 1)

    assert done.returncode == 0, done.stderr
    for said in ("design 1 of paper: ", "What a small step or another choice changes: Energy-delay product",
                 "V with f +10 mV",
                 "highest clock that 0.9 V supports, 2.3 GHz", "Nearest sample: CNN2, here", "130 ms",
                 "What this means, where it is certain:"):  # fmt: skip
        assert said in done.stdout, said
    assert done.stderr == ""


def test_a_dominated_design_names_the_dominating_one(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "explain", "paper", "--design", 0)

    assert "not on the front" in done.stdout
    assert "beat it; design" in done.stdout


def test_json_has_every_objective_for_every_knob(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "explain", "results/paper", "--design", 1, "--json")

    told = json.loads(done.stdout)
    assert told["schema"] == "explorer.explain/1"
    assert {"edp_js", "weighted_cost", "accuracy", "energy_j", "latency_s", "power_w"} <= told["rates"].keys()
    moves = {"pruning_ratio", "quant_step", "voltage_v", "frequency_hz", "voltage_with_clock"}
    assert all(own.keys() == moves for own in told["rates"].values())
    assert {"change", "lo", "hi", "elasticity", "sign"} <= told["rates"]["edp_js"]["voltage_v"].keys()
    assert told["design"]["edp_js_lo"] < told["design"]["edp_js"] < told["design"]["edp_js_hi"]
    assert {"kind", "text", "left", "touches", "improves"} <= told["limits"][0].keys()
    assert told["nearest_sample"]["label"] == "CNN2"
    assert told["warnings"] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param(["paper", "--design", "9999"], "300 finished designs, 0 to 299", id="no-design"),
        pytest.param(["power-cap", "--design", "1"], "has not been run here", id="not-run"),
        pytest.param(["nothing", "--design", "1"], "no study is called 'nothing'", id="no-study"),
        pytest.param(["paper", "--design", "1", "--study", "no.toml"], "no such study file", id="no-file"),
    ],
)
def test_an_unexplainable_design_is_refused_with_a_fix(
    explorer_in: Cli, paper_run: Path, args: list[str], said: str
) -> None:
    done = explorer_in(paper_run, "explain", *args)

    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_changed_study_is_warned_of_and_stdout_stays_json(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "explain", "paper", "--design", 1, "--study", "edp-accuracy", "--json")

    assert done.returncode == 0
    assert "WARNING: " in done.stderr
    assert "declares another problem" in json.loads(done.stdout)["warnings"][0]
