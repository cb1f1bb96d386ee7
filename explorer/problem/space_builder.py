"""Construction of a design space from its declaration, the domain of the model and the operating points that exist."""

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
    """Domain of a model for one family.

    Args:
        ranges: the range of the samples for each numeric knob.
        choices: the measured values of each categorical knob.
        constant: the knobs with the same value in all samples, with that value.
        law: the alpha-power law of the clock, if the model has one.
    """

    ranges: Mapping[str, Range]
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
    """Return the design space of one family: the declared axes inside the model's domain, with points that exist.

    Args:
        space: the declaration.
        path: its file, for messages.
        family: the family to search.
        spans: the range of the samples for each numeric knob of the model.
        law: the family's alpha-power law, if the model has one.
        choices: the measured values of each categorical knob of the model.
        constant: the knobs with the same value in all samples: fixed, unless the domain is not enforced.

    Raises:
        InvalidFile: knobs are missing or unknown to the model (all at once), or an axis has no value in the domain.
    """
    builder = _Builder(space, path, family, ModelDomain(spans, choices or {}, constant or {}, law))
    faults = [*_unknown_knobs(builder), *_missing_knobs(builder)]
    if faults:
        raise InvalidFile(path, faults)
    axes = [_axis(builder, name) for name in ("pruning_ratio", "quant_step") if name in builder.numbers]
    own = [_own_axis(builder, name) for name in space.axes.own]
    own += [Dimension(name, value, value) for name, value in builder.implied.items()]
    own += [categorical(name, values) for name, values in builder.domain.choices.items() if name not in space.axes.own]
    if space.operating_points.law == "alpha-power":
        pair, operating, clock = _by_law(builder)
        return DesignSpace(family, (*axes, *pair, *own), operating, clock, builder.widen)
    if space.operating_points.law == "none":
        axes += [_axis(builder, name) for name in ("voltage_v", "frequency_hz") if name in builder.numbers]
        return DesignSpace(family, (*axes, *own), None, (0.0, math.inf), builder.widen)
    points = _points_inside(builder, points_of(space.operating_points))
    point = Dimension(OPERATING_POINT, 0.0, len(points.labels) - 1.0, labels=points.labels, columns=points.columns)
    return DesignSpace(family, (*axes, point, *own), points, (0.0, math.inf), builder.widen)


def declared_knobs(space: SpaceFile, *, path: object) -> tuple[dict[str, Range], dict[str, tuple[str, ...]]]:
    """Return the declared range of each numeric knob and choices of each categorical knob, without limits by samples.

    Args:
        space: the declaration.
        path: its file, for messages.
    """
    builder = _Builder(space, path, "", ModelDomain({}))
    points = points_of(space.operating_points).columns if space.operating_points.points else {}
    own = {name: axis.numbers(name) for name, axis in space.axes.own.items() if axis.choices is None}
    listed: dict[str, Sequence[float]] = {**builder.numbers, **points, **own}
    ranges = {
        name: Range(min(values), max(values), is_log=_is_log(space, name))
        for name, values in listed.items()
        if name in KNOBS or name in own
    }
    return ranges, {name: axis.choices for name, axis in space.axes.own.items() if axis.choices is not None}


def _is_log(space: SpaceFile, name: str) -> bool:
    axis = getattr(space.axes, _AXIS_NAMES.get(name, name), None) or space.axes.own.get(name)
    return axis is not None and axis.scale == "log"


@dataclass(frozen=True, slots=True)
class _Builder:
    """The declaration of a space and the model's domain for one of its families."""

    space: SpaceFile
    path: object
    family: str
    domain: ModelDomain

    @property
    def widen(self) -> float:
        return self.space.domain.widen if self.space.domain.enforce else math.inf

    @property
    def numbers(self) -> dict[str, tuple[float, ...]]:
        """The declared numbers of each predefined axis in SI: two ends, one value, or a list."""
        axes = self.space.axes
        listed = {
            "pruning_ratio": axes.pruning_ratio and axes.pruning_ratio.listed("pruning_ratio", "", ""),
            "quant_step": axes.quant_step and axes.quant_step.listed("quant_step", "", ""),
            "voltage_v": axes.voltage and axes.voltage.listed("voltage_v", axes.voltage.unit, "V"),
            "frequency_hz": axes.frequency and axes.frequency.listed("frequency_hz", axes.frequency.unit, "Hz"),
        }
        return {name: numbers for name, numbers in listed.items() if numbers}

    @property
    def declared(self) -> set[str]:
        """The columns that the space sets."""
        columns = set(points_of(self.space.operating_points).columns) if self.space.operating_points.points else set()
        return {*self.numbers, *self.space.axes.own, *columns}

    @property
    def implied(self) -> dict[str, float]:
        """The knobs that the space does not declare and the samples never vary, with their only value."""
        return {name: value for name, value in self.domain.constant.items() if name not in self.declared}

    def error(self, location: str, what: str, fix: str) -> InvalidFile:
        return InvalidFile(self.path, [Fault(location, what, fix)])


def _unknown_knobs(builder: _Builder) -> Iterator[Fault]:
    """Yield a fault for each axis that is not a knob of the model, or of the other kind."""
    knobs = [*builder.domain.ranges, *builder.domain.choices]
    for name in (*builder.numbers, *builder.space.axes.own):
        if name not in knobs:
            what = f"the model has no knob '{name}': its samples have no such column"
            yield Fault(f"[axes] {_AXIS_NAMES.get(name, name)}", what, f"leave it out, or {suggestion(name, knobs)}")
    for name, axis in builder.space.axes.own.items():
        is_text = name in builder.domain.choices
        if name in knobs and is_text != (axis.choices is not None):
            kind, fix = ("names", "choices = ['...']") if is_text else ("numbers", "range, value or values")
            yield Fault(f"[axes] {name}", f"its column has {kind} in the samples", f"write {fix}")


