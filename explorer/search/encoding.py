"""The map between an Optuna trial's parameters and designs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from explorer.problem.columns import Columns, n_rows, take
from explorer.problem.proposals import CLOCK_SHARE, Axis, Region

FAMILY = "family"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the regions of a study look to Optuna.

    One region: its axes under their own names and units, and `clock_share` for the clock, so that no trial can ask for
    a clock that its voltage does not carry. Several: the family, and each axis as a share of that family's range, so
    that every trial lies within its family's domain.
    """

    regions: Mapping[str, Region]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return what Optuna samples from."""
        if len(self.regions) == 1:
            (region,) = self.regions.values()
            return {axis.name: _distribution(axis) for axis in region.axes if not axis.is_fixed}
        shares: dict[str, BaseDistribution] = {_share(name): FloatDistribution(0.0, 1.0) for name in self._axis_names()}
        return {FAMILY: CategoricalDistribution(tuple(self.regions)), **shares}

    def decode(self, params: Sequence[Mapping[str, Any]]) -> Columns:
        """Return the designs that trials' parameters mean, shape (n,) each, in their order."""
        families = np.array([self._family(p) for p in params], dtype=object)
        parts, order = [], []
        for family, region in self.regions.items():
            rows = np.flatnonzero(families == family)
            if rows.size:
                knobs = {axis.name: self._values(axis, [params[i] for i in rows.tolist()]) for axis in region.axes}
                parts.append(region.designs(knobs))
                order.append(rows)
        place = np.argsort(np.concatenate(order))
        return {name: np.concatenate([part[name] for part in parts])[place] for name in parts[0]}

    def encode(self, designs: Columns) -> list[dict[str, Any]]:
        """Return the parameters of designs that their regions contain, in their order."""
        result: list[dict[str, Any]] = []
        for i in range(n_rows(designs)):
            row = take(designs, np.array([i]))
            region = self.regions[row[FAMILY][0]]
            knobs = region.knobs(row)
            several = len(self.regions) > 1
            # Every trial carries the axes of every family; those of the others mean nothing to it.
            params = {_share(name): 0.5 for name in self._axis_names()} if several else {}
            params |= {
                self._key(axis): self._param(axis, float(np.clip(knobs[axis.name][0], axis.low, axis.high)))
                for axis in region.axes
                if several or not axis.is_fixed
            }
            result.append({FAMILY: region.family, **params} if several else params)
        return result

    def _axis_names(self) -> list[str]:
        return list(dict.fromkeys(axis.name for region in self.regions.values() for axis in region.axes))

    def _family(self, params: Mapping[str, Any]) -> str:
        return str(params[FAMILY]) if len(self.regions) > 1 else next(iter(self.regions))

    def _key(self, axis: Axis) -> str:
        return _share(axis.name) if len(self.regions) > 1 else axis.name

    def _param(self, axis: Axis, value: float) -> Any:
        if len(self.regions) > 1:
            return float(axis.to_unit(np.array([value]))[0])
        return axis.labels[int(value)] if axis.labels else value

    def _values(
        self, axis: Axis, params: Sequence[Mapping[str, Any]]
    ) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        key = self._key(axis)
        if len(self.regions) > 1:
            return np.asarray(axis.from_unit(np.array([p[key] for p in params], dtype=np.float64)))
        if axis.is_fixed:
            return np.full(len(params), axis.low)
        if axis.labels:
            index = {label: float(i) for i, label in enumerate(axis.labels)}
            return np.array([index[p[key]] for p in params])
        return np.array([p[key] for p in params], dtype=np.float64)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.labels:
        return CategoricalDistribution(axis.labels)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _share(name: str) -> str:
    return name if name == CLOCK_SHARE else f"{name}_share"
