"""Columns in a terminal: short titles, and values with their intervals in the unit that people read."""

import math
from typing import TYPE_CHECKING

from explorer.problem.columns import Column, bounds, describe

if TYPE_CHECKING:
    from explorer.problem.columns import Columns


def short_title(column: Column) -> str:
    """Name a column for a narrow terminal: 'latency ms'."""
    unit = (column.shown_in or column.symbol).replace("J*s", "J·s")
    return f"{column.short} {unit}".strip()


def value_cell(columns: "Columns", name: str, row: int, *, with_bounds: bool, column: Column | None = None) -> object:
    """Return one value as it is shown: '128.2 [114.9, 142]', or a plain number where it has no interval."""
    value = columns[name][row]
    if isinstance(value, str):
        return value
    scale = (column or describe(name)).scale
    low, high = bounds(name)
    if not with_bounds or low not in columns or math.isnan(float(columns[low][row])):
        return float(value) / scale
    return (
        f"{float(value) / scale:.4g} [{float(columns[low][row]) / scale:.3g}, {float(columns[high][row]) / scale:.3g}]"
    )
