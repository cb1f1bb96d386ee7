"""Exact sets of weights alpha for which a statement about J holds, checked by brute force."""

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import OutOfRange
from explorer.paper.audit.cost_checks import (
    are_above,
    are_highest,
    are_lowest,
    are_lowest_of_their_families,
    most_accurate_is_not_lowest,
)
from explorer.paper.audit.cost_ranking import Costs, alpha_set, for_any_energy_max, largest_energy
from explorer.paper.equations import weighted_cost
from explorer.paper.tables import Table, paper_table

TABLE = paper_table()
STATEMENTS: Mapping[str, tuple[Callable[[Costs], bool], list[str]]] = {
    "rnn2-lowest": (are_lowest("RNN2"), []),
    "dnn3-and-rnn2-lowest": (are_lowest("DNN3", "RNN2"), []),
    "lowest-of-families": (are_lowest_of_their_families(TABLE, "DNN3", "RNN2"), []),
    "transformers-highest": (are_highest("Transformer1", "Transformer2"), []),
    "transformers-above": (are_above("0.6", "Transformer1", "Transformer2"), ["0.6"]),
    "cnn1-above": (are_above("0.3", "CNN1"), ["0.3"]),
    "most-accurate-not-best": (most_accurate_is_not_lowest(TABLE), []),
    "cnn1-not-between": (lambda cost: not cost["DNN1"] < cost["CNN1"] < cost["Transformer2"], []),
    "everything": (lambda cost: cost["RNN1"] < cost["DNN3"], []),
}


def costs_at(table: Table, alpha: float, energy_max: float) -> Costs:
    """Return J of Eq. (10) by the floating-point equation, an independent computation."""
    values = weighted_cost(table["accuracy"], table["total_energy_j"], energy_max=energy_max, alpha=alpha)
    return {str(name): Fraction(float(value)) for name, value in zip(table["name"], values, strict=True)}


@pytest.mark.parametrize("energy_max", [10.0, 39.6, 45.0, 120.0])
@pytest.mark.parametrize(("holds", "levels"), STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.slow
def test_set_agrees_with_a_grid_of_a_thousand_alphas(
    holds: Callable[[Costs], bool], levels: list[str], energy_max: float
) -> None:
    alphas = alpha_set(TABLE, holds, energy_max=energy_max, levels=levels)
    # The irrational offset avoids the crossings, where floating point cannot decide.
    grid = (np.arange(1000) + 1 / np.sqrt(2)) / 1000
    wrong = [alpha for alpha in grid.tolist() if (alpha in alphas) != holds(costs_at(TABLE, alpha, energy_max))]
    assert wrong == []


@settings(max_examples=50, deadline=None)
@given(
    accuracy=st.lists(st.integers(0, 100), min_size=4, max_size=4),
    energy=st.lists(st.integers(1, 400), min_size=4, max_size=4),
    alpha=st.fractions(min_value=0, max_value=1, max_denominator=997),
)
def test_set_agrees_with_exact_costs_of_random_samples(accuracy: list[int], energy: list[int], alpha: Fraction) -> None:
    table: Table = {
        "name": np.array(["a", "b", "c", "d"]),
        "accuracy": np.array(accuracy) / 100,
        "total_energy_j": np.array(energy) / 10,
    }
    holds = are_lowest("a", "b")
    exact = {
        name: alpha * (1 - Fraction(acc, 100)) + (1 - alpha) * Fraction(e, 10) / 40
        for name, acc, e in zip("abcd", accuracy, energy, strict=True)
    }
    assert (alpha in alpha_set(table, holds, energy_max=40.0)) == holds(exact)


def test_crossing_of_the_level_has_its_closed_form() -> None:
    """J > 0.6 for Transformer2: alpha < (34.1/39.6 - 0.6) / (34.1/39.6 - 0.07)."""
    alphas = alpha_set(TABLE, are_above("0.6", "Transformer2"), energy_max=39.6, levels=["0.6"])
    share = Fraction(341, 396)
    assert [piece.high for piece in alphas.pieces] == [(share - Fraction("0.6")) / (share - Fraction("0.07"))]


@pytest.mark.parametrize(("energy_max", "is_possible"), [(56.8, True), (56.9, False), (200.0, False)])
def test_no_alpha_exceeds_the_level_beyond_a_limit_of_energy_max(energy_max: float, is_possible: bool) -> None:
    holds = are_above("0.6", "Transformer1", "Transformer2")
    assert bool(alpha_set(TABLE, holds, energy_max=energy_max, levels=["0.6"])) is is_possible


@pytest.mark.parametrize("energy_max", [20.0, 39.6, 100.0])
def test_ranking_scales_with_energy_max_by_the_general_form(energy_max: float) -> None:
    """RNN2 is lowest for alpha < t / (t + E_max) with t = (10.8 - 9.4) J / (0.89 - 0.87) = 70 J."""
    alphas = alpha_set(TABLE, are_lowest("RNN2"), energy_max=energy_max)
    assert [float(piece.high) for piece in alphas.pieces] == [pytest.approx(70 / (70 + energy_max))]
    assert for_any_energy_max(alphas, energy_max) == "alpha < 70/(70 + E_max) (E_max in J)"


@pytest.mark.parametrize(
    ("holds", "text", "general"),
    [
        (are_lowest("DNN3", "RNN2"), "no alpha", "no alpha, whatever E_max is"),
        (lambda cost: cost["RNN1"] < cost["DNN3"], "[0, 1]", "every alpha, whatever E_max is"),
        (lambda cost: cost["RNN1"] <= cost["RNN2"], "[0.639, 1]", "alpha >= 70/(70 + E_max) (E_max in J)"),
        (lambda cost: cost["RNN1"] != cost["RNN2"], "[0, 0.639) or (0.639, 1]",
         "alpha < 70/(70 + E_max) (E_max in J) or alpha > 70/(70 + E_max) (E_max in J)"),
        (lambda cost: cost["RNN1"] == cost["RNN2"], "[0.639, 0.639]",
         "alpha >= 70/(70 + E_max) and alpha <= 70/(70 + E_max) (E_max in J)"),
        (lambda cost: cost["CNN2"] != cost["Transformer2"], "[0, 1)", "alpha < 1 (E_max in J)"),
    ],
)  # fmt: skip
def test_sets_are_formatted_as_intervals(holds: Callable[[Costs], bool], text: str, general: str) -> None:
    alphas = alpha_set(TABLE, holds, energy_max=39.6)
    assert (str(alphas), for_any_energy_max(alphas, 39.6)) == (text, general)


def test_default_energy_max_is_the_largest_of_the_table() -> None:
    assert largest_energy(TABLE) == 39.6


@pytest.mark.parametrize("energy_max", [0.0, -1.0, float("nan")])
def test_energy_max_must_be_positive(energy_max: float) -> None:
    with pytest.raises(OutOfRange, match=r"energy_max = .* is outside \(0, inf\)\n  fix: give E_max in joule"):
        alpha_set(TABLE, are_lowest("RNN2"), energy_max=energy_max)
