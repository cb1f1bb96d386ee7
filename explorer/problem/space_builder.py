"""Regions from declarations: what a space declares, within the model's domain, without impossible points."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.devices.device import points_of
from explorer.devices.operating_points import RELATIVE_TOLERANCE, AlphaPowerLaw, OperatingPoints
from explorer.errors import Fault, InvalidFile, suggestion
from explorer.problem.applicability import Range
from explorer.problem.columns import KNOBS, column_of
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.design_space import CLOCK_SHARE, OPERATING_POINT, DesignSpace, Dimension, categorical

_AXIS_NAMES = {"voltage_v": "voltage", "frequency_hz": "frequency"}


@dataclass(frozen=True, slots=True)
class ModelDomain:
    """What a model knows of one family.

    Args:
        spans: the samples' span of each numeric knob.
        choices: the values of each category that were measured.
        constant: the knobs that no sample varies, with their value.
        law: the V-f law, where there is one.
    """

    spans: Mapping[str, Range]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constant: Mapping[str, float] = field(default_factory=dict)
    law: AlphaPowerLaw | None = None


def build_design_space(
    space: SpaceFile,
    *,
    path: object,
    family: str,
    spans: Mapping[str, Range],
    law: AlphaPowerLaw | None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    constant: Mapping[str, float] | None = None,
) -> DesignSpace:
    """Make the region of one family: what the space declares, within the model's domain, without impossible points.

    Args:
        space: the declaration.
        path: its file, for messages.
        family: the family to search.
        spans: the samples' span of each numeric knob of the model.
        law: the family's V-f law, where the model has one.
        choices: the measured values of each category knob of the model.
        constant: the knobs that the samples never vary: they are fixed, unless the domain is not enforced.

    Raises:
        InvalidFile: a knob is missing or unknown to the model, or nothing is left of an axis; all of them at once.
    """
    place = _Builder(space, path, family, ModelDomain(spans, choices or {}, constant or {}, law))
    faults = [*_strangers(place), *_lacking(place)]
    if faults:
        raise InvalidFile(path, faults)
    axes = [_axis(place, name) for name in ("pruning_ratio", "quant_step") if name in place.numbers]
    own = [_own_axis(place, name) for name in space.axes.own]
    own += [Dimension(name, value, value) for name, value in place.implied.items()]
    own += [categorical(name, values) for name, values in place.known.choices.items() if name not in space.axes.own]
    if space.operating_points.law == "alpha-power":
        pair, operating, clock = _by_law(place)
        return DesignSpace(family, (*axes, *pair, *own), operating, clock, place.widen)
    if space.operating_points.law == "none":
        axes += [_axis(place, name) for name in ("voltage_v", "frequency_hz") if name in place.numbers]
        return DesignSpace(family, (*axes, *own), None, (0.0, math.inf), place.widen)
    points = _points_inside(place, points_of(space.operating_points))
    point = Dimension(OPERATING_POINT, 0.0, len(points.labels) - 1.0, labels=points.labels, columns=points.columns)
    return DesignSpace(family, (*axes, point, *own), points, (0.0, math.inf), place.widen)


def declared_knobs(space: SpaceFile, *, path: object) -> tuple[dict[str, Range], dict[str, tuple[str, ...]]]:
    """Return what a space declares where no samples limit it: the span of each number, the choices of each category.

    Args:
        space: the declaration.
        path: its file, for messages.
    """
    place = _Builder(space, path, "", ModelDomain({}))
    points = points_of(space.operating_points).columns if space.operating_points.points else {}
    own = {name: axis.numbers(name) for name, axis in space.axes.own.items() if axis.choices is None}
    listed: dict[str, Sequence[float]] = {**place.numbers, **points, **own}
    spans = {
        name: Range(min(values), max(values), is_log=_is_log(space, name))
        for name, values in listed.items()
        if name in KNOBS or name in own
    }
    return spans, {name: axis.choices for name, axis in space.axes.own.items() if axis.choices is not None}


def _is_log(space: SpaceFile, name: str) -> bool:
    axis = getattr(space.axes, _AXIS_NAMES.get(name, name), None) or space.axes.own.get(name)
    return axis is not None and axis.scale == "log"


@dataclass(frozen=True, slots=True)
class _Builder:
    """One family of one space beside what the model knows of it."""

    space: SpaceFile
    path: object
    family: str
    known: ModelDomain

    @property
    def widen(self) -> float:
        return self.space.domain.widen if self.space.domain.enforce else math.inf

    @property
    def numbers(self) -> dict[str, tuple[float, ...]]:
        """The declared numbers of each axis with a name of explorer's, in SI: two ends, one value, or a list."""
        axes = self.space.axes
        known = {
            "pruning_ratio": axes.pruning_ratio and axes.pruning_ratio.listed("pruning_ratio", "", ""),
            "quant_step": axes.quant_step and axes.quant_step.listed("quant_step", "", ""),
            "voltage_v": axes.voltage and axes.voltage.listed("voltage_v", axes.voltage.unit, "V"),
            "frequency_hz": axes.frequency and axes.frequency.listed("frequency_hz", axes.frequency.unit, "Hz"),
        }
        return {name: numbers for name, numbers in known.items() if numbers}

    @property
    def declared(self) -> set[str]:
        """The columns that the space decides."""
        decided = set(points_of(self.space.operating_points).columns) if self.space.operating_points.points else set()
        return {*self.numbers, *self.space.axes.own, *decided}

    @property
    def implied(self) -> dict[str, float]:
        """The knobs that the space leaves out and the samples never vary: there is one value that they can have."""
        return {name: value for name, value in self.known.constant.items() if name not in self.declared}

    def refuse(self, where: str, what: str, fix: str) -> InvalidFile:
        return InvalidFile(self.path, [Fault(where, what, fix)])


