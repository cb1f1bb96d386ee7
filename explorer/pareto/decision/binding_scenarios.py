"""Binding scenarios: for each limit of the worst case, the case in which a design has the least left of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.models.evaluation import OPERATING_POINT_LIMIT, Problem
from explorer.models.worst_case import anchored, case_columns
from explorer.problem.columns import COLUMNS, Columns, base_of_case, column_of, is_end, knobs_of
from explorer.problem.constraints import Constraint
from explorer.problem.scenarios.cases import Case

NOMINAL = "nominal"


@dataclass(frozen=True, slots=True)
class BindingScenario:
    """Worst case of one limit at one design.

    Args:
        limit: the limit as text.
        scenario: the case with the least margin as text, or `nominal`.
        value: value of the limited column in that case, in SI.
        nominal: its value without deviations.
        margin: distance of `value` to the limit, in the unit of the column; negative where it is violated.
        text: all of it in one line.
    """

    limit: str
    scenario: str
    value: float
    nominal: float
    margin: float
    text: str


def binding_scenarios(problem: Problem, design: Columns, *, is_measured: bool = False) -> tuple[BindingScenario, ...]:
    """Return the binding scenario of each limit of the worst case, by predictions without probability.

    Args:
        problem: the study; without scenarios nothing is returned.
        design: one evaluated design, shape (1,) each.
        is_measured: its targets are readings, which the model moves to each case.
    """
    worst_case = problem.worst_case
    if not worst_case:
        return ()
    predict = anchored(problem.evaluator.evaluate, design) if is_measured else problem.evaluator.evaluate
    cases = {NOMINAL: design} | {
        case.text: own for case, own in case_columns(design, worst_case.cases, predict)
    }  # fmt: skip
    limits = [c for c in problem.study.constraints if base_of_case(c.column)]
    bound = [_bound_by(limit, cases) for limit in limits]
    region = problem.regions[str(design["family"][0])]
    if worst_case.is_limit and isinstance(region.operating, AlphaPowerLaw):
        bound.append(_clock_bound(region.operating, design, worst_case.cases))
    return tuple(bound)


def _bound_by(limit: Constraint, cases: Mapping[str, Columns]) -> BindingScenario:
    base = base_of_case(limit.column) or limit.column
    base = base[:-3] if is_end(base) else base
    values = {name: float(columns[base][0]) for name, columns in cases.items() if base in columns}
    sense = 1 if limit.sense == "<=" else -1
    scenario = min(values, key=lambda name: sense * (limit.limit - values[name]))
    margin = sense * (limit.limit - values[scenario])
    column = column_of(base)
    text = (
        f"{limit.text}: {_values_text(base, values[scenario], values[NOMINAL], scenario)}, {_left(column.text, margin)}"
    )
    return BindingScenario(limit.text, scenario, values[scenario], values[NOMINAL], margin, text)


def _clock_bound(law: AlphaPowerLaw, design: Columns, cases: tuple[Case, ...]) -> BindingScenario:
    knobs = {name: design[name] for name in knobs_of(design)}
    points = {NOMINAL: knobs} | {case.text: case.perturb(knobs) for case in cases}
    clocks = {name: float(own["frequency_hz"][0]) for name, own in points.items()}
    highest = {name: float(np.asarray(law.frequency_max(own["voltage_v"]))[0]) for name, own in points.items()}
    scenario = min(points, key=lambda name: highest[name] - clocks[name])
    margin, clock = highest[scenario] - clocks[scenario], COLUMNS["frequency_hz"]
    words = _values_text("frequency_hz", clocks[scenario], clocks[NOMINAL], scenario)
    text = f"clock within {clock.text(highest[scenario])}: {words}, {_left(clock.text, margin)}"
    return BindingScenario(OPERATING_POINT_LIMIT, scenario, clocks[scenario], clocks[NOMINAL], margin, text)


def _values_text(name: str, value: float, nominal: float, scenario: str) -> str:
    column = column_of(name)
    if scenario == NOMINAL:
        return f"{column.text(value)}, no scenario is worse"
    return f"{column.text(value)} in {scenario}, {column.text(nominal)} nominal"


def _left(format_value: Any, margin: float) -> str:
    return f"{format_value(abs(margin))} left" if margin >= 0 else f"violated by {format_value(abs(margin))}"


def binding_json(bound: tuple[BindingScenario, ...]) -> list[dict[str, Any]]:
    """Return binding scenarios as plain JSON values."""
    return [asdict(one) for one in bound]
