"""Warnings on equivalent objectives, range limits and extrapolation, and gaps to unmet constraints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.models.evaluation import Problem, make_problem
from explorer.pareto.results.results import constraint_gaps
from explorer.pareto.uncertainty.front_warnings import front_warnings, objective_warnings
from explorer.problem.columns import Columns, take
from explorer.problem.study import read_study
from tests.paper_fit import paper_model

MODEL = paper_model()
MakeProblem = Callable[[str], Problem]


@pytest.fixture
def make(tmp_path: Path) -> MakeProblem:
    def build(text: str) -> Problem:
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return make_problem(read_study(str(tmp_path / "study.toml")), MODEL)

    return build


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.49])
def test_alpha_below_half_makes_cost_equivalent_to_energy(make: MakeProblem, alpha: float) -> None:
    problem = make(f'space = "cnn"\nobjectives = ["edp_js", "weighted_cost"]\n[cost]\nalpha = {alpha}\n')
    (note,) = objective_warnings(problem)

    assert note.startswith(
        f"alpha = {alpha:g}: below 0.5 the weighted cost is mostly energy, so edp_js and weighted_cost"
    )


@pytest.mark.parametrize("alpha", [0.75, 0.9, 0.95])
def test_high_alpha_gives_no_warning(make: MakeProblem, alpha: float) -> None:
    problem = make(f'space = "cnn"\nobjectives = ["edp_js", "weighted_cost"]\n[cost]\nalpha = {alpha}\n')

    assert objective_warnings(problem) == []


def test_cost_at_alpha_one_is_equivalent_to_accuracy(make: MakeProblem) -> None:
    problem = make('space = "cnn"\nobjectives = ["weighted_cost", "accuracy"]\n[cost]\nalpha = 1.0\n')

    assert [note.split(":")[0] for note in objective_warnings(problem)] == [
        "weighted_cost and accuracy are nearly equivalent objectives (rank correlation 1.00)"
    ]


@pytest.mark.parametrize("name", ["paper", "edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families"])
def test_shipped_studies_have_no_equivalent_objectives(name: str) -> None:
    assert objective_warnings(make_problem(read_study(name), MODEL)) == []


@pytest.mark.parametrize(
    ("corner", "edge"),
    [
        ((0.0, 0.5, 0.5, 0.5), "lowest Pruning ratio R 0.225: 1"),
        ((1.0, 0.5, 0.5, 0.5), "highest Pruning ratio R 0.645: 1"),
        ((0.5, 0.0, 0.5, 0.5), "lowest Quantization step D 0.01265: 1"),
        ((0.5, 1.0, 0.5, 0.5), "highest Quantization step D 0.07906: 1"),
        ((0.5, 0.5, 1.0, 0.5), "highest Supply voltage V 1.075 V: 1"),
        ((0.5, 0.5, 1.0, 1.0), "highest clock 2.7 GHz|highest Supply voltage V 1.075 V: 1"),
    ],
)
def test_front_at_a_range_limit_names_the_limit(make: MakeProblem, corner: tuple[float, ...], edge: str) -> None:
    problem = make('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n')
    front = _designs(problem, [corner, (0.5, 0.5, 0.5, 0.5)])
    (note,) = front_warnings(front, problem)

    assert note.startswith("1 of 2 front designs touch the edge of the searched range")
    assert any(part in note for part in edge.split("|"))


def test_front_inside_the_range_gives_no_warning(make: MakeProblem) -> None:
    problem = make('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n')

    assert front_warnings(_designs(problem, [(0.5, 0.5, 0.5, 0.5), (0.4, 0.6, 0.5, 1.0)]), problem) == []
    assert front_warnings(take(problem.sample(4), np.zeros(0, dtype=np.int64)), problem) == []


def test_limit_is_named_with_its_family(make: MakeProblem) -> None:
    problem = make('space = ["cnn", "dnn"]\nobjectives = ["edp_js", "accuracy"]\n')
    region = problem.regions["DNN"]
    front = problem.evaluate(region.from_unit(np.array([[0.0, 0.5, 0.5, 0.5]])))
    (note,) = front_warnings(front, problem)

    assert "DNN: lowest Pruning ratio R" in note


def test_fixed_axis_gives_no_warning(make: MakeProblem, tmp_path: Path) -> None:
    (tmp_path / "fixed.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { value = 0.4 }\nquant_step = { range = [0.001, 0.5] }\n'
        "voltage = { range = [0.5, 1.3] }\nfrequency = { range = [0.5, 4.0] }\n",
        encoding="utf-8",
    )
    problem = make('space = "fixed"\nobjectives = ["edp_js", "accuracy"]\n')

    assert front_warnings(_designs(problem, [(0.5, 0.5, 0.5, 0.5)]), problem) == []


def test_extrapolating_front_gives_a_warning(make: MakeProblem, tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0.0, 0.95] }\nquant_step = { range = [0.001, 0.5] }\n'
        "voltage = { range = [0.5, 1.3] }\nfrequency = { range = [0.5, 4.0] }\n[domain]\nenforce = false\n",
        encoding="utf-8",
    )
    problem = make('space = "wide"\nobjectives = ["edp_js", "accuracy"]\n')
    notes = front_warnings(_designs(problem, [(0.9, 0.5, 0.5, 0.5), (0.45, 0.5, 0.65, 0.8)]), problem)

    assert notes == ["1 of 2 front designs extrapolate: more than half a width outside the samples' range"]


def test_constraint_gaps_give_the_closest_values(make: MakeProblem) -> None:
    problem = make(
        'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n'
        'constraints = ["power_w <= 1 W", "accuracy >= 0.99", "latency_s <= 1"]\n'
    )
    scan = problem.sample(64)
    cap, floor, late = constraint_gaps(scan, problem.study.constraints)

    assert cap == f"power_w <= 1 W: nearest is {scan['power_w'].min():.4g} W"
    assert floor == f"accuracy >= 0.99: nearest is {scan['accuracy'].max():.4g}"
    assert late == "latency_s <= 1 s: met by some designs"


def _designs(problem: Problem, corners: list[tuple[float, ...]]) -> Columns:
    (region,) = problem.regions.values()
    return problem.evaluate(region.from_unit(np.array(corners)))
