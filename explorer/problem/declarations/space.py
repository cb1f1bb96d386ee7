"""Schema of the TOML file of a search space: axes, operating points and applicability domain."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from explorer.devices.device import OperatingTable
from explorer.io.declarations import Declaration, validation_error
from explorer.problem.applicability import EXTRAPOLATION
from explorer.problem.declarations.axes import Axes
from explorer.problem.declarations.samples import ColumnSources
from explorer.problem.declarations.targets import Targets


class Operating(OperatingTable):
    """Operating points (V, f) that exist: by the alpha-power law fitted to the samples, or the listed points."""

    law: Literal["alpha-power", "none"] | None = Field(
        None,
        description="'alpha-power': f <= K (V - V_th)^a / V, K from the samples; 'none': V and f are not both knobs",
    )
    device: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="a device's table instead of points: a name that `explorer list` shows, or a file's path"
    )
    bin: Annotated[str, Field(max_length=60)] = Field("", description="only the points of this speed bin")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(option is not None for option in (self.law, self.points, self.device)) != 1:
            raise validation_error(
                "needs either a law or points",
                fix="write law = 'alpha-power', name a device, or list the device's points",
            )
        self.check_points()
        return self


class DomainDeclaration(Declaration):
    """Domain in which the model is used: the range of the samples, widened on both sides."""

    enforce: bool = Field(True, description="false lets the search extrapolate; every such design is marked")
    widen: float = Field(
        EXTRAPOLATION, ge=0, le=10, description="widening on each side, in widths of the samples' range"
    )


class SpaceFile(Declaration):
    """Schema of a search space file."""

    title: str = Field("", max_length=200, description="one line of text")
    family: str | None = Field(None, max_length=100, description="the network family; without it the study names it")
    axes: Axes = Field(description="the knobs: pruning_ratio, quant_step, voltage, frequency, and any of your own")
    ignore: Annotated[tuple[str, ...], Field(max_length=100)] = Field(
        (), description="columns of the samples that are not knobs here, despite their names"
    )
    columns: ColumnSources = Field(
        default_factory=dict, description="[columns]: which column of the samples a knob or target is, and its unit"
    )
    targets: Targets = Field(
        default_factory=dict, description="[targets.NAME] tables: measured quantities that explorer does not define"
    )
    operating_points: Operating = Field(
        default_factory=lambda: Operating(law="alpha-power"), description="the (V, f) that exist"
    )
    domain: DomainDeclaration = Field(
        default_factory=DomainDeclaration, description="domain in which the model is used"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        axes, operating = self.axes, self.operating_points
        if "operating_points" not in self.model_fields_set:
            missing = [name for name in ("pruning_ratio", "quant_step") if getattr(axes, name) is None]
            if missing:
                raise validation_error(
                    " and ".join(f"[axes] '{name}' is missing" for name in missing),
                    fix=f"add {missing[0]} = {{ range = [...] }}; a space without it has to declare the operating "
                    "points: [operating_points] law = 'alpha-power', 'none', a device, or points",
                )
        both = axes.voltage is not None and axes.frequency is not None
        if operating.law is None and (axes.voltage or axes.frequency):
            raise validation_error(
                "[axes] voltage and frequency are declared together with a table of operating points",
                fix="leave them out: the listed points define both",
            )
        if operating.law == "alpha-power" and not both:
            raise validation_error(
                "[axes] voltage and frequency are missing",
                fix="add both, list the device's points, or write [operating_points] law = 'none' if neither is a knob",
            )
        if operating.law == "alpha-power" and axes.frequency and axes.frequency.values is not None:
            raise validation_error(
                "[axes] frequency lists values together with a law",
                fix="list the pairs instead: [operating_points] points = [{ voltage = ..., frequency = ... }, ...]",
            )
        if operating.law == "none" and both:
            raise validation_error(
                "[axes] voltage and frequency are declared without a law: most pairs of them cannot exist",
                fix="list the device's points, name a device, or write law = 'alpha-power'",
            )
        return self
