"""Pools of candidate designs: points of the regions' unit cubes, scanned, moved and kept apart from what is known."""

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

_MOST_CORNERS = 512
_FACE_SHARE = 0.1
_OTHER_CHOICE_SHARE = 0.2
_ALONE_SHARE = 0.3
_DIGITS = 9  # of a unit coordinate: designs that agree in all of them are one


@dataclass(frozen=True, slots=True)
class CandidatePool:
    """Designs as points of unit cubes.

    Args:
        regions: by family.
        region: which region each design is of, in their order, shape (n,).
        unit: its place there, shape (n, d); regions with fewer axes than d leave the last ones at one half.
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
        place = np.argsort(np.concatenate(order), kind="stable")
        return {name: values[place] for name, values in stack(_common(tables)).items()}

    @property
    def keys(self) -> list[Key]:
        """What tells designs apart: the region, choices by index, numbers by their first digits."""
        shown = np.full(self.unit.shape, 0.5)
        for i, region in enumerate(self.regions.values()):
            rows = np.flatnonzero(self.region == i)
            for j, axis in enumerate(region.axes):
                place = self.unit[rows, j]
                if axis.name == CLOCK_SHARE:
                    # A voltage that carries one clock only has the same design at every share.
                    place = region.knobs(region.from_unit(self.unit[rows, : len(region.axes)]))[CLOCK_SHARE]
                is_named = axis.labels or axis.is_fixed
                shown[rows, j] = axis.from_unit(place) if is_named else np.round(place, _DIGITS)
        return list(zip(self.region.tolist(), *shown.T.tolist(), strict=True))

    @property
    def is_whole(self) -> bool:
        """Whether these designs, each of them once, are all that there are."""
        return self.n == sum(region.n_designs for region in self.regions.values())

    def rows(self, which: NDArray[Any]) -> "CandidatePool":
        """Return some of the designs, by index or mask."""
        return CandidatePool(self.regions, self.region[which], self.unit[which])

    def joined(self, other: "CandidatePool") -> "CandidatePool":
        """Return both."""
        together = np.concatenate([self.region, other.region]), np.concatenate([self.unit, other.unit])
        return CandidatePool(self.regions, *together)

    def without(self, known: Collection[Key]) -> "CandidatePool":
        """Return the designs that are not known, each once."""
        seen, kept = set(known), []
        for i, key in enumerate(self.keys):
            if key not in seen:
                seen.add(key)
                kept.append(i)
        return self.rows(np.array(kept, dtype=np.int64))

    def moved(self, n: int, scale: float, rng: np.random.Generator) -> "CandidatePool":
        """Return n designs around these: steps of about a scale, alone or along several axes, and onto faces."""
        parent = np.arange(n) % self.n
        region, unit = self.region[parent], self.unit[parent]
        d = unit.shape[1]
        step = rng.standard_normal((n, d)) * scale * np.exp(rng.standard_normal((n, 1)))
        only = np.arange(d) == rng.integers(d, size=(n, 1))
        is_moved = np.where(rng.random((n, 1)) < _ALONE_SHARE, only, rng.random((n, d)) < 0.7)
        on_face = rng.random((n, d)) < _FACE_SHARE
        there = np.clip(np.where(is_moved, unit + step, unit), 0.0, 1.0)
        there = np.where(on_face, np.round(there), there)
        is_choice = _is_choice(self.regions, d)[region]
        elsewhere = np.where(rng.random((n, d)) < _OTHER_CHOICE_SHARE, rng.random((n, d)), unit)
        return CandidatePool(self.regions, region, np.where(is_choice, elsewhere, there))


def scanned(regions: Mapping[str, DesignSpace], n: int, *, seed: int) -> CandidatePool:
    """Return about n designs spread evenly over the regions and at their corners; all of those that are few.

    Each once, the regions in turns: the first few are spread as well.
    """
    share = max(2, n // len(regions))
    units = [_of_region(region, share, seed) for region in regions.values()]
    turn = np.concatenate([np.arange(len(unit)) for unit in units])
    return pooled(regions, units).rows(np.argsort(turn, kind="stable")).without(())


def pooled(regions: Mapping[str, DesignSpace], units: Collection[Float]) -> CandidatePool:
    """Return the pool of some points of each region, in order, shape (n, axes) each."""
    d = max([1, *(len(region.axes) for region in regions.values())])
    padded = [np.concatenate([u, np.full((len(u), d - u.shape[1]), 0.5)], axis=1) for u in units]
    index = np.repeat(np.arange(len(padded)), [len(u) for u in padded])
    return CandidatePool(regions, index, np.concatenate(padded))


def placed(regions: Mapping[str, DesignSpace], designs: Columns) -> CandidatePool:
    """Return designs of the regions as a pool, in their order; the inverse of `designs`."""
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


def _of_region(region: DesignSpace, n: int, seed: int) -> Float:
    if not region.axes:
        return np.zeros((1, 0))
    points = low_discrepancy_points(len(region.axes), n, seed=seed)
    if region.n_designs <= 4 * n:
        return np.concatenate([points, region.every_point()])
    even = 2 ** math.ceil(math.log2(n))
    corners = points[even:]
    stride = max(1, len(corners) // _MOST_CORNERS)
    return np.concatenate([points[:even], corners[::stride]])


def _is_choice(regions: Mapping[str, DesignSpace], d: int) -> NDArray[np.bool_]:
    """Tell for each region which axes are of choices, shape (regions, d)."""
    result = np.zeros((len(regions), d), dtype=np.bool_)
    for i, region in enumerate(regions.values()):
        for j, axis in enumerate(region.axes):
            result[i, j] = bool(axis.labels)
    return result


def _common(tables: list[Columns]) -> list[Columns]:
    """Return tables with the columns that all of them have."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    return [{name: table[name] for name in names} for table in tables]
