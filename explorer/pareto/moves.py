"""Moves: the small steps that can be taken from one design, in units that people turn a knob by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.problem.columns import KNOBS, Columns, Float
from explorer.problem.operating import OperatingPoints
from explorer.problem.region import OPERATING_POINT, Region
from explorer.units import humanize

Room = Literal["both", "up", "down", "none"]

VOLTAGE_WITH_CLOCK = "voltage_with_clock"
NEXT_POINT, PREVIOUS_POINT = "next_operating_point", "previous_operating_point"
_STEP_R = 0.01
_STEP_D = 0.1
_STEP_V = 0.01
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
class Move:
    """A way to move a design a little: the change of a quantity y is the sum of weights times (y(designs) - y(here)).

    Args:
        name: the knob that is turned, `voltage_with_clock`, or the next or previous operating point.
        label: its short name.
        step: how far, in words.
        room: the ways that the region leaves open.
        size: the step, in SI; NaN for an operating point of a table.
        share: the step as a share of the knob's value; infinite at 0, NaN for an operating point of a table.
        designs: the designs at which to look, shape (k,) each.
        weights: theirs, shape (k,).
    """

    name: str
    label: str
    step: str
    room: Room
    size: float
    share: float
    designs: Columns
    weights: Float

    def can(self, direction: int) -> bool:
        """Tell whether the region leaves this way open: 1 is up, -1 is down."""
        return self.room in {"both", "up" if direction > 0 else "down"}


def moves_at(region: Region, design: Columns) -> tuple[Move, ...]:
    """Return the moves from one design, shape (1,) each: every knob alone, and voltage with the clock following it.

    The clock follows at the same share of the highest one that the voltage carries. Derivatives are taken between
    designs that the region can make, one-sided at its edge; where it leaves no way open (a fixed knob), the model alone
    is asked. On a table of operating points the neighbouring points stand in for derivatives in V and f.
    """
    r, d, v, f = (float(design[name][0]) for name in KNOBS[1:])
    moves = [
        _derivative(region, design, _alone("pruning_ratio", _STEP_R), name="pruning_ratio", label="R",
                    step=f"{_STEP_R:g}", size=_STEP_R, value=r),
        _derivative(region, design, _alone("quant_step", _STEP_D * d), name="quant_step", label="D",
                    step=f"{_STEP_D:.0%}".replace("%", " %"), size=_STEP_D * d, value=d),
    ]  # fmt: skip
    if isinstance(region.operating, OperatingPoints):
        return (*moves, *_neighbours(region, region.operating, design))
    law = region.operating
    if law is None:
        return tuple(moves)
    step_f = _clock_step(f)
    share = f / float(law.frequency_max(v))

    def together(here: Columns, t: Float) -> Columns:
        moved = _alone("voltage_v", _STEP_V)(here, t)
        return {**moved, "frequency_hz": share * law.frequency_max(moved["voltage_v"])}

    volts = "10 mV"
    moves += [
        _derivative(region, design, _alone("voltage_v", _STEP_V), name="voltage_v", label="V",
                    step=volts, size=_STEP_V, value=v),
        _derivative(region, design, _alone("frequency_hz", step_f), name="frequency_hz", label="f",
                    step=humanize(step_f, "Hz"), size=step_f, value=f),
        _derivative(region, design, together, name=VOLTAGE_WITH_CLOCK, label="V with f",
                    step=volts, size=_STEP_V, value=v),
    ]  # fmt: skip
    return tuple(moves)


_Path = Callable[[Columns, Float], Columns]
"""From a design and a number of steps t, shape (k,), to the designs that many steps away."""


def _alone(knob: str, size: float) -> _Path:
    def path(here: Columns, t: Float) -> Columns:
        rows = {name: np.repeat(here[name], len(t)) for name in KNOBS}
        return {**rows, knob: rows[knob] + t * size}

    return path


def _derivative(
    region: Region, here: Columns, path: _Path, *, name: str, label: str, step: str, size: float, value: float
) -> Move:
    is_open = region.contains(path(here, np.array([-2.0, -1.0, 1.0, 2.0]) * _H))
    up, down = bool(is_open[2:].all()), bool(is_open[:2].all())
    room: Room = "both" if up and down else "up" if up else "down" if down else "none"
    t, weights = _STENCILS["both" if room == "none" else room]
    share = size / value if value else math.inf
    return Move(name, label, step, room, size, share, path(here, t), weights)


def _neighbours(region: Region, points: OperatingPoints, here: Columns) -> list[Move]:
    knobs = region.knobs(here)
    now = int(knobs[OPERATING_POINT][0])
    moves = []
    for name, index in ((PREVIOUS_POINT, now - 1), (NEXT_POINT, now + 1)):
        if 0 <= index < len(points.labels):
            there = region.designs({**knobs, OPERATING_POINT: np.array([float(index)])})
            label = points.labels[index]
            moves.append(Move(name, f"to {label}", "", "up", math.nan, math.nan, there, np.ones(1)))
    return moves


def _clock_step(hertz: float) -> float:
    """Return the greatest power of ten up to a fiftieth of a clock: 10 MHz from 0.5 to 5 GHz."""
    return float(10.0 ** math.floor(math.log10(hertz / 50)))
