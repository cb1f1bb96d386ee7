"""Redundant knobs: columns that are a function of another knob."""

import numpy as np

from explorer.models.diagnostics.redundancy import duplicated_knobs
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