def _strangers(place: _Builder) -> Iterator[Fault]:
    """Name the axes that the model has no knob for."""
    known = [*place.known.spans, *place.known.choices]
    for name in (*place.numbers, *place.space.axes.own):
        if name not in known:
            what = f"the model has no knob '{name}': its samples have no such column"
            yield Fault(f"[axes] {_AXIS_NAMES.get(name, name)}", what, f"leave it out, or {suggestion(name, known)}")
    for name, axis in place.space.axes.own.items():
        is_text = name in place.known.choices
        if name in known and is_text != (axis.choices is not None):
            holds, write = ("names", "choices = ['...']") if is_text else ("numbers", "range, value or values")
            yield Fault(f"[axes] {name}", f"the samples hold {holds} there", f"write {write}")


def _lacking(place: _Builder) -> Iterator[Fault]:
    """Name the knobs that the model needs and the space leaves out, unless there is only one value they can have."""
    for name in (*place.known.spans, *place.known.choices):
        only = name in place.known.constant or len(place.known.choices.get(name, ())) == 1
        if name not in place.declared and not only:
            where, axis = "[axes]", _AXIS_NAMES.get(name, name)
            yield Fault(where, f"'{axis}' is missing: the model's samples vary it", f"add {axis} = {{ ... }}")


def _axis(place: _Builder, name: str) -> Dimension:
    """Return the axis of a knob with a name of explorer's."""
    declared = getattr(place.space.axes, _AXIS_NAMES.get(name, name))
    numbers = place.numbers[name]
    if declared.values is not None:
        return _discrete(place, name, numbers)
    return Dimension(name, *_limited(place, name, (numbers[0], numbers[-1])), is_log=declared.scale == "log")


def _own_axis(place: _Builder, name: str) -> Dimension:
    declared = place.space.axes.own[name]
    if declared.choices is not None:
        measured = place.known.choices[name]
        for word in declared.choices:
            if word not in measured:
                fix = f"{suggestion(word, measured)}; or measure it"
                raise place.refuse(f"[axes] {name}", f"'{word}' was never measured, so nothing can be said of it", fix)
        return categorical(name, declared.choices)
    numbers = declared.numbers(name)
    if declared.values is not None:
        return _discrete(place, name, numbers)
    return Dimension(name, *_limited(place, name, (numbers[0], numbers[-1])), is_log=declared.scale == "log")


