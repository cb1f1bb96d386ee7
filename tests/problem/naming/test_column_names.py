"""Names of columns as people type them mean the column that they name, and never another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import UnknownName, WrongUsage
from explorer.problem.columns import COLUMNS, bounded_names, bounds
from explorer.problem.constraints import parse_constraint
from explorer.problem.naming.column_names import ColumnName, find_column, resolve_column
from explorer.units import factor

ENDS = [end for name in bounded_names() for end in bounds(name)]
VALID = [*COLUMNS, *ENDS]


@given(name=st.sampled_from(VALID))
def test_a_column_is_found_by_its_own_name(name: str) -> None:
    assert find_column(name, VALID) == ColumnName(name)
    assert find_column(name.upper(), VALID) == ColumnName(name)


@pytest.mark.parametrize(
    ("typed", "column", "unit"),
    [
        ("latency", "latency_s", ""),
        ("edp", "edp_js", ""),
        ("power", "power_w", ""),
        ("latency_ms", "latency_s", "ms"),
        ("energy_mj", "energy_j", "mJ"),
        ("Energy_mJ_hi", "energy_j_hi", "mJ"),
        ("size_kb", "size_bytes", "kB"),
        ("size_MiB", "size_bytes", "MiB"),
        ("frequency_ghz", "frequency_hz", "GHz"),
        ("clock", "frequency_hz", ""),
        ("acc", "accuracy", ""),
        ("edp_mjs", "edp_js", "mJ*s"),
    ],
)
def test_a_name_nearly_right_means_its_column(typed: str, column: str, unit: str) -> None:
    assert find_column(typed, VALID) == ColumnName(column, unit)


@pytest.mark.parametrize("typed", ["lat", "energy_mw", "latency_j", "speed", "", "latency_ms_ms"])
def test_a_name_that_is_not_clear_is_refused(typed: str) -> None:
    assert find_column(typed, VALID) is None
    with pytest.raises(UnknownName):
        resolve_column(typed, VALID, label="--best")


def test_a_users_own_knob_is_never_renamed() -> None:
    assert find_column("latency", [*VALID, "latency"]) == ColumnName("latency")
    assert parse_constraint("clock <= 3", own=["clock"]).column == "clock"


@given(value=st.floats(0.001, 1e6), unit=st.sampled_from(["ms", "us", "ns"]))
def test_a_unit_in_a_name_is_the_unit_of_its_limit(value: float, unit: str) -> None:
    limit = parse_constraint(f"latency_{unit} <= {value!r}")

    assert limit.column == "latency_s"
    assert limit.limit == pytest.approx(value * factor(unit, "s"), rel=1e-12)


def test_the_unit_of_a_number_outweighs_that_of_the_name() -> None:
    assert parse_constraint("latency_ms <= 2 s").limit == 2.0
    assert parse_constraint("size_kb <= 2000 @ 90 %").text == "size_bytes <= 2 MB @ 90 %"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("latency_ms <= 1.2", "write 'latency_s <= 1.2 ms'"),
        ("edp <= 2", "write 'edp_js <= 2'"),
        ("energy_mj<=800 @ 90 %", "write 'energy_j <=800 mJ @ 90 %'"),
    ],
)
def test_a_file_is_told_the_text_to_write(text: str, fix: str) -> None:
    with pytest.raises(WrongUsage) as error:
        parse_constraint(text, is_exact=True)

    assert error.value.fix == fix
    assert parse_constraint(fix.removeprefix("write '").removesuffix("'"), is_exact=True) == parse_constraint(text)
