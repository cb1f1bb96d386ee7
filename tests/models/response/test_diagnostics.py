"""Data warnings: one sentence each, with row numbers, and none for a clean table."""

import numpy as np
import pytest

from explorer.models.response.diagnostics import duplicated_knobs, outlier_warnings, target_warnings
from explorer.models.response.selection import fit_response
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns

FAMILY, WIDTH, RATIO = (
    KnobSpec("family", "category"),
    KnobSpec("width", "number", is_log=True),
    KnobSpec("pruning_ratio", "number"),
)
CLOCK, VOLTAGE = KnobSpec("frequency_hz", "number", is_log=True), KnobSpec("voltage_v", "number")


def width_table() -> Columns:
    width = np.tile([0.25, 0.5, 1.0], 4)
    return {
        "family": np.repeat(["a", "b"], 6).astype(object), "width": width, "pruning_ratio": 1 - width,
        "bits": np.full(12, 8.0),
    }  # fmt: skip


def test_later_of_two_equivalent_knobs_is_redundant() -> None:
    assert duplicated_knobs(width_table(), knobs=(FAMILY, WIDTH, RATIO)) == {"pruning_ratio": "width"}
    assert duplicated_knobs(width_table(), knobs=(FAMILY, RATIO, WIDTH)) == {"width": "pruning_ratio"}


def test_voltage_is_not_redundant_to_the_clock() -> None:
    clock = np.repeat([0.5e9, 1e9, 2e9], 3)
    designs = {"frequency_hz": clock, "voltage_v": 0.6 + clock / 5e9}

    assert duplicated_knobs(designs, knobs=(CLOCK, VOLTAGE)) == {}


def test_number_with_distinct_values_makes_no_knob_redundant() -> None:
    designs = {**width_table(), "random": np.random.default_rng(0).random(12)}

    assert duplicated_knobs(designs, knobs=(KnobSpec("random", "number"), FAMILY, WIDTH)) == {}


def test_power_falling_with_the_clock_is_reported_with_rows() -> None:
    designs = {"frequency_hz": np.array([2e9, 0.5e9, 1e9, 1.5e9])}
    warnings = target_warnings("power_w", designs, np.array([3.0, 1.0, 2.0, 1.7]), knobs=(CLOCK,))

    assert len(warnings) == 1
    assert warnings[0].startswith("power_w falls although the clock rises, all else equal (rows 4 to 5): throttling")


def test_power_rising_with_the_clock_gets_no_warning() -> None:
    designs = {"frequency_hz": np.array([0.5e9, 1e9, 2e9])}

    assert target_warnings("power_w", designs, np.array([1.0, 1.5, 3.0]), knobs=(CLOCK,)) == ()


def test_much_slower_repeat_is_reported_as_a_hang() -> None:
    designs = {"frequency_hz": np.array([1e9, 1e9, 1e9, 2e9])}
    warnings = target_warnings("latency_s", designs, np.array([0.1, 0.11, 1.0, 0.05]), knobs=(CLOCK,))

    assert warnings == (
        "latency_s is several times that of its repeat in row 4 (10.0 times): possibly a hang; remove it",
    )


def test_many_differing_repeats_indicate_a_missing_knob() -> None:
    designs = {"frequency_hz": np.full(12, 1e9)}
    values = np.array([1.0, 5.0, 9.0, 1.1, 7.0, 4.0, 1.2, 1.0, 3.5, 8.0, 1.1, 6.0])
    warnings = target_warnings("latency_s", designs, values, knobs=(CLOCK,))

    assert len(warnings) == 1
    assert warnings[0].startswith("latency_s: repeats of one design differ by up to 9.0 times (rows 4 (9.0 times)")
    assert "and 2 more): a knob is missing from the table" in warnings[0]


def test_cliff_is_reported_with_its_position() -> None:
    designs = {"quant_step": np.array([0.01, 0.02, 0.05, 0.1])}
    knobs = (KnobSpec("quant_step", "number"),)
    warnings = target_warnings("accuracy", designs, np.array([0.95, 0.94, 0.93, 0.3]), knobs=knobs)

    assert warnings[0].startswith("accuracy falls off a cliff between quant_step 0.05 and 0.1 (rows 4 to 5)")


@pytest.mark.parametrize("target", ["accuracy", "power_w", "latency_s"])
def test_unmeasured_target_gets_no_warning(target: str) -> None:
    designs = {"frequency_hz": np.array([1e9, 2e9]), "quant_step": np.array([0.1, 0.2])}

    assert target_warnings(target, designs, np.full(2, np.nan), knobs=(CLOCK, KnobSpec("quant_step", "number"))) == ()


def test_single_outlier_is_reported() -> None:
    """Row 20 of the file is three times the value of the fit to the other rows."""
    rng = np.random.default_rng(0)
    clock = np.geomspace(0.5e9, 2e9, 30)
    values = 0.1e9 / clock * np.exp(0.02 * rng.standard_normal(30))
    values[18] *= 3
    designs = {"frequency_hz": clock}
    response = fit_response("latency_s", designs, values, knobs=(CLOCK,))
    warnings = outlier_warnings(response, designs, values)

    assert "the worst first: row 20 (" in warnings[0]
    assert len(warnings) == 1


def test_clean_table_has_no_outliers() -> None:
    clock = np.geomspace(0.5e9, 2e9, 30)
    values = 0.1e9 / clock * np.exp(0.02 * np.random.default_rng(1).standard_normal(30))
    designs = {"frequency_hz": clock}

    assert outlier_warnings(fit_response("latency_s", designs, values, knobs=(CLOCK,)), designs, values) == ()
