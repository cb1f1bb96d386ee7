"""Units: conversion to SI and back, and invalid quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import WrongUsage
from explorer.units import factor, humanize, parse_quantity

SYMBOLS = ["V", "Hz", "F", "J", "s", "W", "B", "J*s", "OPS", "OPS/W", "d", "g/d"]
PREFIXES = {"": 1, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
NUMBERS = st.floats(1e-11, 1e14) | st.floats(-1e14, -1e-11)


@given(value=NUMBERS, symbol=st.sampled_from([*SYMBOLS, ""]))
def test_formatted_value_parses_to_the_same_number(value: float, symbol: str) -> None:
    """To four digits."""
    assert parse_quantity(humanize(value, symbol), symbol) == pytest.approx(value, rel=5.1e-4)


@given(
    number=NUMBERS,
    prefix=st.sampled_from(list(PREFIXES)),
    symbol=st.sampled_from(SYMBOLS),
    gap=st.sampled_from(["", " "]),
)
@pytest.mark.slow
def test_prefix_scales_every_unit(number: float, prefix: str, symbol: str, gap: str) -> None:
    read = parse_quantity(f"{number!r}{gap}{prefix}{symbol}", symbol)

    assert read == pytest.approx(number * PREFIXES[prefix], rel=1e-12)


@given(number=NUMBERS, symbol=st.sampled_from([*SYMBOLS, ""]))
def test_number_without_unit_is_exact_si(number: float, symbol: str) -> None:
    assert parse_quantity(repr(number), symbol) == number


@pytest.mark.parametrize(
    ("unit", "symbol", "expected"),
    [
        ("MB", "B", 1e6),
        ("kB", "B", 1e3),
        ("GB", "B", 1e9),
        ("KiB", "B", 2**10),
        ("MiB", "B", 2**20),
        ("GiB", "B", 2**30),
        ("GHz", "Hz", 1e9),
        ("Wh", "J", 3600),
        ("mWh", "J", 3.6),
        ("kWh", "J", 3.6e6),
        ("min", "s", 60),
        ("h", "s", 3600),
        ("d", "s", 86400),
        ("h", "d", 1 / 24),
        ("kg/day", "g/d", 1e3),
        ("/s", "/s", 1),
        ("Hz", "/s", 1),
        ("/min", "/s", 1 / 60),
        ("/h", "/s", 1 / 3600),
        ("g/kWh", "kg/J", 1e-3 / 3.6e6),
        ("kg/MWh", "kg/J", 1 / 3.6e9),
        ("g/MJ", "kg/J", 1e-9),
        ("nF", "F", 1e-9),
        ("µs", "s", 1e-6),
        ("mJ*s", "J*s", 1e-3),
        ("GOPS/W", "OPS/W", 1e9),
        ("%", "", 0.01),
        ("1", "", 1.0),
        ("", "", 1.0),
    ],
)
def test_unit_has_its_si_factor(unit: str, symbol: str, expected: float) -> None:
    """MB is 10^6 bytes, as in the paper's tables; MiB is 2^20."""
    assert factor(unit, symbol) == expected


@pytest.mark.parametrize(
    ("text", "symbol", "message"),
    [
        ("5 W", "J", r"'W' is not a unit of J\n  fix: write J with an SI prefix, such as mJ"),
        ("5 GHz", "V", r"'GHz' is not a unit of V\n  fix: write V with an SI prefix, such as mV"),
        ("5 ghz", "Hz", r"'ghz' is not a unit of Hz\n  fix: write Hz with an SI prefix, such as GHz"),
        ("5 XHz", "Hz", "'XHz' is not a unit of Hz"),
        ("5 MiV", "V", "'MiV' is not a unit of V"),
        ("5 W", "", r"'W' is not a unit of a pure number\n  fix: write a pure number or %"),
        ("5 %", "W", "'%' is not a unit of W"),
        ("W", "W", r"'W' is not a number with a unit\n  fix: write for example '1.5 mW'"),
        ("", "W", "'' is not a number"),
        ("1,5 W", "W", "'1,5 W' is not a number"),
        ("1 2 W", "W", "'1 2 W' is not a number"),
        ("nan", "W", "'nan' is not a number"),
        ("inf W", "W", "'inf W' is not a number"),
        ("1e999 W", "W", "'1e999 W' is not a number"),
    ],
)
def test_invalid_quantity_raises_with_an_example(text: str, symbol: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        parse_quantity(text, symbol)


@pytest.mark.parametrize(
    ("value", "symbol", "text"),
    [
        (2.5e9, "Hz", "2.5 GHz"),
        (999.0, "Hz", "999 Hz"),
        (1000.0, "Hz", "1 kHz"),
        (0.15, "s", "150 ms"),
        (0.0, "W", "0 W"),
        (-0.02, "J", "-20 mJ"),
        (0.85, "V", "0.85 V"),
        (0.94, "", "0.94"),
        (1e-15, "J", "0.001 pJ"),
        (float("nan"), "W", "nan W"),
        (float("inf"), "", "inf"),
    ],
)
def test_format_chooses_the_prefix(value: float, symbol: str, text: str) -> None:
    assert humanize(value, symbol) == text
