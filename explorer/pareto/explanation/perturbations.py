"""Steps: how far people turn a numeric knob at once, and designs that tell what a small turn of it changes."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.problem.applicability import Range
from explorer.problem.columns import Column, Columns, Float, column_of
from explorer.problem.design_space import CLOCK_SHARE, OPERATING_POINT, ROW, DesignSpace, Dimension
from explorer.units import humanize

Room = Literal["both", "up", "down", "none"]

VOLTAGE_WITH_CLOCK = "voltage_with_clock"
SHORT = {"pruning_ratio": "R", "quant_step": "D", "voltage_v": "V", "frequency_hz": "f"}
_STEP_R = 0.01
_STEP_V = 0.01
_SHARE = 0.1  # of a value whose axis counts in factors
_SHARE_OF_RANGE = 0.01  # of an axis that counts in differences
# A derivative is taken over a thousandth of a step: about 1e-5 of a knob. The shapes are smooth and free of noise, so
# the error of second order, some (1e-5..1e-4)^2, and the rounding, 1e-16 / 1e-5, both stay far below the digits shown.
_H = 1e-3
_AHEAD = (np.array([1.0, 2.0]) * _H, np.array([4.0, -1.0]) / (2 * _H))
_STENCILS = {
    "both": (np.array([-1.0, 1.0]) * _H, np.array([-1.0, 1.0]) / (2 * _H)),
    "up": _AHEAD,
    "down": (-_AHEAD[0], -_AHEAD[1]),
}


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A way to move a design a little: the change of a quantity y is the sum of weights times (y(designs) - y(here)).

    Args:
        name: the knob that is turned, `voltage_with_clock`, or what is chosen instead (`next_batch_size`,
            `precision=fp16`).
        label: its short name.
        step: how far, in words; empty for a choice.
        room: the ways that the region leaves open.
        size: the step, in SI; NaN for a choice.
        share: the step as a share of the knob's value; infinite at 0, NaN for a choice.
        designs: the designs at which to look, shape (k,) each.
        weights: theirs, shape (k,).
        knob: for a choice, the axis that it is on.
    """

    name: str
    label: str
    step: str
    room: Room
    size: float
    share: float
    designs: Columns
    weights: Float
    knob: str = ""

    @property
    def is_choice(self) -> bool:
        """Whether it is another choice, to be taken whole, instead of a step that may be as small as one likes."""
        return not self.step

    def can(self, direction: int) -> bool:
        """Tell whether the region leaves this way open: 1 is up, -1 is down."""
        return self.room in {"both", "up" if direction > 0 else "down"}


def numeric_perturbations(
    region: DesignSpace,
    design: Columns,
    axis: Dimension,
    *,
    spans: Mapping[str, Range],
    column: Callable[[str], Column] = column_of,
) -> Iterator[Perturbation]:
    """Yield the moves along one axis without choices from one design, shape (1,) each.

    Derivatives are taken between designs that the region can make, one-sided at its edge; where it leaves no way open
    (a fixed knob), the model alone is asked. A fixed knob that no sample varies yields nothing: nothing is known of it.

    Args:
        region: what may be proposed.
        design: the knobs.
        axis: the axis.
        spans: the samples' span of each knob.
        column: tells what a column means.
    """
    if axis.name == CLOCK_SHARE:
        yield from _clock_steps(region, design)
        return
    span, value = spans.get(axis.name), float(design[axis.name][0])
    if axis.is_fixed and span is not None and span.low == span.high:
        return
    text, size = _step(axis, value, span, column(axis.name))
    if size > 0:
        label = SHORT.get(axis.name, column(axis.name).label)
        ends = (-math.inf, math.inf) if axis.is_fixed else (axis.low, axis.high)
        yield _derivative(region, design, _alone(axis.name, size), name=axis.name, label=label, step=text, size=size,
                          value=value, ends=ends)  # fmt: skip


