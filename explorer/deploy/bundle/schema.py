"""Schema of the manifest of a deployment bundle (manifest.json), as `explorer deploy` writes it."""

from typing import Annotated, Literal

from pydantic import Field

from explorer.io.declarations import Declaration
from explorer.pareto.decision.schema import LimitFile, Origin, RuleFile, SelectionFile, Sha256

# A file name without a path: every named file is in the bundle.
FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,150}$"


class ShippedDesign(Declaration):
    """Knobs of the compression of the network."""

    design_id: int = Field(description="number of the design in its study")
    family: str = Field(description="the network family")
    pruning_ratio: float | None = Field(None, description="pruning ratio R, Eq. (4): share of the weights to remove")
    quant_step: float | None = Field(None, description="quantization step D, Eq. (5), in units of the weights")
    knobs: dict[str, bool | float | str | None] = Field(default_factory=dict, description="further knobs of the study")


class SourceNetwork(Declaration):
    """The source network, before compression."""

    name: str = Field(description="file name without suffix")
    sha256: Sha256 = Field(description="SHA-256 of the file as read")
    n_bytes: int = Field(ge=0, description="size of the file")
    n_weights: int = Field(ge=0, description="number of weights that were pruned and quantized")
    n_other_weights: int = Field(0, ge=0, description="number of weights that compression does not reach")
    n_other_zeros: int = Field(0, ge=0, description="number of those that are zero")


class ModelledEnergy(Declaration):
    """Energy of one run by Eq. (1) for a declared technology: modelled, not measured."""

    value: float = Field(ge=0, description="energy of one run, in joules")
    basis: Literal["modelled"] = Field(description="nothing was measured")
    equation: str = Field(description="the equation")
    technology: str = Field(description="title of the table of pJ per MAC and per access")
    level: str = Field(description="memory level of all accesses")
    n_macs: int = Field(ge=0, description="multiply-accumulates of one run")
    n_accesses: int = Field(ge=0, description="memory accesses of one run, in elements")
    uncounted: tuple[str, ...] = Field(description="operators whose multiply-accumulates could not be counted")


class ReferenceOutputs(Declaration):
    """Feeds and outputs of a few runs, with which the network in the bundle is compared."""

    file: str = Field(pattern=FILE_NAME, description="name of the npz in the bundle: RUN/inputs/NAME, RUN/outputs/NAME")
    n_runs: int = Field(ge=1, description="number of runs")
    inputs: str = Field(description="origin of the feeds: samples of a data set, or random numbers")
    tolerance: Annotated[float, Field(gt=0)] = Field(
        description="largest deviation, relative to an output's largest value (of integers: share that differs)"
    )
    deviation: Annotated[float, Field(ge=0)] = Field(description="deviation of the file when it was deployed")
    reason: str = Field("", description="why the tolerance is not that of float32; empty: it is")


class SessionFile(Declaration):
    """Session in which the network was measured, which a user repeats to get its speed."""

    runtime: str = Field(description="onnxruntime and its version")
    provider: str = Field(description="execution provider")
    options: dict[str, str] = Field(
        default_factory=dict, description="options of the measured session that are not onnxruntime's defaults"
    )
    note: str = Field(description="the same as a sentence")


