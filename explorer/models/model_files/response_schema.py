"""Schema of the model file of fitted responses (model.json)."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration
from explorer.models.model_files.parametric_schema import Linked, Widening

_MAX_ROWS = 1_000_000
_LogScale = Annotated[float, Field(ge=-100, le=100)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class KnobFile(Declaration):
    """Knob of a response."""

    name: Annotated[str, Field(min_length=1)] = Field(description="the column")
    kind: Literal["category", "number"] = Field(description="type of its values")
    is_log: bool = Field(description="scaled by its logarithm")


class TermFile(Declaration):
    """Term of a linear predictor: a coefficient for each combination of levels, times a product of scaled knobs."""

    predictor: str = Field(description="the linear predictor that it belongs to")
    categories: Annotated[tuple[str, ...], Field(max_length=2)] = Field(description="category knobs")
    powers: Annotated[tuple[str, ...], Field(max_length=2)] = Field(description="numeric knobs that are multiplied")
    center: _Number = Field(description="prior mean of the coefficients")
    width: Annotated[float, Field(ge=0, le=1e12)] = Field(description="prior standard deviation of the coefficients")
    is_learned: bool = Field(description="the width is fitted to the samples")


class FormFile(Declaration):
    """Selected functional form."""

    name: str = Field(description="for display")
    law: Literal["sum", "shares", "cliff"] = Field(description="function that combines the predictors")
    has_process: bool = Field(description="with a residual Gaussian process")
    parts: tuple[dict[str, Annotated[float, Field(ge=-100, le=100)]], ...] = Field(
        description="exponents of the shares"
    )
    terms: Annotated[tuple[TermFile, ...], Field(min_length=1, max_length=100_000)] = Field(description="all terms")


class ScalesFile(Declaration):
    """Hyperparameters: logarithms of standard deviations and length scales."""

    widths: tuple[_LogScale, ...] = Field(description="of each term's coefficients")
    scatter: _LogScale = Field(description="noise of a measurement around the function")
    amplitude: _LogScale | None = Field(description="of the residual process; null without one")
    lengths: tuple[_LogScale, ...] = Field(description="length scale of the residual process for each coordinate")


class AwayFile(Declaration):
    """Inflation of intervals between the measured values of a knob."""

    factor: Widening = Field(description="half a gap away from the nearest value")
    levels: Annotated[tuple[_Number, ...], Field(min_length=2)] = Field(description="the measured values, scaled")
    reach: Annotated[float, Field(gt=0, le=1e12)] = Field(description="half of the median gap")


class WideningFile(Declaration):
    """Inflation of the posterior intervals."""

    factor: Widening = Field(description="global factor")
    away: dict[str, AwayFile] = Field(description="for each knob, between its measured values")


class CandidateFile(Declaration):
    """Cross-validation scores of one candidate form; null if unknown."""

    name: str = Field(description="the form")
    error: float | None = Field(description="of held-out rows: mean absolute for accuracy, mean relative for others")
    r2: float | None = Field(description="share of the variance explained")
    coverage: float | None = Field(description="share of the rows within their interval")
    between: float | None = Field(description="error of held-out levels of a knob")


class ResponseFile(Declaration):
    """Fitted target."""

    schema_: Literal["explorer.response/1"] = Field(alias="schema", description="entry type and version")
    target: str = Field(description="the column that it predicts")
    knobs: tuple[KnobFile, ...] = Field(description="the knobs that it needs")
    samples: dict[str, tuple[str | float, ...]] = Field(description="the knobs of the measured designs")
    counts: tuple[Annotated[int, Field(ge=1, le=_MAX_ROWS)], ...] = Field(description="number of measurements of each")
    values: Annotated[tuple[Linked, ...], Field(min_length=1)] = Field(description="their linked values")
    repeat_sd: Annotated[float, Field(ge=0, le=750)] = Field(description="standard deviation of repeats, linked")
    trials: tuple[Annotated[float, Field(ge=0, le=1e15)], ...] = Field(description="test items behind each accuracy")
    form: FormFile = Field(description="the selected form")
    theta: tuple[_Number, ...] = Field(description="the coefficients")
    scales: ScalesFile = Field(description="hyperparameters: widths, noise and residual process")
    widening: WideningFile = Field(description="inflation of the intervals")
    gaps: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="interpolation uncertainty of each knob")
    candidates: tuple[CandidateFile, ...] = Field(description="scores of all candidate forms")
    checked: CandidateFile = Field(description="scores of the selected form, refitted in each fold")
    choice: str = Field(description="reason of the selection")
    warnings: tuple[str, ...] = Field(description="problems of the fit")


class TableFile(Declaration):
    """Samples that responses were fitted to; null was not measured."""

    labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_ROWS)] = Field(description="of each row")
    source: str = Field(description="origin of the rows")
    sha256: str = Field(description="of the file they were read from")
    notes: tuple[str, ...] = Field(description="remarks on how the file was read")
    columns: dict[str, tuple[str | float | None, ...]] = Field(description="knobs and targets, SI")


class ResponsesFile(Declaration):
    """Fitted responses with their samples."""

    schema_: Literal["explorer.responses/1"] = Field(alias="schema", description="file type and version")
    name: str = Field(description="name of the model")
    samples: TableFile = Field(description="the samples that it was fitted to")
    responses: Annotated[tuple[ResponseFile, ...], Field(min_length=1)] = Field(description="one for each target")
