"""Limits: what holds a design where it is, how much is left of each, and what loosening it would improve."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from explorer.models.assessment import Assessment
from explorer.pareto.moves import NEXT_POINT, PREVIOUS_POINT, VOLTAGE_WITH_CLOCK, Move
from explorer.pareto.rates import Rates
from explorer.problem.columns import COLUMNS, Columns
from explorer.problem.constraints import Constraint
from explorer.problem.domain import Span
from explorer.problem.objectives import Objective
from explorer.problem.operating import AlphaPowerLaw, OperatingPoints
from explorer.problem.region import CLOCK_SHARE, OPERATING_POINT, Axis, Region

_SAME_END = 1e-9

Way = tuple[str, int]
"""A move's name and its direction, 1 or -1."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit and how near a design is to it.

    Args:
        kind: the study's own constraint, what the voltage can carry, an end of the space's axis, the edge of the
            model's domain, or the end of a table of operating points.
        column: the column that is limited.
        text: the limit in words.
        left: how much is left, in the SI unit of its column; negative where it is missed.
        left_text: the same in words.
        touches: whether less is left than one step of a knob takes (or the limit is missed).
        p_met: the share of the posterior's draws in which a constraint is met; None where it does not depend on them.
        stopped: the ways that the limit stops: along them it comes nearer.
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


def limits_at(
    here: Columns, drawn: Columns, *, moves: Sequence[Move], rates: Rates, objectives: Sequence[Objective],
    assessment: Assessment,
) -> tuple[Limit, ...]:  # fmt: skip
    """Return every limit of one design, the study's own constraints first.

    Args:
        here: the design as assessed, shape (1,) each.
        drawn: the same in every draw, shape (S, 1) each.
        moves: the moves from it.
        rates: of the objectives and of the constrained columns.
        objectives: what was asked.
        assessment: the study.
    """
    family = str(here["family"][0])
    region, spans = assessment.regions[family], assessment.evaluator.domain[family]
    found = [_constraint(c, here, drawn, moves, rates) for c in assessment.study.constraints]
    if isinstance(region.operating, OperatingPoints):
        found += _table_ends(region, moves)
    else:
        found.append(_clock_limit(region, here, moves))
    for axis in region.axes:
        if axis.name not in {CLOCK_SHARE, OPERATING_POINT} and not axis.is_fixed:
            found += _axis_ends(axis, here, region, spans[axis.name], moves)
    if math.isfinite(region.clock_hz[1]):
        found += _axis_ends(Axis("frequency_hz", *region.clock_hz), here, region, spans["frequency_hz"], moves)
    return tuple(replace(f, improves=_gains(f.stopped, rates, objectives)) for f in found)


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


def _constraint(constraint: Constraint, here: Columns, drawn: Columns, moves: Sequence[Move], rates: Rates) -> Limit:
    column, own = COLUMNS[constraint.column], rates[constraint.column]
    sense = 1 if constraint.sense == "<=" else -1
    left = sense * (constraint.limit - float(here[constraint.column][0]))
    stopped = tuple(
        (move.name, way)
        for move in moves
        for way in (1, -1)
        if move.can(way) and own[move.name].direction * way == sense
    )
    depends = bool(np.ptp(drawn[constraint.column]) > 0)
    met = float(np.mean(constraint.excess(drawn) <= 0)) if depends else None
    reach = max(abs(own[move.name].change) for move in moves)
    return Limit(
        "constraint", column.name, constraint.text, left, _amount(column.name, left), left < reach, met, stopped, {}
    )


def _clock_limit(region: Region, here: Columns, moves: Sequence[Move]) -> Limit:
    volts, clock = COLUMNS["voltage_v"].text(float(here["voltage_v"][0])), COLUMNS["frequency_hz"]
    highest = float(region.frequency_max(here)[0])
    left = highest - float(here["frequency_hz"][0])
    step = next(move.size for move in moves if move.name == "frequency_hz")
    text = f"highest clock that {volts} carries, {clock.text(highest)}"
    stopped = (("frequency_hz", 1), ("voltage_v", -1))
    return Limit("voltage and clock", clock.name, text, left, _amount(clock.name, left), left < step, None, stopped, {})


def _axis_ends(axis: Axis, here: Columns, region: Region, span: Span, moves: Sequence[Move]) -> Iterator[Limit]:
    column, value = COLUMNS[axis.name], float(here[axis.name][0])
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
        yield Limit(kind, axis.name, text, left, _amount(axis.name, left), left < step, None, tuple(ways), {})


def _place(axis: Axis, region: Region, way: int) -> str:
    if axis.name == "voltage_v" and way < 0 and isinstance(region.operating, AlphaPowerLaw):
        lowest = region.operating.voltage_min(region.clock_hz[0], below=axis.high)
        if math.isclose(axis.low, lowest, rel_tol=_SAME_END):
            return f"carries no less than the lowest clock, {COLUMNS['frequency_hz'].text(region.clock_hz[0])}"
    return "end of the axis"


def _table_ends(region: Region, moves: Sequence[Move]) -> Iterator[Limit]:
    names = {move.name for move in moves}
    for word, name, index in (("first", PREVIOUS_POINT, 0), ("last", NEXT_POINT, -1)):
        if name not in names:
            label = region.axes[-1].labels[index]
            yield Limit(
                "operating points", OPERATING_POINT, f"{word} operating point, {label}", 0.0, "none", True, None, (), {}
            )


def _amount(name: str, left: float) -> str:
    if abs(left) < 1e-9:
        return "none"
    text = COLUMNS[name].text(abs(left))
    return text if left > 0 else f"missed by {text}"
