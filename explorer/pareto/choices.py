"""Choices: what else could be chosen on an axis of listed values, names, operating points or measured rows."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.steps import SHORT, Move
from explorer.problem.columns import Column, Columns
from explorer.problem.proposals import ROW
from explorer.problem.region import CLOCK_SHARE, OPERATING_POINT, Axis, Region

NEXT, PREVIOUS = "next_", "previous_"
NEXT_POINT, PREVIOUS_POINT = f"{NEXT}{OPERATING_POINT}", f"{PREVIOUS}{OPERATING_POINT}"


def is_ordered(axis: Axis) -> bool:
    """Tell whether an axis lists operating points or numbers, in rising order, and not names."""
    values = axis.columns.get(axis.name)
    return axis.name == OPERATING_POINT or (values is not None and not isinstance(values[0], str))


def choices_at(region: Region, here: Columns, axis: Axis, *, column: Callable[[str], Column]) -> Iterator[Move]:
    """Yield the other choices on one axis from one design, shape (1,) each.

    Of listed numbers and operating points these are the neighbours; of names all others; of a table's rows those that
    differ from it in one knob alone.

    Args:
        region: what may be proposed.
        here: the knobs.
        axis: the axis, with labels.
        column: tells what a column means.
    """
    if axis.name == ROW:
        yield from _rows(axis, here, column)
        return
    now = int(axis.nearest(here)[0])
    if is_ordered(axis):
        for word, index in ((PREVIOUS, now - 1), (NEXT, now + 1)):
            if 0 <= index < len(axis.labels):
                there = _chosen(axis, index, region, here)
                yield _choice(f"{word}{axis.name}", _to(axis, index, region, column), there, axis)
        return
    for index, label in enumerate(axis.labels):
        if index != now:
            there = _chosen(axis, index, region, here)
            yield _choice(f"{axis.name}={label}", _to(axis, index, region, column), there, axis)


def _chosen(axis: Axis, index: int, region: Region, here: Columns) -> Columns:
    """Return a design with another choice on one axis; the clock follows a voltage that carries it."""
    if axis.name == "voltage_v" and any(other.name == CLOCK_SHARE for other in region.axes):
        moved = region.designs({**region.knobs(here), axis.name: np.array([float(index)])})
        return {**here, "voltage_v": moved["voltage_v"], "frequency_hz": moved["frequency_hz"]}
    return {**here, **axis.chosen(np.array([float(index)]))}


def _to(axis: Axis, index: int, region: Region, column: Callable[[str], Column]) -> str:
    if axis.name == OPERATING_POINT:
        return f"to {axis.labels[index]}"
    value = axis.columns[axis.name][index]
    label = SHORT.get(axis.name, column(axis.name).label)
    if axis.name == "voltage_v" and any(other.name == CLOCK_SHARE for other in region.axes):
        label = "V with f"
    return f"{label} to {value if isinstance(value, str) else column(axis.name).text(value)}"


def _rows(axis: Axis, here: Columns, column: Callable[[str], Column]) -> Iterator[Move]:
    """Yield the rows that differ from one row in one knob alone: the nearest number on either side, and every name."""
    table = axis.chosen(np.arange(len(axis.labels), dtype=np.float64))
    now = int(axis.nearest(here)[0])
    knobs = [name for name in table if name != ROW]
    differs = {name: table[name] != table[name][now] for name in knobs}
    n_different = np.sum([*differs.values()], axis=0) if knobs else np.zeros(len(axis.labels))
    for name in knobs:
        for index in _beside(table[name], np.flatnonzero(differs[name] & (n_different == 1)), now):
            value = table[name][index]
            told = value if isinstance(value, str) else column(name).text(float(value))
            there = {**here, **axis.chosen(np.array([float(index)]))}
            label = f"to {axis.labels[index]} ({SHORT.get(name, column(name).label)} {told})"
            yield _choice(f"{ROW}={axis.labels[index]}", label, there, axis)


def _beside(values: NDArray[np.generic], rows: NDArray[np.int64], now: int) -> list[int]:
    """Return the rows with the next lower and the next higher number; all of them where the values are names."""
    if values.dtype == object:
        return [int(row) for row in rows]
    lower, higher = rows[values[rows] < values[now]], rows[values[rows] > values[now]]
    found = [lower[np.argmax(values[lower])]] if lower.size else []
    return [int(row) for row in [*found, *([higher[np.argmin(values[higher])]] if higher.size else [])]]


def _choice(name: str, label: str, there: Columns, axis: Axis) -> Move:
    return Move(name, label, "", "up", math.nan, math.nan, there, np.ones(1), axis.name)
