"""Columns: names, units, allowed values, and operations on tables."""

import numpy as np
import pytest

from explorer.problem.columns import (
    COLUMNS,
    KNOBS,
    LIMITS,
    TARGETS,
    allowed_text,
    is_allowed,
    n_rows,
    stack,
    take,
)


@pytest.mark.parametrize("name", COLUMNS)
def test_name_of_a_column_has_the_suffix_of_its_unit(name: str) -> None:
    suffixes = {"V": "_v", "Hz": "_hz", "s": "_s", "J": "_j", "W": "_w", "B": "_bytes", "J*s": "_js", "OPS": "_ops"}
    column = COLUMNS[name]

    assert name.endswith(suffixes.get(column.symbol, "")) or column.symbol == "OPS/W"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("frequency_hz", 2.3e9, "2.3 GHz"),
        ("voltage_v", 0.85, "0.85 V"),
        ("size_bytes", 18e6, "18 MB"),
        ("edp_js", 3.375, "3.375 J·s"),
        ("accuracy", 0.94, "0.94"),
        ("latency_s", 0.15, "150 ms"),
    ],
)
def test_value_is_formatted_in_the_display_unit(name: str, value: float, text: str) -> None:
    assert COLUMNS[name].text(value) == text


@pytest.mark.parametrize(
    ("name", "scale"),
    [("frequency_hz", 1e9), ("size_bytes", 1e6), ("latency_s", 1e-3), ("energy_j", 1.0), ("edp_js", 1)],
)
def test_scale_is_the_display_unit_in_si(name: str, scale: float) -> None:
    assert COLUMNS[name].scale == scale


def test_title_has_the_display_unit() -> None:
    assert COLUMNS["frequency_hz"].title == "Clock f (GHz)"
    assert COLUMNS["edp_js"].title == "Energy-delay product E·T (J·s)"
    assert COLUMNS["accuracy"].title == "Accuracy"


@pytest.mark.parametrize(
    ("name", "value", "is_good"),
    [
        ("pruning_ratio", 0.0, True),
        ("pruning_ratio", 1.0, False),
        ("pruning_ratio", -1e-9, False),
        ("quant_step", 0.0, False),
        ("quant_step", 1.0, True),
        ("voltage_v", 0.0, False),
        ("voltage_v", 1000.0, False),
        ("frequency_hz", 1e13, True),
        ("frequency_hz", 1e14, False),
        ("accuracy", 0.0, False),
        ("accuracy", 1.0, False),
        ("energy_j", 0.0, False),
        ("energy_j", float("inf"), False),
        ("energy_j", float("nan"), False),
        ("accuracy", float("nan"), False),
    ],
)
def test_allowed_values_are_the_domain_of_the_equations(name: str, value: float, is_good: bool) -> None:
    assert is_allowed(name, np.array([value])).tolist() == [is_good]


@pytest.mark.parametrize(
    ("name", "value", "is_good"),
    [("quant_step", 0.0, True), ("quant_step", -1e-9, False), ("accuracy", 0.0, True), ("accuracy", 1.0, True),
     ("accuracy", 1.01, False), ("energy_j", 0.0, False), ("pruning_ratio", 1.0, False)],
)  # fmt: skip
def test_measured_values_may_be_at_the_excluded_ends(name: str, value: float, is_good: bool) -> None:
    assert is_allowed(name, np.array([value]), is_measured=True).tolist() == [is_good]


def test_allowed_interval_is_formatted_with_brackets() -> None:
    assert [allowed_text(name) for name in ("pruning_ratio", "quant_step", "accuracy", "energy_j")] == [
        "[0, 1)",
        "(0, 1]",
        "(0, 1)",
        "(0, inf)",
    ]


def test_limits_knobs_and_targets_are_columns() -> None:
    assert {*LIMITS, *KNOBS, *TARGETS} <= set(COLUMNS)


def test_take_and_stack_keep_rows_together() -> None:
    table = {"a": np.arange(5.0), "b": np.array(list("vwxyz"), dtype=object)}
    back = stack([take(table, np.array([0, 1])), take(table, np.array([False, False, True, True, True]))])

    assert {name: values.tolist() for name, values in back.items()} == {k: v.tolist() for k, v in table.items()}
    assert n_rows(back) == 5
    assert n_rows({}) == 0
