"""Studies: the TOML declaration of what to search for, and the same thing resolved for use."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from explorer.errors import ExplorerError, Fault, InvalidFile, WrongUsage, suggestion
from explorer.files import sha256
from explorer.problem.catalog import find
from explorer.problem.constraints import Constraint, parse_constraint
from explorer.problem.declare import Declaration, quantity, read_toml, refuse
from explorer.problem.objectives import OBJECTIVES, CostWeights, Objective
from explorer.problem.space import SpaceFile

SamplerName = Literal["tpe", "nsga2", "nsga3", "qmc", "random", "grid", "gp"]
SAMPLERS: tuple[SamplerName, ...] = ("tpe", "nsga2", "nsga3", "qmc", "random", "grid", "gp")
MAX_TRIALS = 10_000_000
MAX_SEED = 2**32 - 1


def _objective_name(name: str) -> str:
    if name not in OBJECTIVES:
        raise refuse(f"unknown name '{name}'", fix=suggestion(name, sorted(OBJECTIVES)))
    return name


def _constraint_text(text: str) -> str:
    try:
        parse_constraint(text, where="constraint")
    except ExplorerError as error:
        raise refuse(error.problem.removeprefix("constraint: "), fix=error.fix) from None
    return text


def _alpha(value: float) -> float:
    if not 0 <= value <= 1:
        raise refuse(f"alpha = {value:g} is outside [0, 1]", fix="0 counts energy only, 1 counts accuracy only")
    return value


def _sampler(name: str) -> str:
    if name not in SAMPLERS:
        raise refuse(f"unknown sampler '{name}'", fix=suggestion(name, SAMPLERS))
    return name


class Cost(Declaration):
    """What Eq. (10) leaves open."""

    alpha: Annotated[float, AfterValidator(_alpha)] = Field(0.9, description="weight of accuracy in J, 0 to 1")
    energy_max: Annotated[float, quantity("J"), Field(gt=0)] = Field(
        39.6, description="E_max of J, in J or with a unit"
    )


class Search(Declaration):
    """How to search."""

    sampler: Annotated[str, AfterValidator(_sampler)] = Field("nsga2", description=f"one of {', '.join(SAMPLERS)}")
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = Field(1000, description="number of COMPLETE trials wanted")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = Field(0, description="the same file and seed give the same front")


class StudyFile(Declaration):
    """A study as its TOML file declares it."""

    title: str = Field("", max_length=200, description="one line for people")
    space: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] = Field(
        description="a search space, or a list of them for their union"
    )
    model: str = Field("paper", min_length=1, description="paper, a model.json, or a samples CSV")
    families: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="the families to search; default: those of the spaces"
    )
    objectives: Annotated[
        tuple[Annotated[str, AfterValidator(_objective_name)], ...], Field(min_length=2, max_length=6)
    ] = Field(description=f"two or more of {', '.join(OBJECTIVES)}")
    constraints: Annotated[tuple[Annotated[str, AfterValidator(_constraint_text)], ...], Field(max_length=50)] = Field(
        (), description="floors and caps such as 'accuracy >= 0.9'"
    )
    cost: Cost = Field(default_factory=Cost, description="alpha and energy_max of Eq. (10)")
    search: Search = Field(default_factory=Search, description="sampler, trials, seed")
    reference_point: dict[str, float] | None = Field(
        None, description="the hypervolume's reference point, one number for each objective; default: computed"
    )

    @field_validator("space")
    @classmethod
    def _find_spaces(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        beside = Path(info.context["path"]).parent if info.context else None
        for name in (value,) if isinstance(value, str) else value:
            try:
                find("search_spaces", name, beside=beside)
            except WrongUsage as error:
                raise refuse(error.problem, fix=error.fix) from None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.objectives)) < len(self.objectives):
            raise refuse("an objective is listed twice", fix="list each objective once")
        if self.reference_point is not None and set(self.reference_point) != set(self.objectives):
            raise refuse(
                f"[reference_point] has {sorted(self.reference_point)}, the objectives are {sorted(self.objectives)}",
                fix="give one number for each objective, or leave it out",
            )
        return self


@dataclass(frozen=True, slots=True)
class Space:
    """A search space with the file it came from; `path` is for messages, `sha256` for provenance."""

    name: str
    path: Path
    sha256: str
    file: SpaceFile
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """A study, read, checked and with its spaces at hand.

    `model` is `paper` or the path of a model.json or samples CSV. `reference_point` is in the objectives' order.
    """

    name: str
    title: str
    path: Path
    sha256: str
    spaces: tuple[Space, ...]
    model: str
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    weights: CostWeights
    sampler: str
    trials: int
    seed: int
    reference_point: tuple[float, ...] | None

    def declaration(self) -> dict[str, Any]:
        """Return what defines the question, as plain JSON values; studies that agree in it may share their trials."""
        return {
            "spaces": [space.file.model_dump(mode="json", exclude={"title"}) for space in self.spaces],
            "families": [list(space.families) for space in self.spaces],
            "objectives": [objective.name for objective in self.objectives],
            "constraints": sorted(constraint.text for constraint in self.constraints),
            "alpha": self.weights.alpha,
            "energy_max_j": self.weights.energy_max_j,
        }

    def with_search(self, *, trials: int | None = None, seed: int | None = None, sampler: str | None = None) -> "Study":
        """Return the study with the command line's wishes in place of the file's.

        Raises:
            WrongUsage: a wish is out of range or no sampler's name.
        """
        if trials is not None and not 1 <= trials <= MAX_TRIALS:
            raise WrongUsage(f"trials = {trials} is outside [1, {MAX_TRIALS:,}]", fix="ask for at least one trial")
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise WrongUsage(f"seed = {seed} is outside [0, {MAX_SEED:,}]", fix="take a whole number from that range")
        if sampler is not None and sampler not in SAMPLERS:
            raise WrongUsage(f"unknown sampler '{sampler}'", fix=suggestion(sampler, SAMPLERS))
        return replace(
            self,
            trials=trials or self.trials,
            seed=self.seed if seed is None else seed,
            sampler=sampler or self.sampler,
        )


def load_study(name_or_path: str) -> Study:
    """Read a study by name (`./studies/`, then those shipped) or by path.

    Raises:
        WrongUsage: there is no such study; the nearest name is told.
        InvalidFile: its file, or that of a space it names, is not what it should be; all faults of the file at once.
    """
    path = find("studies", name_or_path)
    declared, text = read_toml(path, StudyFile)
    spaces = _spaces(declared, path)
    weights = CostWeights(declared.cost.alpha, declared.cost.energy_max)
    reference = declared.reference_point
    return Study(
        name=path.stem,
        title=declared.title or path.stem,
        path=path,
        sha256=sha256(text),
        spaces=spaces,
        model=declared.model if declared.model == "paper" else str(_beside(path, declared.model)),
        objectives=tuple(OBJECTIVES[name] for name in declared.objectives),
        constraints=tuple(parse_constraint(text) for text in declared.constraints),
        weights=weights,
        sampler=declared.search.sampler,
        trials=declared.search.trials,
        seed=declared.search.seed,
        reference_point=tuple(reference[name] for name in declared.objectives) if reference else None,
    )


def load_space(name_or_path: str, *, families: tuple[str, ...] | None = None, beside: Path | None = None) -> Space:
    """Read a search space by name (`./search_spaces/`, then those shipped) or by path.

    Raises:
        WrongUsage: there is no such space.
        InvalidFile: its file is not what it should be, or neither it nor the study names a family.
    """
    path = find("search_spaces", name_or_path, beside=beside)
    declared, text = read_toml(path, SpaceFile)
    own = (declared.family,) if declared.family else families or ()
    wanted = tuple(family for family in own if families is None or family in families)
    return Space(path.stem, path, sha256(text), declared, wanted)


def declaration_text(declaration: dict[str, Any]) -> str:
    """Return the canonical text of a declaration; its SHA-256 guards a study against being mixed with another."""
    return json.dumps(declaration, sort_keys=True, separators=(",", ":"))


def _spaces(declared: StudyFile, path: Path) -> tuple[Space, ...]:
    names = (declared.space,) if isinstance(declared.space, str) else declared.space
    spaces = [load_space(name, families=declared.families, beside=path.parent) for name in names]
    faults: list[Fault] = []
    covered = [family for space in spaces for family in space.families]
    if not covered and declared.families is None:
        faults.append(
            Fault(
                "families",
                "neither the study nor its spaces name a family",
                "write families = [...] here, or family = '...' in the space",
            )
        )
    faults += [
        Fault(
            "families",
            f"no space is for '{family}'",
            suggestion(family, sorted({space.file.family or "" for space in spaces} - {""})),
        )
        for family in declared.families or ()
        if family not in covered
    ]
    faults += [
        Fault("space", f"family '{family}' stands in two spaces", "give each family one space")
        for family in dict.fromkeys(covered)
        if covered.count(family) > 1
    ]
    if faults:
        raise InvalidFile(path, faults)
    return tuple(space for space in spaces if space.families)


def _beside(path: Path, name: str) -> Path:
    """A model's path is relative to the study that names it."""
    return path.parent / Path(name).expanduser()
