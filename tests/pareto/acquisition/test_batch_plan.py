"""Batch plan: N designs reach nearly all hypervolume of the exact front, for every kind of problem."""

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


def hypervolume_share(problem: Problem, designs: Columns, reference: Sequence[float]) -> float:
    """Return the hypervolume of designs as a share of that of the exact front."""
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
@pytest.mark.slow
def test_plan_reaches_nearly_all_hypervolume(name: str, n: int, least: float) -> None:
    problem = load(name)
    reference = problem.study.reference_point
    assert reference is not None
    plan = batch_plan(problem, reference, n)

    assert n_rows(plan) == n == len(set(keys(plan)))
    assert problem.evaluate(plan)["is_feasible"].all()
    assert hypervolume_share(problem, plan, reference) > least


def test_gains_decrease_along_the_plan() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    plan = batch_plan(problem, reference, 60)
    values, objectives = problem.values(problem.evaluate(plan)), problem.study.objectives
    volumes = np.array([hypervolume(values[:n], reference, objectives) for n in range(61)])
    gains = np.diff(volumes)

    assert (np.diff(gains) <= 1e-12).all()
    assert volumes[20] > 0.96 * volumes[60]


@pytest.mark.slow
def test_same_seed_gives_the_same_plan() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    first, repeated, different = (batch_plan(problem, reference, 50, seed=seed) for seed in (1, 1, 2))

    assert keys(first) == keys(repeated) != keys(different)
    assert hypervolume_share(problem, different, reference) == pytest.approx(
        hypervolume_share(problem, first, reference), rel=1e-3
    )


@pytest.mark.slow
def test_plan_continues_from_evaluated_designs() -> None:
    problem = load("edp-accuracy")
    reference = problem.study.reference_point
    assert reference is not None
    first = batch_plan(problem, reference, 80)
    later = batch_plan(problem, reference, 80, known=problem.evaluate(first))
    both = stack([first, later])

    assert not set(keys(first)) & set(keys(later))
    assert hypervolume_share(problem, both, reference) > 0.999 * hypervolume_share(
        problem, batch_plan(problem, reference, 160), reference
    )


def test_least_infeasible_designs_are_plan() -> None:
    problem = load("power-cap")
    impossible = replace(problem.study, constraints=(parse_constraint("power_w <= 1 W"),))
    constrained = replace(problem, study=impossible)
    columns = constrained.evaluate(batch_plan(constrained, (5.0, 0.86), 40))
    scan = constrained.sample(4096)["power_w"]

    assert len(columns["power_w"]) == 40
    assert columns["power_w"].max() < np.quantile(scan, 0.02)


FINITE = """
family = "CNN"
[axes]
pruning_ratio = { values = [0.4, 0.45, 0.5, 0.54] }
quant_step = { values = [0.02, 0.03, 0.04, 0.05] }
[operating_points]
points = [{ voltage = 0.85, frequency = 2.1 }, { voltage = 0.9, frequency = 2.3 }, { voltage = 1.0, frequency = 2.5 }]
"""


def test_finite_space_is_plan_rank_by_rank(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(FINITE, encoding="utf-8")
    (tmp_path / "study.toml").write_text('space = "./space.toml"\nobjectives = ["edp_js", "accuracy"]\n', "utf-8")
    problem = load(str(tmp_path / "study.toml"))
    plan = batch_plan(problem, (5.0, 0.8), 48)
    front = batch_plan(problem, (5.0, 0.8), 10)

    assert n_rows(plan) == 48 == len(set(keys(plan)))
    assert keys(plan)[:10] == keys(front)
    assert n_rows(batch_plan(problem, (5.0, 0.8), 100)) == 48
    assert n_rows(batch_plan(problem, (5.0, 0.8), 100, known=problem.evaluate(take(plan, np.arange(40))))) == 8
    values = problem.values(problem.evaluate(plan)) * np.array([1, -1])
    for i in range(10, 48):  # no design is dominated by a later one
        assert not ((values[i + 1 :] <= values[i]).all(axis=1) & (values[i + 1 :] < values[i]).any(axis=1)).any()


def test_plan_is_full_where_objectives_do_not_conflict(tmp_path: Path) -> None:
    """Size and energy have a common minimum at the edge of the domain: the front has one or a few points."""
    (tmp_path / "study.toml").write_text('space = "cnn"\nobjectives = ["size_bytes", "energy_j"]\n', "utf-8")
    problem = load(str(tmp_path / "study.toml"))
    plan = batch_plan(problem, (1e9, 50.0), 64)

    assert n_rows(plan) == 64 == len(set(keys(plan)))
