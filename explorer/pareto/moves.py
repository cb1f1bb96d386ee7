"""Moves: all that can be changed a little in one design, knob by knob."""

from collections.abc import Callable, Mapping

from explorer.pareto.choices import NEXT_POINT, PREVIOUS_POINT, choices_at
from explorer.pareto.steps import VOLTAGE_WITH_CLOCK, Move, steps_at
from explorer.problem.columns import Column, Columns, describe
from explorer.problem.domain import Span
from explorer.problem.region import Region

__all__ = ["NEXT_POINT", "PREVIOUS_POINT", "VOLTAGE_WITH_CLOCK", "Move", "moves_at"]


def moves_at(
    region: Region,
    design: Columns,
    *,
    spans: Mapping[str, Span] | None = None,
    column: Callable[[str], Column] = describe,
) -> tuple[Move, ...]:
    """Return the moves from one design: a small step of every numeric knob, and every choice instead of its own.

    Of listed numbers and operating points the neighbours are choices; of names all others; of a table's rows those that
    differ from it in one knob alone. Voltage also moves with the clock following it.

    Args:
        region: what may be proposed.
        design: the knobs that the region makes, shape (1,) each.
        spans: the samples' span of each knob, where the model has samples.
        column: tells what a column means.
    """
    moves: list[Move] = []
    for axis in region.axes:
        if axis.labels:
            moves += choices_at(region, design, axis, column=column)
        else:
            moves += steps_at(region, design, axis, spans=spans or {}, column=column)
    return tuple(moves)
