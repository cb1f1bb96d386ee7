"""Schema of the axes of a search space: the range or values of each knob, in customary units."""

import math
import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from explorer.errors import ExplorerError, suggestion
from explorer.io.declarations import Declaration, validation_error
from explorer.problem.columns import Column, allowed_text, column_of, is_allowed, is_free_name
from explorer.units import SYMBOLS, factor, to_si

MAX_CHOICES = 1000
OWN_NAME = r"[a-z][a-z0-9_]{0,49}"


def _as_pair(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise validation_error(f"range {list(value)} runs backwards", fix="write the lower end first")
    return value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise validation_error("a value is listed twice", fix="list each value once")
    return values


_Range = Annotated[tuple[float, float], AfterValidator(_as_pair)]
_Values = Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_CHOICES), AfterValidator(_distinct)]
_Word = Annotated[str, Field(min_length=1, max_length=100)]
_Choices = Annotated[tuple[_Word, ...], Field(min_length=1, max_length=MAX_CHOICES), AfterValidator(_distinct)]


class _Axis(Declaration):
    range: _Range | None = Field(None, description="[lowest, highest] in the axis' unit")
    value: float | None = Field(None, description="one fixed value instead of a range, in the axis' unit")
    values: _Values | None = Field(None, description="the only allowed values, instead of a range")
    scale: Literal["linear", "log"] = Field("linear", description="how the search spreads over the range")

    def si(self, name: str, unit: str, symbol: str) -> tuple[float, float]:
        """Return (low, high) in SI; equal for a fixed value."""
        numbers = self.listed(name, unit, symbol)
        return min(numbers), max(numbers)

    def listed(self, name: str, unit: str, symbol: str) -> tuple[float, ...]:
        """Return the declared numbers in SI, sorted: the ends of the range, the value, or all values."""
        declared = self.values or ((self.value,) if self.value is not None else self.range or (math.nan,))
        try:
            scale = factor(unit, symbol) if symbol in SYMBOLS or symbol == "" else 1.0
        except ExplorerError as error:
            raise validation_error(error.problem, fix=error.fix) from None
        for number in declared:
            if not is_allowed(name, np.array([number * scale])).all():
                raise validation_error(
                    f"{number * scale:g} {symbol}".rstrip() + f" is outside {allowed_text(name)}",
                    fix=f"keep {name} within {allowed_text(name)}" + (f" {symbol}" if symbol else ""),
                )
        if self.scale == "log" and min(declared) <= 0:
            raise validation_error("a log scale cannot start at 0", fix="start above 0 or use scale = 'linear'")
        return tuple(sorted(to_si(number, scale) for number in declared))

    def _is_range_or_value(self) -> None:
        if sum(option is not None for option in (self.range, self.value, self.values)) != 1:
            raise validation_error(
                "needs either a range or a value",
                fix="write range = [low, high], value = x to fix it, or values = [...] for a list",
            )


class PureAxis(_Axis):
    """Axis without a unit."""

    unit: Literal["", "1"] = Field("", description="the axis is a pure number: leave the unit out")


class PruningAxis(PureAxis):
    """Pruning ratio R, Eq. (4), a share in [0, 1)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("pruning_ratio", "", "")
        return self


class StepAxis(PureAxis):
    """Quantization step D, Eq. (5), in (0, 1], in the unit of the weights."""

    scale: Literal["linear", "log"] = Field("log", description="how the search spreads over the range")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("quant_step", "", "")
        return self


class VoltageAxis(_Axis):
    """Supply voltage V."""

    unit: str = Field("V", description="unit of the range: V or mV")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("voltage_v", self.unit, "V")
        return self


class FrequencyAxis(_Axis):
    """Clock f."""

    unit: str = Field("GHz", description="unit of the range: GHz, MHz, kHz or Hz")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._is_range_or_value()
        self.si("frequency_hz", self.unit, "Hz")
        return self


class OwnAxis(_Axis):
    """User-defined knob: a further column of the samples, numbers or names."""

    choices: _Choices | None = Field(None, description="the names to choose among, for a column of names")
    unit: Annotated[str, Field(max_length=20)] = Field(
        "", description="unit of the numbers: an SI multiple where the name ends in one (_w, _hz, ...), else any word"
    )
    label: Annotated[str, Field(max_length=60)] = Field(
        "", description="label in tables and plots; default: from the name"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices is None:
            self._is_range_or_value()
        elif any(option is not None for option in (self.range, self.value, self.values)):
            raise validation_error(
                "has both choices and numbers", fix="write choices for names, or range, value, values"
            )
        return self

    def column(self, name: str) -> Column:
        """Return the column of the knob."""
        return column_of(name, label=self.label, unit=self.unit)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the declared numbers in SI, sorted."""
        column = self.column(name)
        return self.listed(name, column.display_unit or column.symbol, column.symbol)


# Axes named differently from their columns: a column's name in a file gets a suggestion.
_AXIS_OF_COLUMN = {"voltage_v": "voltage", "frequency_hz": "frequency"}
AXIS_NAMES = ("pruning_ratio", "quant_step", "voltage", "frequency")


class Axes(Declaration):
    """The predefined axes; any other name is a user-defined knob, a further column of the samples."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, strict=False)
    __pydantic_extra__: dict[str, OwnAxis]

    pruning_ratio: PruningAxis | None = Field(None, description="pruning ratio R of Eq. (4)")
    quant_step: StepAxis | None = Field(None, description="quantization step D of Eq. (5)")
    voltage: VoltageAxis | None = Field(None, description="supply voltage; leave out with a table of points")
    frequency: FrequencyAxis | None = Field(None, description="clock; leave out with a table of points")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, value in data.items():
            if name not in AXIS_NAMES and not isinstance(value, (dict, OwnAxis)):
                own = f"a knob of your own is a column of the samples: {name} = {{ range = [low, high] }}"
                raise validation_error(f"unknown name '{name}'", fix=f"{suggestion(name, AXIS_NAMES)}; {own}")
            fault = "" if name in AXIS_NAMES else _name_fault(name)
            if fault:
                raise validation_error(f"unknown name '{name}'", fix=fault)
        return data

    @model_validator(mode="after")
    def _check_own(self) -> Self:
        for name, axis in self.own.items():
            if axis.choices is None:
                axis.numbers(name)
        return self

    @property
    def own(self) -> dict[str, OwnAxis]:
        """The user-defined knobs by the name of their column."""
        return dict(self.__pydantic_extra__ or {})


def _name_fault(name: str) -> str:
    """Return the fix for an invalid name of a user-defined knob; '' for a valid name."""
    if name in _AXIS_OF_COLUMN:
        return f"did you mean '{_AXIS_OF_COLUMN[name]}'?"
    if not is_free_name(name):
        return "this is not a knob: leave it out"
    if not re.fullmatch(OWN_NAME, name):
        return "name a column of the samples: small letters, digits and _, at most 50"
    near = get_close_matches(name, AXIS_NAMES, n=1, cutoff=0.84)
    return f"did you mean '{near[0]}'?" if near else ""
