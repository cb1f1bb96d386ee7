"""Operating points: the clocks that a voltage allows, by law or by table."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from explorer.devices.operating_points import AlphaPowerLaw, OperatingPoints, operating_excess

LAWS = st.builds(
    AlphaPowerLaw, constant=st.floats(1e6, 1e11), threshold_v=st.floats(0, 0.5), exponent=st.floats(1.0, 2.0)
)
TABLES = st.lists(
    st.tuples(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), st.integers(5, 40)), min_size=1, max_size=8, unique=True
).map(
    lambda pairs: OperatingPoints(
        tuple(v for v, _ in sorted(pairs, key=lambda p: (p[1], p[0]))),
        tuple(f * 1e8 for _, f in sorted(pairs, key=lambda p: (p[1], p[0]))),
    )
)
VOLTS = st.floats(0.0, 2.0)


def test_law_is_the_formula_of_sakurai_and_newton() -> None:
    """K (V - V_th)^a / V at 1 V, with V_th = .3 V and a = 1.3."""
    assert AlphaPowerLaw(4e9, 0.3, 1.3).frequency_max(1.0) == pytest.approx(4e9 * 0.7**1.3)


@given(law=LAWS, low=VOLTS, more=st.floats(1e-6, 1))
def test_maximum_clock_rises_with_voltage(law: AlphaPowerLaw, low: float, more: float) -> None:
    assume(low > law.threshold_v)
    slow, fast = law.frequency_max([low, low + more])

    assert slow <= fast * (1 + 1e-12)


@given(law=LAWS, share=st.floats(0, 1))
def test_maximum_clock_is_zero_at_or_below_the_threshold(law: AlphaPowerLaw, share: float) -> None:
    assert law.frequency_max(law.threshold_v * share) == 0


@given(law=LAWS, voltage=st.floats(0.55, 2.0))
def test_lowest_voltage_inverts_the_maximum_clock(law: AlphaPowerLaw, voltage: float) -> None:
    assume(law.exponent > 1.01 or law.threshold_v > 0.01)  # otherwise the law is flat and has no inverse
    clock = float(law.frequency_max(voltage))

    assert law.voltage_min(clock, below=3.0) == pytest.approx(voltage, rel=1e-6)
    assert law.frequency_max(law.voltage_min(clock, below=3.0)) >= clock


@given(law=LAWS, below=st.floats(0.55, 2.0))
def test_unreachable_clock_has_no_lowest_voltage(law: AlphaPowerLaw, below: float) -> None:
    assert math.isnan(law.voltage_min(float(law.frequency_max(below)) * 1.001, below=below))


@given(law=LAWS, voltage=st.floats(0.55, 2.0), share=st.floats(0.01, 1.5))
def test_operating_point_is_feasible_up_to_the_maximum_clock(law: AlphaPowerLaw, voltage: float, share: float) -> None:
    assume(abs(share - 1) > 1e-6 or share == 1)
    excess = operating_excess(law, voltage, share * law.frequency_max(voltage))

    assert (excess <= 0) == (share <= 1)
    assert excess == pytest.approx(share - 1, abs=1e-8)


@given(table=TABLES)
def test_listed_points_are_feasible(table: OperatingPoints) -> None:
    assert (operating_excess(table, table.voltage_v, table.frequency_hz) == 0).all()


@given(table=TABLES, voltage=st.floats(0.4, 1.1), frequency=st.floats(4e8, 5e9))
def test_unlisted_points_are_infeasible(table: OperatingPoints, voltage: float, frequency: float) -> None:
    gaps = [
        abs(voltage / v - 1) + abs(frequency / f - 1) for v, f in zip(table.voltage_v, table.frequency_hz, strict=True)
    ]
    assume(min(gaps) > 1e-6)

    assert operating_excess(table, voltage, frequency) == pytest.approx(min(gaps))


@given(table=TABLES, voltage=st.floats(0.4, 1.1))
def test_maximum_clock_is_that_of_a_point_within_the_voltage(table: OperatingPoints, voltage: float) -> None:
    reached = [f for v, f in zip(table.voltage_v, table.frequency_hz, strict=True) if v <= voltage * (1 + 1e-9)]

    assert table.frequency_max(voltage) == max(reached, default=0.0)


@given(table=TABLES)
def test_labels_of_points_are_unique(table: OperatingPoints) -> None:
    assert len(set(table.labels)) == len(table.voltage_v)


def test_label_has_clock_and_voltage() -> None:
    assert OperatingPoints((0.7,), (1.8e9,)).labels == ("1.8 GHz @ 0.7 V",)


def test_laws_and_tables_broadcast() -> None:
    law, table = AlphaPowerLaw(4e9, 0.3, 1.3), OperatingPoints((0.7, 0.9), (1e9, 2e9))

    assert law.frequency_max(np.full((3, 2), 0.9)).shape == (3, 2)
    assert table.frequency_max(np.full((3, 2), 0.9)).shape == (3, 2)
    assert operating_excess(table, np.full(4, 0.9), 2e9).shape == (4,)
