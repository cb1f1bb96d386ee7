"""The file of a chosen configuration (chosen.json), as `explorer choose` writes it and others read it."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from explorer.io.declarations import Declaration, validation_error
from explorer.problem.columns import allowed_text, is_allowed
from explorer.problem.objectives import OBJECTIVES

_AGAIN = "choose again with `explorer choose`; do not edit the file by hand"
_MAX_DEPTH = 20


def _plain(value: Any) -> Any:
    """Refuse NaN and infinities anywhere within a value (JSON has no word for them, Python's reader takes them)."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise validation_error("holds a number that is not finite", fix=_AGAIN)
        level = [child for item in level for child in _children(item)]
        if not level:
            return value
    raise validation_error("is nested too deeply", fix=_AGAIN)


def _children(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise validation_error("holds characters that cannot be printed", fix=_AGAIN)
    return text


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise validation_error("is not a single value", fix=_AGAIN)
    return _plain(value)


def _knob(name: str) -> AfterValidator:
    def check(value: float) -> float:
        if not is_allowed(name, np.array([value])).all():
            raise validation_error(f"{value:g} is outside {allowed_text(name)}", fix=_AGAIN)
        return value

    return AfterValidator(check)


def _objective(name: str) -> str:
    if name not in OBJECTIVES:
        raise validation_error(f"'{name}' is not an objective", fix=f"one of {', '.join(OBJECTIVES)}")
    return name


Text = Annotated[str, AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RuleFile(Declaration):
    """The rule by which a configuration was chosen."""

    name: Text = Field(max_length=100, description="knee, alpha, minimize or design")
    text: Text = Field(max_length=1000, description="the rule in words, with the winning score")
    where: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        (), description="conditions such as accuracy >= 0.9"
    )


class ChosenDesign(Declaration):
    """The chosen design: its knobs, and every other column that is known of it, SI; null is not known."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_cell)]] = Field(init=False)

    design_id: Annotated[int, Field(ge=0)] = Field(description="its number in its study")
    family: Annotated[Text, Field(min_length=1, max_length=100)] = Field(description="the network family")
    pruning_ratio: Annotated[float, _knob("pruning_ratio")] | None = Field(None, description="pruning ratio R, Eq. (4)")
    quant_step: Annotated[float, _knob("quant_step")] | None = Field(None, description="quantization step D, Eq. (5)")
    voltage_v: Annotated[float, _knob("voltage_v")] | None = Field(None, description="supply voltage, in volt")
    frequency_hz: Annotated[float, _knob("frequency_hz")] | None = Field(None, description="clock, in hertz")

    @property
    def columns(self) -> dict[str, Any]:
        """All of its columns by name; a knob that its study does not have is left out."""
        return self.model_dump(exclude_unset=True)


class AppliedFile(Declaration):
    """The same design at a device's own operating point, evaluated there."""

    device: Annotated[Text, Field(min_length=1, max_length=500)] = Field(description="name or file of the device")
    bin: Annotated[Text, Field(max_length=60)] = Field("", description="its speed bin")
    operating_point: Annotated[Text, Field(max_length=200)] = Field(description="the operating point's name")
    design: dict[str, Annotated[Any, AfterValidator(_cell)]] = Field(description="every column of the design there, SI")
    is_extrapolated: bool = Field(description="whether the model was asked outside its domain there")


class StudyOrigin(Declaration):
    """The study file that a design comes from."""

    name: Text = Field(description="the study's name")
    file: Text = Field(description="where its file lay")
    sha256: Sha256 = Field(description="of the file, 64 hexadecimal digits")


class ModelOrigin(Declaration):
    """The model that predicted a design; what else tells it apart is kept as it is."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    name: Text = Field(description="paper, or a file")


class LiveOrigin(Declaration):
    """How a study that measures a network compressed it; what else it tells is kept as it is."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    codec: Literal["file", "dense", "deflate", "entropy"] = Field("deflate", description="which size is size_bytes")
    per_tensor: bool = Field(False, description="each tensor was pruned by R alone")
    clip: Literal["int4", "int8", "int16"] | None = Field(None, description="what codes were clipped to; null: nothing")


class QuestionOrigin(Declaration):
    """The question that was asked; what else belongs to it is kept as it is."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    objectives: Annotated[tuple[Annotated[str, AfterValidator(_objective)], ...], Field(min_length=1, max_length=6)] = (
        Field(description="the objectives, in order")
    )
    live: LiveOrigin | None = Field(None, description="how the network was measured; null where it was predicted")

    @model_serializer(mode="wrap")
    def _as_read(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A provenance goes on as it came: what it does not tell is not told as null."""
        said: dict[str, Any] = serialized(self)
        return said if self.live else {name: value for name, value in said.items() if name != "live"}


class Origin(Declaration):
    """Where a design comes from (provenance.json); what else it tells is kept as it is."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    study: StudyOrigin = Field(description="the study")
    model: ModelOrigin = Field(description="the model")
    question: QuestionOrigin = Field(description="what was asked")


class ChosenFile(Declaration):
    """A chosen configuration."""

    schema_: Literal["explorer.chosen/1"] = Field(alias="schema", description="the kind of this file")
    study: Annotated[Text, Field(min_length=1, max_length=200)] = Field(description="the study's name")
    rule: RuleFile = Field(description="why this one")
    design: ChosenDesign = Field(description="the configuration")
    runner_up: Annotated[dict[str, Any], AfterValidator(_plain)] | None = Field(None, description="the second best")
    price_of_accuracy: str = Field("", description="what one more point of accuracy costs, in words")
    is_extrapolated: bool = Field(description="whether the model was asked outside its domain")
    applied: AppliedFile | None = Field(None, description="the design as a device can run it, if one was named")
    provenance: Origin = Field(description="where it comes from")
