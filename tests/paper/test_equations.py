"""Equations (1)-(10): their properties, the numbers of the paper, and invalid arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import OutOfRange
from explorer.paper import equations as eq

amounts = st.floats(min_value=0, max_value=1e9)
positive = st.floats(min_value=1e-6, max_value=1e9)
shares = st.floats(min_value=0, max_value=1)
factors = st.floats(min_value=1e-3, max_value=1e3)
weights = st.lists(st.floats(min_value=-10, max_value=10), min_size=1, max_size=20)

# Every equation with valid arguments.
CALLS: dict[Callable[..., eq.Float], dict[str, float]] = {
    eq.mac_memory_energy: {"mac_ops": 4.2e9, "mac_energy": 3e-12, "mem_accesses": 1.8e9, "access_energy": 8e-12},
    eq.training_energy: {"epochs": 50, "batches": 200, "batch_energy": 0.027},
    eq.power_time_energy: {"power": 18, "time": 0.15},
    eq.pruning_ratio: {"total_weights": 100, "remaining_weights": 67},
    eq.compression_ratio: {"original_size": 48e6, "compressed_size": 18e6},
    eq.switching_energy: {"capacitance": 4e-9, "voltage": 1.0, "frequency": 2.5e9, "time": 0.15},
    eq.accelerator_efficiency: {"throughput": 8.5e11, "power": 25},
    eq.energy_delay_product: {"energy": 22.5, "time": 0.15},
    eq.weighted_cost: {"accuracy": 0.94, "energy": 22.5, "energy_max": 39.6, "alpha": 0.9},
}
ARGUMENTS = [pytest.param(f, name, id=f"{f.__name__}-{name}") for f, row in CALLS.items() for name in row]


@given(n=amounts, e=amounts, m=amounts, a=amounts)
def test_computation_and_memory_energy_add_up(n: float, e: float, m: float, a: float) -> None:
    both = eq.mac_memory_energy(mac_ops=n, mac_energy=e, mem_accesses=m, access_energy=a)
    computation = eq.mac_memory_energy(mac_ops=n, mac_energy=e, mem_accesses=0, access_energy=a)
    memory = eq.mac_memory_energy(mac_ops=0, mac_energy=e, mem_accesses=m, access_energy=a)
    assert both == pytest.approx(computation + memory)


@given(epochs=amounts, batches=amounts, energy=amounts)
def test_twice_the_epochs_cost_twice_the_training_energy(epochs: float, batches: float, energy: float) -> None:
    once = eq.training_energy(epochs=epochs, batches=batches, batch_energy=energy)
    assert eq.training_energy(epochs=2 * epochs, batches=batches, batch_energy=energy) == pytest.approx(2 * once)


@given(power=positive, time=positive)
def test_energy_over_time_is_the_power(power: float, time: float) -> None:
    assert eq.power_time_energy(power=power, time=time) / time == pytest.approx(power)


@given(total=positive, remaining=shares)
def test_pruned_and_remaining_weights_add_up_to_the_total(total: float, remaining: float) -> None:
    assert 1 - eq.pruning_ratio(total_weights=total, remaining_weights=remaining * total) == pytest.approx(
        remaining, abs=1e-12
    )


@given(w=weights, step=st.floats(min_value=1e-3, max_value=1))
def test_quantization_error_is_at_most_half_a_step(w: list[float], step: float) -> None:
    assert np.abs(eq.quantize(w, step=step) - w).max() <= step / 2 + 1e-9


@given(w=weights, step=st.floats(min_value=1e-3, max_value=1))
def test_quantization_is_idempotent(w: list[float], step: float) -> None:
    once = eq.quantize(w, step=step)
    assert eq.quantize(once, step=step) == pytest.approx(once)


@given(w=weights, step=st.floats(min_value=1e-3, max_value=1))
def test_quantization_is_odd(w: list[float], step: float) -> None:
    assert eq.quantize(np.negative(w), step=step) == pytest.approx(-eq.quantize(w, step=step))


def test_halves_round_to_the_even_code() -> None:
    assert eq.quantize([0.5, 1.5, 2.5], step=1).tolist() == [0, 2, 2]


@given(first=positive, second=positive, third=positive)
def test_compression_ratios_multiply(first: float, second: float, third: float) -> None:
    one = eq.compression_ratio(original_size=first, compressed_size=second)
    two = eq.compression_ratio(original_size=second, compressed_size=third)
    assert one * two == pytest.approx(eq.compression_ratio(original_size=first, compressed_size=third))


@given(voltage=positive, factor=factors)
def test_switching_energy_grows_with_the_square_of_voltage(voltage: float, factor: float) -> None:
    rest = {"capacitance": 4e-9, "frequency": 2.5e9, "time": 0.15}
    scaled = eq.switching_energy(voltage=factor * voltage, **rest)
    assert scaled == pytest.approx(factor**2 * eq.switching_energy(voltage=voltage, **rest))


@given(throughput=amounts, power=positive)
def test_efficiency_times_power_is_the_throughput(throughput: float, power: float) -> None:
    assert eq.accelerator_efficiency(throughput=throughput, power=power) * power == pytest.approx(throughput)


@given(energy=amounts, time=amounts, factor=factors)
def test_edp_is_constant_when_energy_is_traded_for_time(energy: float, time: float, factor: float) -> None:
    traded = eq.energy_delay_product(energy=energy * factor, time=time / factor)
    assert traded == pytest.approx(eq.energy_delay_product(energy=energy, time=time))


@given(acc=shares, energy=amounts, top=positive)
def test_alpha_one_weights_accuracy_only(acc: float, energy: float, top: float) -> None:
    assert eq.weighted_cost(acc, energy, energy_max=top, alpha=1.0) == pytest.approx(1 - acc)


@given(acc=shares, energy=amounts, top=positive)
def test_alpha_zero_weights_energy_only(acc: float, energy: float, top: float) -> None:
    assert eq.weighted_cost(acc, energy, energy_max=top, alpha=0.0) == pytest.approx(energy / top)


@given(acc=shares, alpha=shares, low=amounts, more=amounts)
def test_more_energy_never_lowers_the_cost(acc: float, alpha: float, low: float, more: float) -> None:
    cheap, dear = eq.weighted_cost(acc, [low, low + more], energy_max=40.0, alpha=alpha)
    assert cheap <= dear


@given(acc=shares, energy=amounts, a=shares, b=shares)
def test_cost_is_linear_in_alpha(acc: float, energy: float, a: float, b: float) -> None:
    """The audit computes the alpha for which a statement holds from this property."""
    ends = eq.weighted_cost(acc, energy, energy_max=40.0, alpha=[a, b])
    middle = eq.weighted_cost(acc, energy, energy_max=40.0, alpha=(a + b) / 2)
    assert middle == pytest.approx(ends.mean())


@pytest.mark.parametrize(("equation", "argument"), ARGUMENTS)
def test_every_argument_broadcasts(equation: Callable[..., eq.Float], argument: str) -> None:
    row: dict[str, Any] = CALLS[equation]
    column = equation(**{**row, argument: np.full(10, row[argument])})
    assert column == pytest.approx(np.full(10, equation(**row)))


@pytest.mark.parametrize(("equation", "argument"), ARGUMENTS)
def test_arguments_are_not_modified(equation: Callable[..., eq.Float], argument: str) -> None:
    column = np.full(3, CALLS[equation][argument])
    equation(**{**CALLS[equation], argument: column})
    assert column.tolist() == [CALLS[equation][argument]] * 3


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        pytest.param(eq.mac_memory_energy(**CALLS[eq.mac_memory_energy]), 0.027, id="eq1-sample-1"),
        pytest.param(eq.training_energy(epochs=50, batches=200, batch_energy=0.027), 270.0, id="eq2-sample-1"),
        pytest.param(eq.power_time_energy(power=18, time=0.15), 2.7, id="eq3-sample-1"),
        pytest.param(eq.pruning_ratio(total_weights=100, remaining_weights=67), 0.33, id="eq4-sample-1"),
        pytest.param(eq.quantize(0.07, step=0.02), 0.08, id="eq5-sample-1"),
        pytest.param(eq.compression_ratio(original_size=48, compressed_size=10), 4.80, id="eq6-sample-3"),
        pytest.param(eq.switching_energy(**CALLS[eq.switching_energy]), 1.5, id="eq7-sample-1"),
        pytest.param(eq.accelerator_efficiency(throughput=8.4e11, power=14), 6.0e10, id="eq8-sample-6"),
        pytest.param(eq.energy_delay_product(energy=39.6, time=0.18), 7.128, id="eq9-sample-9"),
        pytest.param(eq.weighted_cost(0.95, 39.6, energy_max=39.6, alpha=0.4), 0.62, id="eq10-sample-9"),
    ],
)
def test_equations_give_these_values_for_the_papers_rows(computed: eq.Float, expected: float) -> None:
    assert computed == pytest.approx(expected)


SHARES = {"alpha", "accuracy"}
ABOVE_ZERO = {"total_weights", "compressed_size", "energy_max"}


@pytest.mark.parametrize(("equation", "argument"), ARGUMENTS)
def test_negative_argument_raises(equation: Callable[..., eq.Float], argument: str) -> None:
    with pytest.raises(OutOfRange, match=rf"{argument} = -1.0 is outside (\[0, inf\)|\(0, inf\)|\[0, 1\])\n  fix: "):
        equation(**{**CALLS[equation], argument: -1.0})


@pytest.mark.parametrize(("equation", "argument"), ARGUMENTS)
def test_non_finite_argument_raises(equation: Callable[..., eq.Float], argument: str) -> None:
    allowed = r"\[0, 1\]" if argument in SHARES else "the real numbers"
    with pytest.raises(OutOfRange, match=rf"{argument} = nan is outside {allowed}\n  fix: "):
        equation(**{**CALLS[equation], argument: [CALLS[equation][argument], float("nan")]})


@pytest.mark.parametrize(("equation", "argument"), [p for p in ARGUMENTS if p.values[1] in ABOVE_ZERO])
def test_zero_divisor_raises(equation: Callable[..., eq.Float], argument: str) -> None:
    with pytest.raises(OutOfRange, match=rf"{argument} = 0.0 is outside \(0, inf\)\n  fix: check its sign and unit"):
        equation(**{**CALLS[equation], argument: 0.0})


def test_efficiency_at_zero_power_raises() -> None:
    with pytest.raises(OutOfRange, match=r"power = 0.0 is outside \(0, inf\)\n  fix: check its sign and unit \(SI\)"):
        eq.accelerator_efficiency(throughput=1.0, power=0.0)


def test_more_remaining_than_total_weights_raise() -> None:
    with pytest.raises(OutOfRange, match=r"is outside \[0, total_weights\]\n  fix: pruning removes weights"):
        eq.pruning_ratio(total_weights=10, remaining_weights=11)


@pytest.mark.parametrize("step", [0.0, -0.02])
def test_non_positive_step_raises(step: float) -> None:
    with pytest.raises(OutOfRange, match=r"step = .* is outside \(0, inf\)"):
        eq.quantize([0.1], step=step)


def test_non_finite_weight_raises() -> None:
    with pytest.raises(OutOfRange, match=r"weights = nan is outside the real numbers\n  fix: leave out rows"):
        eq.quantize([0.1, float("nan")], step=0.02)


def test_accuracy_in_percent_raises_with_a_fix() -> None:
    with pytest.raises(OutOfRange, match=r"accuracy = 94.0 is outside \[0, 1\]\n  fix: .* 0.94, not 94"):
        eq.weighted_cost(94.0, 22.5, energy_max=39.6, alpha=0.9)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_outside_zero_to_one_raises_with_a_fix(alpha: float) -> None:
    with pytest.raises(OutOfRange, match=r"alpha = .* is outside \[0, 1\]\n  fix: 0 counts energy only"):
        eq.weighted_cost(0.9, 10.0, energy_max=40.0, alpha=alpha)
