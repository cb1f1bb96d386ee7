"""Regions: the part of a space that a search may propose, one family each, and its map to designs.

Whatever a region makes exists: its clock is a share of what the voltage can carry, or its operating point is listed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.errors import Fault, InvalidFile
from explorer.problem.columns import COLUMNS, Columns, Float, n_rows
from explorer.problem.domain import Span
from explorer.problem.operating import RELATIVE_TOLERANCE, AlphaPowerLaw, OperatingPoints, operating_excess
from explorer.problem.space import SpaceFile
from explorer.units import factor

CLOCK_SHARE = "clock_share"
OPERATING_POINT = "operating_point"


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that a search moves; `labels` make it a choice among named points (its values are their indices)."""

    name: str
    low: float
    high: float
    is_log: bool = False
    labels: tuple[str, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Region:
    """What one family's search may propose.

    Args:
        family: the network family.
        axes: what a search moves: R, D, V and the share of the reachable clocks; or R, D and the operating point.
        operating: the law or table that says which (V, f) exist.
        clock_hz: lowest and highest clock wanted, in hertz (with a law).
        widen: how far the domain reaches beyond the samples, in widths of their range; infinite where not enforced.
    """

    family: str
    axes: tuple[Axis, ...]
    operating: AlphaPowerLaw | OperatingPoints
    clock_hz: tuple[float, float]
    widen: float

    def from_unit(self, unit: Float) -> Columns:
        """Map points of the unit cube, shape (n, number of axes), to designs."""
        return self.designs({axis.name: axis.from_unit(unit[:, i]) for i, axis in enumerate(self.axes)})

    def designs(self, knobs: Columns) -> Columns:
        """Return designs (the five knob columns) for values of the axes."""
        n = n_rows(knobs)
        if isinstance(self.operating, OperatingPoints):
            index = knobs[OPERATING_POINT].astype(np.int64)
            voltage = np.asarray(self.operating.voltage_v)[index]
            frequency = np.asarray(self.operating.frequency_hz)[index]
        else:
            voltage = knobs["voltage_v"]
            low, high = self._clock_range(voltage)
            # low + 1.0 * (high - low) may round above high, and a clock above its limit does not exist.
            frequency = np.minimum(low + knobs[CLOCK_SHARE] * (high - low), high)
        return {
            "family": np.broadcast_to(np.array(self.family, dtype=object), (n,)),
            "pruning_ratio": knobs["pruning_ratio"],
            "quant_step": knobs["quant_step"],
            "voltage_v": voltage,
            "frequency_hz": frequency,
        }

    def knobs(self, designs: Columns) -> Columns:
        """Return the axes' values of designs of this family: the inverse of `designs`."""
        knobs = {name: designs[name] for name in ("pruning_ratio", "quant_step")}
        if isinstance(self.operating, OperatingPoints):
            points = np.stack([self.operating.voltage_v, self.operating.frequency_hz], axis=-1)
            asked = np.stack([designs["voltage_v"], designs["frequency_hz"]], axis=-1)
            gap = np.sum(np.abs(asked[:, None, :] / points[None, :, :] - 1), axis=-1)
            return {**knobs, OPERATING_POINT: np.argmin(gap, axis=1).astype(np.float64)}
        low, high = self._clock_range(designs["voltage_v"])
        share = np.clip((designs["frequency_hz"] - low) / np.maximum(high - low, 1e-3), 0.0, 1.0)
        return {**knobs, "voltage_v": designs["voltage_v"], CLOCK_SHARE: share}

    def contains(self, designs: Columns) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Tell which designs the region can make itself, shape (n,)."""
        knobs = self.knobs(designs)
        back = self.designs({axis.name: np.clip(knobs[axis.name], axis.low, axis.high) for axis in self.axes})
        numeric = ("pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
        close = [np.isclose(back[name], designs[name], rtol=1e-6, atol=1e-12) for name in numeric]
        return np.asarray(np.all(close, axis=0) & (designs["family"] == self.family))

    def frequency_max(self, designs: Columns) -> Float:
        """Return the highest clock that each design's voltage carries, in hertz, shape (n,)."""
        return self.operating.frequency_max(designs["voltage_v"])

    def operating_excess(self, designs: Columns) -> Float:
        """Return by how much each design's (V, f) cannot exist, shape (n,): at most 0 where it can."""
        return operating_excess(self.operating, designs["voltage_v"], designs["frequency_hz"])

    def _clock_range(self, voltage: Float) -> tuple[Float, Float]:
        high = np.minimum(self.operating.frequency_max(voltage), self.clock_hz[1])
        return np.minimum(self.clock_hz[0], high), high


def build_region(
    space: SpaceFile, *, path: object, family: str, spans: Mapping[str, Span], law: AlphaPowerLaw | None
) -> Region:
    """Make the region of one family: what the space declares, within the model's domain, without impossible points.

    Args:
        space: the declaration.
        path: its file, for messages.
        family: the family to search.
        spans: the samples' span of each numeric knob.
        law: the family's V-f law, where the model has one.

    Raises:
        InvalidFile: nothing is left of an axis; it says which and what the model knows.
    """
    widen = space.domain.widen if space.domain.enforce else math.inf
    declared = space.axes
    axes = [
        Axis(name, *limited, is_log=axis.scale == "log")
        for name, axis in (("pruning_ratio", declared.pruning_ratio), ("quant_step", declared.quant_step))
        for limited in [_limited(name, axis.si(name, "", ""), span=spans[name], widen=widen, place=(path, family))]
    ]
    operating = _operating(space, law, path)
    if isinstance(operating, OperatingPoints):
        operating = _points_inside(operating, spans=spans, widen=widen, place=(path, family))
        axes.append(Axis(OPERATING_POINT, 0.0, len(operating.labels) - 1.0, labels=operating.labels))
        return Region(family, tuple(axes), operating, (0.0, math.inf), widen)
    if declared.voltage is None or declared.frequency is None:
        raise InvalidFile(path, [Fault("[axes]", "voltage and frequency are missing", "add both")])
    volts = declared.voltage.si("voltage_v", declared.voltage.unit, "V")
    hertz = declared.frequency.si("frequency_hz", declared.frequency.unit, "Hz")
    voltage = _limited("voltage_v", volts, span=spans["voltage_v"], widen=widen, place=(path, family))
    clock = _limited("frequency_hz", hertz, span=spans["frequency_hz"], widen=widen, place=(path, family))
    lowest = operating.voltage_min(clock[0], below=voltage[1])
    if math.isnan(lowest):
        text = f"no voltage up to {voltage[1]:.4g} V carries {clock[0] / 1e9:.4g} GHz, the lowest clock of {family}"
        raise InvalidFile(path, [Fault("[axes]", text, "raise the voltage range or lower the frequency range")])
    axes.append(Axis("voltage_v", max(voltage[0], lowest), voltage[1], is_log=declared.voltage.scale == "log"))
    axes.append(Axis(CLOCK_SHARE, *((0.0, 1.0) if clock[1] > clock[0] else (1.0, 1.0))))
    return Region(family, tuple(axes), operating, clock, widen)


def _operating(space: SpaceFile, law: AlphaPowerLaw | None, path: object) -> AlphaPowerLaw | OperatingPoints:
    declared = space.operating_points
    if declared.points is not None:
        v_unit, f_unit = factor(declared.voltage_unit, "V"), factor(declared.frequency_unit, "Hz")
        pairs = sorted({(point.frequency * f_unit, point.voltage * v_unit) for point in declared.points})
        return OperatingPoints(tuple(v for _, v in pairs), tuple(f for f, _ in pairs))
    if law is None:
        raise InvalidFile(
            path,
            [
                Fault(
                    "[operating_points] law",
                    "the model has no V-f law: its samples lack V or f",
                    "list the device's operating points instead",
                )
            ],
        )
    return law


def _limited(
    name: str, declared: tuple[float, float], *, span: Span, widen: float, place: tuple[object, str]
) -> tuple[float, float]:
    """Intersect a declared range with the domain; `place` is the file and the family, for messages."""
    low, high = span.widened(widen) if math.isfinite(widen) else (-math.inf, math.inf)
    if declared[1] < low or declared[0] > high:
        path, family = place
        show = COLUMNS[name].text
        what = (
            f"{show(declared[0])} to {show(declared[1])} lies outside the model's domain for {family}, "
            f"{show(low)} to {show(high)}"
        )
        fix = "move the range, measure samples there, or set [domain] enforce = false"
        raise InvalidFile(path, [Fault(f"[axes] {name}", what, fix)])
    return max(declared[0], low), min(declared[1], high)


def _points_inside(
    points: OperatingPoints, *, spans: Mapping[str, Span], widen: float, place: tuple[object, str]
) -> OperatingPoints:
    v, f = np.asarray(points.voltage_v), np.asarray(points.frequency_hz)
    distance = np.maximum(spans["voltage_v"].distance(v), spans["frequency_hz"].distance(f))
    inside = np.flatnonzero(distance <= widen * (1 + RELATIVE_TOLERANCE))
    if not inside.size:
        path, family = place
        what, fix = (
            f"none lies in the model's domain for {family}",
            "measure samples there, or set [domain] enforce = false",
        )
        raise InvalidFile(path, [Fault("[operating_points] points", what, fix)])
    return OperatingPoints(tuple(v[inside].tolist()), tuple(f[inside].tolist()))
