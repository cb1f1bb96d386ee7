"""Limits: what holds a design where it is, how much is left of each, and what loosening it would improve."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.models.evaluation import Problem
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity, Rates
from explorer.pareto.explanation.perturbations import NEXT, PREVIOUS, VOLTAGE_WITH_CLOCK, Perturbation, is_ordered
from explorer.problem.applicability import Range
from explorer.problem.columns import COLUMNS, Column, Columns, column_of
from explorer.problem.constraints import Constraint
from explorer.problem.design_space import CLOCK_SHARE, OPERATING_POINT, DesignSpace, Dimension
from explorer.problem.objectives import Objective

_SAME_END = 1e-9

Way = tuple[str, int]
"""A move's name and its direction, 1 or -1."""


@dataclass(frozen=True, slots=True)
class ActiveLimit:
    """A limit and how near a design is to it.

    Args:
        kind: the study's own constraint, what the voltage can carry, an end of the space's axis or of its list of
            values, the edge of the model's domain, or the end of a table of operating points.
        column: the column that is limited.
        text: the limit in words.
        left: how much is left, in the SI unit of its column; negative where it is missed.
        left_text: the same in words.
        touches: whether less is left than one step or another choice takes (or the limit is missed).
        p_met: the share of the posterior's draws in which a constraint is met; None where it does not depend on them.
        stopped: the ways that the limit stops: along them it comes nearer, or they lead past it.
        improves: the objectives that would improve for sure if it were loosened, each with the way that does it.
    """

    kind: Literal["constraint", "voltage and clock", "axis", "domain", "operating points"]
    column: str
    text: str
    left: float
    left_text: str
    touches: bool
    p_met: float | None
    stopped: tuple[Way, ...]
    improves: Mapping[str, Way]


def active_limits(
    here: Columns, drawn: Columns, *, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective],
    problem: Problem, column: Callable[[str], Column] = column_of,
) -> tuple[ActiveLimit, ...]:  # fmt: skip
    """Return every limit of one design, the study's own constraints first.

    Args:
        here: the design as assessed, shape (1,) each.
        drawn: the same in every draw, shape (S, 1) each; S is 0 where the model has no posterior.
        moves: the moves from it.
        rates: of the objectives and of the constrained columns.
        objectives: what was asked.
        problem: the study.
        column: tells what a column means.
    """
    family = str(here["family"][0])
    region, spans = problem.regions[family], problem.evaluator.domain[family]
    found = [_constraint(c, here, drawn, moves, rates, column(c.column)) for c in problem.study.constraints]
    if isinstance(region.operating, AlphaPowerLaw):
        found.append(_clock_limit(region, here, moves))
    for axis in region.axes:
        if axis.labels:
            found += _list_ends(axis, moves, column)
        elif axis.name != CLOCK_SHARE and not axis.is_fixed:
            found += _axis_ends(axis, here, region, spans[axis.name], moves, column(axis.name))
    if math.isfinite(region.clock_hz[1]):
        clock = Dimension("frequency_hz", *region.clock_hz)
        found += _axis_ends(clock, here, region, spans["frequency_hz"], moves, column("frequency_hz"))
    return tuple(_told(limit, moves, rates, objectives) for limit in found)


def _told(
    limit: ActiveLimit, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective]
) -> ActiveLimit:
    """Return a limit that stops none but the moves that there are, with what loosening it would improve."""
    names = {move.name for move in moves}
    stopped = tuple(way for way in limit.stopped if way[0] in names)
    return replace(limit, stopped=stopped, improves=_gains(stopped, rates, objectives))


def blocks(
    limit: ActiveLimit, move: Perturbation, direction: int, *, moves: Sequence[Perturbation], rates: Rates
) -> bool:
    """Tell whether a limit closes a way: it stops it, and less is left than any small step takes, or this choice.

    Args:
        limit: the limit.
        move: the way's move.
        direction: 1 is up, -1 is down.
        moves: all moves.
        rates: of the constrained columns.
    """
    if (move.name, direction) not in limit.stopped:
        return False
    if limit.kind != "constraint":
        return limit.touches
    own = rates[limit.column]
    takes = abs(own[move.name].change) if move.is_choice else _largest_step(moves, own)
    return limit.left < takes


def _largest_step(moves: Sequence[Perturbation], own: Mapping[str, LocalSensitivity]) -> float:
    return max((abs(own[move.name].change) for move in moves if not move.is_choice), default=0.0)


def improves(objective: Objective, rates: Rates, way: Way) -> bool:
    """Tell whether an objective improves for sure along a way."""
    return rates[objective.name][way[0]].direction * way[1] * objective.sign < 0