class ShippedNetwork(Declaration):
    """The compressed network in the bundle."""

    file: str = Field(pattern=FILE_NAME, description="name of the file in the bundle")
    sha256: Sha256 = Field(description="SHA-256 of that file")
    source: SourceNetwork = Field(description="the source network")
    r_effective: float = Field(ge=0, le=1, description="share of all weights that are zero, pruned or rounded to zero")
    n_clipped: int = Field(ge=0, description="number of clipped codes")
    container: Literal["int4", "int8", "int16"] = Field(description="widest container of the codes")
    per_tensor: bool = Field(False, description="the share R of each tensor was pruned, not of all tensors together")
    clip: Literal["int4", "int8", "int16"] | None = Field(None, description="container of clipped codes; null: none")
    activations: Literal["float32", "int8"] = Field("float32", description="number format of the activations")
    calibration_sha256: Sha256 | None = Field(None, description="SHA-256 of the calibration data of int8 activations")
    sizes: dict[Literal["file", "dense", "deflate", "entropy"], int] = Field(description="sizes in bytes, by codec")
    size_codec: Literal["file", "dense", "deflate", "entropy"] = Field(description="codec of size_bytes")
    energy_mac_mem: ModelledEnergy | None = Field(None, description="Eq. (1); null if it could not be counted")
    output: str = Field("", description="the scored output; empty: chosen by its shape, or by a module")
    reference: ReferenceOutputs | None = Field(None, description="stored outputs; null: none, as in older bundles")
    session: SessionFile | None = Field(None, description="how it was run; null: not stated, as in older bundles")


class AskedPoint(Declaration):
    """The operating point that the study chose."""

    frequency_hz: Annotated[float, Field(gt=0)] = Field(description="clock that the study chose, in hertz")


class AppliedPoint(Declaration):
    """The device's operating point with the nearest clock, which the bundle's scripts set."""

    device: str = Field(description="name or file of the device")
    title: str = Field(description="full name of the device")
    source: str = Field(description="source of its table")
    bin: str = Field(description="speed bin; empty if it has none")
    point: str = Field(description="name of the operating point")
    control: Literal["cpufreq", "devfreq", "nvidia-smi"] = Field(description="interface that sets its clock")
    frequency_hz: Annotated[float, Field(gt=0)] = Field(description="clock to set, in hertz")
    clocks_hz: tuple[Annotated[float, Field(gt=0)], ...] = Field(description="all clocks of its table, in hertz")


class AssumedPoint(Declaration):
    """Supply voltage assumed by the predictions: for information, never an instruction to set a voltage."""

    voltage_v: Annotated[float, Field(gt=0)] = Field(description="supply voltage that the predictions assume, in volts")
    note: str = Field(description="why it must not be set")


class OperatingPoint(Declaration):
    """The requested clock, the applied clock, and the voltage that the predictions assume."""

    asked: AskedPoint = Field(description="the point that the study chose")
    applied: AppliedPoint | None = Field(None, description="the device's nearest point; null if no device was named")
    information: AssumedPoint | None = Field(None, description="the assumed voltage, which must not be set")


class Predicted(Declaration):
    """A predicted quantity in SI units, with its 90 % prediction interval (null: unknown)."""

    value: float = Field(description="value at the mode of the posterior")
    lo: float | None = Field(None, description="lower end of the interval")
    hi: float | None = Field(None, description="upper end of the interval")
    unit: str = Field(description="SI unit; empty for a dimensionless number")


class ShippedObjective(Predicted):
    """An objective of the study."""

    direction: Literal["minimize", "maximize"] = Field(description="direction of optimization")


class Promise(Declaration):
    """Predictions of the study's model for a design at one operating point."""

    predicted: dict[str, Predicted] = Field(description="predictions by column")
    objectives: dict[str, ShippedObjective] = Field(description="objectives of the study, in order")
    is_extrapolated: bool = Field(description="whether the design is outside the model's domain")
    domain_distance: float | None = Field(None, description="distance to the samples' range, in widths of it")


class GovernorPoint(Declaration):
    """An operating point of a governor's table: predictions of one inference at it, and the slack that it needs."""

    operating_point: str = Field(description="its name")
    frequency_hz: float = Field(gt=0, description="its clock, in hertz")
    slack_s: float = Field(gt=0, description="least slack: the time to the deadline from which it can be used, in s")
    rate_hz: float = Field(gt=0, description="highest rate of periodic arrivals, 1 / slack_s, in hertz")
    latency_s: float = Field(gt=0, description="predicted latency")
    latency_s_lo: float = Field(description="lower end of its 90 % interval")
    latency_s_hi: float = Field(description="upper end of its 90 % interval")
    energy_j: float = Field(description="predicted energy of one inference")
    energy_j_lo: float = Field(description="lower end of its 90 % interval")
    energy_j_hi: float = Field(description="upper end of its 90 % interval")


