"""FunctionEvaluator: called once a design, in SI units, with validated results."""

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


@pytest.mark.slow
def test_function_is_called_once_a_design_in_si_units(study: str, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    def counting(design: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(dict(design))
        return board(design)

    results = explorer.run(study, measure=counting, out=tmp_path / "out").results

    assert len(calls) == results.n_complete == 12
    assert all(6e8 <= design["frequency_hz"] <= 1.8e9 for design in calls)
    assert {design["mode"] for design in calls} <= {"eco", "turbo"}
    assert {design["family"] for design in calls} == {"Board"}
    np.testing.assert_array_equal(results.table["energy_j"], [board(design)["energy_j"] for design in calls])
    assert (results.table["energy_j_lo"] == 0.1).all()
    assert results.provenance["measurement"]["function"].endswith("counting")


def test_resumed_run_repeats_no_measurement(study: str, tmp_path: Path) -> None:
    calls = []

    def counting(design: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(design)
        return board(design)

    for trials in (5, 5, 9):
        explorer.run(study, measure=counting, trials=trials, out=tmp_path / "out")

    assert len(calls) == 9


@pytest.mark.slow
def test_results_can_be_read_without_the_function(study: str, tmp_path: Path) -> None:
    explorer.run(study, measure=board, out=tmp_path / "out")
    loaded = explorer.load_study(study)
    explanation = explorer.explain(tmp_path / "out", design=3, study=study)

    assert explanation.design["design_id"] == 3
    assert explanation.rates["energy_j"]["frequency_hz"].change > 0
    assert any("a model fitted to the 12 measured designs" in warning for warning in explanation.warnings)
    with pytest.raises(WrongUsage, match=r"by a function of yours\n  fix: name it: --measure FILE.py:NAME"):
        loaded.sample(4)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param({"accuracy": 0.5}, "returned None for energy_j", id="a target is missing"),
        pytest.param({"accuracy": 0.5, "energy_j": math.nan}, "returned nan for energy_j", id="NaN"),
        pytest.param({"accuracy": "high", "energy_j": 1.0}, "returned 'high' for accuracy", id="a word"),
        pytest.param({"accuracy": 98.2, "energy_j": 1.0}, "accuracy = 98.2, outside", id="percent"),
        pytest.param({"accuracy": 0.5, "energy_j": -1.0}, "energy_j = -1, outside", id="negative"),
        pytest.param(7, "returned int, not a mapping", id="no mapping"),
    ],
)
def test_invalid_measurement_is_refused_with_its_value(study: str, raw: Any, message: str) -> None:
    problem = explorer.load_study(study, measure=lambda _: raw)

    with pytest.raises(MeasurementFailed, match=message):
        problem.sample(2)


@pytest.mark.slow
def test_occasional_failures_fail_their_trials_only(study: str, tmp_path: Path) -> None:
    calls = []

    def unreliable(design: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(design)
        if len(calls) % 3 == 0:
            raise OSError("the meter does not answer")
        return board(design)

    results = explorer.run(study, measure=unreliable, out=tmp_path / "out").results

    assert results.n_complete == 12
    assert any("5 trials failed" in note and "the meter does not answer" in note for note in results.notes)


def test_function_that_always_fails_ends_the_run(study: str, tmp_path: Path) -> None:
    def broken(design: Mapping[str, Any]) -> dict[str, Any]:
        raise OSError("no such device")

    with pytest.raises(MeasurementFailed, match=r"20 designs in a row could not be measured(.|\n)*no such device"):
        explorer.run(study, measure=broken, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("task", "names no function", id="no file"),
        pytest.param("task.py", "names no function", id="no name"),
        pytest.param("nowhere.py:measure", "no such file", id="missing file"),
        pytest.param("{folder}/task.py:mesure", "did you mean 'measure'", id="misspelt"),
        pytest.param("{folder}/broken.py:measure", "ZeroDivisionError", id="does not run"),
    ],
)
def test_function_that_cannot_be_loaded_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "task.py").write_text("def measure(design):\n    return {}\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\ndef measure(design):\n    return {}\n", encoding="utf-8")

    with pytest.raises(WrongUsage, match=message):
        run_source(load_function(text.format(folder=tmp_path)))


