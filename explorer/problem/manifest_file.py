"""The file that says what a deployment bundle is (manifest.json), as `explorer deploy` writes it."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.problem.chosen_file import Origin, RuleFile, Sha256
from explorer.problem.declare import Declaration


class ShippedDesign(Declaration):
    """How the network is to be compressed."""

    design_id: int = Field(description="its number in its study")
    family: str = Field(description="the network family")
    pruning_ratio: float = Field(description="pruning ratio R, Eq. (4): share of the weights to remove")
    quant_step: float = Field(description="quantization step D, Eq. (5), in units of the weights")


class AskedPoint(Declaration):
    """The operating point that was asked for."""

    frequency_hz: Annotated[float, Field(gt=0)] = Field(description="clock to run at, in hertz")


class AssumedPoint(Declaration):
    """What the predictions assume of the supply; information, never an instruction to set a voltage."""

    voltage_v: Annotated[float, Field(gt=0)] = Field(description="supply voltage that the predictions assume, in volt")
    note: str = Field(description="why it is no instruction")


class OperatingPoint(Declaration):
    """The clock that was asked for, and the voltage that the predictions assume."""

    asked: AskedPoint = Field(description="to be set")
    information: AssumedPoint = Field(description="not to be set")


class Predicted(Declaration):
    """A predicted quantity in SI, with the interval in which 90 % of new measurements are expected (null: unknown)."""

    value: float = Field(description="at the mode of the posterior")
    lo: float | None = Field(None, description="lower end")
    hi: float | None = Field(None, description="upper end")
    unit: str = Field(description="SI unit; empty for a pure number")


class ShippedObjective(Predicted):
    """An objective of the study."""

    direction: Literal["minimize", "maximize"] = Field(description="what was asked")


class ManifestFile(Declaration):
    """A deployment bundle: what is to be run, what was promised of it, and where that comes from."""

    schema_: Literal["explorer.deploy/1"] = Field(alias="schema", description="the kind of this file")
    explorer_version: str = Field(description="the version that wrote it")
    study: str = Field(description="the study's name")
    rule: RuleFile = Field(description="why this configuration")
    design: ShippedDesign = Field(description="how to compress the network")
    operating_point: OperatingPoint = Field(description="at which clock to run it")
    predicted: dict[str, Predicted] = Field(description="what the model predicts, by column")
    objectives: dict[str, ShippedObjective] = Field(description="what was asked, in order")
    is_extrapolated: bool = Field(description="whether the model was asked outside its domain")
    domain_distance: float | None = Field(description="how far outside the samples' range, in its widths")
    not_checked: tuple[str, ...] = Field(description="what nobody has checked yet")
    chosen_sha256: Sha256 = Field(description="of the chosen.json that this bundle was made from")
    provenance: Origin = Field(description="where the design and its predictions come from")
