"""Calibration of intervals: inflation by held-out rows, gaps between values, uncertainty beyond the outermost ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.models.fitting.calibration import (
    MIN_TO_CALIBRATE,
    BetweenLevels,
    EdgeUncertainty,
    IntervalInflation,
    assign_levels,
    cliff_knobs,
    fit_edge_share,
    half_width,
    required_inflation,
)
from explorer.models.forms.input_scaling import fit_coordinates
from explorer.models.response.averaging import fit_response
from explorer.models.samples.knobs import KnobSpec

CLOCK, RATIO = KnobSpec("frequency_hz", "number", is_log=True), KnobSpec("pruning_ratio", "number")
REACH = half_width(1e6, 0.9)


@pytest.mark.parametrize("sd", [0.5, 1.0, 3.0])
def test_inflation_makes_intervals_cover_held_out_rows(sd: float) -> None:
    z = sd * np.random.default_rng(0).standard_normal(200)
    factor = required_inflation(z, REACH, 0.9)

    assert np.mean(np.abs(z) <= factor * REACH) >= 0.9
    assert factor == pytest.approx(max(1.0, sd), rel=0.2)


def test_few_rows_inflate_by_their_root_mean_square() -> None:
    z = np.array([2.0, -2.0, 2.0])

    assert len(z) < MIN_TO_CALIBRATE
    assert required_inflation(z, REACH, 0.9) == pytest.approx(2.0)
    assert required_inflation(np.array([0.1, 0.2]), REACH, 0.9) == 1.0
    assert required_inflation(np.array([50.0, 0.0]), REACH, 0.9) == 3.0


def test_inflation_is_one_at_a_level_and_greatest_between() -> None:
    between = BetweenLevels(2.0, (-1.0, 0.0, 1.0), 0.5)

    assert between.factors(np.array([-1.0, 0.0, 0.25, 0.5, 1.0])) == pytest.approx([1, 1, 1.5, 2, 1])


def test_levels_are_values_closer_than_a_tenth_of_the_range() -> None:
    assert assign_levels(np.array([0.0, 1.0, 0.05, 0.98, 0.5])).tolist() == [0, 2, 0, 2, 1]


@given(prior=st.floats(0.01, 1))
def test_edge_without_evidence_has_its_prior(prior: float) -> None:
    empty = np.empty(0)

    assert fit_edge_share(empty, empty, empty, prior=prior) == pytest.approx(prior)


def test_wrong_predictions_of_outermost_values_raise_the_edge() -> None:
    beyond, variance = np.full(6, 0.5), np.full(6, 0.01**2)
    right = fit_edge_share(np.full(6, 0.005), variance, beyond, prior=0.1)
    wrong = fit_edge_share(np.full(6, 0.4), variance, beyond, prior=0.1)

    assert right < 0.1 < wrong
    assert wrong == pytest.approx(0.8, rel=0.1)  # 0.4 at half a half range beyond


def test_edge_uncertainty_vanishes_inside_and_grows_outside() -> None:
    clock = np.geomspace(0.5e9, 2e9, 9)
    coordinates = fit_coordinates({"frequency_hz": clock}, (CLOCK,))
    asked = {"frequency_hz": np.array([0.5e9, 1e9, 2e9, 3e9, 4e9])}
    spread = EdgeUncertainty({"frequency_hz": 0.2}).standard_deviation(coordinates.transform(asked))

    assert spread[:3] == pytest.approx(0, abs=1e-9)
    assert 0 < spread[3] < spread[4]
    assert spread[4] == pytest.approx(0.2)  # half a range: a factor of two of four


@pytest.mark.slow
def test_intervals_widen_beyond_an_edge_that_bends() -> None:
    """Energy has its minimum at the outermost clocks: without them, the inner ones predict a fall."""
    clock = np.geomspace(0.5e9, 2e9, 10)
    z = np.linspace(-1, 1, 10)
    bent, straight = np.exp(0.8 * np.maximum(z - 0.6, 0) - 0.2 * z), np.exp(-0.2 * z)
    widths = []
    for values in (bent, straight):
        response = fit_response("energy_j", {"frequency_hz": clock}, values, knobs=(CLOCK,))
        low, high = response.interval({"frequency_hz": np.array([2.6e9])})
        widths.append(float(np.log(high / low)[0]))

    assert widths[0] > 2 * widths[1]


def test_accuracy_may_have_a_cliff_along_other_knobs_than_voltage_and_clock() -> None:
    columns = {"pruning_ratio": np.linspace(0, 0.8, 5), "frequency_hz": np.geomspace(1e9, 2e9, 5)}
    coordinates = fit_coordinates(columns, (RATIO, CLOCK))

    assert cliff_knobs("accuracy", coordinates) == ("pruning_ratio",)
    assert cliff_knobs("energy_j", coordinates) == ()


def test_greatest_inflation_of_several_knobs_counts() -> None:
    columns = {"pruning_ratio": np.array([0.0, 0.5, 0.8]), "frequency_hz": np.array([1e9, 1.5e9, 2e9])}
    inputs = fit_coordinates(columns, (RATIO, CLOCK)).transform(columns)
    none = IntervalInflation(1.5, {})
    one = IntervalInflation(1.5, {"pruning_ratio": BetweenLevels(2.0, (-1.0, 1.0), 1.0)})

    assert none.factors(inputs).tolist() == [1.5] * 3
    assert one.factors(inputs)[0] == one.factors(inputs)[2] == pytest.approx(1.5)
    assert 1.5 < one.factors(inputs)[1] <= 3.0
