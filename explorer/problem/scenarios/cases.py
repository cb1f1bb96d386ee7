"""Cases of scenarios: every combination of the listed changes of a scenario, applied to designs and predictions.

Worst case over a finite uncertainty set: A. Ben-Tal, L. El Ghaoui and A. Nemirovski, Robust Optimization, 2009, ch. 1.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from explorer.errors import Fault, WrongUsage, suggestion
from explorer.problem.columns import Column, Columns, column_of, unit_stem
from explorer.problem.objectives import OBJECTIVES, Constants
from explorer.problem.scenarios.changes import Change, parse_changes
from explorer.problem.scenarios.declared import DeclaredScenarios, Values

MAX_CASES = 64
_ALIASES = {"clock": "frequency_hz"}
# Weights of Eq. (10) are chosen: they do not deviate.
_CHOSEN = ("alpha", "energy_max_j")
_POWER, _ENERGY, _LATENCY = "power_w", "energy_j", "latency_s"


@dataclass(frozen=True, slots=True)
class Case:
    """One combination of the changes of a scenario.

    Args:
        scenario: name of the scenario.
        changes: every changed quantity and its change, in declared order.
        knobs: those that are knobs of the designs.
        factors: factor of each scaled target.
        constants: constants of the derived columns in this case.
    """

    scenario: str
    changes: tuple[tuple[str, Change], ...]
    knobs: tuple[tuple[str, Change], ...]
    factors: tuple[tuple[str, float], ...]
    constants: Constants

    @property
    def text(self) -> str:
        """The case in one line: 'droop (voltage_v -3 %)'."""
        return f"{self.scenario} ({', '.join(f'{name} {c.text(column_of(name))}' for name, c in self.changes)})"

    def perturb(self, designs: Columns) -> Columns:
        """Return designs with their knobs as they are in this case, same shapes."""
        return {**designs, **{name: change.apply(designs[name]) for name, change in self.knobs}}

    def scale(self, predicted: Columns) -> Columns:
        """Return predicted targets as they are in this case, same shapes.

        Energy, power and latency keep E = P T, so a factor on one of them moves another: power follows energy, and
        energy follows power or latency. Two factors move the third; three are taken as given.
        """
        factors = _with_product(dict(self.factors))
        return {name: values * factors[name] if name in factors else values for name, values in predicted.items()}


def _with_product(factors: Mapping[str, float]) -> dict[str, float]:
    energy, power, latency = (factors.get(name) for name in (_ENERGY, _POWER, _LATENCY))
    if energy is None and (power or latency):
        return {**factors, _ENERGY: (power or 1.0) * (latency or 1.0)}
    if energy is not None and power is None:
        return {**factors, _POWER: energy / (latency or 1.0)}
    if energy is not None and power is not None and latency is None:
        return {**factors, _LATENCY: energy / power}
    return dict(factors)


def resolve_cases(
    declared: DeclaredScenarios, *, knobs: Mapping[str, Column], targets: Collection[str], constants: Constants
) -> tuple[tuple[Case, ...], list[Fault]]:
    """Return the cases of declared scenarios, and all faults of the declaration.

    Args:
        declared: the scenarios.
        knobs: the numeric knobs that every design has.
        targets: the targets that the model predicts.
        constants: constants of the derived columns, with those of the workload if any.
    """
    cases: list[Case] = []
    faults: list[Fault] = []
    named = constant_fields(constants)
    for scenario, table in declared.tables:
        changes: dict[str, list[Change]] = {}
        for key, values in table:
            where = f"[scenario.{scenario}] {key}"
            name = _resolve_name(key, [*knobs, *targets, *named])
            if name is None:
                faults.append(_unknown(where, key, knobs, targets, named))
            elif name in changes:
                faults.append(Fault(where, f"'{name}' is changed twice", "write it once, with a list of its changes"))
            else:
                column = knobs.get(name) or column_of(name)
                parsed, own = _parse(where, values, column, is_target=name not in knobs and name not in named)
                changes[name] = parsed
                faults += own
        combinations = [*itertools.product(*([(name, one) for one in ends] for name, ends in changes.items()))]
        cases += [_case(scenario, combination, knobs, constants, named) for combination in combinations]
    if len(cases) > MAX_CASES:
        counts = f"{len(cases)} combinations of changes"
        fix = "list fewer changes, or split a scenario: keys of one scenario are combined, scenarios are not"
        faults.append(Fault("scenario", f"{counts}, at most {MAX_CASES} are evaluated", fix))
    return tuple(cases), faults


def _parse(where: str, values: Values, column: Column, *, is_target: bool) -> tuple[list[Change], list[Fault]]:
    changes: list[Change] = []
    faults: list[Fault] = []
    for value in values:
        try:
            changes += parse_changes(value, column)
        except WrongUsage as error:
            faults.append(Fault(where, error.problem, error.fix))
    if is_target and any(not change.is_relative for change in changes):
        faults.append(Fault(where, f"sets {column.name}, which is predicted", "give a change, such as '+10 %'"))
    return list(dict.fromkeys(changes)), faults


def _case(
    scenario: str, changes: tuple[tuple[str, Change], ...], knobs: Mapping[str, Column], constants: Constants,
    named: Mapping[str, float],
) -> Case:  # fmt: skip
    for name, change in changes:
        if name not in knobs and name in named:
            constants = _with_field(constants, name, float(change.apply(np.asarray(named[name]))))
    factors = tuple((name, 1 + change.amount) for name, change in changes if name not in knobs and name not in named)
    return Case(scenario, changes, tuple(pair for pair in changes if pair[0] in knobs), factors, constants)


def _resolve_name(key: str, names: Collection[str]) -> str | None:
    """Return the column that a key means: by its name, or by its name without the unit (`voltage`)."""
    key = _ALIASES.get(key, key)
    if key in names:
        return key
    found = [name for name in dict.fromkeys(names) if unit_stem(name) == key]
    return found[0] if len(found) == 1 else None


def _unknown(
    where: str, key: str, knobs: Collection[str], targets: Collection[str], named: Collection[str]
) -> Fault:  # fmt: skip
    objective = OBJECTIVES.get(key)
    if objective is not None and objective.needs != (key,):
        needs = " and ".join(name for name in objective.needs if name in targets) or ", ".join(targets)
        return Fault(where, f"{key} is computed from other columns", f"change {needs} instead")
    names = [*knobs, *targets, *named]
    return Fault(
        where, f"'{key}' is neither a knob, nor predicted, nor a constant of the study",
        suggestion(key, [*names, *(unit_stem(name) for name in names)]) if _is_near(key, names)
        else f"change one of: {', '.join(names)}",
    )  # fmt: skip


def _is_near(key: str, names: Collection[str]) -> bool:
    return suggestion(key, [*names, *(unit_stem(name) for name in names)]).startswith("did you mean")


def constant_fields(constants: object) -> dict[str, float]:
    """Return the finite numbers among constants by their names, those of nested dataclasses included."""
    return {name: value for name, value in _numbers(constants) if name not in _CHOSEN}


def _numbers(owner: Any) -> Iterator[tuple[str, float]]:
    for field in fields(owner):
        value = getattr(owner, field.name)
        if is_dataclass(value):
            yield from _numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield field.name, float(value)


def _with_field(owner: Any, name: str, value: float) -> Any:
    """Return a dataclass with a new value of the field `name`, its own or that of a nested dataclass."""
    for field in fields(owner):
        inner = getattr(owner, field.name)
        if field.name == name:
            return replace(owner, **{name: value})
        if is_dataclass(inner) and name in dict(_numbers(inner)):
            return replace(owner, **{field.name: _with_field(inner, name, value)})
    return owner
