"""Objectives: pure vectorized functions of columns, with a direction and a unit."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.paper.equations import accelerator_efficiency, energy_delay_product, weighted_cost
from explorer.problem.columns import TARGETS, WORST, Columns, Float, base_of_case, column_of, is_end

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class Constants:
    """Parameters of the weighted cost, Eq. (10): the weight alpha in [0, 1] and E_max in joule.

    The paper states neither. 39.6 J is the largest Total Energy in its Table 2; at alpha = 0.9 EDP and J conflict.
    """

    alpha: float = 0.9
    energy_max_j: float = 39.6


@dataclass(frozen=True, slots=True)
class Objective:
    """Quantity to minimize or maximize, computed from the columns `needs`."""

    name: str
    direction: Direction
    needs: tuple[str, ...]
    compute: Callable[[Columns, Constants], Float]

    @property
    def sign(self) -> float:
        """1 if the objective is minimized, -1 if it is maximized."""
        return 1.0 if self.direction == "minimize" else -1.0

    @property
    def title(self) -> str:
        """Label and unit, for axes and headers."""
        return column_of(self.name).title


def _predicted(name: str, direction: Direction) -> Objective:
    return Objective(name, direction, (name,), lambda columns, _: columns[name])


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "edp_js",
            "minimize",
            ("energy_j", "latency_s"),
            lambda columns, _: energy_delay_product(energy=columns["energy_j"], time=columns["latency_s"]),
        ),
        Objective(
            "weighted_cost",
            "minimize",
            ("accuracy", "energy_j"),
            lambda columns, constants: weighted_cost(
                columns["accuracy"], columns["energy_j"], energy_max=constants.energy_max_j, alpha=constants.alpha
            ),
        ),
        _predicted("accuracy", "maximize"),
        _predicted("energy_j", "minimize"),
        _predicted("latency_s", "minimize"),
        _predicted("power_w", "minimize"),
        _predicted("size_bytes", "minimize"),
        Objective(
            "ops_per_watt",
            "maximize",
            ("throughput_ops", "power_w"),
            lambda columns, _: accelerator_efficiency(throughput=columns["throughput_ops"], power=columns["power_w"]),
        ),
    )
}


def objective_of(name: str) -> Objective:
    """Return the objective of a name; `accuracy_lo` and `energy_j_worst` have the direction of their column.

    Raises:
        KeyError: no such objective.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    if not is_objective(name):
        raise KeyError(name)
    base = OBJECTIVES[_base_name(name)]
    return Objective(name, base.direction, base.needs, lambda columns, _: columns[name])


def is_objective(name: str) -> bool:
    """Return whether a name is an objective, its worst case over scenarios, or an end of the interval of one."""
    return _base_name(name) in OBJECTIVES


def is_maximized(name: str) -> bool:
    """Return whether greater values of a predicted column are better."""
    return OBJECTIVES[name].direction == "maximize" if name in OBJECTIVES else name == "throughput_ops"


def _base_name(name: str) -> str:
    """Return the column of a name without the worst case and the end of the interval that it may ask for."""
    name = (base_of_case(name) or name) if WORST in name else name
    return name[:-3] if is_end(name) else name


def needs_of(name: str) -> tuple[str, ...]:
    """Return the targets that a column follows from: those of an objective, or the target itself; else none."""
    if is_objective(name):
        return objective_of(name).needs
    name = base_of_case(name) or name
    name = name[:-3] if is_end(name) else name
    if name in OBJECTIVES:
        return OBJECTIVES[name].needs
    return (name,) if name in TARGETS else ()


def add_objectives(columns: Columns, constants: Constants) -> Columns:
    """Return the table with all objectives whose columns it has; NaN where one of these columns is not finite.

    Columns have shape (n,), or (S, n) for S posterior draws.
    """
    derived = {
        name: _compute_finite(objective, columns, constants)
        for name, objective in OBJECTIVES.items()
        if name not in columns and all(need in columns for need in objective.needs)
    }
    return {**columns, **derived}


def _compute_finite(objective: Objective, columns: Columns, constants: Constants) -> Float:
    needed = {need: np.asarray(columns[need], dtype=np.float64) for need in objective.needs}
    is_finite = np.all(np.stack([np.isfinite(values) for values in needed.values()]), axis=0)
    if is_finite.all():
        return objective.compute(needed, constants)
    result = np.full(is_finite.shape, np.nan)
    result[is_finite] = objective.compute({need: values[is_finite] for need, values in needed.items()}, constants)
    return result


def missing_needs(objective: Objective, offered: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that an objective needs and a model does not predict."""
    return tuple(need for need in objective.needs if need not in set(offered))
