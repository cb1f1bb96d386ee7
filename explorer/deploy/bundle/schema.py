"""The file that says what a deployment bundle is (manifest.json), as `explorer deploy` writes it."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration
from explorer.pareto.decision.schema import Origin, RuleFile, Sha256

# No path: what a bundle names lies in it.
FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,150}$"


class ShippedDesign(Declaration):
    """How the network is to be compressed."""

    design_id: int = Field(description="its number in its study")
    family: str = Field(description="the network family")
    pruning_ratio: float | None = Field(None, description="pruning ratio R, Eq. (4): share of the weights to remove")
    quant_step: float | None = Field(None, description="quantization step D, Eq. (5), in units of the weights")
    knobs: dict[str, bool | float | str | None] = Field(default_factory=dict, description="knobs of the study's own")


class SourceNetwork(Declaration):
    """The network that was compressed."""

    name: str = Field(description="its file's name without the ending")
    sha256: Sha256 = Field(description="of the file as it was read")
    n_bytes: int = Field(ge=0, description="the file's size")
    n_weights: int = Field(ge=0, description="how many weights were pruned and quantized")


class ModelledEnergy(Declaration):
    """Eq. (1) for one run under a declared technology: a model, no measurement."""

    value: float = Field(ge=0, description="energy of one run, in joule")
    basis: Literal["modelled"] = Field(description="nothing was measured")
    equation: str = Field(description="which")
    technology: str = Field(description="the table of pJ per MAC and per access")
    level: str = Field(description="the memory level that every access goes to")
    n_macs: int = Field(ge=0, description="multiply-accumulates of one run")
    n_accesses: int = Field(ge=0, description="memory accesses of one run, in elements")
    uncounted: tuple[str, ...] = Field(description="operators whose multiply-accumulates are not known")


class ShippedNetwork(Declaration):
    """The compressed network in the bundle."""

    file: str = Field(pattern=FILE_NAME, description="its file in the bundle")
    sha256: Sha256 = Field(description="of that file")
    source: SourceNetwork = Field(description="what it was made from")
    r_effective: float = Field(ge=0, le=1, description="share of weights that are zero, pruned or rounded away")
    n_clipped: int = Field(ge=0, description="how many codes were clipped")
    container: Literal["int4", "int8", "int16"] = Field(description="the widest container of its codes")
    per_tensor: bool = Field(False, description="each tensor was pruned by R alone, instead of all together")
    clip: Literal["int4", "int8", "int16"] | None = Field(None, description="what codes were clipped to; null: nothing")
    activations: Literal["float32", "int8"] = Field("float32", description="what is computed with")
    calibration_sha256: Sha256 | None = Field(None, description="of the data that int8 activations were set on")
    sizes: dict[Literal["file", "dense", "deflate", "entropy"], int] = Field(description="bytes by codec")
    size_codec: Literal["file", "dense", "deflate", "entropy"] = Field(description="the one that size_bytes means here")
    energy_mac_mem: ModelledEnergy | None = Field(None, description="Eq. (1); null where it could not be counted")


class AskedPoint(Declaration):
    """The operating point that was asked for."""

    frequency_hz: Annotated[float, Field(gt=0)] = Field(description="clock that the study chose, in hertz")


class AppliedPoint(Declaration):
    """The device's own point with the nearest clock, which the bundle's scripts set."""

    device: str = Field(description="name or file of the device")
    title: str = Field(description="the device for people")
    source: str = Field(description="where its table comes from")
    bin: str = Field(description="its speed bin; empty where it has none")
    point: str = Field(description="the operating point's name")
    control: Literal["cpufreq", "devfreq", "nvidia-smi"] = Field(description="what sets its clock")
    frequency_hz: Annotated[float, Field(gt=0)] = Field(description="clock to run at, in hertz")
    clocks_hz: tuple[Annotated[float, Field(gt=0)], ...] = Field(description="all clocks of its table")


class AssumedPoint(Declaration):
    """What the predictions assume of the supply; information, never an instruction to set a voltage."""

    voltage_v: Annotated[float, Field(gt=0)] = Field(description="supply voltage that the predictions assume, in volt")
    note: str = Field(description="why it is no instruction")


class OperatingPoint(Declaration):
    """The clock that was asked for, the one that is applied, and the voltage that the predictions assume."""

    asked: AskedPoint = Field(description="what the study chose")
    applied: AppliedPoint | None = Field(None, description="what the device offers; null where no device was named")
    information: AssumedPoint | None = Field(None, description="not to be set")


class Predicted(Declaration):
    """A predicted quantity in SI, with the interval in which 90 % of new measurements are expected (null: unknown)."""

    value: float = Field(description="at the mode of the posterior")
    lo: float | None = Field(None, description="lower end")
    hi: float | None = Field(None, description="upper end")
    unit: str = Field(description="SI unit; empty for a pure number")


class ShippedObjective(Predicted):
    """An objective of the study."""

    direction: Literal["minimize", "maximize"] = Field(description="what was asked")


class Promise(Declaration):
    """What the study's model says of a design at one operating point."""

    predicted: dict[str, Predicted] = Field(description="what the model predicts, by column")
    objectives: dict[str, ShippedObjective] = Field(description="what was asked, in order")
    is_extrapolated: bool = Field(description="whether the model was asked outside its domain")
    domain_distance: float | None = Field(None, description="how far outside the samples' range, in its widths")


class ManifestFile(Declaration):
    """A deployment bundle: what is to be run, what was promised of it, and where that comes from."""

    schema_: Literal["explorer.deploy/1"] = Field(alias="schema", description="the kind of this file")
    explorer_version: str = Field(description="the version that wrote it")
    study: str = Field(description="the study's name")
    rule: RuleFile = Field(description="why this configuration")
    design: ShippedDesign = Field(description="how to compress the network")
    network: ShippedNetwork | None = Field(None, description="the compressed network; null where there is none")
    operating_point: OperatingPoint | None = Field(None, description="at which clock to run it; null: none was chosen")
    predicted: dict[str, Predicted] = Field(description="what the model predicts at the asked point, by column")
    objectives: dict[str, ShippedObjective] = Field(description="what was asked, in order, at the asked point")
    is_extrapolated: bool = Field(description="whether the model was asked outside its domain")
    domain_distance: float | None = Field(None, description="how far outside the samples' range, in its widths")
    applied: Promise | None = Field(None, description="the same at the applied point; null: not evaluated there")
    files: dict[Annotated[str, Field(pattern=FILE_NAME)], str] = Field(
        default_factory=dict, description="the bundle's other files, and what each is for"
    )
    not_checked: tuple[str, ...] = Field(description="what nobody has checked yet")
    chosen_sha256: Sha256 = Field(description="of the chosen.json that this bundle was made from")
    provenance: Origin = Field(description="where the design and its predictions come from")

    @property
    def promise(self) -> Promise:
        """What is promised where the bundle runs: at the applied point where that was evaluated, else as asked."""
        return self.applied or Promise(
            predicted=self.predicted, objectives=self.objectives, is_extrapolated=self.is_extrapolated,
            domain_distance=self.domain_distance,
        )  # fmt: skip
