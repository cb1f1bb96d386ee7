"""Encoding of designs as parameters of Optuna trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from explorer.problem.columns import Columns, Float, n_rows, stack, take
from explorer.problem.design_space import CLOCK_SHARE, ROW, DesignSpace, Dimension

FAMILY = "family"
Params = Mapping[str, Sequence[Any]]
"""Parameters of n trials: n values for each name."""
ROW_INDEX = "row_index"
# Optuna stores every choice with every trial: the names of 20,000 rows would be 7 GB (of 5,000 rows 323 MB).
MAX_NAMED_ROWS = 64


@dataclass(frozen=True)
class Encoding:
    """Encoding of the regions of a study.

    One region: its axes under their own names and units, and `clock_share` for the clock, so that the clock of a trial
    is feasible at its voltage. A row of a long table is its index, `row_index`. Several regions: the family, and each
    axis as a share of that family's range.
    """

    regions: Mapping[str, DesignSpace]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the distributions of the parameters."""
        if len(self.regions) == 1:
            (region,) = self.regions.values()
            return {_name(axis): _distribution(axis) for axis in region.axes if not axis.is_fixed}
        shares: dict[str, BaseDistribution] = {_share(name): FloatDistribution(0.0, 1.0) for name in self._axis_names()}
        return {FAMILY: CategoricalDistribution(tuple(self.regions)), **shares}

    def has_choices(self, params: Mapping[str, Any]) -> bool:
        """Return True if all categorical values of a trial exist; enqueued ones may be misspelt."""
        return all(
            params[name] in distribution.choices
            for name, distribution in self.distributions().items()
            if isinstance(distribution, CategoricalDistribution)
        )

    def with_row_index(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return parameters of a trial in which a row of a long table is named, by a user or an earlier version."""
        index = self._index_of.get(ROW, {})
        if ROW not in params or ROW_INDEX in params or len(index) <= MAX_NAMED_ROWS:
            return params
        return {**params, ROW_INDEX: index.get(params[ROW], params[ROW])}

    def decode(self, params: Params, *, n: int | None = None) -> Columns:
        """Return the designs of n trials, shape (n,) each; `n` is required where there are no parameters."""
        n = len(next(iter(params.values()))) if params else n or 0
        if not n:
            return stack([region.from_unit(np.zeros((0, len(region.axes)))) for region in self.regions.values()])
        if len(self.regions) == 1:
            (region,) = self.regions.values()
            return region.designs({axis.name: self._values(axis, params, np.arange(n)) for axis in region.axes})
        families = np.array(params[FAMILY], dtype=object)
        parts, order = [], []
        for family, region in self.regions.items():
            rows = np.flatnonzero(families == family)
            if rows.size:
                parts.append(region.designs({axis.name: self._values(axis, params, rows) for axis in region.axes}))
                order.append(rows)
        inverse = np.argsort(np.concatenate(order))
        return {name: np.concatenate([part[name] for part in parts])[inverse] for name in parts[0]}

    def encode(self, designs: Columns) -> Params:
        """Return the parameters of n designs within their regions."""
        if len(self.regions) == 1:
            (region,) = self.regions.values()
            knobs = region.knobs(designs)
            return {_name(axis): _params(axis, knobs[axis.name]) for axis in region.axes if not axis.is_fixed}
        n = n_rows(designs)
        # Every trial has the axes of every family; only those of its own family are used.
        shares = {_share(name): np.full(n, 0.5) for name in self._axis_names()}
        for family, region in self.regions.items():
            rows = np.flatnonzero(designs[FAMILY] == family)
            knobs = region.knobs(take(designs, rows))
            for axis in region.axes:
                shares[_share(axis.name)][rows] = axis.to_unit(np.clip(knobs[axis.name], axis.low, axis.high))
        return {FAMILY: designs[FAMILY].tolist(), **{name: values.tolist() for name, values in shares.items()}}

    @cached_property
    def _index_of(self) -> dict[str, dict[str, int]]:
        """Index of each label of the choices; none where there are several regions."""
        axes = next(iter(self.regions.values())).axes if len(self.regions) == 1 else ()
        return {axis.name: {label: i for i, label in enumerate(axis.labels)} for axis in axes}

    def _axis_names(self) -> list[str]:
        return list(dict.fromkeys(axis.name for region in self.regions.values() for axis in region.axes))

    def _values(self, axis: Dimension, params: Params, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Float:
        if len(self.regions) > 1:
            return axis.from_unit(np.array(params[_share(axis.name)], dtype=np.float64)[rows])
        if axis.is_fixed:
            return np.full(len(rows), axis.low)
        values = params[_name(axis)]
        if axis.labels and not _is_indexed(axis):
            index = self._index_of[axis.name]
            values = [index[label] for label in values]
        return np.array(values, dtype=np.float64)


def columns_of(params: Sequence[Mapping[str, Any]]) -> Params:
    """Transpose one mapping per trial to one list per parameter."""
    return {name: [one[name] for one in params] for name in params[0]} if params else {}


def rows_of(params: Params) -> list[dict[str, Any]]:
    """Transpose one list per parameter to one mapping per trial."""
    return [dict(zip(params, values, strict=True)) for values in zip(*params.values(), strict=True)]


def _is_indexed(axis: Dimension) -> bool:
    return axis.name == ROW and len(axis.labels) > MAX_NAMED_ROWS


def _name(axis: Dimension) -> str:
    return ROW_INDEX if _is_indexed(axis) else axis.name


def _params(axis: Dimension, values: Float) -> list[Any]:
    if _is_indexed(axis):
        return list(values.astype(np.int64).tolist())
    if axis.labels:
        return [axis.labels[i] for i in values.astype(np.int64).tolist()]
    return list(np.clip(values, axis.low, axis.high).tolist())


def _distribution(axis: Dimension) -> BaseDistribution:
    if _is_indexed(axis):
        return IntDistribution(0, len(axis.labels) - 1)
    if axis.labels:
        return CategoricalDistribution(axis.labels)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _share(name: str) -> str:
    return name if name == CLOCK_SHARE else f"{name}_share"