def _clock_steps(region: DesignSpace, design: Columns) -> Iterator[Perturbation]:
    """Yield the clock's move alone, and voltage with the clock following where the voltage is no choice.

    The clock follows at the same share of the highest one that the voltage carries.
    """
    law, v, f = region.operating, float(design["voltage_v"][0]), float(design["frequency_hz"][0])
    if not isinstance(law, AlphaPowerLaw):
        raise TypeError("a share of the clocks stands without a law")
    size = _clock_step(f)
    yield _derivative(region, design, _alone("frequency_hz", size), name="frequency_hz", label="f",
                      step=humanize(size, "Hz"), size=size, value=f)  # fmt: skip
    share = f / float(law.frequency_max(v))

    def together(here: Columns, t: Float) -> Columns:
        moved = _alone("voltage_v", _STEP_V)(here, t)
        return {**moved, "frequency_hz": share * law.frequency_max(moved["voltage_v"])}

    if not any(axis.name == "voltage_v" and axis.labels for axis in region.axes):
        yield _derivative(region, design, together, name=VOLTAGE_WITH_CLOCK, label="V with f", step="10 mV",
                          size=_STEP_V, value=v)  # fmt: skip


def _step(axis: Dimension, value: float, span: Range | None, column: Column) -> tuple[str, float]:
    """Return a step that people would take, in words and in SI; 0 where there is no scale to take it by."""
    if axis.name == "pruning_ratio":
        return f"{_STEP_R:g}", _STEP_R
    if axis.name == "voltage_v":
        return "10 mV", _STEP_V
    if axis.name == "frequency_hz":
        size = _clock_step(value)
        return humanize(size, "Hz"), size
    is_fixed = axis.is_fixed and span is not None
    if axis.name == "quant_step" or (span.is_log if is_fixed and span else axis.is_log):
        return f"{_SHARE:.0%}".replace("%", " %"), _SHARE * value
    width = span.high - span.low if is_fixed and span else axis.high - axis.low
    size = float(f"{_SHARE_OF_RANGE * width:.2g}")
    return column.text(size), size


_Path = Callable[[Columns, Float], Columns]
"""From a design and a number of steps t, shape (k,), to the designs that many steps away."""


def _alone(knob: str, size: float) -> _Path:
    def path(here: Columns, t: Float) -> Columns:
        rows = {name: np.repeat(values, len(t)) for name, values in here.items()}
        return {**rows, knob: rows[knob] + t * size}

    return path


def _derivative(
    region: DesignSpace, here: Columns, path: _Path, *, name: str, label: str, step: str, size: float, value: float,
    ends: tuple[float, float] = (-math.inf, math.inf),
) -> Perturbation:  # fmt: skip
    t = np.array([-2.0, -1.0, 1.0, 2.0]) * _H
    moved = path(here, t)
    # A region takes what lies within a millionth of its edge for its own; of a narrow range a step may be no more.
    turned = moved.get(name, np.zeros(len(t)))
    is_open = region.contains(moved) & (turned >= ends[0]) & (turned <= ends[1])
    up, down = bool(is_open[2:].all()), bool(is_open[:2].all())
    room: Room = "both" if up and down else "up" if up else "down" if down else "none"
    t, weights = _STENCILS["both" if room == "none" else room]
    share = size / value if value else math.inf
    return Perturbation(name, label, step, room, size, share, path(here, t), weights)


def _clock_step(hertz: float) -> float:
    """Return the greatest power of ten up to a fiftieth of a clock: 10 MHz from 0.5 to 5 GHz."""
    return float(10.0 ** math.floor(math.log10(hertz / 50)))


NEXT, PREVIOUS = "next_", "previous_"
NEXT_POINT, PREVIOUS_POINT = f"{NEXT}{OPERATING_POINT}", f"{PREVIOUS}{OPERATING_POINT}"


def is_ordered(axis: Dimension) -> bool:
    """Tell whether an axis lists operating points or numbers, in rising order, and not names."""
    values = axis.columns.get(axis.name)
    return axis.name == OPERATING_POINT or (values is not None and not isinstance(values[0], str))


