"""Checks along a knob, all else equal: cliffs, turning points, throttling; and constant targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.models.diagnostics.table_checks import is_constant, target_warnings
from explorer.models.samples.knobs import KnobSpec

CLOCK, VOLTAGE = KnobSpec("frequency_hz", "number", is_log=True), KnobSpec("voltage_v", "number")
STEP, BATCH = KnobSpec("quant_step", "number"), KnobSpec("batch", "number", is_log=True)
SCHEME = KnobSpec("scheme", "category")


def test_inner_minimum_of_energy_along_the_clock_is_reported() -> None:
    """A sweep without noise: static power over a rising clock against V^2."""
    clock = np.linspace(0.1e9, 1.3e9, 13)
    latency, voltage = 0.012 + 5e7 / clock, 0.6 + 0.35 * np.maximum(clock / 0.8e9 - 1, 0)
    energy = 0.25 * voltage**2 / 0.36 + 3.2 * latency * voltage
    (warning,) = target_warnings("energy_j", {"frequency_hz": clock}, energy, knobs=(CLOCK,))
    best = int(np.argmin(energy))

    assert warning.kind == "non_monotone"
    assert f"energy_j is least inside the range of frequency_hz, at {clock[best] / 1e6:.4g} MHz (row {best + 2})" in (
        warning.text
    )


def test_voltage_that_follows_the_clock_does_not_hide_the_minimum() -> None:
    """Seven rows: a sweep of five operating points, and one row each with more pruning and a coarser step."""
    designs = {
        "pruning_ratio": np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.5, 0.2]),
        "quant_step": np.array([0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.05]),
        "voltage_v": np.array([0.7, 0.75, 0.8, 0.9, 1.0, 1.0, 1.0]),
        "frequency_hz": np.array([0.4e9, 0.8e9, 1.2e9, 1.6e9, 2e9, 2e9, 2e9]),
    }
    knobs = (KnobSpec("pruning_ratio", "number"), STEP, VOLTAGE, CLOCK)
    energy, latency = np.array([14.0, 10.2, 9.2, 9.6, 10.8, 9.0, 10.0]), 0.2e9 / designs["frequency_hz"]
    (warning,) = target_warnings("energy_j", designs, energy, knobs=knobs)

    assert "at 1.2 GHz (row 4) and at least 17% higher on both sides" in warning.text
    assert target_warnings("latency_s", designs, latency, knobs=knobs) == ()


@given(slope=st.floats(0.1, 3) | st.floats(-3, -0.1), curvature=st.floats(-1, 1), n=st.integers(4, 20))
@settings(max_examples=50, deadline=None)
def test_monotone_curves_get_no_warning(slope: float, curvature: float, n: int) -> None:
    """Parabolas in log f without noise, whose vertex is outside the range."""
    z = np.linspace(-1, 1, n)
    if abs(slope) < 2 * abs(curvature):
        slope = np.copysign(2 * abs(curvature), slope)
    energy = np.exp(slope * z / 4 + curvature * z**2 / 4)

    assert target_warnings("energy_j", {"frequency_hz": 1e9 * np.exp(z / 2)}, energy, knobs=(CLOCK,)) == ()


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 8, 15])
@pytest.mark.parametrize("slope", [0.0, -0.3, -1.0])
def test_noise_is_no_turning_point(slope: float, n: int) -> None:
    """At most 2 % of 300 sweeps with 5 % noise and no repeats."""
    rng, n_alarms = np.random.default_rng(0), 0
    clock = np.geomspace(0.4e9, 2e9, n)
    for _ in range(300):
        energy = (clock / 1e9) ** slope * np.exp(0.05 * rng.standard_normal(n))
        n_alarms += bool(target_warnings("energy_j", {"frequency_hz": clock}, energy, knobs=(CLOCK,)))

    assert n_alarms <= 6


def test_repeats_separate_noise_from_a_turning_point() -> None:
    """The same means: deep against repeats that agree within 1 %, within the scatter of repeats that differ by 40 %."""
    means = np.repeat([1.3, 1.1, 1.0, 1.1, 1.3], 4)
    designs = {"frequency_hz": np.repeat(np.geomspace(0.5e9, 2e9, 5), 4)}
    scatter = np.tile([-1.0, -0.3, 0.3, 1.0], 5)
    exact = target_warnings("energy_j", designs, means * np.exp(0.005 * scatter), knobs=(CLOCK,))
    noisy = target_warnings("energy_j", designs, means * np.exp(0.2 * scatter), knobs=(CLOCK,))

    assert [warning.kind for warning in exact] == ["non_monotone"]
    assert noisy == ()


def test_power_falling_with_the_clock_is_reported_with_rows() -> None:
    designs = {"frequency_hz": np.array([2e9, 0.5e9, 1e9, 1.5e9])}
    (warning,) = target_warnings("power_w", designs, np.array([3.0, 1.0, 2.0, 1.7]), knobs=(CLOCK,))

    assert warning.kind == "non_monotone"
    assert warning.text.startswith("power_w falls although the clock rises, all else equal (rows 4 to 5): throttling")


def test_power_rising_with_the_clock_gets_no_warning() -> None:
    designs = {"frequency_hz": np.array([0.5e9, 1e9, 2e9])}

    assert target_warnings("power_w", designs, np.array([1.0, 1.5, 3.0]), knobs=(CLOCK,)) == ()


def test_lower_power_at_a_lower_voltage_is_no_throttling() -> None:
    """A grid of voltages and clocks: the power of a higher clock at a lower voltage is less."""
    volts, clock = (a.ravel() for a in np.meshgrid([0.7, 0.9, 1.1], [1e9, 1.2e9, 1.4e9]))
    designs = {"frequency_hz": clock, "voltage_v": volts}

    assert target_warnings("power_w", designs, volts**2 * clock / 1e9, knobs=(CLOCK, VOLTAGE)) == ()


def test_cliff_is_reported_with_its_position() -> None:
    designs = {"quant_step": np.array([0.01, 0.02, 0.05, 0.1])}
    warnings = target_warnings("accuracy", designs, np.array([0.95, 0.94, 0.93, 0.3]), knobs=(STEP,))

    assert [warning.kind for warning in warnings] == ["cliff"]
    assert warnings[0].text.startswith("accuracy falls off a cliff between quant_step 0.05 and 0.1 (rows 4 to 5)")


def test_undervolting_cliff_is_found_along_the_voltage() -> None:
    volts, clock = (a.ravel() for a in np.meshgrid(np.linspace(0.6, 0.9, 7), [1e9, 1.5e9]))
    accuracy = np.where(volts > 0.62 + 0.06 * clock / 1e9, 0.93, 0.12)
    designs = {"voltage_v": volts, "frequency_hz": clock}
    (warning,) = target_warnings("accuracy", designs, accuracy, knobs=(VOLTAGE, CLOCK))

    assert warning.kind == "cliff"
    assert "between voltage_v 0.65 V and 0.75 V (rows 3 to 4, 11 to 12)" in warning.text


def test_latency_beyond_the_memory_is_a_cliff() -> None:
    batch = 2.0 ** np.arange(8)
    latency = (0.01 + 0.002 * batch) * np.where(batch > 16, 6.0, 1.0)
    (warning,) = target_warnings("latency_s", {"batch": batch}, latency, knobs=(BATCH,))

    assert warning.kind == "cliff"
    assert "jumps by up to 10.6 times between batch 16 and 32 (rows 6 to 7)" in warning.text


def test_proportional_growth_is_no_cliff() -> None:
    """A factor of 16 in one step of the batch, once the device is full."""
    batch = np.array([1.0, 4.0, 16.0, 256.0])

    assert target_warnings("latency_s", {"batch": batch}, 0.02 + 0.002 * batch, knobs=(BATCH,)) == ()


@pytest.mark.parametrize("target", ["accuracy", "power_w", "latency_s"])
def test_unmeasured_target_gets_no_warning(target: str) -> None:
    designs = {"frequency_hz": np.array([1e9, 2e9]), "quant_step": np.array([0.1, 0.2])}

    assert target_warnings(target, designs, np.full(2, np.nan), knobs=(CLOCK, STEP)) == ()


@pytest.mark.parametrize(
    ("target", "values", "expected"),
    [
        ("size_bytes", [2e6] * 3, "the same in all 3 rows (2 MB)"),
        ("accuracy", [0.9, 0.9005, np.nan], "almost the same"),
    ],
)
def test_constant_target_gets_one_plain_sentence(target: str, values: list[float], expected: str) -> None:
    designs = {"frequency_hz": np.array([1e9, 1.5e9, 2e9])}
    (warning,) = target_warnings(target, designs, np.array(values), knobs=(CLOCK,))

    assert warning.kind == "constant"
    assert f"{target} is {expected}" in warning.text
    assert is_constant(target, np.array(values))


def test_category_knobs_separate_curves() -> None:
    """Two schemes whose accuracies differ: no cliff between rows of different schemes."""
    designs = {"quant_step": np.array([0.01, 0.02, 0.03, 0.04]), "scheme": np.array(["a", "a", "b", "b"], dtype=object)}

    assert target_warnings("accuracy", designs, np.array([0.9, 0.89, 0.5, 0.49]), knobs=(STEP, SCHEME)) == ()
