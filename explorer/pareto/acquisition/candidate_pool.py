"""Pools of candidate designs: points of the regions' unit cubes, with scans, mutation and removal of duplicates."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import low_discrepancy_points
from explorer.problem.columns import Columns, Float, stack
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace

Key = tuple[Any, ...]

_MAX_CORNERS = 512
_FACE_SHARE = 0.1
_RESAMPLED_CHOICE_SHARE = 0.2
_ONE_AXIS_SHARE = 0.3
_DIGITS = 9  # of a unit coordinate: designs that agree in all of them are one


@dataclass(frozen=True, slots=True)
class CandidatePool:
    """Designs as points of unit cubes.

    Args:
        regions: the design space of each family.
        region: the index of each design's region, shape (n,).
        unit: its coordinates in the unit cube, shape (n, d); a region with fewer axes than d leaves the last ones at
            0.5.
    """

    regions: Mapping[str, DesignSpace]
    region: NDArray[np.int64]
    unit: Float

    @property
    def n(self) -> int:
        """The number of designs."""
        return len(self.unit)

    @property
    def designs(self) -> Columns:
        """The designs, shape (n,) each."""
        tables, order = [], []
        for i, region in enumerate(self.regions.values()):
            rows = np.flatnonzero(self.region == i)
            if rows.size or not self.n:
                tables.append(region.from_unit(self.unit[rows, : len(region.axes)]))
                order.append(rows)
        if len(tables) == 1:
            return tables[0]
        rows = np.argsort(np.concatenate(order), kind="stable")
        return {name: values[rows] for name, values in stack(_common(tables)).items()}

    @property
    def keys(self) -> list[Key]:
        """Hashable identity of each design: its region, choices by index, numbers rounded to nine digits."""
        rounded = np.full(self.unit.shape, 0.5)
        for i, region in enumerate(self.regions.values()):
            rows = np.flatnonzero(self.region == i)
            for j, axis in enumerate(region.axes):
                values = self.unit[rows, j]
                if axis.name == CLOCK_SHARE:
                    # Where a voltage supports one clock only, every share of the clock range is the same design.
                    values = region.knobs(region.from_unit(self.unit[rows, : len(region.axes)]))[CLOCK_SHARE]
                is_named = axis.labels or axis.is_fixed
                rounded[rows, j] = axis.from_unit(values) if is_named else np.round(values, _DIGITS)
        return list(zip(self.region.tolist(), *rounded.T.tolist(), strict=True))

    @property
    def is_whole(self) -> bool:
        """True if the pool, free of duplicates, holds every design of a finite space."""
        return self.n == sum(region.n_designs for region in self.regions.values())

    def rows(self, index: NDArray[Any]) -> "CandidatePool":
        """Return a subset of the designs, by index or mask."""
        return CandidatePool(self.regions, self.region[index], self.unit[index])

    def concat(self, second: "CandidatePool") -> "CandidatePool":
        """Return the designs of both pools."""
        region, unit = np.concatenate([self.region, second.region]), np.concatenate([self.unit, second.unit])
        return CandidatePool(self.regions, region, unit)

    def excluding(self, keys: Collection[Key]) -> "CandidatePool":
        """Return the designs whose keys are not among those given, without duplicates."""
        excluded, rows = set(keys), []
        for i, key in enumerate(self.keys):
            if key not in excluded:
                excluded.add(key)
                rows.append(i)
        return self.rows(np.array(rows, dtype=np.int64))

    def mutated(self, n: int, scale: float, rng: np.random.Generator) -> "CandidatePool":
        """Return n designs around these: Gaussian steps of about `scale` along one or several axes, or onto a face."""
        parent = np.arange(n) % self.n
        region, unit = self.region[parent], self.unit[parent]
        d = unit.shape[1]
        step = rng.standard_normal((n, d)) * scale * np.exp(rng.standard_normal((n, 1)))
        only = np.arange(d) == rng.integers(d, size=(n, 1))
        is_stepped = np.where(rng.random((n, 1)) < _ONE_AXIS_SHARE, only, rng.random((n, d)) < 0.7)
        on_face = rng.random((n, d)) < _FACE_SHARE
        stepped = np.clip(np.where(is_stepped, unit + step, unit), 0.0, 1.0)
        stepped = np.where(on_face, np.round(stepped), stepped)
        is_choice = _is_choice(self.regions, d)[region]
        choices = np.where(rng.random((n, d)) < _RESAMPLED_CHOICE_SHARE, rng.random((n, d)), unit)
        return CandidatePool(self.regions, region, np.where(is_choice, choices, stepped))


def pool_of_scan(regions: Mapping[str, DesignSpace], n: int, *, seed: int) -> CandidatePool:
    """Return about n distinct designs: a low-discrepancy scan of each region and its corners, or all of a small region.

    Regions alternate, so that every prefix is spread over them.
    """
    n_each = max(2, n // len(regions))
    units = [_scan(region, n_each, seed) for region in regions.values()]
    turn = np.concatenate([np.arange(len(unit)) for unit in units])
    return pool_of_points(regions, units).rows(np.argsort(turn, kind="stable")).excluding(())


def pool_of_points(regions: Mapping[str, DesignSpace], units: Collection[Float]) -> CandidatePool:
    """Return a pool of the given points of each region's unit cube, region by region, shape (n, axes) each."""
    d = max([1, *(len(region.axes) for region in regions.values())])
    padded = [np.concatenate([u, np.full((len(u), d - u.shape[1]), 0.5)], axis=1) for u in units]
    index = np.repeat(np.arange(len(padded)), [len(u) for u in padded])
    return CandidatePool(regions, index, np.concatenate(padded))


def pool_of_designs(regions: Mapping[str, DesignSpace], designs: Columns) -> CandidatePool:
    """Return designs as a pool, in their order: the inverse of `CandidatePool.designs`."""
    d = max([1, *(len(region.axes) for region in regions.values())])
    n = len(designs["family"])
    index, unit = np.zeros(n, dtype=np.int64), np.full((n, d), 0.5)
    for i, (family, region) in enumerate(regions.items()):
        rows = np.flatnonzero(designs["family"] == family)
        knobs = region.knobs({name: values[rows] for name, values in designs.items()})
        index[rows] = i
        for j, axis in enumerate(region.axes):
            unit[rows, j] = axis.to_unit(np.asarray(knobs[axis.name], dtype=np.float64))
    return CandidatePool(regions, index, unit)


def _scan(region: DesignSpace, n: int, seed: int) -> Float:
    if not region.axes:
        return np.zeros((1, 0))
    points = low_discrepancy_points(len(region.axes), n, seed=seed)
    if region.n_designs <= 4 * n:
        return np.concatenate([points, region.every_point()])
    even = 2 ** math.ceil(math.log2(n))
    corners = points[even:]
    stride = max(1, len(corners) // _MAX_CORNERS)
    return np.concatenate([points[:even], corners[::stride]])


def _is_choice(regions: Mapping[str, DesignSpace], d: int) -> NDArray[np.bool_]:
    """Return a mask of the axes of choices of each region, shape (regions, d)."""
    result = np.zeros((len(regions), d), dtype=np.bool_)
    for i, region in enumerate(regions.values()):
        for j, axis in enumerate(region.axes):
            result[i, j] = bool(axis.labels)
    return result


def _common(tables: list[Columns]) -> list[Columns]:
    """Return the tables restricted to their common columns."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    return [{name: table[name] for name in names} for table in tables]
