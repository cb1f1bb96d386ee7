"""Schema of the model file (model.json): samples, and the fitted numbers of each target's forms."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration
from explorer.models.diagnostics.warnings import WarningKind
from explorer.problem.targets import TARGET_NAME, Interval

_MAX_ROWS = 1_000_000
_LogScale = Annotated[float, Field(ge=-100, le=100)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]
_Linked = Annotated[float, Field(ge=-750, le=750)]
_Factor = Annotated[float, Field(ge=1, le=1e6)]
_Spread = Annotated[float, Field(ge=0, le=1e6)]


class KnobFile(Declaration):
    """Knob of a table."""

    name: Annotated[str, Field(min_length=1)] = Field(description="the column")
    kind: Literal["category", "number"] = Field(description="type of its values")
    is_log: bool = Field(description="scaled by its logarithm")


class TableFile(Declaration):
    """Samples of some targets; null was not measured."""

    labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_ROWS)] = Field(description="of each row")
    source: str = Field(description="origin of the rows")
    sha256: str = Field(description="of the file they were read from")
    machine: str = Field(default="", description="the machine they were measured on; empty if it is not stated")
    notes: tuple[str, ...] = Field(description="remarks on how the file was read")
    numbers: tuple[int, ...] = Field(description="row numbers in the file; empty without a file")
    knobs: tuple[KnobFile, ...] = Field(description="the knobs among the columns")
    columns: dict[str, tuple[str | float | None, ...]] = Field(description="knobs and targets, SI")
    groups: tuple[str, ...] = Field(description="cross-validation fold of each row; empty: one design each")
    n_counted: tuple[Annotated[float, Field(ge=0, le=1e15)], ...] = Field(description="test items of each accuracy")
    deviations: dict[str, tuple[Annotated[float, Field(ge=0)], ...]] = Field(
        default_factory=dict, description="known standard deviations of declared targets"
    )
    original_bytes: dict[str, Annotated[float, Field(gt=0, le=1e18)]] = Field(description="size of each original")


class ScalesFile(Declaration):
    """Hyperparameters: logarithms of standard deviations and length scales."""

    widths: tuple[_LogScale, ...] = Field(description="of each term's coefficients")
    noise: _LogScale = Field(description="noise of a measurement around the function")
    amplitude: _LogScale | None = Field(description="of the residual process; null without one")
    lengths: tuple[_LogScale, ...] = Field(description="length scale of the residual process for each coordinate")


class FitFile(Declaration):
    """Fitted form: coefficients and scales at the mode, or the point of a sampled form."""

    form: str = Field(description="its name")
    weight: Annotated[float, Field(ge=0, le=1)] = Field(description="in the average")
    theta: tuple[_Number, ...] | None = Field(default=None, description="coefficients at the mode")
    scales: ScalesFile | None = Field(default=None, description="hyperparameters at the mode")
    point: tuple[_LogScale, ...] | None = Field(default=None, description="shape and log scatter of the prediction")


class BetweenFile(Declaration):
    """Inflation of intervals between the measured values of a knob."""

    factor: _Factor = Field(description="half a gap away from the nearest value")
    levels: Annotated[tuple[_Number, ...], Field(min_length=2)] = Field(description="the measured values, scaled")
    reach: Annotated[float, Field(gt=0, le=1e12)] = Field(description="half of the median gap")


class CandidateFile(Declaration):
    """Cross-validation scores of a form; null if unknown."""

    name: str = Field(description="the form")
    error: float | None = Field(description="of held-out rows: mean absolute for accuracy, mean relative for others")
    r2: float | None = Field(description="share of the variance explained")
    coverage: float | None = Field(description="share of the rows within their interval")
    between: float | None = Field(description="error of held-out levels of a knob")
    weight: float = Field(description="in the average")


class ResponseFile(Declaration):
    """Fitted target."""

    target: str = Field(description="the column that it predicts")
    table: Annotated[int, Field(ge=0)] = Field(description="index of its table")
    knobs: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="the knobs that it is fitted with")
    fits: Annotated[tuple[FitFile, ...], Field(min_length=1)] = Field(description="the forms of the average")
    roughness: tuple[Annotated[float, Field(ge=1e-3, le=1e6)], ...] = Field(description="relative noise of each design")
    slopes: tuple[Annotated[float, Field(ge=-10, le=10)], ...] = Field(description="of the noise along each coordinate")
    offset: Annotated[float, Field(ge=-50, le=50)] = Field(description="of the logarithm of the noise")
    inflation: Annotated[float, Field(ge=0.5, le=1e6)] = Field(description="of the intervals")
    between: dict[str, BetweenFile] = Field(description="inflation between the measured values of each knob")
    gaps: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="interpolation uncertainty of each knob")
    edges: dict[str, _Spread] = Field(description="uncertainty half a range beyond each knob's samples, linked")
    candidates: tuple[CandidateFile, ...] = Field(description="scores of all candidate forms")
    checked: CandidateFile = Field(description="scores of the average")
    middle: tuple[_Linked | None, ...] = Field(description="prediction of each row from the others, linked")
    sd: tuple[_Spread, ...] = Field(description="standard deviation of a measurement around it")


class WarningFile(Declaration):
    """Warning about samples or fit."""

    kind: WarningKind = Field(description="type of the warning")
    text: str = Field(description="the fact, the rows and the fix")


class TargetFile(Declaration):
    """Declared target; open ends of its range are null."""

    name: Annotated[str, Field(pattern=f"^{TARGET_NAME}$")] = Field(description="the column")
    direction: Literal["min", "max"] = Field(description="max where more is better")
    unit: Annotated[str, Field(max_length=30)] = Field(description="of its values")
    range: tuple[float | None, float | None] = Field(description="the values it can have, SI")
    interval: Interval = Field(description="where the uncertainty of a value is from")


class ModelFile(Declaration):
    """Fitted model with its samples."""

    schema_: Literal["explorer.model/3"] = Field(alias="schema", description="file type and version")
    name: str = Field(description="name of the model")
    tables: Annotated[tuple[TableFile, ...], Field(min_length=1)] = Field(description="the samples")
    responses: Annotated[tuple[ResponseFile, ...], Field(min_length=1)] = Field(description="one for each target")
    product: Literal["energy_j", "power_w", "latency_s"] | None = Field(
        description="the target that is derived from two others; null without one"
    )
    targets: tuple[TargetFile, ...] = Field(default=(), description="the declared targets")
    warnings: tuple[WarningFile, ...] = Field(description="about samples and fit")
    without: tuple[str, ...] = Field(description="names of forms that were left out")
