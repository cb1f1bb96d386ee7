"""Selection rules: each selects the design of its definition inside the domain, or raises with the reason."""

from pathlib import Path

import numpy as np
import pytest

from explorer.api import choose, load_results, run
from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.paper.equations import weighted_cost
from explorer.pareto.results.results import Results
from explorer.report.live.data import live_data

UNENFORCED = """
space = "./wide.toml"
objectives = ["edp_js", "accuracy"]
[search]
trials = 120
"""
WIDE = """
family = "CNN"
[axes]
pruning_ratio = { range = [0.75, 0.9] }
quant_step = { range = [0.02, 0.05] }
voltage = { range = [0.8, 1.1] }
frequency = { range = [1.0, 3.0] }
[domain]
enforce = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("chosen")
    run("edp-accuracy", trials=200, out=out)
    return out


@pytest.fixture(scope="module")
def front_results(folder: Path) -> Results:
    return load_results(folder)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 0.9, 1.0])
@pytest.mark.slow
def test_alpha_rule_minimizes_the_weighted_cost(folder: Path, front_results: Results, alpha: float) -> None:
    choice = choose(folder, alpha=alpha)

    front = front_results.front_columns
    costs = weighted_cost(front["accuracy"], front["energy_j"], energy_max=39.6, alpha=alpha)
    cost = weighted_cost(choice.design["accuracy"], choice.design["energy_j"], energy_max=39.6, alpha=alpha)
    assert cost == costs.min()


def test_results_object_and_folder_give_the_same_choice(folder: Path, front_results: Results) -> None:
    from_folder, from_object = choose(folder, knee=True), choose(front_results, knee=True)

    assert from_folder.design["design_id"] == from_object.design["design_id"]
    assert from_folder.record["rule"] == from_object.record["rule"]


def test_knee_is_furthest_from_the_line_through_the_extremes(folder: Path, front_results: Results) -> None:
    choice = choose(folder, knee=True)

    values = np.stack([front_results.front_columns["edp_js"], -front_results.front_columns["accuracy"]], axis=-1)
    scaled = (values - values.min(axis=0)) / np.ptp(values, axis=0)
    start, end = scaled[np.argmin(scaled[:, 0])], scaled[np.argmin(scaled[:, 1])]
    along = (end - start) / np.linalg.norm(end - start)
    offset = scaled - start
    distance = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0])
    assert choice.design["design_id"] == front_results.front_columns["design_id"][np.argmax(distance)]


def test_column_rule_minimizes_under_a_condition(folder: Path, front_results: Results) -> None:
    choice = choose(folder, minimize="edp_js", where=["accuracy >= 0.92"], front_only=True)

    front = front_results.front_columns
    assert choice.design["accuracy"] >= 0.92
    assert choice.design["edp_js"] == front["edp_js"][front["accuracy"] >= 0.92].min()
    assert choice.runner_up is not None
    assert choice.runner_up["edp_js"] > choice.design["edp_js"]


def test_column_rule_maximizes_a_maximized_objective(folder: Path, front_results: Results) -> None:
    choice = choose(folder, minimize="accuracy", front_only=True)

    assert choice.design["accuracy"] == front_results.front_columns["accuracy"].max()


def test_marginal_cost_names_a_design_one_point_more_accurate(folder: Path, front_results: Results) -> None:
    choice = choose(folder, minimize="edp_js", front_only=True)

    number = int(choice.price.split("design ")[1].split(")")[0])
    row = int(np.flatnonzero(front_results.table["design_id"] == number)[0])
    assert front_results.table["accuracy"][row] >= choice.design["accuracy"] + 0.01
    assert "edp_js" in choice.price


def test_dominated_design_can_be_selected_with_a_warning(folder: Path, front_results: Results) -> None:
    dominated = int(front_results.table["design_id"][np.flatnonzero(~front_results.is_front)[0]])

    choice = choose(folder, design=dominated)
    payload = choice.record

    assert choice.design["design_id"] == dominated
    assert "NOT on the front" in payload["rule"]["text"]


def test_unmet_condition_reports_the_closest_value(folder: Path) -> None:
    with pytest.raises(NoFeasibleDesign, match=r"accuracy >= 0.99: nearest is 0\.9\d+"):
        choose(folder, knee=True, where=["accuracy >= 0.99"])


def test_unknown_design_number_is_refused(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no design 99999"):
        choose(folder, design=99999)


@pytest.mark.slow
def test_extrapolated_designs_are_refused_by_default(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(WIDE)
    (tmp_path / "study.toml").write_text(UNENFORCED)
    done = run(str(tmp_path / "study.toml"), out=tmp_path / "out").results
    assert any("extrapolate" in note for note in done.notes)
    assert any(live_data(done, display_name="x")["front"]["is_extrapolated"])

    with pytest.raises(NoFeasibleDesign, match="--allow-extrapolation"):
        choose(tmp_path / "out", knee=True)

    choice = choose(tmp_path / "out", knee=True, allow_extrapolation=True)
    payload = choice.record
    assert choice.is_extrapolated
    assert payload["is_extrapolated"] is True


def test_zero_energy_maximum_is_refused(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="energy_max = 0"):
        choose(folder, alpha=0.5, energy_max_j=0.0)
