"""Perturbations of one design: small steps of numeric knobs, with finite-difference stencils, and other choices.

A perturbation is called a `move` in the output of `explorer explain`.
"""

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

FeasibleDirections = Literal["both", "up", "down", "none"]

VOLTAGE_WITH_CLOCK = "voltage_with_clock"
NEXT, PREVIOUS = "next_", "previous_"

_SYMBOLS = {"pruning_ratio": "R", "quant_step": "D", "voltage_v": "V", "frequency_hz": "f"}
_STEP_R = 0.01
_STEP_V = 0.01
_SHARE = 0.1  # of the value, on a logarithmic axis
_SHARE_OF_RANGE = 0.01  # of the range, on a linear axis
# Derivatives use a thousandth of a step, about 1e-5 of a knob. The forms are smooth and free of noise, so both the
# second-order error, about (1e-5..1e-4)^2, and the rounding error, 1e-16 / 1e-5, are far below the printed digits.
_H = 1e-3
_FORWARD = (np.array([1.0, 2.0]) * _H, np.array([4.0, -1.0]) / (2 * _H))
_STENCILS = {
    "both": (np.array([-1.0, 1.0]) * _H, np.array([-1.0, 1.0]) / (2 * _H)),
    "up": _FORWARD,
    "down": (-_FORWARD[0], -_FORWARD[1]),
}


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A perturbation of one design: a quantity y changes by the sum of weights times (y(designs) - y(design)).

    Args:
        name: the changed knob, `voltage_with_clock`, or the new choice (`next_batch_size`, `precision=fp16`).
        label: its short name.
        step: the step as text; empty for a choice.
        directions: the signs of the step that stay inside the region.
        size: the step in SI units; NaN for a choice.
        share: the step as a share of the knob's value; infinite at 0, NaN for a choice.
        designs: the designs of the stencil, shape (k,) each.
        weights: the weights of the stencil, shape (k,).
        knob: the axis of a choice.
    """

    name: str
    label: str
    step: str
    directions: FeasibleDirections
    size: float
    share: float
    designs: Columns
    weights: Float
    knob: str = ""

    @property
    def is_choice(self) -> bool:
        """True for another choice, which is a finite change, and false for a step of any size."""
        return not self.step

    def allows(self, direction: int) -> bool:
        """Return whether a direction, 1 (up) or -1 (down), stays inside the region."""
        return self.directions in {"both", "up" if direction > 0 else "down"}


def perturbations(
    region: DesignSpace,
    design: Columns,
    *,
    spans: Mapping[str, Range] | None = None,
    column: Callable[[str], Column] = column_of,
) -> tuple[Perturbation, ...]:
    """Return the perturbations of one design: a small step of every numeric knob, and every alternative choice.

    Choices on an axis of numbers or operating points are the two neighbours; on an axis of names all others; of a
    table's rows those that differ in one knob only. Voltage is also changed with the clock following.

    Args:
        region: the design space.
        design: the knobs of the region, shape (1,) each.
        spans: the samples' range of each knob, if the model has samples.
        column: returns the description of a column.
    """
    moves: list[Perturbation] = []
    for axis in region.axes:
        if axis.labels:
            moves += categorical_perturbations(region, design, axis, column=column)
        else:
            moves += numeric_perturbations(region, design, axis, spans=spans or {}, column=column)
    return tuple(moves)


def numeric_perturbations(
    region: DesignSpace,
    design: Columns,
    axis: Dimension,
    *,
    spans: Mapping[str, Range],
    column: Callable[[str], Column] = column_of,
) -> Iterator[Perturbation]:
    """Yield the steps along one numeric axis from one design, shape (1,) each.

    The stencil stays inside the region and is one-sided at its edge. For a fixed knob, where no direction is inside,
    the model alone is evaluated. A fixed knob that the samples do not vary yields nothing: its effect is not
    identifiable.

    Args:
        region: the design space.
        design: the knobs.
        axis: the axis.
        spans: the samples' range of each knob.
        column: returns the description of a column.
    """
    if axis.name == CLOCK_SHARE:
        yield from _clock_steps(region, design)
        return
    span, value = spans.get(axis.name), float(design[axis.name][0])
    if axis.is_fixed and span is not None and span.low == span.high:
        return
    text, size = _step(axis, value, span, column(axis.name))
    if size > 0:
        label = _SYMBOLS.get(axis.name, column(axis.name).label)
        ends = (-math.inf, math.inf) if axis.is_fixed else (axis.low, axis.high)
        yield _derivative(region, design, _knob_path(axis.name, size), name=axis.name, label=label, step=text,
                          size=size, value=value, ends=ends)  # fmt: skip


def categorical_perturbations(
    region: DesignSpace, design: Columns, axis: Dimension, *, column: Callable[[str], Column]
) -> Iterator[Perturbation]:
    """Yield the alternative choices on one axis of one design, shape (1,) each.

    Args:
        region: the design space.
        design: the knobs.
        axis: the axis, with labels.
        column: returns the description of a column.
    """
    if axis.name == ROW:
        yield from _row_choices(axis, design, column)
        return
    current = int(axis.nearest(design)[0])
    if is_ordered(axis):
        neighbours = ((PREVIOUS, current - 1), (NEXT, current + 1))
        choices = [(f"{word}{axis.name}", i) for word, i in neighbours if 0 <= i < len(axis.labels)]
    else:
        choices = [(f"{axis.name}={label}", i) for i, label in enumerate(axis.labels) if i != current]
    for name, index in choices:
        chosen = _with_choice(axis, index, region, design)
        yield _choice(name, _choice_label(axis, index, region, column), chosen, axis)


def is_ordered(axis: Dimension) -> bool:
    """Return whether an axis lists operating points or numbers, in ascending order, and not names."""
    values = axis.columns.get(axis.name)
    return axis.name == OPERATING_POINT or (values is not None and not isinstance(values[0], str))


def _clock_steps(region: DesignSpace, design: Columns) -> Iterator[Perturbation]:
    """Yield the step of the clock alone, and of a continuous voltage with the clock following.

    The clock follows at a constant share of the highest clock of the voltage.
    """
    law, v, f = region.operating, float(design["voltage_v"][0]), float(design["frequency_hz"][0])
    if not isinstance(law, AlphaPowerLaw):
        raise TypeError("an axis of clock shares needs an alpha-power law")
    size = _clock_step(f)
    yield _derivative(region, design, _knob_path("frequency_hz", size), name="frequency_hz", label="f",
                      step=humanize(size, "Hz"), size=size, value=f)  # fmt: skip
    share = f / float(law.frequency_max(v))

    def voltage_with_clock(start: Columns, t: Float) -> Columns:
        stepped = _knob_path("voltage_v", _STEP_V)(start, t)
        return {**stepped, "frequency_hz": share * law.frequency_max(stepped["voltage_v"])}

    if not any(axis.name == "voltage_v" and axis.labels for axis in region.axes):
        yield _derivative(region, design, voltage_with_clock, name=VOLTAGE_WITH_CLOCK, label="V with f", step="10 mV",
                          size=_STEP_V, value=v)  # fmt: skip


def _step(axis: Dimension, value: float, span: Range | None, column: Column) -> tuple[str, float]:
    """Return a readable step, as text and in SI units; 0 where the axis has no scale."""
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


def _clock_step(hertz: float) -> float:
    """Return the largest power of ten up to a fiftieth of a clock: 10 MHz from 0.5 to 5 GHz."""
    return float(10.0 ** math.floor(math.log10(hertz / 50)))


_Path = Callable[[Columns, Float], Columns]
"""Maps a design and numbers of steps t, shape (k,), to the designs t steps away."""


def _knob_path(knob: str, size: float) -> _Path:
    def path(design: Columns, t: Float) -> Columns:
        rows = {name: np.repeat(values, len(t)) for name, values in design.items()}
        return {**rows, knob: rows[knob] + t * size}

    return path


def _derivative(
    region: DesignSpace, design: Columns, path: _Path, *, name: str, label: str, step: str, size: float, value: float,
    ends: tuple[float, float] = (-math.inf, math.inf),
) -> Perturbation:  # fmt: skip
    t = np.array([-2.0, -1.0, 1.0, 2.0]) * _H
    stepped = path(design, t)
    # `contains` has a tolerance of a millionth of the range, which may exceed a step on a narrow axis: test ends too.
    knob = stepped.get(name, np.zeros(len(t)))
    is_open = region.contains(stepped) & (knob >= ends[0]) & (knob <= ends[1])
    up, down = bool(is_open[2:].all()), bool(is_open[:2].all())
    directions: FeasibleDirections = "both" if up and down else "up" if up else "down" if down else "none"
    t, weights = _STENCILS["both" if directions == "none" else directions]
    share = size / value if value else math.inf
    return Perturbation(name, label, step, directions, size, share, path(design, t), weights)


def _with_choice(axis: Dimension, index: int, region: DesignSpace, design: Columns) -> Columns:
    """Return a design with another choice on one axis; the clock follows a voltage."""
    if axis.name == "voltage_v" and _has_clock_share(region):
        chosen = region.designs({**region.knobs(design), axis.name: np.array([float(index)])})
        return {**design, "voltage_v": chosen["voltage_v"], "frequency_hz": chosen["frequency_hz"]}
    return {**design, **axis.values_at(np.array([float(index)]))}


def _choice_label(axis: Dimension, index: int, region: DesignSpace, column: Callable[[str], Column]) -> str:
    if axis.name == OPERATING_POINT:
        return f"to {axis.labels[index]}"
    value = axis.columns[axis.name][index]
    label = _SYMBOLS.get(axis.name, column(axis.name).label)
    if axis.name == "voltage_v" and _has_clock_share(region):
        label = "V with f"
    return f"{label} to {value if isinstance(value, str) else column(axis.name).text(value)}"


def _has_clock_share(region: DesignSpace) -> bool:
    return any(axis.name == CLOCK_SHARE for axis in region.axes)


def _row_choices(axis: Dimension, design: Columns, column: Callable[[str], Column]) -> Iterator[Perturbation]:
    """Yield the rows that differ in one knob only: the nearest number on either side, and every other name."""
    table = axis.values_at(np.arange(len(axis.labels), dtype=np.float64))
    current = int(axis.nearest(design)[0])
    knobs = [name for name in table if name != ROW]
    differs = {name: table[name] != table[name][current] for name in knobs}
    n_different = np.sum([*differs.values()], axis=0) if knobs else np.zeros(len(axis.labels))
    for name in knobs:
        for index in _neighbours(table[name], np.flatnonzero(differs[name] & (n_different == 1)), current):
            value = table[name][index]
            text = value if isinstance(value, str) else column(name).text(float(value))
            label = f"to {axis.labels[index]} ({_SYMBOLS.get(name, column(name).label)} {text})"
            chosen = {**design, **axis.values_at(np.array([float(index)]))}
            yield _choice(f"{ROW}={axis.labels[index]}", label, chosen, axis)


def _neighbours(values: NDArray[np.generic], rows: NDArray[np.int64], current: int) -> list[int]:
    """Return the rows with the next lower and the next higher number; all rows where the values are names."""
    if values.dtype == object:
        return [int(row) for row in rows]
    lower, higher = rows[values[rows] < values[current]], rows[values[rows] > values[current]]
    nearest = [lower[np.argmax(values[lower])]] if lower.size else []
    return [int(row) for row in [*nearest, *([higher[np.argmin(values[higher])]] if higher.size else [])]]


def _choice(name: str, label: str, design: Columns, axis: Dimension) -> Perturbation:
    return Perturbation(name, label, "", "up", math.nan, math.nan, design, np.ones(1), axis.name)