def _missing_knobs(builder: _Builder) -> Iterator[Fault]:
    """Yield a fault for each knob that the samples vary and the space does not declare."""
    for name in (*builder.domain.ranges, *builder.domain.choices):
        is_constant = name in builder.domain.constant or len(builder.domain.choices.get(name, ())) == 1
        if name not in builder.declared and not is_constant:
            axis = _AXIS_NAMES.get(name, name)
            yield Fault("[axes]", f"'{axis}' is missing: the model's samples vary it", f"add {axis} = {{ ... }}")


def _axis(builder: _Builder, name: str) -> Dimension:
    """Return the dimension of a predefined knob."""
    declared = getattr(builder.space.axes, _AXIS_NAMES.get(name, name))
    numbers = builder.numbers[name]
    if declared.values is not None:
        return _discrete(builder, name, numbers)
    return Dimension(name, *_limited(builder, name, (numbers[0], numbers[-1])), is_log=declared.scale == "log")


def _own_axis(builder: _Builder, name: str) -> Dimension:
    """Return the dimension of a user-defined knob."""
    declared = builder.space.axes.own[name]
    if declared.choices is not None:
        measured = builder.domain.choices[name]
        for word in declared.choices:
            if word not in measured:
                fix = f"{suggestion(word, measured)}; or measure it"
                raise builder.error(f"[axes] {name}", f"'{word}' was never measured, so it cannot be predicted", fix)
        return categorical(name, declared.choices)
    numbers = declared.numbers(name)
    if declared.values is not None:
        return _discrete(builder, name, numbers)
    return Dimension(name, *_limited(builder, name, (numbers[0], numbers[-1])), is_log=declared.scale == "log")


def _discrete(builder: _Builder, name: str, numbers: Sequence[float]) -> Dimension:
    """Return the dimension of the listed values inside the domain."""
    low, high = _limited(builder, name, (numbers[0], numbers[-1]))
    inside = tuple(number for number in numbers if low <= number <= high)
    if not inside:
        low, high = builder.domain.ranges[name].widened(builder.widen)
        show = column_of(name).text
        what = f"none of the values lies in the model's domain for {builder.family}, {show(low)} to {show(high)}"
        raise builder.error(f"[axes] {name}", what, _MEASURE)
    return categorical(name, inside)


def _by_law(builder: _Builder) -> tuple[list[Dimension], AlphaPowerLaw, tuple[float, float]]:
    """Return the dimensions of voltage and clock share, the law, and the range of the clock in hertz."""
    law = builder.domain.law
    if law is None:
        what, fix = "the model has no V-f law: its samples lack V or f", "list the device's operating points instead"
        raise builder.error("[operating_points] law", what, fix)
    voltage, clocks = _axis(builder, "voltage_v"), builder.numbers["frequency_hz"]
    clock = _limited(builder, "frequency_hz", (clocks[0], clocks[-1]))
    values = voltage.columns.get("voltage_v", (voltage.low, voltage.high))
    lowest = law.voltage_min(clock[0], below=values[-1])
    if math.isnan(lowest):
        text = f"no voltage up to {values[-1]:.4g} V carries {clock[0] / 1e9:.4g} GHz"
        text += f", the lowest clock of {builder.family}"
        raise builder.error("[axes]", text, "raise the voltage range or lower the frequency range")
    if voltage.columns:
        voltage = categorical("voltage_v", tuple(v for v in values if v >= lowest * (1 - RELATIVE_TOLERANCE)))
    else:
        voltage = Dimension("voltage_v", max(voltage.low, lowest), voltage.high, is_log=voltage.is_log)
    share = Dimension(CLOCK_SHARE, *((0.0, 1.0) if clock[1] > clock[0] else (1.0, 1.0)))
    return [voltage, share], law, clock


_MEASURE = "move the range, measure samples in it, or set [domain] enforce = false"


def _limited(builder: _Builder, name: str, declared: tuple[float, float]) -> tuple[float, float]:
    """Intersect a declared range with the domain."""
    samples, widen = builder.domain.ranges[name], builder.widen
    low, high = samples.widened(widen) if math.isfinite(widen) else (-math.inf, math.inf)
    if declared[1] < low or declared[0] > high:
        show = column_of(name).text
        what = (
            f"{show(declared[0])} to {show(declared[1])} lies outside the model's domain for {builder.family}, "
            f"{show(low)} to {show(high)}"
        )
        raise builder.error(f"[axes] {name}", what, _MEASURE)
    # Samples of a single design have only constant knobs: a declared range is then not reduced to that one value.
    only = builder.domain.constant.get(name) if len(builder.domain.constant) < len(builder.domain.ranges) else None
    if only is not None and math.isfinite(widen) and declared[0] <= only <= declared[1]:
        return only, only
    return max(declared[0], low), min(declared[1], high)


def _points_inside(builder: _Builder, points: OperatingPoints) -> OperatingPoints:
    outside = [
        builder.domain.ranges[name].distance(np.asarray(values))
        for name, values in points.columns.items()
        if name in builder.domain.ranges
    ]
    inside = np.flatnonzero(
        np.max([np.zeros(len(points.frequency_hz)), *outside], axis=0) <= builder.widen * (1 + RELATIVE_TOLERANCE)
    )
    if not inside.size:
        what = f"none lies inside the model's domain for {builder.family}"
        fix = "measure samples at these, or set [domain] enforce = false"
        raise builder.error("[operating_points] points", what, fix)
    return points.rows(inside)