def _discrete(place: _Builder, name: str, numbers: Sequence[float]) -> Dimension:
    """Return the axis of the listed values that lie in the domain."""
    low, high = _limited(place, name, (numbers[0], numbers[-1]))
    inside = tuple(number for number in numbers if low <= number <= high)
    if not inside:
        low, high = place.known.spans[name].widened(place.widen)
        show = column_of(name).text
        what = f"none of the values lies in the model's domain for {place.family}, {show(low)} to {show(high)}"
        raise place.refuse(f"[axes] {name}", what, _MEASURE)
    return categorical(name, inside)


def _by_law(place: _Builder) -> tuple[list[Dimension], AlphaPowerLaw, tuple[float, float]]:
    """Return the axes of voltage and clock share, the law, and the clocks wanted."""
    law = place.known.law
    if law is None:
        what, fix = "the model has no V-f law: its samples lack V or f", "list the device's operating points instead"
        raise place.refuse("[operating_points] law", what, fix)
    voltage, clocks = _axis(place, "voltage_v"), place.numbers["frequency_hz"]
    clock = _limited(place, "frequency_hz", (clocks[0], clocks[-1]))
    values = voltage.columns.get("voltage_v", (voltage.low, voltage.high))
    lowest = law.voltage_min(clock[0], below=values[-1])
    if math.isnan(lowest):
        text = (
            f"no voltage up to {values[-1]:.4g} V carries {clock[0] / 1e9:.4g} GHz, the lowest clock of {place.family}"
        )
        raise place.refuse("[axes]", text, "raise the voltage range or lower the frequency range")
    if voltage.columns:
        voltage = categorical("voltage_v", tuple(v for v in values if v >= lowest * (1 - RELATIVE_TOLERANCE)))
    else:
        voltage = Dimension("voltage_v", max(voltage.low, lowest), voltage.high, is_log=voltage.is_log)
    share = Dimension(CLOCK_SHARE, *((0.0, 1.0) if clock[1] > clock[0] else (1.0, 1.0)))
    return [voltage, share], law, clock


_MEASURE = "move the range, measure samples there, or set [domain] enforce = false"


def _limited(place: _Builder, name: str, declared: tuple[float, float]) -> tuple[float, float]:
    """Intersect a declared range with the domain."""
    span, widen = place.known.spans[name], place.widen
    low, high = span.widened(widen) if math.isfinite(widen) else (-math.inf, math.inf)
    if declared[1] < low or declared[0] > high:
        show = column_of(name).text
        what = (
            f"{show(declared[0])} to {show(declared[1])} lies outside the model's domain for {place.family}, "
            f"{show(low)} to {show(high)}"
        )
        raise place.refuse(f"[axes] {name}", what, _MEASURE)
    # Where nothing varies at all (one configuration), no choice was left out yet that a range could ask for in vain.
    only = place.known.constant.get(name) if len(place.known.constant) < len(place.known.spans) else None
    if only is not None and math.isfinite(widen) and declared[0] <= only <= declared[1]:
        return only, only
    return max(declared[0], low), min(declared[1], high)


def _points_inside(place: _Builder, points: OperatingPoints) -> OperatingPoints:
    outside = [
        place.known.spans[name].distance(np.asarray(values))
        for name, values in points.columns.items()
        if name in place.known.spans
    ]
    inside = np.flatnonzero(
        np.max([np.zeros(len(points.frequency_hz)), *outside], axis=0) <= place.widen * (1 + RELATIVE_TOLERANCE)
    )
    if not inside.size:
        what = f"none lies in the model's domain for {place.family}"
        raise place.refuse("[operating_points] points", what, "measure samples there, or set [domain] enforce = false")
    return points.rows(inside)
