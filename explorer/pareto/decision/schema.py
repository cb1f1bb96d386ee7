"""Schema of chosen.json: a selected design, as `explorer choose` writes it and `deploy` reads it."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from explorer.io.declarations import Declaration, validation_error
from explorer.problem.columns import allowed_text, is_allowed
from explorer.problem.objectives import OBJECTIVES, is_objective
from explorer.problem.targets import target_from_json

_FIX = "choose again with `explorer choose`; do not edit the file by hand"
_MAX_DEPTH = 20


def _plain(value: Any) -> Any:
    """Raise if a value holds NaN or infinity at any depth: JSON has neither, but Python's parser accepts them."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise validation_error("holds a number that is not finite", fix=_FIX)
        level = [child for item in level for child in _children(item)]
        if not level:
            return value
    raise validation_error("is nested too deeply", fix=_FIX)


def _children(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise validation_error("holds characters that cannot be printed", fix=_FIX)
    return text


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise validation_error("is not a single value", fix=_FIX)
    return _plain(value)


def _knob(name: str) -> AfterValidator:
    def check(value: float) -> float:
        if not is_allowed(name, np.array([value])).all():
            raise validation_error(f"{value:g} is outside {allowed_text(name)}", fix=_FIX)
        return value

    return AfterValidator(check)


def _objective(name: str) -> str:
    if not is_objective(name):
        raise validation_error(f"'{name}' is not an objective", fix=f"one of {', '.join(OBJECTIVES)}")
    return name


def _declare(targets: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Declare the targets, which the objectives and the design may name."""
    try:
        for target in targets:
            target_from_json(target)
    except (KeyError, TypeError, ValueError) as error:
        raise validation_error(f"no declared targets: {error}", fix="choose the design again") from None
    return targets


Text = Annotated[str, AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RuleFile(Declaration):
    """Selection rule of a design."""

    name: Text = Field(max_length=100, description="knee, alpha, minimize or design")
    text: Text = Field(max_length=1000, description="the text of the rule, with the value of the selected design")
    where: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        (), description="conditions such as accuracy >= 0.9"
    )


class ChosenDesign(Declaration):
    """The selected design: its knobs and all other columns, in SI units; null is an unknown value."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_cell)]] = Field(init=False)

    design_id: int = Field(description="its number in its study; negative for a measured row")
    family: Annotated[Text, Field(min_length=1, max_length=100)] = Field(description="the network family")
    pruning_ratio: Annotated[float, _knob("pruning_ratio")] | None = Field(None, description="pruning ratio R, Eq. (4)")
    quant_step: Annotated[float, _knob("quant_step")] | None = Field(None, description="quantization step D, Eq. (5)")
    voltage_v: Annotated[float, _knob("voltage_v")] | None = Field(None, description="supply voltage, in volt")
    frequency_hz: Annotated[float, _knob("frequency_hz")] | None = Field(None, description="clock, in hertz")

    @property
    def columns(self) -> dict[str, Any]:
        """All columns by name, without knobs that the study does not have."""
        return self.model_dump(exclude_unset=True)


class AppliedFile(Declaration):
    """The same design evaluated at an operating point of a device."""

    device: Annotated[Text, Field(min_length=1, max_length=500)] = Field(description="name or file of the device")
    bin: Annotated[Text, Field(max_length=60)] = Field("", description="its speed bin")
    operating_point: Annotated[Text, Field(max_length=200)] = Field(description="the operating point's name")
    design: dict[str, Annotated[Any, AfterValidator(_cell)]] = Field(
        description="every column of the design at this point, in SI units"
    )
    is_extrapolated: bool = Field(description="true outside the model's domain")


class StudyOrigin(Declaration):
    """Study file of a design."""

    name: Text = Field(description="the study's name")
    file: Text = Field(description="path of its file")
    sha256: Sha256 = Field(description="of the file, 64 hexadecimal digits")


class ModelOrigin(Declaration):
    """Model that predicted a design; further fields of its fingerprint are kept unchanged."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    name: Text = Field(description="paper, or a file")


class LiveOrigin(Declaration):
    """Compression of a measured network; further fields are kept unchanged."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    codec: Literal["file", "dense", "deflate", "entropy"] = Field("deflate", description="which size is size_bytes")
    per_tensor: bool = Field(False, description="R applies to each tensor separately")
    clip: Literal["int4", "int8", "int16"] | None = Field(
        None, description="range that codes were clipped to; null: none"
    )


class QuestionOrigin(Declaration):
    """Declaration of the study; further fields are kept unchanged."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    targets: Annotated[tuple[dict[str, Any], ...], Field(max_length=50), AfterValidator(_declare)] = Field(
        (), description="the declared targets, as in [targets.NAME] of the study"
    )
    objectives: Annotated[tuple[Annotated[str, AfterValidator(_objective)], ...], Field(min_length=1, max_length=6)] = (
        Field(description="the objectives, in order")
    )
    live: LiveOrigin | None = Field(None, description="how the network was measured; null where it was predicted")

    @model_serializer(mode="wrap")
    def _serialize(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Serialize without `live` and `targets` if the provenance has none: an absent field must not become null."""
        fields: dict[str, Any] = serialized(self)
        return {k: v for k, v in fields.items() if v or k not in {"live", "targets"}}


class Origin(Declaration):
    """Provenance of a design (provenance.json); further fields are kept unchanged."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(init=False)

    study: StudyOrigin = Field(description="the study")
    model: ModelOrigin = Field(description="the model")
    question: QuestionOrigin = Field(description="the declaration of the study")


class HeldBackTarget(Declaration):
    """A declared target on held-back samples, with its 90 % bootstrap interval; null: it has none."""

    value: float = Field(description="its value")
    lo: float | None = Field(None, description="lower end of the interval")
    hi: float | None = Field(None, description="upper end of the interval")


class HoldoutFile(Declaration):
    """The quality of a design on samples that its search did not see: accuracy, or declared targets."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(description="share of the data that is held back")
    n_samples: int = Field(ge=1, description="number of these samples")
    n_right: Annotated[int, Field(ge=0)] | None = Field(
        None, description="number of them that are classified correctly"
    )
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="accuracy on them")
    accuracy_lo: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="lower end of its 95 % Wilson interval"
    )
    accuracy_hi: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="upper end of its 95 % Wilson interval"
    )
    targets: Annotated[dict[Text, HeldBackTarget], Field(max_length=50)] = Field(
        default_factory=dict, description="declared targets on them, by name"
    )

    @model_serializer(mode="wrap")
    def _serialize(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Serialize without absent fields, as they are written."""
        fields: dict[str, Any] = serialized(self)
        return {name: value for name, value in fields.items() if value not in (None, {})}


class SelectionFile(Declaration):
    """The data on which the accuracy of many designs was measured, of which one was chosen."""

    data: Text = Field(max_length=1000, description="name of the data")
    data_sha256: Sha256 = Field(description="SHA-256 of its inputs and labels")
    n_samples: int = Field(ge=1, description="number of samples that the search measured on")
    n_designs: int = Field(ge=1, description="number of designs measured on them")
    optimism: Annotated[float, Field(ge=0)] = Field(
        description="bound of the mean excess of the chosen design's measured accuracy over its true one"
    )
    holdout: HoldoutFile | None = Field(None, description="the design on held-back samples; null: none were")


class LimitFile(Declaration):
    """A limit, and the probability that the true value of the design meets it."""

    constraint: Text = Field(max_length=300, description="the limit, such as power_w <= 22 W")
    probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="over the model's forms and posterior draws, or from measured intervals; null: unknown"
    )


class ChosenFile(Declaration):
    """Content of chosen.json."""

    schema_: Literal["explorer.chosen/2", "explorer.chosen/1"] = Field(
        alias="schema", description="the kind of this file"
    )
    study: Annotated[Text, Field(min_length=1, max_length=200)] = Field(description="the study's name")
    rule: RuleFile = Field(description="the selection rule")
    design: ChosenDesign = Field(description="the selected design")
    runner_up: Annotated[dict[str, Any], AfterValidator(_plain)] | None = Field(None, description="the second best")
    price_of_accuracy: str = Field("", description="the marginal cost of accuracy, as text")
    is_extrapolated: bool = Field(description="true outside the model's domain")
    is_measured: bool = Field(False, description="true for a measured row: its values are readings, not predictions")
    is_solved: bool = Field(
        False, description="true for a design that was solved for this question: it is no trial of the search"
    )
    notes: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        (), description="how the question was read and answered"
    )
    applied: AppliedFile | None = Field(
        None, description="the design at an operating point of a device, if a device was given"
    )
    machine: Text = Field(
        "", max_length=1000, description="what the model's samples were measured on; empty: not stated"
    )
    is_other_machine: bool = Field(
        False, description="true if the study searched the operating points of a device that was not measured"
    )
    warnings: Annotated[tuple[Text, ...], Field(max_length=100)] = Field(
        (), description="what the numbers of this design do not hold for"
    )
    selection: SelectionFile | None = Field(
        None, description="the data that chose the design; null where its accuracy is a prediction"
    )
    limits: Annotated[tuple[LimitFile, ...], Field(max_length=200)] = Field(
        (), description="the limits of the study and of the choice, each with its probability"
    )
    joint_probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="probability that all limits hold; null: there are none, or it is unknown"
    )
    provenance: Origin = Field(description="the provenance of the design")
