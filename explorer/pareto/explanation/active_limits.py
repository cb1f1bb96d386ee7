"""Active limits of a design: constraints and range ends, their margins, and the objectives that they hold back."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.models.evaluation import Problem
from explorer.models.worst_case import WorstCase
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity, Rates
from explorer.pareto.explanation.perturbations import NEXT, PREVIOUS, VOLTAGE_WITH_CLOCK, Perturbation, is_ordered
from explorer.problem.applicability import Range
from explorer.problem.columns import COLUMNS, Column, Columns, column_of, is_end
from explorer.problem.constraints import Constraint
from explorer.problem.design_space import CLOCK_SHARE, OPERATING_POINT, DesignSpace, Dimension
from explorer.problem.objectives import Objective

_SAME_END = 1e-9

SignedMove = tuple[str, int]
"""The name of a perturbation and its direction, 1 or -1."""


@dataclass(frozen=True, slots=True)
class ActiveLimit:
    """Limit with its margin at a design.

    Args:
        kind: a constraint of the study, the highest clock of a voltage, an end of an axis or of its list of values, an
            edge of the model's domain, or an end of a table of operating points.
        column: the limited column.
        text: the limit as text.
        margin: distance to the limit, in the SI unit of the column; negative where it is violated.
        margin_text: the same as text.
        is_active: true where the margin is less than one step or choice, or the limit is violated.
        p_met: share of the posterior draws in which a constraint is met; None where it does not depend on the draw.
        blocked: perturbations that reduce the margin or lead beyond the limit.
        improves: objectives that improve significantly if the limit is relaxed, each with the perturbation.
    """

    kind: Literal["constraint", "voltage and clock", "axis", "domain", "operating points"]
    column: str
    text: str
    margin: float
    margin_text: str
    is_active: bool
    p_met: float | None
    blocked: tuple[SignedMove, ...]
    improves: Mapping[str, SignedMove]


def active_limits(
    design: Columns, by_draw: Columns, *, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective],
    problem: Problem, column: Callable[[str], Column] = column_of,
) -> tuple[ActiveLimit, ...]:  # fmt: skip
    """Return all limits of one design, the constraints of the study first.

    Args:
        design: the evaluated design, shape (1,) each.
        by_draw: the same in every posterior draw, shape (S, 1) each; S is 0 without a posterior.
        moves: the perturbations of the design.
        rates: sensitivities of the objectives and of the constrained columns.
        objectives: the objectives.
        problem: the study.
        column: returns the description of a column.
    """
    family = str(design["family"][0])
    region, spans = problem.regions[family], problem.evaluator.domain[family]
    # A device has to keep up with its inputs: a limit of every study with a workload.
    keeps_up = (Constraint("utilization", "<=", 1.0),) if problem.study.constants.workload else ()
    limits = [
        _constraint(c, design, by_draw, moves, rates, column(c.column)) for c in (*problem.study.constraints, *keeps_up)
    ]
    if isinstance(region.operating, AlphaPowerLaw):
        limits.append(_clock_limit(problem.worst_case, region, design, moves))
    for axis in region.axes:
        if axis.labels:
            limits += _list_ends(axis, moves, column)
        elif axis.name != CLOCK_SHARE and not axis.is_fixed:
            limits += _axis_ends(axis, design, region, spans[axis.name], moves, column(axis.name))
    if math.isfinite(region.clock_hz[1]):
        clock = Dimension("frequency_hz", *region.clock_hz)
        limits += _axis_ends(clock, design, region, spans["frequency_hz"], moves, column("frequency_hz"))
    return tuple(_with_improvements(limit, moves, rates, objectives) for limit in limits)


def _with_improvements(
    limit: ActiveLimit, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective]
) -> ActiveLimit:
    """Return a limit restricted to existing perturbations, with the objectives that relaxing it improves."""
    names = {move.name for move in moves}
    blocked = tuple(signed for signed in limit.blocked if signed[0] in names)
    return replace(limit, blocked=blocked, improves=_improvements(blocked, rates, objectives))


def blocks(
    limit: ActiveLimit, move: Perturbation, direction: int, *, moves: Sequence[Perturbation], rates: Rates
) -> bool:
    """Return whether a limit blocks a perturbation: its margin is less than the step or the choice needs.

    Args:
        limit: the limit.
        move: the perturbation.
        direction: 1 is up, -1 is down.
        moves: all perturbations; the largest step among them is compared with the margin.
        rates: sensitivities of the constrained columns.
    """
    if (move.name, direction) not in limit.blocked:
        return False
    if limit.kind != "constraint":
        return limit.is_active
    own = rates[limit.column]
    needed = abs(own[move.name].change) if move.is_choice else _largest_step(moves, own)
    return limit.margin < needed


def _largest_step(moves: Sequence[Perturbation], own: Mapping[str, LocalSensitivity]) -> float:
    return max((abs(own[move.name].change) for move in moves if not move.is_choice), default=0.0)


def improves(objective: Objective, rates: Rates, signed: SignedMove) -> bool:
    """Return whether a perturbation improves an objective significantly."""
    return rates[objective.name][signed[0]].direction * signed[1] * objective.sign < 0


def _improvements(
    blocked: Sequence[SignedMove], rates: Rates, objectives: Sequence[Objective]
) -> dict[str, SignedMove]:
    """Return the first blocked perturbation that improves each objective."""
    first: dict[str, SignedMove] = {}
    for objective in objectives:
        for signed in blocked:
            if improves(objective, rates, signed):
                first.setdefault(objective.name, signed)
    return first


def _constraint(
    constraint: Constraint,
    design: Columns,
    by_draw: Columns,
    moves: Sequence[Perturbation],
    rates: Rates,
    column: Column,
) -> ActiveLimit:
    own = rates[constraint.column]
    sense = 1 if constraint.sense == "<=" else -1
    margin = sense * (constraint.limit - float(design[constraint.compared][0]))
    # A choice is a finite change: it is blocked also where it exceeds the margin without a significant sign.
    exceeding = {move.name for move in moves if move.is_choice and sense * own[move.name].change > max(margin, 0.0)}
    blocked = tuple(
        (move.name, direction)
        for move in moves
        for direction in (1, -1)
        if move.allows(direction)
        and (own[move.name].direction * direction == sense or (direction > 0 and move.name in exceeding))
    )
    draws = by_draw[constraint.column]
    is_uncertain = draws.size > 0 and bool(np.ptp(draws) > 0) and not is_end(constraint.column)
    p_met = float(np.mean(constraint.violation_by_draw(by_draw) <= 0)) if is_uncertain else None
    is_active = margin < _largest_step(moves, own) or bool(exceeding) or margin < 0
    return ActiveLimit(
        "constraint", column.name, constraint.text, margin, _margin_text(column, margin), is_active, p_met, blocked, {}
    )  # fmt: skip


def _clock_limit(
    worst_case: WorstCase, region: DesignSpace, design: Columns, moves: Sequence[Perturbation]
) -> ActiveLimit:
    volts, clock = COLUMNS["voltage_v"].text(float(design["voltage_v"][0])), COLUMNS["frequency_hz"]
    # The relative excess is f / f_max - 1, so that of the worst case gives the clock with its guard band.
    excess = float(worst_case.operating_excess(region, design)[0])
    highest = float(design["frequency_hz"][0]) / (1 + excess)
    margin = highest - float(design["frequency_hz"][0])
    step = next(move.size for move in moves if move.name == "frequency_hz")
    where = " in every scenario" if worst_case and worst_case.is_limit else ""
    text = f"highest clock that {volts} supports{where}, {clock.text(highest)}"
    blocked = (("frequency_hz", 1), ("voltage_v", -1))
    return ActiveLimit(
        "voltage and clock", clock.name, text, margin, _margin_text(clock, margin), margin < step, None, blocked, {}
    )


def _axis_ends(
    axis: Dimension, design: Columns, region: DesignSpace, span: Range, moves: Sequence[Perturbation], column: Column
) -> Iterator[ActiveLimit]:
    value = float(design[axis.name][0])
    step = next((move.size for move in moves if move.name == axis.name), math.nan)
    edges = span.widened(region.widen) if math.isfinite(region.widen) else (-math.inf, math.inf)
    for word, end, edge, direction in (("lowest", axis.low, edges[0], -1), ("highest", axis.high, edges[1], 1)):
        is_domain = math.isclose(end, edge, rel_tol=_SAME_END)
        origin = "edge of the model's domain" if is_domain else _origin(axis, region, direction)
        margin = direction * (end - value)
        blocked = [(axis.name, direction)]
        if axis.name in {"voltage_v", "frequency_hz"}:
            blocked.append((VOLTAGE_WITH_CLOCK, direction))
        text = f"{word} {column.label} {column.text(end)} ({origin})"
        kind: Literal["domain", "axis"] = "domain" if is_domain else "axis"
        yield ActiveLimit(
            kind, axis.name, text, margin, _margin_text(column, margin), margin < step, None, tuple(blocked), {}
        )


def _origin(axis: Dimension, region: DesignSpace, direction: int) -> str:
    """Return the reason of an end of an axis: the lowest voltage may follow from the lowest clock."""
    if axis.name == "voltage_v" and direction < 0 and isinstance(region.operating, AlphaPowerLaw):
        lowest = region.operating.voltage_min(region.clock_hz[0], below=axis.high)
        if math.isclose(axis.low, lowest, rel_tol=_SAME_END):
            return f"needed for the lowest clock, {COLUMNS['frequency_hz'].text(region.clock_hz[0])}"
    return "end of the axis"


def _list_ends(
    axis: Dimension, moves: Sequence[Perturbation], column: Callable[[str], Column]
) -> Iterator[ActiveLimit]:
    """Yield the end of a list of operating points or numbers that a design is at."""
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


def _margin_text(column: Column, margin: float) -> str:
    if abs(margin) < 1e-9:
        return "none"
    text = column.text(abs(margin))
    return text if margin > 0 else f"violated by {text}"
