"""Checks of statements about voltage: the square law of power, and the knobs that change with the voltage."""

import numpy as np

from explorer.paper.audit import quantities as q
from explorer.paper.audit.checks import CheckResult, agrees_if, groups, half_unit, names, rounds_to
from explorer.paper.audit.quantities import Float, short
from explorer.paper.tables import Table

# Half a unit of the last digit with which Table 2 prints these columns.
_POWER_HALF = half_unit("30")
_VOLTAGE_HALF = half_unit("0.85")


def square_law_by_family(table: Table) -> CheckResult:
    """Check that each family has a constant k with P = k V^2, within the rounding of both columns."""
    low, high = _square_law_bounds(table)
    parts = []
    holding = 0
    for family, rows in groups(table).items():
        holds = low[rows].max() <= high[rows].min()
        holding += holds
        exponent = _log_slope(q.VOLTAGE.of(table)[rows], q.POWER.of(table)[rows])
        parts.append(f"{family} {'yes' if holds else 'no'} (exponent {exponent:.2f})")
    return agrees_if(holding == len(parts), f"one k fits {', '.join(parts)}")


def square_law_for_all(table: Table) -> CheckResult:
    """Check that one constant k gives P = k V^2 for every sample, within the rounding of both columns."""
    low, high = _square_law_bounds(table)
    k = q.POWER.of(table) / q.VOLTAGE.of(table) ** 2
    least, most = names(table)[int(k.argmin())], names(table)[int(k.argmax())]
    text = f"P / V^2 runs from {short(k.min())} ({least}) to {short(k.max())} W/V^2 ({most})"
    return agrees_if(bool(low.max() <= high.min()), text)


def voltage_exponent(table: Table, *, printed: str) -> CheckResult:
    """Check the slope of log P over log V across all samples."""
    slope = _log_slope(q.VOLTAGE.of(table), q.POWER.of(table))
    return agrees_if(rounds_to(slope, printed), f"least-squares slope of log P over log V: {slope:.2f}")


def square_law_between(table: Table, first: str, last: str) -> CheckResult:
    """Check that the fall of power between two samples follows from V^2 alone, within the rounding of the columns."""
    low, high = _square_law_bounds(table)
    i, j = names(table).index(first), names(table).index(last)
    voltage, power = q.VOLTAGE.of(table), q.POWER.of(table)
    expected = power[i] * (voltage[j] / voltage[i]) ** 2
    text = f"V^2 alone would take {short(power[i])} W to {short(expected)} W, the table has {short(power[j])} W"
    return agrees_if(bool(max(low[i], low[j]) <= min(high[i], high[j])), text)


def voltage_alone(table: Table) -> CheckResult:
    """Check whether the samples of the highest and lowest voltage differ in voltage only."""
    voltage, power = q.VOLTAGE.of(table), q.POWER.of(table)
    top, bottom = int(voltage.argmax()), int(voltage.argmin())
    switching = q.SWITCHING_POWER.of(table)
    changed = [
        word
        for word, values in (
            ("family", table["family"]), ("clock", table["frequency_hz"]), ("capacitance", table["capacitance_f"]),
        )
        if values[top] != values[bottom]
    ]  # fmt: skip
    by_voltage = f"V^2 alone would leave {short(power[top] * (voltage[bottom] / voltage[top]) ** 2)} W"
    full = f"C V^2 f {short(power[top] * switching[bottom] / switching[top])} W, the table has {short(power[bottom])} W"
    ends = f"{names(table)[top]} to {names(table)[bottom]}"
    if not changed:
        return CheckResult("agrees", f"{ends} differ in voltage only; {by_voltage}; {full}")
    return CheckResult(
        "conditional", f"only if nothing else mattered: {ends} also changes {', '.join(changed)}; {by_voltage}; {full}"
    )


def energy_per_voltage(table: Table) -> CheckResult:
    """Check that within each family total energy falls by a larger share than voltage (log-log slope above 1)."""
    voltage, energy = q.VOLTAGE.of(table), q.TOTAL_ENERGY.of(table)
    slopes = {family: _log_slope(voltage[rows], energy[rows]) for family, rows in groups(table).items()}
    parts = ", ".join(f"{family} {slope:.2f}" for family, slope in slopes.items())
    return agrees_if(all(slope > 1 for slope in slopes.values()), f"% of energy for each % of voltage: {parts}")


def _square_law_bounds(table: Table) -> tuple[Float, Float]:
    """Return the lowest and highest k = P / V^2 within the rounding of each row, shape (n,) each."""
    power, voltage = q.POWER.of(table), q.VOLTAGE.of(table)
    low = (power - _POWER_HALF) / (voltage + _VOLTAGE_HALF) ** 2
    return low, (power + _POWER_HALF) / np.maximum(voltage - _VOLTAGE_HALF, 1e-18) ** 2


def _log_slope(x: Float, y: Float) -> float:
    """Return the least-squares slope of log y over log x; NaN if x is constant."""
    if np.ptp(x) == 0:
        return float("nan")
    a, b = np.log(x), np.log(y)
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a * a).sum())