def _gains(ways: Sequence[Way], rates: Rates, objectives: Sequence[Objective]) -> dict[str, Way]:
    found: dict[str, Way] = {}
    for objective in objectives:
        for way in ways:
            if improves(objective, rates, way):
                found.setdefault(objective.name, way)
    return found


def _constraint(
    constraint: Constraint, here: Columns, drawn: Columns, moves: Sequence[Perturbation], rates: Rates, column: Column
) -> ActiveLimit:
    own = rates[constraint.column]
    sense = 1 if constraint.sense == "<=" else -1
    left = sense * (constraint.limit - float(here[constraint.column][0]))
    # Another choice may be far away: it is stopped also where it leads past the limit without a sure sign.
    missing = {move.name for move in moves if move.is_choice and sense * own[move.name].change > max(left, 0.0)}
    stopped = tuple(
        (move.name, way)
        for move in moves
        for way in (1, -1)
        if move.can(way) and (own[move.name].direction * way == sense or (way > 0 and move.name in missing))
    )
    depends = drawn[constraint.column].size > 0 and bool(np.ptp(drawn[constraint.column]) > 0)
    met = float(np.mean(constraint.violation(drawn) <= 0)) if depends else None
    touches = left < _largest_step(moves, own) or bool(missing) or left < 0
    return ActiveLimit(
        "constraint", column.name, constraint.text, left, _amount(column, left), touches, met, stopped, {}
    )  # fmt: skip


def _clock_limit(region: DesignSpace, here: Columns, moves: Sequence[Perturbation]) -> ActiveLimit:
    volts, clock = COLUMNS["voltage_v"].text(float(here["voltage_v"][0])), COLUMNS["frequency_hz"]
    highest = float(region.frequency_max(here)[0])
    left = highest - float(here["frequency_hz"][0])
    step = next(move.size for move in moves if move.name == "frequency_hz")
    text = f"highest clock that {volts} carries, {clock.text(highest)}"
    stopped = (("frequency_hz", 1), ("voltage_v", -1))
    return ActiveLimit(
        "voltage and clock", clock.name, text, left, _amount(clock, left), left < step, None, stopped, {}
    )


def _axis_ends(
    axis: Dimension, here: Columns, region: DesignSpace, span: Range, moves: Sequence[Perturbation], column: Column
) -> Iterator[ActiveLimit]:
    value = float(here[axis.name][0])
    step = next((move.size for move in moves if move.name == axis.name), math.nan)
    edges = span.widened(region.widen) if math.isfinite(region.widen) else (-math.inf, math.inf)
    for word, end, edge, way in (("lowest", axis.low, edges[0], -1), ("highest", axis.high, edges[1], 1)):
        is_domain = math.isclose(end, edge, rel_tol=_SAME_END)
        place = "edge of the model's domain" if is_domain else _place(axis, region, way)
        left = way * (end - value)
        ways = [(axis.name, way)]
        if axis.name in {"voltage_v", "frequency_hz"}:
            ways.append((VOLTAGE_WITH_CLOCK, way))
        text = f"{word} {column.label} {column.text(end)} ({place})"
        kind: Literal["domain", "axis"] = "domain" if is_domain else "axis"
        yield ActiveLimit(kind, axis.name, text, left, _amount(column, left), left < step, None, tuple(ways), {})


def _place(axis: Dimension, region: DesignSpace, way: int) -> str:
    if axis.name == "voltage_v" and way < 0 and isinstance(region.operating, AlphaPowerLaw):
        lowest = region.operating.voltage_min(region.clock_hz[0], below=axis.high)
        if math.isclose(axis.low, lowest, rel_tol=_SAME_END):
            return f"carries no less than the lowest clock, {COLUMNS['frequency_hz'].text(region.clock_hz[0])}"
    return "end of the axis"


def _list_ends(
    axis: Dimension, moves: Sequence[Perturbation], column: Callable[[str], Column]
) -> Iterator[ActiveLimit]:
    """Yield the ends of a list of operating points or numbers that a design stands at."""
    if not is_ordered(axis):
        return
    names, is_point = {move.name for move in moves}, axis.name == OPERATING_POINT
    for words, prefix, index in ((("first", "lowest"), PREVIOUS, 0), (("last", "highest"), NEXT, -1)):
        if f"{prefix}{axis.name}" in names:
            continue
        label = axis.labels[index] if is_point else column(axis.name).text(axis.columns[axis.name][index])
        text = f"{words[0]} operating point, {label}" if is_point else (
            f"{words[1]} {column(axis.name).label} {label} (of those listed)"
        )  # fmt: skip
        yield ActiveLimit("operating points" if is_point else "axis", axis.name, text, 0.0, "none", True, None, (), {})


def _amount(column: Column, left: float) -> str:
    if abs(left) < 1e-9:
        return "none"
    text = column.text(abs(left))
    return text if left > 0 else f"missed by {text}"