def categorical_perturbations(
    region: DesignSpace, here: Columns, axis: Dimension, *, column: Callable[[str], Column]
) -> Iterator[Perturbation]:
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


def _chosen(axis: Dimension, index: int, region: DesignSpace, here: Columns) -> Columns:
    """Return a design with another choice on one axis; the clock follows a voltage that carries it."""
    if axis.name == "voltage_v" and any(other.name == CLOCK_SHARE for other in region.axes):
        moved = region.designs({**region.knobs(here), axis.name: np.array([float(index)])})
        return {**here, "voltage_v": moved["voltage_v"], "frequency_hz": moved["frequency_hz"]}
    return {**here, **axis.values_at(np.array([float(index)]))}


def _to(axis: Dimension, index: int, region: DesignSpace, column: Callable[[str], Column]) -> str:
    if axis.name == OPERATING_POINT:
        return f"to {axis.labels[index]}"
    value = axis.columns[axis.name][index]
    label = SHORT.get(axis.name, column(axis.name).label)
    if axis.name == "voltage_v" and any(other.name == CLOCK_SHARE for other in region.axes):
        label = "V with f"
    return f"{label} to {value if isinstance(value, str) else column(axis.name).text(value)}"


def _rows(axis: Dimension, here: Columns, column: Callable[[str], Column]) -> Iterator[Perturbation]:
    """Yield the rows that differ from one row in one knob alone: the nearest number on either side, and every name."""
    table = axis.values_at(np.arange(len(axis.labels), dtype=np.float64))
    now = int(axis.nearest(here)[0])
    knobs = [name for name in table if name != ROW]
    differs = {name: table[name] != table[name][now] for name in knobs}
    n_different = np.sum([*differs.values()], axis=0) if knobs else np.zeros(len(axis.labels))
    for name in knobs:
        for index in _beside(table[name], np.flatnonzero(differs[name] & (n_different == 1)), now):
            value = table[name][index]
            told = value if isinstance(value, str) else column(name).text(float(value))
            there = {**here, **axis.values_at(np.array([float(index)]))}
            label = f"to {axis.labels[index]} ({SHORT.get(name, column(name).label)} {told})"
            yield _choice(f"{ROW}={axis.labels[index]}", label, there, axis)


def _beside(values: NDArray[np.generic], rows: NDArray[np.int64], now: int) -> list[int]:
    """Return the rows with the next lower and the next higher number; all of them where the values are names."""
    if values.dtype == object:
        return [int(row) for row in rows]
    lower, higher = rows[values[rows] < values[now]], rows[values[rows] > values[now]]
    found = [lower[np.argmax(values[lower])]] if lower.size else []
    return [int(row) for row in [*found, *([higher[np.argmin(values[higher])]] if higher.size else [])]]


def _choice(name: str, label: str, there: Columns, axis: Dimension) -> Perturbation:
    return Perturbation(name, label, "", "up", math.nan, math.nan, there, np.ones(1), axis.name)


__all__ = ["NEXT_POINT", "PREVIOUS_POINT", "VOLTAGE_WITH_CLOCK", "Perturbation", "perturbations"]


def perturbations(
    region: DesignSpace,
    design: Columns,
    *,
    spans: Mapping[str, Range] | None = None,
    column: Callable[[str], Column] = column_of,
) -> tuple[Perturbation, ...]:
    """Return the moves from one design: a small step of every numeric knob, and every choice instead of its own.

    Of listed numbers and operating points the neighbours are choices; of names all others; of a table's rows those that
    differ from it in one knob alone. Voltage also moves with the clock following it.

    Args:
        region: what may be proposed.
        design: the knobs that the region makes, shape (1,) each.
        spans: the samples' span of each knob, where the model has samples.
        column: tells what a column means.
    """
    moves: list[Perturbation] = []
    for axis in region.axes:
        if axis.labels:
            moves += categorical_perturbations(region, design, axis, column=column)
        else:
            moves += numeric_perturbations(region, design, axis, spans=spans or {}, column=column)
    return tuple(moves)
