"""Objectives: equations of the paper as columns, with their direction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import OutOfRange
from explorer.paper.equations import accelerator_efficiency, energy_delay_product, weighted_cost
from explorer.problem.columns import COLUMNS, Columns
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives, missing_needs

PREDICTED: Columns = {
    "accuracy": np.array([0.94, 0.93]),
    "latency_s": np.array([0.15, 0.13]),
    "energy_j": np.array([22.5, 20.8]),
    "power_w": np.array([25.0, 22.0]),
    "throughput_ops": np.array([8.5e11, 9.0e11]),
}
JOULES = st.floats(0, 1e3)
SHARES = st.floats(0, 1)


def test_derived_objectives_are_the_papers_equations() -> None:
    columns = add_objectives(PREDICTED, Constants(alpha=0.7, energy_max_j=30.0))

    assert (columns["edp_js"] == energy_delay_product(energy=PREDICTED["energy_j"], time=PREDICTED["latency_s"])).all()
    cost = weighted_cost(PREDICTED["accuracy"], PREDICTED["energy_j"], energy_max=30.0, alpha=0.7)
    assert (columns["weighted_cost"] == cost).all()
    efficiency = accelerator_efficiency(throughput=PREDICTED["throughput_ops"], power=PREDICTED["power_w"])
    assert (columns["ops_per_watt"] == efficiency).all()


def test_edp_of_sample_1_is_the_papers() -> None:
    """Table 2 rounds it to 3.38."""
    assert add_objectives(PREDICTED, Constants())["edp_js"][0] == pytest.approx(3.375)


@given(accuracy=SHARES, energy=JOULES)
def test_alpha_1_weights_accuracy_only_and_alpha_0_energy_only(accuracy: float, energy: float) -> None:
    columns = {"accuracy": np.array([accuracy]), "energy_j": np.array([energy])}

    assert add_objectives(columns, Constants(alpha=1.0))["weighted_cost"][0] == pytest.approx(1 - accuracy)
    assert add_objectives(columns, Constants(alpha=0.0))["weighted_cost"][0] == pytest.approx(energy / 39.6)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range_raises(alpha: float) -> None:
    with pytest.raises(OutOfRange, match=r"alpha = .* is outside \[0, 1\]"):
        add_objectives(PREDICTED, Constants(alpha=alpha))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_sign_makes_every_objective_a_minimization(name: str) -> None:
    objective = OBJECTIVES[name]

    maximized = {"accuracy", "ops_per_watt", "compression_ratio", "battery_days", "deadline_margin_s"}
    assert objective.sign == (-1 if name in maximized else 1)
    assert objective.direction == ("maximize" if objective.sign < 0 else "minimize")
    assert objective.title == COLUMNS[name].title


def test_objective_is_added_only_with_all_its_columns() -> None:
    columns = add_objectives({"energy_j": np.array([1.0]), "power_w": np.array([2.0])}, Constants())

    assert set(columns) == {"energy_j", "power_w"}


def test_existing_column_is_not_recomputed() -> None:
    columns = add_objectives({**PREDICTED, "edp_js": np.array([7.0, 8.0])}, Constants())

    assert columns["edp_js"].tolist() == [7.0, 8.0]


def test_missing_columns_of_an_objective_are_listed() -> None:
    assert missing_needs(OBJECTIVES["weighted_cost"], ("energy_j",)) == ("accuracy",)
    assert missing_needs(OBJECTIVES["edp_js"], ("energy_j", "latency_s")) == ()


def test_default_weights_are_those_of_the_readme() -> None:
    assert (Constants().alpha, Constants().energy_max_j) == (0.9, 39.6)
