"""Search spaces: the TOML declaration of a network's knobs, its operating points and its domain."""

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from explorer.errors import ExplorerError
from explorer.problem.columns import allowed_text, is_allowed
from explorer.problem.declare import Declaration, refuse
from explorer.problem.domain import EXTRAPOLATION
from explorer.units import factor


def _as_pair(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise refuse(f"range {list(value)} runs backwards", fix="write the lower end first")
    return value


_Range = Annotated[tuple[float, float], AfterValidator(_as_pair)]


class _Axis(Declaration):
    range: _Range | None = Field(None, description="[lowest, highest] in the axis' unit")
    value: float | None = Field(None, description="one fixed value instead of a range, in the axis' unit")
    scale: Literal["linear", "log"] = Field("linear", description="how the search spreads over the range")

    def si(self, name: str, unit: str, symbol: str) -> tuple[float, float]:
        """Return (low, high) in SI; both are the value where it is fixed."""
        low, high = (self.value, self.value) if self.value is not None else self.range or (math.nan, math.nan)
        if low is None or high is None:  # pragma: no cover - the validator below has seen to it
            raise refuse("neither range nor value", fix="give one of them")
        try:
            scale = factor(unit, symbol)
        except ExplorerError as error:
            raise refuse(error.problem, fix=error.fix) from None
        for end in (low * scale, high * scale):
            if not is_allowed(name, np.array([end])).all():
                raise refuse(
                    f"{end:g} {symbol}".rstrip() + f" is outside {allowed_text(name)}",
                    fix=f"keep {name} within {allowed_text(name)}" + (f" {symbol}" if symbol else ""),
                )
        if self.scale == "log" and low <= 0:
            raise refuse("a log scale cannot start at 0", fix="start above 0 or use scale = 'linear'")
        return low * scale, high * scale

    def _is_range_or_value(self) -> None:
        if (self.range is None) == (self.value is None):
            raise refuse("needs either a range or a value", fix="write range = [low, high], or value = x to fix it")


class PureAxis(_Axis):
    """An axis without a unit."""

    unit: Literal["", "1"] = Field("", description="the axis is a pure number: leave the unit out")


class PruningAxis(PureAxis):
    """The pruning ratio R, Eq. (4), a share in [0, 1)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("pruning_ratio", "", "")
        return self


class StepAxis(PureAxis):
    """The quantization step D, Eq. (5), in (0, 1]: the unit of the weights."""

    scale: Literal["linear", "log"] = Field("log", description="how the search spreads over the range")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("quant_step", "", "")
        return self


class VoltageAxis(_Axis):
    """The supply voltage V."""

    unit: str = Field("V", description="unit of the range: V or mV")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("voltage_v", self.unit, "V")
        return self


class FrequencyAxis(_Axis):
    """The clock f."""

    unit: str = Field("GHz", description="unit of the range: GHz, MHz, kHz or Hz")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("frequency_hz", self.unit, "Hz")
        return self


class Axes(Declaration):
    """The knobs and how far each may be turned."""

    pruning_ratio: PruningAxis = Field(description="pruning ratio R of Eq. (4)")
    quant_step: StepAxis = Field(description="quantization step D of Eq. (5)")
    voltage: VoltageAxis | None = Field(None, description="supply voltage; leave out with a table of points")
    frequency: FrequencyAxis | None = Field(None, description="clock; leave out with a table of points")


class PointDeclaration(Declaration):
    """One listed operating point."""

    voltage: float = Field(gt=0, description="supply voltage in the table's voltage_unit")
    frequency: float = Field(gt=0, description="clock in the table's frequency_unit")


class Operating(Declaration):
    """Which (V, f) can exist: the alpha-power law fitted to the samples, or exactly the listed points."""

    law: Literal["alpha-power"] | None = Field(None, description="f <= K (V - V_th)^a / V, K from the samples")
    points: Annotated[tuple[PointDeclaration, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="a list of { voltage = ..., frequency = ... }"
    )
    voltage_unit: str = Field("V", description="unit of the listed voltages")
    frequency_unit: str = Field("GHz", description="unit of the listed clocks")
    source: str = Field("", max_length=1000, description="where the listed points come from")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.law is None) == (self.points is None):
            raise refuse("needs either a law or points", fix="write law = 'alpha-power', or list the device's points")
        for unit, symbol in ((self.voltage_unit, "V"), (self.frequency_unit, "Hz")):
            try:
                factor(unit, symbol)
            except ExplorerError as error:
                raise refuse(error.problem, fix=error.fix) from None
        return self


class DomainDeclaration(Declaration):
    """Where the model may be asked: the samples' range, widened on both sides."""

    enforce: bool = Field(True, description="false lets the search extrapolate; every such design is marked")
    widen: float = Field(
        EXTRAPOLATION, ge=0, le=10, description="widening on each side, in widths of the samples' range"
    )


class SpaceFile(Declaration):
    """A search space as its TOML file declares it."""

    title: str = Field("", max_length=200, description="one line for people")
    family: str | None = Field(None, max_length=100, description="the network family; without it the study names it")
    axes: Axes = Field(description="the knobs: pruning_ratio, quant_step, voltage, frequency")
    operating_points: Operating = Field(
        default_factory=lambda: Operating(law="alpha-power"), description="which (V, f) can exist"
    )
    domain: DomainDeclaration = Field(default_factory=DomainDeclaration, description="where the model may be asked")

    @model_validator(mode="after")
    def _check(self) -> Self:
        has_axes = self.axes.voltage is not None and self.axes.frequency is not None
        if self.operating_points.points is not None and (self.axes.voltage or self.axes.frequency):
            raise refuse(
                "[axes] voltage and frequency stand beside a table of operating points",
                fix="leave them out: the listed points say it all",
            )
        if self.operating_points.points is None and not has_axes:
            raise refuse("[axes] voltage and frequency are missing", fix="add both, or list the device's points")
        return self
