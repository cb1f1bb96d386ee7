"""The Python face in a notebook: DataFrames in and out give the results of files and commands; short reprs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import explorer
from explorer.api.models import FittedModel
from explorer.errors import InvalidFile, WrongUsage
from explorer.models.samples.samples import paper_samples

OBJECTIVES = ["energy_j", "accuracy"]
ROWS = pd.DataFrame(paper_samples().columns)


@pytest.fixture(scope="module")
def fitted() -> FittedModel:
    """A model fitted to a DataFrame; judging it on held-out rows takes a second."""
    return explorer.fit(ROWS)


def test_samples_from_a_dataframe_equal_those_of_its_csv(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    from_file, from_frame = explorer.read_samples(tmp_path / "rows.csv"), explorer.read_samples(ROWS)

    assert from_frame.sha256 == from_file.sha256
    assert from_frame.source == "a DataFrame"
    pd.testing.assert_frame_equal(pd.DataFrame(from_frame.columns), pd.DataFrame(from_file.columns))


def test_a_fault_of_a_dataframe_names_its_row_and_column() -> None:
    with pytest.raises(InvalidFile, match=r"^samples: row 3, accuracy: '1\.5' is not allowed"):
        explorer.fit(ROWS.assign(accuracy=[0.9, 1.5, *ROWS["accuracy"][2:]]))


@pytest.mark.slow
def test_a_fit_of_a_dataframe_predicts_as_that_of_its_csv(tmp_path: Path, fitted: FittedModel) -> None:
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    designs = ROWS[["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]]
    fitted.save(tmp_path / "model.json")

    pd.testing.assert_frame_equal(fitted.predict(designs), explorer.predict(tmp_path / "rows.csv", designs))
    pd.testing.assert_frame_equal(explorer.predict(tmp_path / "model.json", designs), fitted.predict(designs))
    assert fitted.errors.loc["energy_j", "loo_mape"] < 0.033


def test_one_design_takes_numbers_in_si_or_text_with_a_unit() -> None:
    knobs = {"family": "CNN", "pruning_ratio": 0.46, "quant_step": 0.03}
    one = explorer.predict("paper", **knobs, voltage_v=0.9, frequency_hz=2.3e9)

    pd.testing.assert_frame_equal(one, explorer.predict("paper", **knobs, voltage_v="900 mV", frequency_hz="2.3 GHz"))


@pytest.mark.slow
def test_a_study_from_keywords_equals_that_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(
        'space = "cnn"\nobjectives = ["energy_j", "accuracy"]\nconstraints = ["power_w <= 20 W"]\n', encoding="utf-8"
    )
    declared = explorer.study(name="mine", space="cnn", objectives=OBJECTIVES, constraints=["power_w <= 20 W"])
    of_file = explorer.load_study("./mine.toml")

    assert declared.study.declaration() == of_file.study.declaration()
    one, other = explorer.run(declared, trials=10, out="a"), explorer.run(of_file, trials=10, out="b")
    np.testing.assert_array_equal(one.results.values, other.results.values)


@pytest.mark.slow
def test_a_study_of_a_dataframe_and_a_space_of_a_dict_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    axes = {"pruning_ratio": {"range": [0.3, 0.6]}, "quant_step": {"range": [0.02, 0.05], "scale": "log"},
            "voltage": {"range": [0.7, 1.1]}, "frequency": {"range": [1.5, 3.0], "unit": "GHz"}}  # fmt: skip
    mine = explorer.study(name="mine", samples=ROWS, space={"family": "CNN", "axes": axes}, objectives=OBJECTIVES)
    results = explorer.run(mine, trials=30).results
    choice = explorer.choose(results, minimize="energy_j")

    assert explorer.load_results("mine").n_complete == results.n_complete == 30
    assert explorer.front("mine")["pruning_ratio"].between(0.3, 0.6).all()
    assert explorer.explain(results, design=choice.design["design_id"], study=mine).is_front
    assert choice.save(tmp_path / "chosen.json").read_text(encoding="utf-8").startswith('{\n  "schema"')


def test_all_faults_of_a_study_from_keywords_come_at_once() -> None:
    with pytest.raises(InvalidFile) as error:
        explorer.study(objectives=["energyj", "accuracy"], space="cnn", search={"trials": 0})

    assert {fault.where for fault in error.value.faults} == {"objectives, item 1", "[search] trials"}


def test_samples_and_model_exclude_each_other() -> None:
    with pytest.raises(WrongUsage, match="samples and model are both given"):
        explorer.study(objectives=OBJECTIVES, samples=ROWS, model="paper", space="cnn")


@pytest.mark.slow
def test_the_outcome_of_a_run_is_taken_where_results_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = explorer.run("edp-accuracy", trials=10)
    choice = explorer.choose(outcome, knee=True)
    _, bundle = explorer.deploy(choice, out="bundle")

    assert choice.design == explorer.choose("edp-accuracy", knee=True).design
    assert (
        explorer.explain(outcome, design=choice.design["design_id"]).design["design_id"] == choice.design["design_id"]
    )
    assert explorer.compare([outcome, "results/edp-accuracy/"]).union_hypervolume == outcome.results.hypervolume
    assert explorer.front(outcome).equals(outcome.results.front())
    assert explorer.plot.front(outcome) == explorer.plot.front("edp-accuracy")
    assert explorer.report(outcome, "page.html").is_file()
    assert explorer.verify(bundle.folder).is_kept


def test_a_dataframe_of_designs_is_evaluated_as_its_columns() -> None:
    problem = explorer.load_study("edp-accuracy")
    knobs = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    columns = {name: ROWS[name].to_numpy()[:2] for name in knobs}

    np.testing.assert_array_equal(
        problem.evaluate(pd.DataFrame(columns))["edp_js"], problem.evaluate(columns)["edp_js"]
    )


@pytest.mark.slow
def test_axes_of_a_3d_plot_are_numeric_columns(tmp_path: Path) -> None:
    outcome = explorer.run("edp-accuracy", trials=10, out=tmp_path)

    assert explorer.plot.front_3d(outcome, axes=("pruning_ratio", "accuracy", "edp_js")).data
    with pytest.raises(WrongUsage, match="the front has no numbers family, nope"):
        explorer.plot.front_3d(outcome, axes=("family", "nope", "edp_js"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explorer.choose(3, knee=True), "a int holds no results"),
        (lambda: explorer.choose("paper", knee=True, design=1), "knee and design given"),
        (lambda: explorer.choose("paper", knee=True, where="accuracy >= 0.9"), "where is a text"),
        (lambda: explorer.compare("paper"), "one study is given"),
        (lambda: explorer.fit([]), "no samples are given"),
        (lambda: explorer.fit(None), "no samples are given"),
        (lambda: explorer.plot.front(None), "a NoneType holds no results"),
        (lambda: explorer.study(objectives="energy_j", space="cnn"), "objectives is a text"),
        (lambda: explorer.study(objectives=OBJECTIVES, space="cnn", name=".."), "a name has letters, digits"),
        (lambda: explorer.run("paper", trials="10"), "trials = '10' is not a whole number"),
        (lambda: explorer.run("paper", sampler=object()), "unknown sampler"),
        (lambda: explorer.predict("paper", ROWS, family="CNN"), "designs and family are both given"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_fix(call: Callable[[], object], message: str) -> None:
    with pytest.raises(WrongUsage, match=message) as error:
        call()
    assert error.value.fix


def test_numbers_of_a_front_can_be_predicted_again(fitted: FittedModel) -> None:
    row = ROWS.iloc[0]
    knobs = {name: row[name] for name in ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")}

    assert fitted.predict(**knobs)["energy_j"][0] == fitted.predict(ROWS.iloc[:1][list(knobs)])["energy_j"][0]


def test_values_print_in_a_line_and_results_as_a_table(tmp_path: Path, fitted: FittedModel) -> None:
    problem = explorer.load_study("paper")
    outcome = explorer.run(problem, trials=20, out=tmp_path)
    values = [
        problem, problem.study, problem.evaluator, outcome, outcome.results, fitted,
        explorer.choose(outcome.results, knee=True),
    ]  # fmt: skip

    assert all(len(repr(value)) < 250 and "\n" not in repr(value) for value in values)
    assert outcome.results._repr_html_().count("<tr") > 5


@pytest.mark.slow
def test_a_measured_network_is_a_dataframe_of_samples() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    designs = pd.DataFrame({"pruning_ratio": [0.0, 0.5], "quant_step": [0.01, 0.05]})
    measured = explorer.measure("digits-mlp", data="digits", designs=designs)

    assert measured.frame["pruning_ratio"].tolist() == [0.0, 0.5]
    assert measured.frame["accuracy"].between(0.5, 1).all()
    assert explorer.read_samples(measured.frame).targets[0] == "accuracy"
