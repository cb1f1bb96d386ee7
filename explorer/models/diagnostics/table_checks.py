"""Checks of one target's measurements that need no model: repeats, cliffs, turning points, constants."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.diagnostics.cliffs import cliff_warnings
from explorer.models.diagnostics.curves import Curve, CurveTable
from explorer.models.diagnostics.repeats import repeat_warnings, row_numbers
from explorer.models.diagnostics.turning_points import falling_power_warnings, turning_point_warnings
from explorer.models.diagnostics.warnings import ModelWarning, knob_text
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float
from explorer.problem.targets import is_relative

_CONSTANT = 1e-3  # relative range (for accuracy absolute) that no decision depends on


def target_warnings(
    target: str,
    designs: Columns,
    values: Float,
    *,
    knobs: Sequence[KnobSpec],
    numbers: Sequence[int] | None = None,
    ignored: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[ModelWarning, ...]:
    """Return warnings about one target's measurements.

    Kinds: `constant`, `hidden_factor` and `outlier` (repeats that disagree), `cliff`, `non_monotone`.

    Args:
        target: the column.
        designs: the knobs, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured.
        knobs: declaration of each column of the designs.
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
        ignored: columns of the file that are neither knobs nor targets, shape (n,) each; named where repeats disagree.
    """
    values = np.asarray(values, dtype=np.float64)
    if is_constant(target, values):
        return tuple(_constant_warnings(target, values))
    rows, table = row_numbers(len(values), numbers), CurveTable(target, designs, values, knobs)
    warnings = [*repeat_warnings(target, table, values, rows, ignored=ignored or {})]
    # Turning points and cliffs among rows that differ in a missing factor would be that factor's.
    if not any(warning.kind == "hidden_factor" for warning in warnings):
        for knob in knobs:
            if knob.kind == "number":
                curves = [*table.curves(knob.name, min_points=2)]
                warnings += _curve_warnings(target, knob.name, curves, rows, _repeat_scatter(table))
    return tuple(warnings)


def is_constant(target: str, values: Float) -> bool:
    """Return True if at least two rows measure a target, and it varies by less than a thousandth (accuracy: 0.001)."""
    measured = values[np.isfinite(values)]
    if len(measured) < 2:
        return False
    size = max(float(np.abs(measured).max()), 1e-300) if is_relative(target) else 1.0
    return bool(np.ptp(measured) <= _CONSTANT * size)


def _constant_warnings(target: str, values: Float) -> Iterator[ModelWarning]:
    measured = values[np.isfinite(values)]
    middle = knob_text(target, float(np.median(measured)))
    amount = "the same" if np.ptp(measured) == 0 else "almost the same"
    yield ModelWarning("constant", f"{target} is {amount} in all {len(measured)} rows ({middle}): no knob changes it")


def _curve_warnings(
    target: str,
    along: str,
    curves: Sequence[Curve],
    rows: NDArray[Any],
    repeat_scatter: tuple[float, int],
) -> Iterator[ModelWarning]:
    yield from cliff_warnings(target, along, curves, rows)
    falling: list[ModelWarning] = []
    if target == "power_w" and along == "frequency_hz":
        falling = [*falling_power_warnings(curves, rows, repeat_scatter=repeat_scatter)]
    yield from falling or turning_point_warnings(target, along, curves, rows, repeat_scatter=repeat_scatter)


def _repeat_scatter(table: CurveTable) -> tuple[float, int]:
    """Return the sum of squares of repeats around their designs' means, and its degrees of freedom."""
    group = table.repeats()
    if not group.size:
        return 0.0, 0
    counts = np.bincount(group)
    residual = table.values - (np.bincount(group, table.values) / counts)[group]
    return float(residual @ residual), int(len(group) - len(counts))
