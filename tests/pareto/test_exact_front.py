"""Exact front: equal to closed forms, deterministic, feasible, and never behind the front of a search."""

from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pytest

from explorer.api import load_study, run
from explorer.pareto.exact_front import exact_front
from explorer.pareto.geometry.refinement import Budget, refine
from explorer.problem.columns import Float
from explorer.problem.constraints import parse_constraint


def zdt1_like(unit: Float, _: Float) -> tuple[Float, Float]:
    """Two knobs, two objectives: f2 = g (1 - sqrt(f1 / g)); on the front g = 1, which is the face u2 = 0."""
    g = 1 + 9 * unit[:, 1]
    first = unit[:, 0]
    return np.stack([first, g * (1 - np.sqrt(first / g))], axis=-1), np.zeros(len(unit))


def sphere(unit: Float, _: Float) -> tuple[Float, Float]:
    """Three knobs, three objectives: octants of spheres of radius 1 to 2; the front is that of radius 1."""
    a, b, radius = unit[:, 0] * np.pi / 2, unit[:, 1] * np.pi / 2, 1 + unit[:, 2]
    octant = np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=-1)
    return radius[:, None] * octant, np.zeros(len(unit))


def test_two_objectives_reach_the_analytic_hypervolume_to_1e_4() -> None:
    reference = np.array([1.1, 1.1])
    front = refine(zdt1_like, 2, reference)

    exact = 1.1 * 1.1 - 1 / 3  # the area below 1 - sqrt(x) is a third
    assert moocore.hypervolume(front.values, ref=reference) == pytest.approx(exact, rel=1e-4)


@pytest.mark.slow
def test_three_objectives_reach_the_analytic_hypervolume_to_1e_3() -> None:
    reference = np.array([1.1, 1.1, 1.1])
    front = refine(sphere, 3, reference)

    exact = 1.1**3 - np.pi / 6  # the cube less an eighth of the unit ball
    assert moocore.hypervolume(front.values, ref=reference) == pytest.approx(exact, rel=1e-3)
    assert moocore.hypervolume(front.values, ref=reference) <= exact


def test_no_point_of_the_front_is_dominated() -> None:
    values = refine(zdt1_like, 2, np.array([1.1, 1.1])).values

    assert moocore.is_nondominated(values).all()


def test_same_seed_gives_the_same_front() -> None:
    first, second = (refine(zdt1_like, 2, np.array([1.1, 1.1]), seed=3, budget=Budget(0, 60_000)) for _ in range(2))

    np.testing.assert_array_equal(first.values, second.values)


def test_small_feasible_set_is_reached_by_descending_violation() -> None:
    """The feasible set is a disc of radius 0.002 around (0.7, 0.3), about 1e-5 of the square."""

    def evaluate(unit: Float, _: Float) -> tuple[Float, Float]:
        distance = np.hypot(unit[:, 0] - 0.7, unit[:, 1] - 0.3)
        return np.stack([unit[:, 0], 1 - unit[:, 0] + unit[:, 1]], axis=-1), np.maximum(distance - 0.002, 0)

    front = refine(evaluate, 2, np.array([1.0, 1.0]))

    assert len(front.values)
    assert np.all(np.hypot(front.unit[:, 0] - 0.7, front.unit[:, 1] - 0.3) <= 0.002)


def test_infeasible_problem_has_no_exact_front() -> None:
    problem = load_study("power-cap")
    impossible = replace(problem.study, constraints=(parse_constraint("power_w <= 1 W"),))

    assert exact_front(replace(problem, study=impossible), (5.0, 0.86), budget=Budget(0, 40_000)) is None


@pytest.mark.slow
def test_four_objectives_have_no_exact_front(tmp_path: Path) -> None:
    study = tmp_path / "four.toml"
    study.write_text('space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n')

    results = run(str(study), trials=60, out=tmp_path / "out").results

    assert results.exact is None
    assert np.isnan(results.reached)


@pytest.mark.parametrize("name", ["paper", "edp-accuracy", "power-cap"])
@pytest.mark.slow
def test_more_evaluations_add_less_than_1e_4_of_the_hypervolume(name: str) -> None:
    problem = load_study(name)
    reference = problem.study.reference_point
    assert reference is not None
    short, long = (exact_front(problem, reference, budget=budget) for budget in (None, Budget(0, 500_000)))

    assert short is not None
    assert long is not None
    assert short.hypervolume == pytest.approx(long.hypervolume, rel=1e-4)
    assert short.convergence < 5e-4


@pytest.mark.parametrize("name", ["edp-accuracy", "energy-latency-accuracy", "all-families"])
@pytest.mark.slow
def test_search_never_exceeds_the_exact_hypervolume(name: str, tmp_path: Path) -> None:
    results = run(name, trials=200, out=tmp_path).results

    assert results.exact is not None
    assert 0.5 < results.reached <= 1 + results.exact.convergence


@pytest.mark.slow
def test_no_design_of_a_search_dominates_the_exact_front(tmp_path: Path) -> None:
    results = run("edp-accuracy", trials=150, out=tmp_path).results
    problem = load_study("edp-accuracy")
    assert problem.study.reference_point is not None
    exact = exact_front(problem, problem.study.reference_point)
    assert exact is not None
    signs = np.array([o.sign for o in results.objectives])
    together = np.concatenate([exact.values, results.values[results.is_front]]) * signs

    # The 300 sampled points leave gaps: a design may exceed the front by a gap, but never by one percent.
    shifted = together.copy()
    shifted[len(exact.values) :] *= np.array([1.01, 0.99])
    assert not moocore.is_nondominated(shifted)[len(exact.values) :].any()
