"""What a search may propose: axes to move along, and regions of one family each with their map to designs.

Whatever a region makes exists: its clock is a share of what the voltage can carry, or its operating point is listed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw, OperatingPoints, operating_excess
from explorer.problem.columns import KNOBS, Columns, Float, n_rows

CLOCK_SHARE = "clock_share"
OPERATING_POINT = "operating_point"
ROW = "row"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that a search moves.

    Args:
        name: its name; a column's, unless it decides several columns at once.
        low: lowest value.
        high: highest value.
        is_log: whether a search spreads over its logarithm.
        labels: make it a choice among named things; its values are then their indices, 0 to len(labels) - 1.
        columns: for a choice, what each thing means: the values of one or more columns, as many as labels.
    """

    name: str
    low: float
    high: float
    is_log: bool = False
    labels: tuple[str, ...] = ()
    columns: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to search."""
        return self.high <= self.low

    def from_unit(self, unit: Float) -> Float:
        """Map [0, 1] to the axis, shape (n,)."""
        if self.labels:
            return np.minimum(np.floor(unit * len(self.labels)), len(self.labels) - 1.0)
        if self.is_log:
            spread = math.log(self.high / self.low)
            return np.clip(self.low * np.exp(unit * spread), self.low, self.high)
        return np.clip(self.low + unit * (self.high - self.low), self.low, self.high)

    def to_unit(self, values: Float) -> Float:
        """Map values on the axis to [0, 1], shape (n,)."""
        if self.is_fixed:
            return np.full(np.shape(values), 0.5)
        if self.labels:
            return np.asarray((values + 0.5) / len(self.labels))
        if self.is_log:
            return np.clip(np.log(values / self.low) / math.log(self.high / self.low), 0.0, 1.0)
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)

    def chosen(self, index: Float) -> Columns:
        """Return the columns that choices mean, shape (n,) each; `index` holds whole numbers."""
        rows = index.astype(np.int64)
        return {name: _array(values)[rows] for name, values in self.columns.items()}

    def nearest(self, designs: Columns) -> Float:
        """Return the index of the choice that is nearest to each design, shape (n,): the inverse of `chosen`.

        Numbers are compared by their relative distance; a name that differs outweighs any number.
        """
        n = len(next(iter(designs.values())))
        gap = np.zeros((n, len(self.labels)))
        for name, values in self.columns.items():
            if name not in designs:
                continue
            there, asked = _array(values), designs[name]
            if there.dtype == object:
                gap += 1e9 * (asked[:, None] != there[None, :])
            else:
                gap += np.abs(asked[:, None] - there[None, :]) / np.maximum(np.abs(there), 1e-12)[None, :]
        return np.asarray(np.argmin(gap, axis=1), dtype=np.float64)


def categorical(name: str, values: tuple[Any, ...]) -> Dimension:
    """Return the axis of one column that takes nothing but some values, numbers or names."""
    labels = tuple(value if isinstance(value, str) else f"{value:.12g}" for value in values)
    return Dimension(name, 0.0, len(values) - 1.0, labels=labels, columns={name: values})


@dataclass(frozen=True, slots=True)
class DesignSpace:
    """What one family's search may propose.

    Args:
        family: the network family.
        axes: what a search moves: R, D, V and the share of the reachable clocks; or R, D and the operating point; and
            the user's own knobs.
        operating: the law or table that says which (V, f) exist; None where V and f are not both knobs.
        clock_hz: lowest and highest clock wanted, in hertz (with a law).
        widen: how far the domain reaches beyond the samples, in widths of their range; infinite where not enforced.
    """

    family: str
    axes: tuple[Dimension, ...]
    operating: AlphaPowerLaw | OperatingPoints | None
    clock_hz: tuple[float, float]
    widen: float

    @property
    def n_designs(self) -> float:
        """How many different designs there are: infinitely many where an axis is continuous."""
        return math.prod((len(a.labels) if a.labels else 1) if a.labels or a.is_fixed else math.inf for a in self.axes)

    def every_design(self) -> Columns:
        """Return all designs of a region that has finitely many, in order of its axes."""
        return self.from_unit(self.every_point())

    def every_point(self) -> Float:
        """Return the points of the unit cube that all designs lie at, where they are finitely many, shape (n, d)."""
        sizes = [len(axis.labels) or 1 for axis in self.axes]
        index = np.unravel_index(np.arange(math.prod(sizes)), sizes) if sizes else ()
        places = [(i + 0.5) / size for i, size in zip(index, sizes, strict=True)]
        return np.stack(places, axis=-1) if places else np.zeros((1, 0))

    def from_unit(self, unit: Float) -> Columns:
        """Map points of the unit cube, shape (n, number of axes), to designs."""
        return self.designs({axis.name: axis.from_unit(unit[:, i]) for i, axis in enumerate(self.axes)})

    def designs(self, knobs: Columns) -> Columns:
        """Return designs (the knob columns) for values of the axes."""
        made: Columns = {"family": np.broadcast_to(np.array(self.family, dtype=object), (n_rows(knobs),))}
        for axis in self.axes:
            made |= axis.values_at(knobs[axis.name]) if axis.columns else {axis.name: knobs[axis.name]}
        if CLOCK_SHARE in made:
            low, high = self._clock_range(made["voltage_v"])
            # low + 1.0 * (high - low) may round above high, and a clock above its limit does not exist.
            made["frequency_hz"] = np.minimum(low + made.pop(CLOCK_SHARE) * (high - low), high)
        known = [name for name in KNOBS if name in made]
        return {name: made[name] for name in dict.fromkeys([*known, *made])}

    def knobs(self, designs: Columns) -> Columns:
        """Return the axes' values of designs of this family: the inverse of `designs`."""
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
        """Tell which designs the region can make itself, shape (n,)."""
        knobs = self.knobs(designs)
        back = self.designs({axis.name: np.clip(knobs[axis.name], axis.low, axis.high) for axis in self.axes})
        close = [
            back[name] == designs[name]
            if back[name].dtype == object
            else np.isclose(back[name], designs[name], rtol=1e-6, atol=1e-12)
            for name in back
            if name in designs
        ]
        return np.asarray(np.all(close, axis=0))

    def frequency_max(self, designs: Columns) -> Float:
        """Return the highest clock that each design's voltage carries, in hertz, shape (n,); NaN where not known."""
        if self.operating is None:
            return np.full(n_rows(designs), np.nan)
        highest = self.operating.frequency_max(designs.get("voltage_v", np.zeros(n_rows(designs))))
        return np.asarray(np.broadcast_to(highest, (n_rows(designs),)))

    def operating_excess(self, designs: Columns) -> Float:
        """Return by how much each design's (V, f) cannot exist, shape (n,): at most 0 where it can."""
        if self.operating is None:
            return np.zeros(n_rows(designs))
        return operating_excess(self.operating, designs.get("voltage_v"), designs["frequency_hz"])

    def _clock_range(self, voltage: Float) -> tuple[Float, Float]:
        if not isinstance(self.operating, AlphaPowerLaw):
            raise TypeError("a share of the clocks stands without a law")
        high = np.minimum(self.operating.frequency_max(voltage), self.clock_hz[1])
        return np.minimum(self.clock_hz[0], high), high


def _array(values: tuple[Any, ...]) -> "np.ndarray[tuple[int], np.dtype[Any]]":
    return np.array(values, dtype=object if isinstance(values[0], str) else np.float64)
