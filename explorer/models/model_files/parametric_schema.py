"""Schema of the model file of a parametric surrogate (model.json)."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration

_MAX_ROWS = 1_000_000
# Logarithms and log-odds of positive floats are within +-745.
Linked = Annotated[float, Field(ge=-750, le=750)]
Widening = Annotated[float, Field(ge=1, le=1e6)]


class FitFile(Declaration):
    """Fitted target: levels and mode in the link's scale, with their covariance."""

    formula: str = Field(description="the functional form, as text")
    coefficients: dict[str, float] = Field(description="coefficients at the mode, in natural units")
    levels: dict[str, Linked] = Field(description="each family's level, in the link's scale")
    mode: tuple[Linked, ...] = Field(description="coefficients at the mode, each in its own scale")
    covariance: tuple[tuple[Annotated[float, Field(ge=-1e12, le=1e12)], ...], ...] = Field(
        description="of levels then coefficients"
    )
    noise: Annotated[float, Field(gt=0, le=750)] = Field(
        description="standard deviation of the noise, in the link's scale"
    )
    n: Annotated[int, Field(ge=1, le=_MAX_ROWS)] = Field(description="number of samples")


class LawFile(Declaration):
    """V-f law: f_max(V) = constant (V - threshold_v)^exponent / V, SI."""

    constant: Annotated[float, Field(gt=0, le=1e30)] = Field(description="K")
    threshold_v: Annotated[float, Field(ge=0, le=100)] = Field(description="V_th in volt")
    exponent: Annotated[float, Field(ge=1, le=2)] = Field(description="velocity saturation index")


class SamplesFile(Declaration):
    """Samples that a model was fitted to; null was not measured."""

    source: str = Field(description="origin of the rows")
    sha256: str = Field(description="of the file they were read from")
    labels: Annotated[tuple[str, ...], Field(max_length=_MAX_ROWS)] = Field(description="a name for each row")
    family: Annotated[tuple[str, ...], Field(max_length=_MAX_ROWS)] = Field(description="each row's family")
    columns: dict[str, tuple[float | None, ...]] = Field(description="knobs and targets, SI")


class ModelFile(Declaration):
    """Fitted parametric surrogate."""

    schema_: Literal["explorer.model/1"] = Field(alias="schema", description="file type and version")
    explorer_version: str = Field(description="the version that wrote the file")
    samples: SamplesFile = Field(description="the samples that it was fitted to")
    references: dict[str, dict[str, float]] = Field(description="each family's reference design")
    targets: dict[str, FitFile] = Field(description="the fitted targets")
    laws: dict[str, LawFile] = Field(description="each family's V-f law")
    widening: dict[str, Widening] = Field(
        default_factory=dict, description="factor on the noise of each target, for calibrated intervals"
    )
