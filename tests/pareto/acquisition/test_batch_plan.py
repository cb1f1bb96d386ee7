"""Planning N designs: the best picture of the exact front that N designs can be, for every kind of question."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from explorer.api import load_study as load
from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.batch_plan import batch_plan
from explorer.pareto.exact_front import exact_front
from explorer.pareto.geometry.dominance import hypervolume
from explorer.problem.columns import Columns, knobs_of, n_rows, stack, take
from explorer.problem.constraints import parse_constraint


def reached(problem: Problem, designs: Columns, reference: Sequence[float]) -> float:
    """Return the share of the exact front's hypervolume that designs reach."""
    columns, exact = problem.evaluate(designs), exact_front(problem, reference)
    assert exact is not None
    values = problem.values(columns)[columns["is_feasible"]]
    return hypervolume(values, reference, problem.study.objectives) / exact.hypervolume


def keys(designs: Columns) -> list[tuple[object, ...]]:
    return list(zip(*[designs[name].tolist() for name in knobs_of(designs)], strict=True))


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [("edp-accuracy", 200, 0.985), ("edp-accuracy", 500, 0.999), ("power-cap", 200, 0.985), ("paper", 200, 0.985),
     ("all-families", 200, 0.99), ("energy-latency-accuracy", 200, 0.97)],
)  # fmt: skip
def test_few_designs_reach_nearly_everything(name: str, n: int, least: float) -> None:
    problem = load(name)
    reference = problem.study.reference_point
    assert reference is not None
    planned = batch_plan(problem, reference, n)

    assert n_rows(planned) == n == len(set(keys(planned)))
    assert problem.evaluate(planned)["is_feasible"].all()
    assert reached(problem, planned, reference) > least


def test_each_design_adds_less_than_the_one_before_and_every_prefix_is_a_good_picture() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    planned = batch_plan(problem, reference, 60)
    values, objectives = problem.values(problem.evaluate(planned)), problem.study.objectives
    volumes = np.array([hypervolume(values[:n], reference, objectives) for n in range(61)])
    gains = np.diff(volumes)

    assert (np.diff(gains) <= 1e-12).all()
    assert volumes[20] > 0.96 * volumes[60]


def test_the_same_seed_gives_the_same_plan_and_another_seed_as_good_a_one() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    one, same, other = (batch_plan(problem, reference, 50, seed=seed) for seed in (1, 1, 2))

    assert keys(one) == keys(same) != keys(other)
    assert reached(problem, other, reference) == pytest.approx(reached(problem, one, reference), rel=1e-3)


def test_what_was_tried_is_not_planned_again_and_makes_the_plan_go_on_where_it_stopped() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    first = batch_plan(problem, reference, 80)
    later = batch_plan(problem, reference, 80, known=problem.evaluate(first))
    both = stack([first, later])

    assert not set(keys(first)) & set(keys(later))
    assert reached(problem, both, reference) > 0.999 * reached(problem, batch_plan(problem, reference, 160), reference)


def test_where_nothing_is_feasible_the_designs_that_miss_by_least_are_planned() -> None:
    problem = load("power-cap")
    impossible = replace(problem.study, constraints=(parse_constraint("power_w <= 1 W"),))
    asked = replace(problem, study=impossible)
    columns = asked.evaluate(batch_plan(asked, (5.0, 0.86), 40))
    anywhere = asked.sample(4096)["power_w"]

    assert len(columns["power_w"]) == 40
    assert columns["power_w"].max() < np.quantile(anywhere, 0.02)


FINITE = """
family = "CNN"
[axes]
pruning_ratio = { values = [0.4, 0.45, 0.5, 0.54] }
quant_step = { values = [0.02, 0.03, 0.04, 0.05] }
[operating_points]
points = [{ voltage = 0.85, frequency = 2.1 }, { voltage = 0.9, frequency = 2.3 }, { voltage = 1.0, frequency = 2.5 }]
"""


def test_of_finitely_many_designs_the_front_comes_first_then_layer_after_layer(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(FINITE, encoding="utf-8")
    (tmp_path / "study.toml").write_text('space = "./space.toml"\nobjectives = ["edp_js", "accuracy"]\n', "utf-8")
    problem = load(str(tmp_path / "study.toml"))
    planned = batch_plan(problem, (5.0, 0.8), 48)
    front = batch_plan(problem, (5.0, 0.8), 10)

    assert n_rows(planned) == 48 == len(set(keys(planned)))
    assert keys(planned)[:10] == keys(front)
    assert n_rows(batch_plan(problem, (5.0, 0.8), 100)) == 48
    assert n_rows(batch_plan(problem, (5.0, 0.8), 100, known=problem.evaluate(take(planned, np.arange(40))))) == 8
    values = problem.values(problem.evaluate(planned)) * np.array([1, -1])
    for i in range(10, 48):  # nothing is dominated by what comes after it
        assert not ((values[i + 1 :] <= values[i]).all(axis=1) & (values[i + 1 :] < values[i]).any(axis=1)).any()


def test_two_objectives_that_do_not_conflict_still_give_as_many_designs_as_asked(tmp_path: Path) -> None:
    """Energy and EDP fall together at the edge of the domain: the front is a point or a few."""
    (tmp_path / "study.toml").write_text('space = "cnn"\nobjectives = ["size_bytes", "energy_j"]\n', "utf-8")
    problem = load(str(tmp_path / "study.toml"))
    planned = batch_plan(problem, (1e9, 50.0), 64)

    assert n_rows(planned) == 64 == len(set(keys(planned)))
