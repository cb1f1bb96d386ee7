"""Objectives: pure vectorized functions of columns, with a direction and a unit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from explorer.paper.equations import (
    accelerator_efficiency,
    compression_ratio,
    energy_delay_product,
    weighted_cost,
)
from explorer.problem.columns import TARGETS, WORST, Columns, Float, base_of_case, column_of, is_end
from explorer.problem.targets import declared_target, declared_targets
from explorer.problem.workload import usage
from explorer.problem.workload.usage import Workload

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class Constants:
    """Parameters of the derived columns.

    Of the weighted cost, Eq. (10), the weight alpha in [0, 1] and E_max in joule. The paper states neither. 39.6 J is
    the largest Total Energy in its Table 2; at alpha = 0.9 EDP and J conflict. Then what a study may state: the size
    before compression in byte, for Eq. (6), the energies of Eq. (1) and (2) in joule, of the uncompressed network and
    equal for all designs, and how the device is used.
    """

    alpha: float = 0.9
    energy_max_j: float = 39.6
    original_size_bytes: float | None = None
    mac_memory_energy_j: float | None = None
    training_energy_j: float | None = None
    workload: Workload | None = None

    def lacks(self, key: str) -> bool:
        """Return whether the study does not state a key, such as '[workload] battery'."""
        value = {
            "[network] original_size": self.original_size_bytes,
            "[network] n_macs": self.mac_memory_energy_j,
            "[training] epochs": self.training_energy_j,
        }
        if key in value:
            return value[key] is None
        return self.workload is None or not self.workload.has(key.removeprefix("[workload] "))


@dataclass(frozen=True, slots=True)
class Objective:
    """Quantity to minimize or maximize, computed from the columns `needs` and the keys `states` of the study."""

    name: str
    direction: Direction
    needs: tuple[str, ...]
    compute: Callable[[Columns, Constants], Float]
    states: tuple[str, ...] = ()

    def lacking(self, constants: Constants) -> tuple[str, ...]:
        """Return the keys of a study file that it follows from and that the study does not state."""
        return tuple(key for key in self.states if constants.lacks(key))

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


def _of_use(
    name: str, direction: Direction, compute: Callable[..., Float], *keys: str, needs: tuple[str, ...] = ("latency_s",)
) -> Objective:
    """Return a quantity of the workload: `compute` takes the needed columns in order, then the workload."""
    states = tuple(f"[workload] {key}" for key in ("period", *keys))
    return Objective(name, direction, needs, lambda c, k: compute(*(c[one] for one in needs), k.workload), states)


def _stated(name: str, key: str, value: Callable[[Constants], float | None]) -> Objective:
    """Return a quantity that a study states, equal for all designs."""
    return Objective(name, "minimize", (), lambda _, constants: np.array(value(constants), dtype=np.float64), (key,))


_POWER_OF_USE = ("energy_j", "latency_s")


_BUILT_IN = {
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
        Objective(
            "compression_ratio",
            "maximize",
            ("size_bytes",),
            lambda columns, constants: compression_ratio(
                original_size=constants.original_size_bytes or np.nan, compressed_size=columns["size_bytes"]
            ),
            ("[network] original_size",),
        ),
        _stated("mac_memory_energy_j", "[network] n_macs", lambda constants: constants.mac_memory_energy_j),
        _stated("training_energy_j", "[training] epochs", lambda constants: constants.training_energy_j),
        _of_use("utilization", "minimize", usage.utilization),
        _of_use("mean_power_w", "minimize", usage.mean_power, "idle_power", needs=_POWER_OF_USE),
        _of_use("energy_per_day_j", "minimize", usage.energy_per_day, "idle_power", needs=_POWER_OF_USE),
        _of_use("battery_days", "maximize", usage.battery_days, "idle_power", "battery", needs=_POWER_OF_USE),
        _of_use("deadline_margin_s", "maximize", usage.deadline_margin, "deadline"),
        _of_use("p99_latency_s", "minimize", usage.p99_latency),
        _of_use(
            "carbon_g_per_day", "minimize", usage.carbon_per_day, "idle_power", "carbon_intensity", needs=_POWER_OF_USE
        ),
    )
}


class _Objectives(Mapping[str, Objective]):
    """All objectives: the built-in ones, then the declared targets."""

    def __getitem__(self, name: str) -> Objective:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        target = declared_target(name)
        if target is None:
            raise KeyError(name)
        return Objective(name, "maximize" if target.direction == "max" else "minimize", (name,), partial(_itself, name))

    def __iter__(self) -> Iterator[str]:
        yield from _BUILT_IN
        yield from (target.name for target in declared_targets())

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(declared_targets())

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN or (isinstance(name, str) and declared_target(name) is not None)


def _itself(name: str, columns: Columns, _: Constants) -> Float:
    return columns[name]


OBJECTIVES: Mapping[str, Objective] = _Objectives()

# Columns that are no objectives of which more is better.
_MORE_IS_BETTER = frozenset({"throughput_ops", "p_front", "p_limits"})


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
    return Objective(name, base.direction, base.needs, lambda columns, _: columns[name], base.states)


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


def direction_of(name: str) -> Direction:
    """Return the direction in which values of a column are better; less is better where none is known."""
    if is_objective(name):
        return objective_of(name).direction
    return "maximize" if (name[:-3] if is_end(name) else name) in _MORE_IS_BETTER else "minimize"


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
    """Return the table with all objectives whose columns it has and whose keys the study states.

    NaN where one of the needed columns is not finite.

    Columns have shape (n,), or (S, n) for S posterior draws.
    """
    derived = {
        name: _compute_finite(objective, columns, constants)
        for name, objective in (OBJECTIVES.items() if columns else ())
        if name not in columns and all(need in columns for need in objective.needs) and not objective.lacking(constants)
    }
    return {**columns, **derived}


def _compute_finite(objective: Objective, columns: Columns, constants: Constants) -> Float:
    if not objective.needs:
        shape = np.broadcast_shapes(*{np.shape(values) for values in columns.values()})
        return np.full(shape, objective.compute({}, constants))
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
