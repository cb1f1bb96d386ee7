"""Limits with a probability, from the exact front to the choice: they hold in draws that the search has not seen."""

from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pytest

import explorer
from explorer.models.evaluation import Problem, make_problem
from explorer.models.limits import limit_probabilities
from explorer.models.posterior_draws import posterior_draws
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.exact_front import evaluate_minimized, exact_front, front_designs
from explorer.pareto.geometry.emulation import Emulator
from explorer.pareto.geometry.refinement import Budget, refine
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.constraints import parse_constraint

LIMITS = ("accuracy >= 0.92 @ 90 %", "power_w <= 22 W @ 90 %")
REFERENCE = (5.0, 0.86)


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Return `power-cap` with both limits at 90 %."""
    plain = explorer.load_study("power-cap")
    return make_problem(replace(plain.study, constraints=tuple(map(parse_constraint, LIMITS))), plain.evaluator)


def _joint(problem: Problem, designs: Columns, *, n: int = 4_000) -> Float:
    """Return the share of fresh draws in which designs meet all limits."""
    model = problem.evaluator
    assert isinstance(model, Surrogate)
    draws = posterior_draws(model, n=n, seed=4_711)
    return limit_probabilities(problem.study.constraints, problem.statistics.by_draw(model, designs, draws)).joint


@pytest.mark.slow
def test_the_chosen_design_meets_both_limits_in_nine_of_ten_fresh_draws(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = explorer.run(problem, trials=100).results

    choice = explorer.choose(results, knee=True)
    front = take(results.front_columns, results.front_columns["design_id"] >= 0)
    chosen = take(front, front["design_id"] == choice.design["design_id"])

    assert 0.88 <= _joint(problem, chosen)[0] <= 0.92
    assert _joint(problem, front).min() >= 0.87
    assert choice.record["joint_probability"] == pytest.approx(_joint(problem, chosen)[0], abs=0.02)
    assert [one["constraint"] for one in choice.record["limits"]] == list(LIMITS)


@pytest.mark.slow
def test_the_exact_front_is_that_of_limits_computed_for_every_design(problem: Problem) -> None:
    region = problem.regions["CNN"]
    corner = np.asarray(REFERENCE) * [1, -1]
    brute = refine(
        lambda unit, _: evaluate_minimized(problem, region.from_unit(unit)), len(region.axes), corner,
        budget=Budget(0.0, 9_000, n_scanned=2**10, n_offspring=1_000),
        n_choices=[len(axis.labels) for axis in region.axes],
    )  # fmt: skip
    found = exact_front(problem, REFERENCE)
    designs = front_designs(problem, REFERENCE).designs

    assert found is not None
    assert found.hypervolume >= moocore.hypervolume(brute.values, ref=corner) * (1 - 1e-3)
    assert problem.evaluate(designs)["is_feasible"].all()
    assert n_rows(designs) > 100


@pytest.mark.slow
def test_the_least_power_within_likely_limits_is_that_of_a_dense_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = explorer.run("power-cap", trials=40)
    limit = parse_constraint("accuracy >= 0.93 @ 80 %")

    choice = explorer.choose(results, minimize="power_w", where=[limit.text])

    plain = explorer.load_study("power-cap")
    asked = make_problem(replace(plain.study, constraints=(*plain.study.constraints, limit)), plain.evaluator)
    scan = asked.sample(2**12)
    least = scan["power_w"][scan["is_feasible"] & (scan["domain_distance"] <= 0.5)].min()
    assert choice.design["power_w"] <= least * (1 + 1e-9)
    assert choice.record["limits"][-1]["probability"] >= 0.8 - 1e-9


@pytest.mark.slow
def test_an_emulated_front_is_feasible_and_as_good_as_an_exact_one() -> None:
    """A disc in the unit square: the constraint is known exactly, and its nominal value is off by a smooth function."""

    def exact(unit: Float) -> Float:
        return np.asarray(np.hypot(unit[:, 0] - 1, unit[:, 1] - 1) - 0.8)

    emulator = Emulator(exact)

    def emulated(unit: Float, front: Float) -> tuple[Float, Float]:
        nominal = exact(unit) + 0.1 * np.sin(3 * unit[:, 0]) * unit[:, 1]
        return unit, emulator.violation(unit, nominal, unit, front)

    corner = np.ones(2)
    found = refine(emulated, 2, corner, budget=Budget(0.0, 20_000, n_scanned=2**10, n_offspring=1_000))

    assert np.all(exact(found.unit) <= 0)
    assert moocore.hypervolume(found.values, ref=corner) == pytest.approx(np.pi / 4 * 0.8**2, rel=2e-3)
