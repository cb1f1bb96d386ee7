"""Designs on a device: the nearest clock of the device's table, with the voltage of that operating point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.devices.operating_points import POINT_POWER, OperatingPoints
from explorer.errors import WrongUsage
from explorer.pareto.decision.device_point import snap

TABLE = OperatingPoints((0.8, 0.9, 1.1), (5e8, 1e9, 2e9), (1.0, 2.0, 5.0))


@given(clocks=st.lists(st.floats(1e8, 5e9), min_size=1, max_size=8), volts=st.floats(0.5, 1.5))
def test_snapped_designs_are_rows_of_the_device_table(clocks: list[float], volts: float) -> None:
    n = len(clocks)
    designs = {
        "family": np.array(["A"] * n, dtype=object),
        "pruning_ratio": np.linspace(0, 0.9, n),
        "voltage_v": np.full(n, volts),
        "frequency_hz": np.array(clocks),
        "precision": np.array(["int8"] * n, dtype=object),
        "accuracy": np.full(n, 0.9),
    }
    snapped = snap(designs, TABLE)
    listed = set(zip(TABLE.voltage_v, TABLE.frequency_hz, TABLE.power_w, strict=True))

    columns = (snapped["voltage_v"], snapped["frequency_hz"], snapped[POINT_POWER])
    assert set(zip(*[c.tolist() for c in columns], strict=True)) <= listed
    assert snapped["pruning_ratio"].tolist() == designs["pruning_ratio"].tolist()
    assert snapped["precision"].tolist() == designs["precision"].tolist()
    assert "accuracy" not in snapped  # a prediction of the original design


def test_listed_clock_is_kept_at_any_voltage() -> None:
    designs = {"family": np.array(["A"]), "voltage_v": np.array([1.3]), "frequency_hz": np.array([1e9])}

    assert (snap(designs, TABLE)["frequency_hz"][0], snap(designs, TABLE)["voltage_v"][0]) == (1e9, 0.9)


@pytest.mark.parametrize(
    ("designs", "message"),
    [
        pytest.param({"family": np.array(["A"])}, "no clock", id="no clock"),
        pytest.param({"voltage_v": np.ones(1), "frequency_hz": np.array([1e9])}, "lists no voltages", id="no volts"),
        pytest.param({"row": np.array(["row 2"]), "frequency_hz": np.array([1e9])}, "rows of a table", id="rows"),
    ],
)
def test_designs_without_a_valid_operating_point_are_refused(
    designs: dict[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"], message: str
) -> None:
    with pytest.raises(WrongUsage, match=message):
        snap(designs, OperatingPoints((), (5e8, 1e9)))


def test_device_without_voltages_serves_designs_without_one() -> None:
    designs = {"family": np.array(["A"]), "frequency_hz": np.array([9e8])}

    assert snap(designs, OperatingPoints((), (5e8, 1e9)))["frequency_hz"].tolist() == [1e9]