class LeftOutPoint(Declaration):
    """An operating point that is not in a governor's table, and the reason."""

    operating_point: str = Field(description="its name")
    reason: str = Field(description="why it is not used")


class GovernorFile(Declaration):
    """Content of governor.json: the operating points of one network by the slack that they need."""

    schema_: Literal["explorer.governor/1"] = Field(alias="schema", description="schema of this file")
    study: str = Field(description="name of the study")
    design_id: int = Field(description="number of the design in its study")
    chosen_sha256: Sha256 = Field(description="SHA-256 of the chosen.json of this bundle")
    device: str = Field(description="name of the device; empty: the table is that of the study's space")
    source: str = Field(description="the device or space whose table it is")
    control: Literal["cpufreq", "devfreq", "nvidia-smi"] | None = Field(
        description="what sets the clock; null: unknown"
    )
    confidence: float = Field(gt=0, lt=1, description="probability that one inference ends within the slack")
    n_draws: int = Field(ge=1, description="number of posterior draws behind it")
    points: Annotated[tuple[GovernorPoint, ...], Field(min_length=1)] = Field(
        description="Pareto-optimal in slack and energy, from fast to slow: use the last one that the slack allows"
    )
    left_out: tuple[LeftOutPoint, ...] = Field((), description="the other operating points, each with the reason")
    warnings: tuple[str, ...] = Field((), description="what the predictions do not hold for")
    notes: tuple[str, ...] = Field((), description="what slack, rate and energy mean")


class ManifestFile(Declaration):
    """Manifest of a deployment bundle: compressed network, operating point, predictions and provenance."""

    schema_: Literal["explorer.deploy/1"] = Field(alias="schema", description="schema of this file")
    explorer_version: str = Field(description="version of explorer that wrote it")
    study: str = Field(description="name of the study")
    rule: RuleFile = Field(description="rule by which the design was chosen")
    design: ShippedDesign = Field(description="knobs of the chosen design")
    network: ShippedNetwork | None = Field(None, description="the compressed network; null if the bundle has none")
    operating_point: OperatingPoint | None = Field(None, description="clock to run at; null: the study chose none")
    predicted: dict[str, Predicted] = Field(description="predictions at the requested point, by column")
    objectives: dict[str, ShippedObjective] = Field(description="objectives at the requested point, in order")
    is_extrapolated: bool = Field(description="whether the design is outside the model's domain")
    domain_distance: float | None = Field(None, description="distance to the samples' range, in widths of it")
    applied: Promise | None = Field(None, description="predictions at the applied point; null: not evaluated")
    files: dict[Annotated[str, Field(pattern=FILE_NAME)], str] = Field(
        default_factory=dict, description="other files of the bundle, with their purposes"
    )
    machine: str = Field("", description="what the model's samples were measured on; empty: not stated")
    warnings: tuple[str, ...] = Field((), description="what the predictions do not hold for")
    not_checked: tuple[str, ...] = Field(description="assumptions that have not been checked")
    selection: SelectionFile | None = Field(
        None, description="the data that chose the design; null where its accuracy is a prediction"
    )
    limits: tuple[LimitFile, ...] = Field((), description="limits of the design, each with its probability")
    joint_probability: float | None = Field(None, description="probability that all limits hold; null: unknown")
    chosen_sha256: Sha256 = Field(description="SHA-256 of the chosen.json of this bundle")
    provenance: Origin = Field(description="origin of the design and its predictions")

    @property
    def promise(self) -> Promise:
        """Predictions at the applied point if they were evaluated, else at the requested point."""
        return self.applied or Promise(
            predicted=self.predicted, objectives=self.objectives, is_extrapolated=self.is_extrapolated,
            domain_distance=self.domain_distance,
        )  # fmt: skip
