"""A function of the user's own as an evaluator: asked once a design, in SI, and never trusted to be right."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import explorer
from explorer.errors import InvalidFile, MeasurementFailed, WrongUsage
from explorer.models.measured.function import FunctionEvaluator, load_function, run_source
from explorer.problem.study import read_study

SPACE = """
family = "Board"
[axes]
quant_step = { range = [0.01, 0.3] }
frequency = { range = [600, 1800], unit = "MHz" }
mode = { choices = ["eco", "turbo"] }
[operating_points]
law = "none"
"""
STUDY = """
space = "./space.toml"
model = { measures = ["accuracy", "energy_j"] }
objectives = ["energy_j", "accuracy"]
[reference_point]
energy_j = 10.0
accuracy = 0.0
[search]
trials = 12
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(STUDY, encoding="utf-8")
    return str(tmp_path / "mine.toml")


def board(design: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "accuracy": math.exp(-3 * design["quant_step"]),
        "energy_j": design["frequency_hz"] / 1e9 * (2 if design["mode"] == "turbo" else 1),
        "energy_j_lo": 0.1,
        "meter": "a shunt",
    }


def test_a_function_is_asked_once_a_design_with_its_knobs_in_si(study: str, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def counting(design: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(dict(design))
        return board(design)

    results = explorer.run(study, measure=counting, out=tmp_path / "out").results

    assert len(asked) == results.n_complete == 12
    assert all(6e8 <= design["frequency_hz"] <= 1.8e9 for design in asked)
    assert {design["mode"] for design in asked} <= {"eco", "turbo"}
    assert {design["family"] for design in asked} == {"Board"}
    np.testing.assert_array_equal(results.table["energy_j"], [board(design)["energy_j"] for design in asked])
    assert (results.table["energy_j_lo"] == 0.1).all()
    assert results.provenance["measurement"]["function"].endswith("counting")


def test_what_was_measured_is_not_measured_again_when_the_run_goes_on(study: str, tmp_path: Path) -> None:
    calls = []

    def counting(design: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(design)
        return board(design)

    for trials in (5, 5, 9):
        explorer.run(study, measure=counting, trials=trials, out=tmp_path / "out")

    assert len(calls) == 9


def test_results_can_be_looked_at_without_the_function(study: str, tmp_path: Path) -> None:
    explorer.run(study, measure=board, out=tmp_path / "out")
    loaded = explorer.load_problem(study)
    told = explorer.explain(tmp_path / "out", design=3, study=study)

    assert told.design["design_id"] == 3
    assert told.rates["energy_j"]["frequency_hz"].sign == "+"
    assert any("a model fitted to the 12 measured designs" in said for said in told.warnings)
    with pytest.raises(WrongUsage, match=r"by a function of yours\n  fix: name it: --measure FILE.py:NAME"):
        loaded.sample(4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"accuracy": 0.5}, "gave None for energy_j", id="a target is missing"),
        pytest.param({"accuracy": 0.5, "energy_j": math.nan}, "gave nan for energy_j", id="NaN"),
        pytest.param({"accuracy": "high", "energy_j": 1.0}, "gave 'high' for accuracy", id="a word"),
        pytest.param({"accuracy": 98.2, "energy_j": 1.0}, "accuracy = 98.2, outside", id="percent"),
        pytest.param({"accuracy": 0.5, "energy_j": -1.0}, "energy_j = -1, outside", id="negative"),
        pytest.param(7, "returned no mapping but int", id="no mapping"),
    ],
)
def test_what_is_no_measurement_is_refused_with_what_it_was(study: str, given: Any, said: str) -> None:
    asked = explorer.load_problem(study, measure=lambda _: given)

    with pytest.raises(MeasurementFailed, match=said):
        asked.sample(2)


