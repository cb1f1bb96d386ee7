"""Scenarios as a study declares them, before its knobs and its model's targets are known."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from explorer.problem.columns import BEST, WORST, base_of_case, is_bounded, is_end
from explorer.problem.constraints import Constraint
from explorer.problem.objectives import Objective, is_maximized, objective_of

Mode = Literal["worst", "nominal"]
Values = tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class DeclaredScenarios:
    """Scenarios of a study as declared.

    Args:
        tables: name of each scenario, and the values of each of its keys, as written.
        mode: `worst` where the study's limits hold in every scenario, `nominal` where they hold without deviations.
    """

    tables: tuple[tuple[str, tuple[tuple[str, Values], ...]], ...] = ()
    mode: Mode = "worst"

    def __bool__(self) -> bool:
        """Return whether the study declares any."""
        return bool(self.tables)

    @property
    def is_worst_case(self) -> bool:
        """True where limits hold in every scenario."""
        return bool(self.tables) and self.mode == "worst"

    def dump(self) -> dict[str, Any]:
        """Return the declaration as plain JSON values."""
        tables = {name: {key: list(values) for key, values in table} for name, table in self.tables}
        return {"mode": self.mode, **tables}


NO_SCENARIOS = DeclaredScenarios()


def worst_case_limit(constraint: Constraint) -> Constraint:
    """Return the limit of the worst case over all scenarios in place of the nominal value.

    A limit of a knob is returned unchanged: it bounds the value that is set, not the one that results. A limit against
    a column's direction (`energy_j >= 1 J`) holds in every scenario where it holds for the column's best case.

    >>> worst_case_limit(Constraint("power_w", "<=", 22.0)).text
    'power_w_worst <= 22 W'
    """
    end = constraint.column[-3:] if is_end(constraint.column) else ""
    name = constraint.column.removesuffix(end)
    if not is_bounded(name):
        return constraint
    suffix = WORST if (constraint.sense == "<=") != is_maximized(name) else BEST
    return replace(constraint, column=f"{name}{suffix}{end}")


def nominal_limit(constraint: Constraint) -> Constraint:
    """Return the limit of the nominal value: the inverse of `worst_case_limit`."""
    base = base_of_case(constraint.column)
    return constraint if base is None else replace(constraint, column=base)


def nominal_objectives(objectives: Iterable[Objective]) -> tuple[Objective, ...]:
    """Return the objectives without deviations: `energy_j` for `energy_j_worst`."""
    return tuple(objective_of(base_of_case(one.name) or one.name) for one in objectives)
