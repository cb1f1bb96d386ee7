"""Constraints: limits as text with units, their violation, and invalid texts."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from explorer.errors import UnknownName, WrongUsage
from explorer.problem.columns import COLUMNS, is_allowed
from explorer.problem.constraints import Constraint, parse_constraint

NUMERIC = [name for name in COLUMNS if name != "family"]
LIMITS = st.floats(1e-9, 1e13)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("power_w <= 22 W", Constraint("power_w", "<=", 22.0)),
        ("power_w<=22000mW", Constraint("power_w", "<=", 22.0)),
        ("  accuracy   >=   0.9 ", Constraint("accuracy", ">=", 0.9)),
        ("accuracy >= 90 %", Constraint("accuracy", ">=", 0.9)),
        ("size_bytes <= 10 MB", Constraint("size_bytes", "<=", 10e6)),
        ("size_bytes <= 10 MiB", Constraint("size_bytes", "<=", 10 * 2**20)),
        ("latency_s <= 150 ms", Constraint("latency_s", "<=", 0.15)),
        ("frequency_hz <= 2.1 GHz", Constraint("frequency_hz", "<=", 2.1e9)),
        ("energy_j <= 20", Constraint("energy_j", "<=", 20.0)),
        ("edp_js <= 3 J*s", Constraint("edp_js", "<=", 3.0)),
        ("edp_js <= 3 J·s", Constraint("edp_js", "<=", 3.0)),
    ],
)
def test_limit_is_parsed_with_its_unit(text: str, expected: Constraint) -> None:
    read = parse_constraint(text)

    assert (read.column, read.sense) == (expected.column, expected.sense)
    assert read.limit == pytest.approx(expected.limit, rel=1e-12)


@given(name=st.sampled_from(NUMERIC), sense=st.sampled_from(["<=", ">="]), limit=LIMITS)
def test_constraint_round_trips_through_its_text(name: str, sense: str, limit: float) -> None:
    """The text is the name of a constraint in files and storages: different limits need different texts."""
    assume(not 1 < limit <= 100 or bool(is_allowed(name, np.array([limit]), is_measured=True)[0]))  # refused: percent?
    written = Constraint(name, sense, limit)  # type: ignore[arg-type]
    read = parse_constraint(written.text)

    assert (read.column, read.sense) == (name, sense)
    assert read.limit == pytest.approx(limit, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy > 0.9", r"'accuracy > 0.9' is not a floor or cap\n  fix: write for example 'accuracy >= 0.9'"),
        ("accuracy = 0.9", "is not a floor or cap"),
        ("accuracy == 0.9", "is not a floor or cap"),
        ("accuracy 0.9", "is not a floor or cap"),
        ("0.9 <= accuracy", "is not a floor or cap"),
        ("accuracy >=", "is not a floor or cap"),
        ("", "is not a floor or cap"),
        ("accuracy >= good", "'good' is not a number with a unit"),
        ("accuracy >= nan", "'nan' is not a number"),
        ("accuracy >= 0.9 >= 0.8", "is not a number"),
        ("power_w <= 22 V", r"'V' is not a unit of W\n  fix: write W with an SI prefix"),
        ("accuracy >= 0.9 W", r"'W' is not a unit of a pure number\n  fix: write a pure number or %"),
        ("latency_s <= 1 y", "'y' is not a unit of s"),
        ("power_w <= 1e999 W", "is not a number"),
        ("family <= 3", r"compares a family\n  fix: choose families with the study's 'families'"),
    ],
)
def test_invalid_constraint_raises_with_a_fix(text: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        parse_constraint(text)


def test_unknown_column_raises_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown name 'acuracy'\n  fix: did you mean 'accuracy'\?"):
        parse_constraint("acuracy >= 0.9")


@given(
    sense=st.sampled_from(["<=", ">="]),
    limit=st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-15),
    value=st.floats(-1e9, 1e9),
)
def test_violation_is_positive_exactly_beyond_the_limit(sense: str, limit: float, value: float) -> None:
    excess = Constraint("power_w", sense, limit).violation({"power_w": np.array([value])})[0]  # type: ignore[arg-type]
    is_met = value <= limit if sense == "<=" else value >= limit

    assert (excess <= 0) == is_met


@given(limit=st.floats(1e-3, 1e3), share=st.floats(-0.9, 3))
def test_violation_is_relative_to_the_limit(limit: float, share: float) -> None:
    """Samplers add violations of different columns: they need a common scale."""
    excess = Constraint("power_w", "<=", limit).violation({"power_w": np.array([limit * (1 + share)])})[0]

    assert excess == pytest.approx(share, abs=1e-9)
