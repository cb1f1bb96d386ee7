"""Schema of the TOML file of a study, validated within that file."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from explorer.errors import ExplorerError, WrongUsage, suggestion
from explorer.io.catalog import find_declaration
from explorer.io.declarations import Declaration, quantity, read_toml, validation_error
from explorer.paper.equations import mac_memory_energy, training_energy
from explorer.problem.columns import TARGETS
from explorer.problem.constraints import parse_constraint
from explorer.problem.declarations.samples import ColumnSources
from explorer.problem.declarations.scenario import Scenarios
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.declarations.targets import Targets
from explorer.problem.declarations.workload import WorkloadDeclaration
from explorer.problem.naming.column_names import find_column
from explorer.problem.objectives import OBJECTIVES, is_objective

SamplerName = Literal["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid", "gp"]
SAMPLERS: tuple[SamplerName, ...] = ("auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid", "gp")
# Models that a study can name without a file.
SHIPPED_MODELS = ("paper", "h100")
MAX_TRIALS = 10_000_000
MAX_SEED = 2**32 - 1


def _objective_name(name: str) -> str:
    if not is_objective(name):
        meant = find_column(name, OBJECTIVES)
        fix = f"write '{meant.column}'" if meant else suggestion(name, sorted(OBJECTIVES))
        raise validation_error(f"unknown name '{name}'", fix=f"{fix}; or declare it: [targets.{name}]")
    return name


def _constraint_text(text: str, info: ValidationInfo) -> str:
    try:
        parse_constraint(text, where="constraint", own=_own_names(info), is_exact=True)
    except ExplorerError as error:
        raise validation_error(error.problem.removeprefix("constraint: "), fix=error.fix) from None
    return text


def _own_names(info: ValidationInfo) -> list[str]:
    """Return the user-defined knobs of the study's spaces, except of spaces with invalid files."""
    space, base = info.data.get("space"), Path(info.context["path"]).parent if info.context else None
    inline = info.context.get("spaces", {}) if info.context else {}
    names: list[str] = []
    for name in (space,) if isinstance(space, str) else space or ():
        if name in inline:
            names += inline[name].axes.own
            continue
        try:
            names += read_toml(find_declaration("search_spaces", name, base=base), SpaceFile)[0].axes.own
        except ExplorerError:  # reported when the space itself is read
            continue
    model = info.data.get("model")
    return [*names, *(model.knobs if isinstance(model, TableModel) else ())]


def _alpha(value: float) -> float:
    if not 0 <= value <= 1:
        raise validation_error(
            f"alpha = {value:g} is outside [0, 1]", fix="0 counts energy only, 1 counts accuracy only"
        )
    return value


def _sampler(name: str) -> str:
    if name not in SAMPLERS:
        raise validation_error(f"unknown sampler '{name}'", fix=suggestion(name, SAMPLERS))
    return name


class Cost(Declaration):
    """Parameters of the weighted cost J, Eq. (10)."""

    alpha: Annotated[float, AfterValidator(_alpha)] = Field(0.9, description="weight of accuracy in J, 0 to 1")
    energy_max: Annotated[float, quantity("J"), Field(gt=0)] = Field(
        39.6, description="E_max of J, in J or with a unit"
    )


class NetworkDeclaration(Declaration):
    """Facts of the network before compression: its size, and what Eq. (1) counts."""

    original_size: Annotated[float, quantity("B"), Field(gt=0)] | None = Field(
        None, description="S_orig of Eq. (6), in byte or with a unit ('48 MB'): compression_ratio becomes a column"
    )
    n_macs: Annotated[float, Field(gt=0)] | None = Field(None, description="N_MAC of Eq. (1): MACs of one inference")
    n_accesses: Annotated[float, Field(ge=0)] | None = Field(
        None, description="N_mem of Eq. (1): memory accesses of one inference"
    )
    mac_energy: Annotated[float, quantity("J"), Field(ge=0)] | None = Field(
        None, description="energy of one MAC, such as '3 pJ'"
    )
    access_energy: Annotated[float, quantity("J"), Field(ge=0)] | None = Field(
        None, description="energy of one access, such as '8 pJ'"
    )

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        values = {name: getattr(self, name) for name in ("n_macs", "n_accesses", "mac_energy", "access_energy")}
        missing = [name for name, value in values.items() if value is None]
        if 0 < len(missing) < len(values):
            raise validation_error(
                f"{', '.join(missing)} missing: eq. (1) needs all of {', '.join(values)}",
                fix="add them, or leave all four out",
            )
        return self

    @property
    def mac_memory_energy_j(self) -> float | None:
        """The energy of one inference by Eq. (1), in joule; None where the counts are not stated."""
        if self.n_macs is None:
            return None
        energy = mac_memory_energy(
            mac_ops=self.n_macs, mac_energy=self.mac_energy or 0.0, mem_accesses=self.n_accesses or 0.0,
            access_energy=self.access_energy or 0.0,
        )  # fmt: skip
        return float(energy)


