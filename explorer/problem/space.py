"""Search spaces: the TOML declaration of a network's knobs, its operating points and its domain."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from explorer.errors import ExplorerError
from explorer.problem.axes import Axes
from explorer.problem.declare import Declaration, refuse
from explorer.problem.domain import EXTRAPOLATION
from explorer.units import factor

MAX_POINTS = 10_000


class PointDeclaration(Declaration):
    """One listed operating point."""

    voltage: Annotated[float, Field(gt=0)] | None = Field(
        None, description="supply voltage in the table's voltage_unit; leave out where the device shows none"
    )
    frequency: float = Field(gt=0, description="clock in the table's frequency_unit")
    power: Annotated[float, Field(gt=0)] | None = Field(None, description="power at this point in W, where it is known")
    bin: Annotated[str, Field(max_length=60)] = Field("", description="the speed bin of the chips that have this point")
    node: Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z0-9][A-Za-z0-9,._+@-]*)?$")] = Field(
        "", description="its node's name in the device tree, for an overlay that caps the clock"
    )


Points = Annotated[tuple[PointDeclaration, ...], Field(min_length=1, max_length=MAX_POINTS)]


class Table(Declaration):
    """A table of operating points with its units and its source."""

    points: Points | None = Field(None, description="a list of { voltage = ..., frequency = ... }")
    voltage_unit: str = Field("V", description="unit of the listed voltages")
    frequency_unit: str = Field("GHz", description="unit of the listed clocks")
    source: str = Field("", max_length=1000, description="where the listed points come from")

    def check_points(self) -> None:
        """Refuse units that are none, and points that only partly have a voltage or a power."""
        for unit, symbol in ((self.voltage_unit, "V"), (self.frequency_unit, "Hz")):
            try:
                factor(unit, symbol)
            except ExplorerError as error:
                raise refuse(error.problem, fix=error.fix) from None
        for name in ("voltage", "power"):
            n_given = sum(getattr(point, name) is not None for point in self.points or ())
            if n_given not in {0, len(self.points or ())}:
                raise refuse(
                    f"{n_given} of {len(self.points or ())} points have a {name}",
                    fix=f"give every point a {name}, or none",
                )


class DeviceFile(Table):
    """A device's table of operating points as its TOML file declares it."""

    title: str = Field("", max_length=200, description="one line for people")
    also: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=60)], ...], Field(max_length=20)] = Field(
        (), description="what else it may be called by, such as the cores of a cluster: rk3399-a72"
    )
    control: Literal["cpufreq", "devfreq", "nvidia-smi"] = Field(
        "cpufreq", description="what sets the clock: cpufreq for processors, devfreq for other parts, or nvidia-smi"
    )
    opp_table: Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        "", description="the label of its table of operating points in the device tree"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.points is None:
            raise refuse("has no points", fix="write points = [{ frequency = 1.8, voltage = 1.2 }, ...]")
        self.check_points()
        return self


class Operating(Table):
    """Which (V, f) can exist: the alpha-power law fitted to the samples, or exactly the listed points."""

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
        if sum(given is not None for given in (self.law, self.points, self.device)) != 1:
            raise refuse(
                "needs either a law or points",
                fix="write law = 'alpha-power', name a device, or list the device's points",
            )
        self.check_points()
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
    axes: Axes = Field(description="the knobs: pruning_ratio, quant_step, voltage, frequency, and any of your own")
    ignore: Annotated[tuple[str, ...], Field(max_length=100)] = Field(
        (), description="columns of the samples that are no knobs here, though they are called so"
    )
    operating_points: Operating = Field(
        default_factory=lambda: Operating(law="alpha-power"), description="which (V, f) can exist"
    )
    domain: DomainDeclaration = Field(default_factory=DomainDeclaration, description="where the model may be asked")

    @model_validator(mode="after")
    def _check(self) -> Self:
        axes, operating = self.axes, self.operating_points
        if "operating_points" not in self.model_fields_set:
            missing = [name for name in ("pruning_ratio", "quant_step") if getattr(axes, name) is None]
            if missing:
                raise refuse(
                    " and ".join(f"[axes] '{name}' is missing" for name in missing),
                    fix=f"add {missing[0]} = {{ range = [...] }}; a space that leaves a knob out says what the device "
                    "can do: [operating_points] law = 'alpha-power', 'none', a device, or points",
                )
        both = axes.voltage is not None and axes.frequency is not None
        if operating.law is None and (axes.voltage or axes.frequency):
            raise refuse(
                "[axes] voltage and frequency stand beside a table of operating points",
                fix="leave them out: the listed points say it all",
            )
        if operating.law == "alpha-power" and not both:
            raise refuse(
                "[axes] voltage and frequency are missing",
                fix="add both, list the device's points, or write [operating_points] law = 'none' where neither is a "
                "knob",
            )
        if operating.law == "alpha-power" and axes.frequency and axes.frequency.values is not None:
            raise refuse(
                "[axes] frequency lists values beside a law",
                fix="list the pairs instead: [operating_points] points = [{ voltage = ..., frequency = ... }, ...]",
            )
        if operating.law == "none" and both:
            raise refuse(
                "[axes] voltage and frequency stand together without a law: most pairs of them cannot exist",
                fix="list the device's points, name a device, or write law = 'alpha-power'",
            )
        return self
