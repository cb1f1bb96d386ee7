"""Choosing: each rule picks what its definition says, inside the domain, and says so when it cannot."""

from pathlib import Path

import numpy as np
import pytest
from explorer.pareto.results.results import Results

from explorer.api import choose, results, run
from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.paper.equations import weighted_cost
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
def found(folder: Path) -> Results:
    return results(folder)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_by_alpha_no_design_of_the_front_has_a_lower_cost(folder: Path, found: Results, alpha: float) -> None:
    choice, _ = choose(folder, alpha=alpha)

    front = found.front_columns
    costs = weighted_cost(front["accuracy"], front["energy_j"], energy_max=39.6, alpha=alpha)
    mine = weighted_cost(choice.design["accuracy"], choice.design["energy_j"], energy_max=39.6, alpha=alpha)
    assert mine == costs.min()


def test_results_that_are_read_already_can_be_chosen_from_again_and_again(folder: Path, found: Results) -> None:
    once, again = choose(folder, knee=True), choose(found, knee=True)

    assert once[0].design["design_id"] == again[0].design["design_id"]
    assert once[1]["rule"] == again[1]["rule"]


def test_the_knee_is_furthest_from_the_line_through_the_extremes(folder: Path, found: Results) -> None:
    choice, _ = choose(folder, knee=True)

    values = np.stack([found.front_columns["edp_js"], -found.front_columns["accuracy"]], axis=-1)
    scaled = (values - values.min(axis=0)) / np.ptp(values, axis=0)
    start, end = scaled[np.argmin(scaled[:, 0])], scaled[np.argmin(scaled[:, 1])]
    along = (end - start) / np.linalg.norm(end - start)
    away = scaled - start
    distance = np.abs(along[0] * away[:, 1] - along[1] * away[:, 0])
    assert choice.design["design_id"] == found.front_columns["design_id"][np.argmax(distance)]


def test_under_a_condition_the_least_column_is_that_of_the_designs_that_meet_it(folder: Path, found: Results) -> None:
    choice, _ = choose(folder, minimize="edp_js", where=["accuracy >= 0.92"])

    front = found.front_columns
    assert choice.design["accuracy"] >= 0.92
    assert choice.design["edp_js"] == front["edp_js"][front["accuracy"] >= 0.92].min()
    assert choice.runner_up is not None
    assert choice.runner_up["edp_js"] > choice.design["edp_js"]


def test_minimizing_what_should_be_large_takes_the_largest(folder: Path, found: Results) -> None:
    choice, _ = choose(folder, minimize="accuracy")

    assert choice.design["accuracy"] == found.front_columns["accuracy"].max()


def test_the_price_of_a_point_of_accuracy_names_a_design_that_has_it(folder: Path, found: Results) -> None:
    choice, _ = choose(folder, minimize="edp_js")

    number = int(choice.price.split("design ")[1].split(")")[0])
    row = int(np.flatnonzero(found.table["design_id"] == number)[0])
    assert found.table["accuracy"][row] >= choice.design["accuracy"] + 0.01
    assert "edp_js" in choice.price


def test_a_design_by_number_is_taken_and_told_where_another_beats_it(folder: Path, found: Results) -> None:
    beaten = int(found.table["design_id"][np.flatnonzero(~found.is_front)[0]])

    choice, payload = choose(folder, design=beaten)

    assert choice.design["design_id"] == beaten
    assert "NOT on the front" in payload["rule"]["text"]


def test_conditions_that_nothing_meets_tell_the_nearest_miss(folder: Path) -> None:
    with pytest.raises(NoFeasibleDesign, match=r"accuracy >= 0.99: nearest is 0\.9\d+"):
        choose(folder, knee=True, where=["accuracy >= 0.99"])


def test_a_number_that_is_no_design_is_refused(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no design 99999"):
        choose(folder, design=99999)


def test_extrapolated_designs_are_refused_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(WIDE)
    (tmp_path / "study.toml").write_text(UNENFORCED)
    done = run(str(tmp_path / "study.toml"), out=tmp_path / "out").results
    assert any("extrapolate" in note for note in done.notes)
    assert any(live_data(done, place="x")["front"]["is_extrapolated"])

    with pytest.raises(NoFeasibleDesign, match="--allow-extrapolation"):
        choose(tmp_path / "out", knee=True)

    choice, payload = choose(tmp_path / "out", knee=True, allow_extrapolation=True)
    assert choice.is_extrapolated
    assert payload["is_extrapolated"] is True


def test_an_energy_maximum_of_zero_is_refused_not_taken_for_the_default(folder: Path) -> None:
    with pytest.raises(WrongUsage, match="energy_max = 0"):
        choose(folder, alpha=0.5, energy_max_j=0.0)