class TrainingDeclaration(Declaration):
    """Training of the network, Eq. (2)."""

    epochs: Annotated[float, Field(ge=0)] = Field(description="number of epochs")
    batches: Annotated[float, Field(ge=0)] = Field(description="batches of an epoch")
    energy_per_batch: Annotated[float, quantity("J"), Field(ge=0)] = Field(
        description="energy of one batch, in J or with a unit ('27 mJ')"
    )

    @property
    def energy_j(self) -> float:
        """The energy of the training by Eq. (2), in joule."""
        energy = training_energy(epochs=self.epochs, batches=self.batches, batch_energy=self.energy_per_batch)
        return float(energy)


class Search(Declaration):
    """Settings of the search."""

    sampler: Annotated[str, AfterValidator(_sampler)] = Field("auto", description=f"one of {', '.join(SAMPLERS)}")
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = Field(1000, description="number of complete trials to reach")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = Field(0, description="the same file and seed give the same front")


class TableModel(Declaration):
    """Table of measured designs, which are the only designs of the study: nothing is predicted."""

    table: str = Field(min_length=1, description="a samples CSV: its rows are all the designs")
    knobs: Annotated[tuple[str, ...], Field(max_length=50)] = Field(
        (), description="further columns that distinguish designs, such as 'resolution'"
    )
    ignore: Annotated[tuple[str, ...], Field(max_length=100)] = Field(
        (), description="columns of the table that are not knobs, despite their names"
    )
    columns: ColumnSources = Field(
        default_factory=dict, description="which column of the table a knob or target is, and its unit"
    )


def _labelled(data: str) -> str:
    if data.startswith("python:"):
        raise validation_error(
            "names Python code, which a study file never runs",
            fix="leave data out, and give it to the command: explorer run STUDY --data python:./task.py",
        )
    return data


class LiveModel(Declaration):
    """A user's network, compressed and measured for every design: nothing is predicted."""

    onnx: str = Field(min_length=1, description="an ONNX file relative to the study, or the name of a shipped network")
    data: Annotated[str, Field(min_length=1), AfterValidator(_labelled)] | None = Field(
        None,
        description="labelled data: an npz with x and y, relative to the study, or 'digits'; without it, `run --data` "
        "gives it",
    )
    output: Annotated[str, Field(max_length=1000)] = Field(
        "", description="name of the output that gives the classes; by default the one that gives the labels best"
    )
    codec: Literal["file", "dense", "deflate", "entropy"] = Field(
        "deflate", description="which size is size_bytes: file, dense, deflate or entropy"
    )
    per_tensor: bool = Field(False, description="prune each tensor by R alone")
    clip: Literal["int4", "int8", "int16"] | None = Field(
        None, description="clip codes to int4, int8 or int16 instead of widening"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="device that runs the network: cpu or cuda")
    time_limit: Annotated[float, quantity("s"), Field(gt=0)] | None = Field(
        None, description="for each design, in s or with a unit; a trial that takes longer fails"
    )
    racing: bool = Field(
        True, description="stop a design before the last sample once it cannot matter for the front; false: never"
    )
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="share of the samples that the search does not see, such as 0.3: the accuracy of every design is "
        "also measured on them, as accuracy_holdout",
    )


def _target(name: str) -> str:
    if name not in TARGETS:
        fix = f"{suggestion(name, TARGETS)}; or declare it: [targets.{name}] direction = 'max'"
        raise validation_error(f"unknown name '{name}'", fix=fix)
    return name


class FunctionModel(Declaration):
    """A user's function that measures every design. The command names it, because a file must not run code."""

    measures: Annotated[tuple[Annotated[str, AfterValidator(_target)], ...], Field(min_length=1, max_length=50)] = (
        Field(description=f"targets that the function returns for a design: any of {', '.join(TARGETS)}")
    )


