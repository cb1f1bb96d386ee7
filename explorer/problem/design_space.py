"""Design spaces: dimensions of a search, and the map from the unit cube to the designs of one family.

Every design of a space is feasible on the device: its clock is a share of the maximum at its voltage, or its operating
point is listed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw, OperatingPoints, operating_excess
from explorer.problem.columns import KNOBS, Columns, Float, n_rows

CLOCK_SHARE = "clock_share"
OPERATING_POINT = "operating_point"
ROW = "row"


@dataclass(frozen=True)
class Dimension:
    """One dimension of a search: a continuous range, or a choice.

    Args:
        name: name of its column, or of the choice if it sets several columns.
        low: lowest value.
        high: highest value.
        is_log: whether samplers use its logarithm.
        labels: labels of a choice, whose values are the indices 0 to len(labels) - 1; empty for a range.
        columns: for a choice, the values of one or more columns, one for each label.
    """

    name: str
    low: float
    high: float
    is_log: bool = False
    labels: tuple[str, ...] = ()
    columns: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def is_fixed(self) -> bool:
        """True if the dimension has a single value."""
        return self.high <= self.low

    def from_unit(self, unit: Float) -> Float:
        """Map [0, 1] to values of the dimension, shape (n,)."""
        if self.labels:
            return np.minimum(np.floor(unit * len(self.labels)), len(self.labels) - 1.0)
        if self.is_log:
            width = math.log(self.high / self.low)
            return np.clip(self.low * np.exp(unit * width), self.low, self.high)
        return np.clip(self.low + unit * (self.high - self.low), self.low, self.high)

    def to_unit(self, values: Float) -> Float:
        """Map values of the dimension to [0, 1], shape (n,)."""
        if self.is_fixed:
            return np.full(np.shape(values), 0.5)
        if self.labels:
            return np.asarray((values + 0.5) / len(self.labels))
        if self.is_log:
            return np.clip(np.log(values / self.low) / math.log(self.high / self.low), 0.0, 1.0)
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)

    def values_at(self, index: Float) -> Columns:
        """Return the columns of some choices by their indices (whole numbers), shape (n,) each."""
        rows = index.astype(np.int64)
        return {name: values[rows] for name, values in self._arrays.items()}

    def nearest(self, designs: Columns) -> Float:
        """Return the index of the choice nearest to each design, shape (n,): the inverse of `values_at`.

        Distances of numbers are relative; a different name outweighs any number.
        """
        if self._index and self.name in designs:
            index = np.array([self._index.get(label, -1) for label in designs[self.name].tolist()], dtype=np.float64)
            if not np.any(index < 0):
                return index
        n = len(next(iter(designs.values())))
        gap = np.zeros((n, len(self.labels)))
        for name, choices in self._arrays.items():
            if name not in designs:
                continue
            targets = designs[name]
            if choices.dtype == object:
                gap += 1e9 * (targets[:, None] != choices[None, :])
            else:
                gap += np.abs(targets[:, None] - choices[None, :]) / np.maximum(np.abs(choices), 1e-12)[None, :]
        return np.asarray(np.argmin(gap, axis=1), dtype=np.float64)

    @cached_property
    def _arrays(self) -> Columns:
        """The columns of a choice as arrays, one value for each label."""
        return {name: _array(values) for name, values in self.columns.items()}

    @cached_property
    def _index(self) -> dict[str, int]:
        """Index of each name where a column names the choices, as a table's `row` does; else empty."""
        is_named = self.columns.get(self.name) == self.labels and len(set(self.labels)) == len(self.labels)
        return {label: i for i, label in enumerate(self.labels)} if is_named else {}


def categorical(name: str, values: tuple[Any, ...]) -> Dimension:
    """Return the dimension of one column with a finite list of values, numbers or names."""
    labels = tuple(value if isinstance(value, str) else f"{value:.12g}" for value in values)
    return Dimension(name, 0.0, len(values) - 1.0, labels=labels, columns={name: values})


