"""Warnings about tables: each in a sentence, with the row, and none for a table that is well."""

import numpy as np
import pytest

from explorer.models.response.diagnostics import duplicated_knobs, knob_warnings, outlier_warnings, target_warnings
from explorer.models.response.input_scaling import KnobSpec
from explorer.models.response.selection import fit_response
from explorer.problem.columns import Columns

FAMILY, WIDTH, RATIO = (
    KnobSpec("family", "category"),
    KnobSpec("width", "number", is_log=True),
    KnobSpec("pruning_ratio", "number"),
)
CLOCK, VOLTAGE = KnobSpec("frequency_hz", "number", is_log=True), KnobSpec("voltage_v", "number")


def widths() -> Columns:
    width = np.tile([0.25, 0.5, 1.0], 4)
    return {
        "family": np.repeat(["a", "b"], 6).astype(object), "width": width, "pruning_ratio": 1 - width,
        "bits": np.full(12, 8.0),
    }  # fmt: skip


def test_a_knob_that_never_varies_is_said_to_be_fixed() -> None:
    told = knob_warnings(widths(), knobs=(FAMILY, WIDTH, KnobSpec("bits", "number")))

    assert told == ("bits is 8 in every row: it is fixed, and nothing tells what it does",)


def test_a_category_that_is_new_in_every_row_is_a_label() -> None:
    designs = {**widths(), "file": np.array([f"run {i}" for i in range(12)], dtype=object)}

    assert knob_warnings(designs, knobs=(WIDTH, KnobSpec("file", "category"))) == (
        "file has 12 values in 12 rows: a label rather than a knob",
    )


def test_the_later_of_two_knobs_that_say_the_same_is_the_copy() -> None:
    assert duplicated_knobs(widths(), knobs=(FAMILY, WIDTH, RATIO)) == {"pruning_ratio": "width"}
    assert duplicated_knobs(widths(), knobs=(FAMILY, RATIO, WIDTH)) == {"width": "pruning_ratio"}


def test_voltage_is_no_copy_of_the_clock_it_follows() -> None:
    clock = np.repeat([0.5e9, 1e9, 2e9], 3)
    designs = {"frequency_hz": clock, "voltage_v": 0.6 + clock / 5e9}

    assert duplicated_knobs(designs, knobs=(CLOCK, VOLTAGE)) == {}


def test_a_number_that_is_new_in_every_row_makes_no_other_knob_a_copy() -> None:
    designs = {**widths(), "random": np.random.default_rng(0).random(12)}

    assert duplicated_knobs(designs, knobs=(KnobSpec("random", "number"), FAMILY, WIDTH)) == {}


def test_power_that_falls_while_the_clock_rises_is_told_with_its_rows() -> None:
    designs = {"frequency_hz": np.array([2e9, 0.5e9, 1e9, 1.5e9])}
    told = target_warnings("power_w", designs, np.array([3.0, 1.0, 2.0, 1.7]), knobs=(CLOCK,))

    assert len(told) == 1
    assert told[0].startswith("power_w falls although the clock rises, all else equal (rows 4 to 5): throttling")


def test_power_that_rises_with_the_clock_needs_no_word() -> None:
    designs = {"frequency_hz": np.array([0.5e9, 1e9, 2e9])}

    assert target_warnings("power_w", designs, np.array([1.0, 1.5, 3.0]), knobs=(CLOCK,)) == ()


def test_a_repeat_that_took_many_times_as_long_is_a_hang() -> None:
    designs = {"frequency_hz": np.array([1e9, 1e9, 1e9, 2e9])}
    told = target_warnings("latency_s", designs, np.array([0.1, 0.11, 1.0, 0.05]), knobs=(CLOCK,))

    assert told == ("latency_s is several times that of its repeat in row 4 (10.0 times): a hang? take it out",)


def test_repeats_that_differ_again_and_again_lack_a_knob_and_are_told_in_one_line() -> None:
    designs = {"frequency_hz": np.full(12, 1e9)}
    values = np.array([1.0, 5.0, 9.0, 1.1, 7.0, 4.0, 1.2, 1.0, 3.5, 8.0, 1.1, 6.0])
    told = target_warnings("latency_s", designs, values, knobs=(CLOCK,))

    assert len(told) == 1
    assert told[0].startswith("latency_s: repeats of one configuration differ by up to 9.0 times (rows 4 (9.0 times)")
    assert "and 2 more): something that matters is not among the knobs" in told[0]


def test_a_cliff_is_told_with_where_it_stands() -> None:
    designs = {"quant_step": np.array([0.01, 0.02, 0.05, 0.1])}
    knobs = (KnobSpec("quant_step", "number"),)
    told = target_warnings("accuracy", designs, np.array([0.95, 0.94, 0.93, 0.3]), knobs=knobs)

    assert told[0].startswith("accuracy falls off a cliff between quant_step 0.05 and 0.1 (rows 4 to 5)")


@pytest.mark.parametrize("target", ["accuracy", "power_w", "latency_s"])
def test_a_target_that_was_never_measured_gets_no_warning(target: str) -> None:
    designs = {"frequency_hz": np.array([1e9, 2e9]), "quant_step": np.array([0.1, 0.2])}

    assert target_warnings(target, designs, np.full(2, np.nan), knobs=(CLOCK, KnobSpec("quant_step", "number"))) == ()


def test_a_single_row_that_does_not_belong_is_found_among_many() -> None:
    """Row 20 of the file measured three times what the others tell."""
    rng = np.random.default_rng(0)
    clock = np.geomspace(0.5e9, 2e9, 30)
    values = 0.1e9 / clock * np.exp(0.02 * rng.standard_normal(30))
    values[18] *= 3
    designs = {"frequency_hz": clock}
    response = fit_response("latency_s", designs, values, knobs=(CLOCK,))
    told = outlier_warnings(response, designs, values)

    assert "the worst first: row 20 (" in told[0]
    assert len(told) == 1


def test_a_clean_table_has_no_outliers() -> None:
    clock = np.geomspace(0.5e9, 2e9, 30)
    values = 0.1e9 / clock * np.exp(0.02 * np.random.default_rng(1).standard_normal(30))
    designs = {"frequency_hz": clock}

    assert outlier_warnings(fit_response("latency_s", designs, values, knobs=(CLOCK,)), designs, values) == ()
