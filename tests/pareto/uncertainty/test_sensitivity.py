"""Sobol indices of the model over the region, with posterior intervals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from explorer.models.evaluation import Problem, make_problem
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.uncertainty.sensitivity import knob_importance
from explorer.problem.columns import Columns, n_rows
from explorer.problem.study import read_study
from tests.paper_fit import paper_model


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem(read_study("energy-latency-accuracy"), paper_model())


@pytest.fixture(scope="module")
def rows(problem: Problem) -> tuple[dict[str, Any], ...]:
    return knob_importance(problem)


def _of(rows: tuple[dict[str, Any], ...], objective: str) -> dict[str, dict[str, Any]]:
    return {row["knob"]: row for row in rows if row["objective"] == objective}


def test_every_objective_has_a_row_for_every_free_knob(rows: tuple[dict[str, Any], ...]) -> None:
    knobs = ["pruning_ratio", "quant_step", "voltage_v", "clock_share"]

    assert [(r["objective"], r["knob"]) for r in rows] == [
        (o, k) for o in ("energy_j", "latency_s", "accuracy") for k in knobs
    ]


def test_accuracy_depends_on_pruning_and_quantization_only(rows: tuple[dict[str, Any], ...]) -> None:
    """The form of accuracy contains neither V nor f, so their indices are exactly zero."""
    accuracy = _of(rows, "accuracy")

    assert accuracy["voltage_v"]["total"] == accuracy["clock_share"]["total"] == 0
    assert accuracy["pruning_ratio"]["total"] + accuracy["quant_step"]["total"] == pytest.approx(1, abs=0.05)


def test_total_index_is_at_least_the_first_order_index(rows: tuple[dict[str, Any], ...]) -> None:
    for row in rows:
        assert row["total"] >= row["first_order"] - 0.02
        assert 0 <= row["total_lo"] <= row["total_hi"] <= 1


def test_confounded_knobs_have_wide_intervals(rows: tuple[dict[str, Any], ...]) -> None:
    """The samples vary R and D together, so their effects on accuracy are not identifiable separately."""
    for knob in ("pruning_ratio", "quant_step"):
        row = _of(rows, "accuracy")[knob]

        assert row["total_hi"] - row["total_lo"] > 0.4


def test_same_seed_gives_the_same_indices(problem: Problem, rows: tuple[dict[str, Any], ...]) -> None:
    assert knob_importance(problem) == rows


def test_linear_model_has_closed_form_indices() -> None:
    """For y = (3 x1 + 4 x2) / 10 with independent uniform x, the indices are 9/25 and 16/25."""
    study = read_study("edp-accuracy")
    real = paper_model()
    bare = make_problem(study, real)
    linear = replace(bare, evaluator=_Linear(real, bare))  # type: ignore[arg-type]
    rows = knob_importance(linear)
    accuracy = _of(rows, "accuracy")

    assert accuracy["pruning_ratio"]["first_order"] == pytest.approx(9 / 25, abs=0.02)
    assert accuracy["quant_step"]["total"] == pytest.approx(16 / 25, abs=0.02)
    assert np.isnan(accuracy["quant_step"]["total_lo"])


class _Linear:
    """Model with an accuracy linear in the unit coordinates of two knobs; other targets from a real model."""

    def __init__(self, real: Surrogate, problem: Problem) -> None:
        self.name, self.families, self.domain, self._real = "linear", real.families, real.domain, real
        self._axes = {axis.name: axis for axis in problem.regions["CNN"].axes}

    def evaluate(self, designs: Columns) -> Columns:
        unit = {name: self._axes[name].to_unit(designs[name]) for name in ("pruning_ratio", "quant_step")}
        accuracy = (3 * unit["pruning_ratio"] + 4 * unit["quant_step"]) / 10
        zeros = np.zeros(n_rows(designs))
        return {**self._real.evaluate(designs), "accuracy": accuracy, "domain_distance": zeros}