def test_a_function_that_fails_now_and_then_costs_its_trials_only(study: str, tmp_path: Path) -> None:
    calls = []

    def shaky(design: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(design)
        if len(calls) % 3 == 0:
            raise OSError("the meter does not answer")
        return board(design)

    results = explorer.run(study, measure=shaky, out=tmp_path / "out").results

    assert results.n_complete == 12
    assert any("5 trials failed" in note and "the meter does not answer" in note for note in results.notes)


def test_a_function_that_always_fails_ends_the_run_with_its_reason(study: str, tmp_path: Path) -> None:
    def broken(design: Mapping[str, Any]) -> dict[str, Any]:
        raise OSError("no such device")

    with pytest.raises(MeasurementFailed, match=r"20 designs in a row could not be measured(.|\n)*no such device"):
        explorer.run(study, measure=broken, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("task", "names no function", id="no file"),
        pytest.param("task.py", "names no function", id="no name"),
        pytest.param("nowhere.py:measure", "no such file", id="missing file"),
        pytest.param("{folder}/task.py:mesure", "did you mean 'measure'", id="misspelt"),
        pytest.param("{folder}/broken.py:measure", "ZeroDivisionError", id="does not run"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "task.py").write_text("def measure(design):\n    return {}\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\ndef measure(design):\n    return {}\n", encoding="utf-8")

    with pytest.raises(WrongUsage, match=said):
        run_source(load_function(text.format(folder=tmp_path)))


def test_only_a_study_that_measures_by_a_function_takes_one() -> None:
    with pytest.raises(WrongUsage, match=r"paper.toml measures by no function\n  fix: leave --measure out"):
        explorer.load_problem("paper", measure=board)


def test_a_study_declares_known_targets_and_a_reference_point(tmp_path: Path, study: str) -> None:
    text = Path(study).read_text(encoding="utf-8")
    (tmp_path / "faulty.toml").write_text(
        text.replace('measures = ["accuracy", "energy_j"]', 'measures = ["accuracy", "enrgy_j"]'), encoding="utf-8"
    )
    (tmp_path / "free.toml").write_text(text[: text.index("[reference")], encoding="utf-8")

    with pytest.raises(InvalidFile, match=r"unknown name 'enrgy_j'(.|\n)*did you mean 'energy_j'"):
        read_study(str(tmp_path / "faulty.toml"))
    with pytest.raises(InvalidFile, match=r"\[reference_point\] is missing"):
        read_study(str(tmp_path / "free.toml"))


def test_an_objective_that_is_not_measured_is_refused(tmp_path: Path, study: str) -> None:
    text = (
        Path(study)
        .read_text(encoding="utf-8")
        .replace('["energy_j", "accuracy"]\n[ref', '["edp_js", "accuracy"]\n[ref')
    )
    (tmp_path / "other.toml").write_text(text.replace("energy_j = 10.0", "edp_js = 10.0"), encoding="utf-8")

    with pytest.raises(InvalidFile, match="'edp_js' needs latency_s, which model"):
        explorer.load_problem(str(tmp_path / "other.toml"), measure=board)


def test_measurements_of_other_machines_do_not_claim_this_processor(study: str) -> None:
    asked = explorer.load_problem(study, measure=board)
    function = asked.evaluator
    assert isinstance(function, FunctionEvaluator)
    design = {"family": "Board", "quant_step": 0.1, "frequency_hz": 1e9, "mode": "eco"}
    function.accept(design, {"host": "pi1", **board(design)})
    elsewhere = function.provenance(when="")
    function.accept({**design, "quant_step": 0.2}, board(design))
    both = function.provenance(when="")

    assert (elsewhere["hosts"], "processor" in elsewhere) == (["pi1"], False)
    assert (both["hosts"], "processor" in both) == (["pi1"], True)


def test_latency_of_a_network_is_not_measured_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0.0, 0.9] }\nquant_step = { range = [0.01, 0.3] }\n'
        '[operating_points]\nlaw = "none"\n', encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "live.toml").write_text(
        'space = "./space.toml"\nmodel = { onnx = "digits-cnn", data = "digits" }\n'
        'objectives = ["latency_s", "accuracy"]\n[reference_point]\nlatency_s = 1.0\naccuracy = 0.0\n',
        encoding="utf-8",
    )
    with pytest.raises(WrongUsage, match="hold for one machine, and a cluster has others"):
        explorer.run(str(tmp_path / "live.toml"), cluster="tcp://127.0.0.1:9", out=tmp_path / "out")