def _kind(model: object) -> str:
    """Return the tag of a study's kind of model, by the keys that only this kind has."""
    if isinstance(model, FunctionModel) or (isinstance(model, dict) and "measures" in model):
        return "function"
    if isinstance(model, LiveModel) or (isinstance(model, dict) and {"onnx", "data"} & model.keys()):
        return "live"
    return "dict" if isinstance(model, (dict, TableModel)) else "str"


class StudyFile(Declaration):
    """Schema of a study file."""

    title: str = Field("", max_length=200, description="one line of text")
    space: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="a search space, or a list of them for their union; none if the model is a table"
    )
    targets: Targets = Field(
        default_factory=dict,
        description="[targets.NAME] tables: measured quantities that explorer does not define; also in a space",
    )
    model: Annotated[
        Annotated[str, Field(min_length=1), Tag("str")]
        | Annotated[TableModel, Tag("dict")]
        | Annotated[LiveModel, Tag("live")]
        | Annotated[FunctionModel, Tag("function")],
        Discriminator(_kind),
    ] = Field(
        "paper",
        description="paper, h100, a model.json, a samples CSV; { table = 'my.csv' } to search its rows themselves; or "
        "{ onnx = 'net.onnx', data = 'val.npz' } to measure every design of a network; { measures = ['energy_j'] } to "
        "measure by your own function",
    )
    families: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="the families to search; default: those of the spaces"
    )
    objectives: Annotated[
        tuple[Annotated[str, AfterValidator(_objective_name)], ...], Field(min_length=1, max_length=6)
    ] = Field(description=f"one or more of {', '.join(OBJECTIVES)}")
    constraints: Annotated[tuple[Annotated[str, AfterValidator(_constraint_text)], ...], Field(max_length=50)] = Field(
        (), description="lower and upper limits of columns, such as 'accuracy >= 0.9'"
    )
    cost: Cost = Field(default_factory=Cost, description="alpha and energy_max of Eq. (10)")
    workload: WorkloadDeclaration | None = Field(
        None, description="how the device is used: mean power, battery life, deadline and waiting times become columns"
    )
    network: NetworkDeclaration = Field(
        default_factory=NetworkDeclaration, description="what is known of the network before compression"
    )
    training: TrainingDeclaration | None = Field(
        None, description="epochs, batches and energy_per_batch: training_energy_j of Eq. (2) becomes a column"
    )
    search: Search = Field(default_factory=Search, description="sampler, trials, seed")
    scenario: Scenarios = Field(
        default_factory=Scenarios,
        description="[scenario.NAME] tables of deviations that the limits hold under, such as voltage = '-3 %'",
    )
    reference_point: dict[str, float] | None = Field(
        None, description="the hypervolume's reference point, one number for each objective; default: computed"
    )

    @field_validator("space")
    @classmethod
    def _find_spaces(cls, value: str | tuple[str, ...] | None, info: ValidationInfo) -> str | tuple[str, ...] | None:
        base = Path(info.context["path"]).parent if info.context else None
        inline = info.context.get("spaces", {}) if info.context else {}
        for name in (value,) if isinstance(value, str) else value or ():
            if name in inline:
                continue
            try:
                path = find_declaration("search_spaces", name, base=base)
            except WrongUsage as error:
                raise validation_error(error.problem, fix=error.fix) from None
            with suppress(ExplorerError):  # reported when the space itself is read
                read_toml(path, SpaceFile)  # declares its targets, which objectives may name
        return value

    @model_validator(mode="before")
    @classmethod
    def _needs_space(cls, data: Any) -> Any:
        """Require a space, unless the designs are the rows of a table."""
        if isinstance(data, dict):
            is_table = _kind(data.get("model")) == "dict"
            if "space" not in data and not is_table:
                raise validation_error("'space' is missing", fix="add space = ... (a search space, or a list of them)")
            if "space" in data and is_table:
                raise validation_error(
                    "space is declared together with a table", fix="leave it out: the table's rows are all the designs"
                )
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.objectives)) < len(self.objectives):
            raise validation_error("an objective is listed twice", fix="list each objective once")
        if self.reference_point is not None and set(self.reference_point) != set(self.objectives):
            raise validation_error(
                f"[reference_point] has {sorted(self.reference_point)}, the objectives are {sorted(self.objectives)}",
                fix="give one number for each objective, or leave it out",
            )
        if isinstance(self.model, LiveModel | FunctionModel) and self.reference_point is None:
            raise validation_error(
                "[reference_point] is missing: it cannot be computed if every design is measured",
                fix=f"add it, with the worst acceptable value of each of {', '.join(self.objectives)}",
            )
        return self
