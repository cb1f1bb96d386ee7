"""The file of fitted responses (model.json), as it is written and checked."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration
from explorer.models.model_files.parametric_schema import Linked, Widening

_MAX_ROWS = 1_000_000
_LogScale = Annotated[float, Field(ge=-100, le=100)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class KnobFile(Declaration):
    """A knob that a response needs."""

    name: Annotated[str, Field(min_length=1)] = Field(description="the column")
    kind: Literal["category", "number"] = Field(description="what it holds")
    is_log: bool = Field(description="whether it counts by factors")


class TermFile(Declaration):
    """Columns of one predictor: a coefficient for each combination of levels, times a product of coordinates."""

    predictor: str = Field(description="the sum that it belongs to")
    categories: Annotated[tuple[str, ...], Field(max_length=2)] = Field(description="the knobs whose levels it tells")
    powers: Annotated[tuple[str, ...], Field(max_length=2)] = Field(description="the knobs whose coordinates it has")
    center: _Number = Field(description="prior mean of its coefficients")
    width: Annotated[float, Field(ge=0, le=1e12)] = Field(description="prior standard deviation of them")
    is_learned: bool = Field(description="whether the samples decide the width")


class FormFile(Declaration):
    """The form that was kept."""

    name: str = Field(description="for people")
    law: Literal["sum", "shares", "cliff"] = Field(description="what its predictors are put into")
    has_process: bool = Field(description="with a residual Gaussian process")
    parts: tuple[dict[str, Annotated[float, Field(ge=-100, le=100)]], ...] = Field(
        description="exponents of the shares"
    )
    terms: Annotated[tuple[TermFile, ...], Field(min_length=1, max_length=100_000)] = Field(description="all terms")


class ScalesFile(Declaration):
    """Logarithms of standard deviations and lengths."""

    widths: tuple[_LogScale, ...] = Field(description="of each term's coefficients")
    scatter: _LogScale = Field(description="of a measurement around the function")
    amplitude: _LogScale | None = Field(description="of the residual process; null where there is none")
    lengths: tuple[_LogScale, ...] = Field(description="of the residual process along each coordinate")


class AwayFile(Declaration):
    """What it costs to ask between the measured values of a knob."""

    factor: Widening = Field(description="half a gap away from the nearest one")
    levels: Annotated[tuple[_Number, ...], Field(min_length=2)] = Field(description="the values, in coordinates")
    reach: Annotated[float, Field(gt=0, le=1e12)] = Field(description="half of the usual gap")


class WideningFile(Declaration):
    """How much wider than the posterior's the intervals are."""

    factor: Widening = Field(description="everywhere")
    away: dict[str, AwayFile] = Field(description="for each knob, away from its measured values")


class CandidateFile(Declaration):
    """How well one form predicted rows that it had not seen; null where that is not known."""

    name: str = Field(description="the form")
    error: float | None = Field(description="mean absolute of accuracy, mean relative of all others")
    r2: float | None = Field(description="share of the variance that it explained")
    coverage: float | None = Field(description="share of the rows within their interval")
    between: float | None = Field(description="error where each measured value of a knob is left out whole")


class ResponseFile(Declaration):
    """One fitted target."""

    schema_: Literal["explorer.response/1"] = Field(alias="schema", description="the kind of this entry")
    target: str = Field(description="the column that it predicts")
    knobs: tuple[KnobFile, ...] = Field(description="what it needs of a design")
    samples: dict[str, tuple[str | float, ...]] = Field(description="the knobs of the measured configurations")
    counts: tuple[Annotated[int, Field(ge=1, le=_MAX_ROWS)], ...] = Field(description="how often each was measured")
    values: Annotated[tuple[Linked, ...], Field(min_length=1)] = Field(description="their linked values")
    repeat_sd: Annotated[float, Field(ge=0, le=750)] = Field(description="standard deviation of repeats, linked")
    trials: tuple[Annotated[float, Field(ge=0, le=1e15)], ...] = Field(description="samples that each was counted on")
    form: FormFile = Field(description="what was fitted")
    theta: tuple[_Number, ...] = Field(description="the coefficients")
    scales: ScalesFile = Field(description="learned widths, scatter and process")
    widening: WideningFile = Field(description="of the intervals")
    gaps: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="what a fall between two values adds")
    candidates: tuple[CandidateFile, ...] = Field(description="all forms tried")
    checked: CandidateFile = Field(description="the form kept, everything fitted again in each fold")
    choice: str = Field(description="why this one")
    warnings: tuple[str, ...] = Field(description="what is wrong with the fit")


class TableFile(Declaration):
    """The samples that responses were fitted to; null was not measured."""

    labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_ROWS)] = Field(description="of each row")
    source: str = Field(description="where they come from")
    sha256: str = Field(description="of the file they were read from")
    notes: tuple[str, ...] = Field(description="what was done with the file")
    columns: dict[str, tuple[str | float | None, ...]] = Field(description="knobs and targets, SI")


class ResponsesFile(Declaration):
    """Fitted responses with their samples."""

    schema_: Literal["explorer.responses/1"] = Field(alias="schema", description="the kind of this file")
    name: str = Field(description="how the model was named")
    samples: TableFile = Field(description="what it was fitted to")
    responses: Annotated[tuple[ResponseFile, ...], Field(min_length=1)] = Field(description="one for each target")