def test_function_is_refused_by_a_study_with_a_model() -> None:
    with pytest.raises(WrongUsage, match=r"paper.toml measures by no function\n  fix: leave --measure out"):
        explorer.load_study("paper", measure=board)


def test_study_needs_valid_targets_and_a_reference_point(tmp_path: Path, study: str) -> None:
    text = Path(study).read_text(encoding="utf-8")
    (tmp_path / "faulty.toml").write_text(
        text.replace('measures = ["accuracy", "energy_j"]', 'measures = ["accuracy", "enrgy_j"]'), encoding="utf-8"
    )
    (tmp_path / "free.toml").write_text(text[: text.index("[reference")], encoding="utf-8")

    with pytest.raises(InvalidFile, match=r"unknown name 'enrgy_j'(.|\n)*did you mean 'energy_j'"):
        read_study(str(tmp_path / "faulty.toml"))
    with pytest.raises(InvalidFile, match=r"\[reference_point\] is missing"):
        read_study(str(tmp_path / "free.toml"))


def test_objective_of_an_unmeasured_target_is_refused(tmp_path: Path, study: str) -> None:
    text = (
        Path(study)
        .read_text(encoding="utf-8")
        .replace('["energy_j", "accuracy"]\n[ref', '["edp_js", "accuracy"]\n[ref')
    )
    (tmp_path / "other.toml").write_text(text.replace("energy_j = 10.0", "edp_js = 10.0"), encoding="utf-8")

    with pytest.raises(InvalidFile, match="'edp_js' needs latency_s, which model"):
        explorer.load_study(str(tmp_path / "other.toml"), measure=board)


def test_provenance_names_this_processor_only_if_it_measured(study: str) -> None:
    function = explorer.load_study(study, measure=board).evaluator
    assert isinstance(function, FunctionEvaluator)
    design = {"family": "Board", "quant_step": 0.1, "frequency_hz": 1e9, "mode": "eco"}
    function.add_measurement(design, {"host": "pi1", **board(design)})
    remote = function.provenance(when="")
    function.add_measurement({**design, "quant_step": 0.2}, board(design))
    both = function.provenance(when="")

    assert (remote["hosts"], "processor" in remote) == (["pi1"], False)
    assert (both["hosts"], "processor" in both) == (["pi1"], True)


def test_function_states_the_machine_that_it_returns(study: str) -> None:
    """It may measure on a board that it controls from this host: without `machine` nothing is stated."""
    function = explorer.load_study(study, measure=board).evaluator
    assert isinstance(function, FunctionEvaluator)
    design = {"family": "Board", "quant_step": 0.1, "frequency_hz": 1e9, "mode": "eco"}
    function.add_measurement(design, board(design))
    unstated = function.machine
    function.add_measurement({**design, "quant_step": 0.2}, {"machine": "pi1", **board(design)})

    assert (unstated, function.machine) == ("", "pi1; not stated")


def test_network_latency_is_refused_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0.0, 0.9] }\nquant_step = { range = [0.01, 0.3] }\n'
        '[operating_points]\nlaw = "none"\n', encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "live.toml").write_text(
        'space = "./space.toml"\nmodel = { onnx = "digits-cnn", data = "digits" }\n'
        'objectives = ["latency_s", "accuracy"]\n[reference_point]\nlatency_s = 1.0\naccuracy = 0.0\n',
        encoding="utf-8",
    )
    with pytest.raises(WrongUsage, match="valid for one machine only, not for a cluster"):
        explorer.run(str(tmp_path / "live.toml"), cluster="tcp://127.0.0.1:9", out=tmp_path / "out")