@dataclass(frozen=True, slots=True)
class DesignSpace:
    """Design space of one family.

    Args:
        family: the network family.
        axes: its dimensions: R, D, V and the share of the clocks reachable at V; or R, D and the operating point; and
            the user-defined knobs.
        operating: the law or table of the operating points (V, f) that exist; None if V and f are not both knobs.
        clock_hz: declared range of the clock, in hertz (with a law).
        widen: margin of the domain beyond the samples, in widths of their range; infinite if not enforced.
    """

    family: str
    axes: tuple[Dimension, ...]
    operating: AlphaPowerLaw | OperatingPoints | None
    clock_hz: tuple[float, float]
    widen: float

    @property
    def n_designs(self) -> float:
        """Number of different designs; infinite with a continuous dimension."""
        return math.prod((len(a.labels) if a.labels else 1) if a.labels or a.is_fixed else math.inf for a in self.axes)

    def every_design(self) -> Columns:
        """Return all designs of a finite space, ordered by its dimensions."""
        return self.from_unit(self.every_point())

    def every_point(self) -> Float:
        """Return the points of the unit cube of all designs of a finite space, shape (n, number of axes)."""
        sizes = [len(axis.labels) or 1 for axis in self.axes]
        index = np.unravel_index(np.arange(math.prod(sizes)), sizes) if sizes else ()
        coordinates = [(i + 0.5) / size for i, size in zip(index, sizes, strict=True)]
        return np.stack(coordinates, axis=-1) if coordinates else np.zeros((1, 0))

    def from_unit(self, unit: Float) -> Columns:
        """Map points of the unit cube, shape (n, number of axes), to designs."""
        return self.designs({axis.name: axis.from_unit(unit[:, i]) for i, axis in enumerate(self.axes)})

    def designs(self, knobs: Columns) -> Columns:
        """Return the designs (knob columns) for values of the dimensions."""
        designs: Columns = {"family": np.broadcast_to(np.array(self.family, dtype=object), (n_rows(knobs),))}
        for axis in self.axes:
            designs |= axis.values_at(knobs[axis.name]) if axis.columns else {axis.name: knobs[axis.name]}
        if CLOCK_SHARE in designs:
            low, high = self._clock_range(designs["voltage_v"])
            # low + 1.0 * (high - low) may round above high, the maximum clock at this voltage.
            designs["frequency_hz"] = np.minimum(low + designs.pop(CLOCK_SHARE) * (high - low), high)
        predefined = [name for name in KNOBS if name in designs]
        return {name: designs[name] for name in dict.fromkeys([*predefined, *designs])}

    def knobs(self, designs: Columns) -> Columns:
        """Return the values of the dimensions for designs of this family: the inverse of `designs`."""
        values = {
            axis.name: axis.nearest(designs) if axis.columns else designs[axis.name]
            for axis in self.axes
            if axis.name != CLOCK_SHARE
        }
        if any(axis.name == CLOCK_SHARE for axis in self.axes):
            low, high = self._clock_range(designs["voltage_v"])
            values[CLOCK_SHARE] = np.clip((designs["frequency_hz"] - low) / np.maximum(high - low, 1e-3), 0.0, 1.0)
        return values

    def contains(self, designs: Columns) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Return a mask of the designs inside the space, shape (n,)."""
        knobs = self.knobs(designs)
        rebuilt = self.designs({axis.name: np.clip(knobs[axis.name], axis.low, axis.high) for axis in self.axes})
        close = [
            rebuilt[name] == designs[name]
            if rebuilt[name].dtype == object
            else np.isclose(rebuilt[name], designs[name], rtol=1e-6, atol=1e-12)
            for name in rebuilt
            if name in designs
        ]
        return np.asarray(np.all(close, axis=0))

    def frequency_max(self, designs: Columns) -> Float:
        """Return the highest clock at each design's voltage, in hertz, shape (n,); NaN without law or table."""
        if self.operating is None:
            return np.full(n_rows(designs), np.nan)
        highest = self.operating.frequency_max(designs.get("voltage_v", np.zeros(n_rows(designs))))
        return np.asarray(np.broadcast_to(highest, (n_rows(designs),)))

    def operating_excess(self, designs: Columns) -> Float:
        """Return the relative infeasibility of each design's (V, f), shape (n,); at most 0 if the point exists."""
        if self.operating is None:
            return np.zeros(n_rows(designs))
        return operating_excess(self.operating, designs.get("voltage_v"), designs["frequency_hz"])

    def _clock_range(self, voltage: Float) -> tuple[Float, Float]:
        if not isinstance(self.operating, AlphaPowerLaw):
            raise TypeError(f"{CLOCK_SHARE} needs an alpha-power law")
        high = np.minimum(self.operating.frequency_max(voltage), self.clock_hz[1])
        return np.minimum(self.clock_hz[0], high), high


def _array(values: tuple[Any, ...]) -> "np.ndarray[tuple[int], np.dtype[Any]]":
    return np.array(values, dtype=object if isinstance(values[0], str) else np.float64)
