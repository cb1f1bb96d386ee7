"""Studies: the optimization problem and the search settings, resolved from the TOML files of a study and its spaces."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Any, cast

from explorer.devices.device import read_device, select_bin
from explorer.errors import Fault, InvalidFile, WrongUsage, suggestion
from explorer.io.catalog import find_declaration
from explorer.io.declarations import read_toml, validate
from explorer.io.files import sha256
from explorer.problem.columns import Column, column_of
from explorer.problem.constraints import Constraint, parse_constraint
from explorer.problem.declarations.samples import ColumnSource, sources_of
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.declarations.study import (
    MAX_SEED,
    MAX_TRIALS,
    SAMPLERS,
    SHIPPED_MODELS,
    FunctionModel,
    LiveModel,
    StudyFile,
    TableModel,
)
from explorer.problem.declarations.targets import target_of
from explorer.problem.objectives import Constants, Objective, is_objective, objective_of
from explorer.problem.scenarios.declared import NO_SCENARIOS, DeclaredScenarios, worst_case_limit
from explorer.problem.targets import Target
from explorer.problem.workload.usage import EXAMPLES

__all__ = ["SAMPLERS", "Space", "Study", "StudyFile", "declaration_text", "make_study", "read_space", "read_study"]


@dataclass(frozen=True, slots=True)
class Space:
    """Search space with its source file: `path` for messages, `sha256` for provenance."""

    name: str
    path: Path
    sha256: str
    file: SpaceFile
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """Validated study with its search spaces.

    Args:
        name: stem of its file name.
        title: one line of text.
        path: its file.
        sha256: SHA-256 of the text of its file.
        spaces: its search spaces; empty if the designs are the rows of a table.
        model: `paper` or the path of a model.json or samples CSV.
        objectives: its objectives, in declared order.
        constraints: its lower and upper limits of columns.
        constants: parameters of the derived columns: alpha and E_max of the weighted cost, the workload.
        sampler: name of the sampler.
        trials: number of complete trials to reach.
        seed: seed of the search.
        reference_point: reference point of the hypervolume, in the order of the objectives.
        table: declaration of the table whose rows are the designs, if any.
        live: declaration of the network to measure for every design, if any, with resolved paths.
        function: declaration of the user's function that measures every design, if any.
        families: the families to search; None for all of them.
        targets: the declared targets of the study and its spaces.
        scenarios: the declared scenarios; where limits hold in all of them, `constraints` are of the worst case.
    """

    name: str
    title: str
    path: Path
    sha256: str
    spaces: tuple[Space, ...]
    model: str
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    constants: Constants
    sampler: str
    trials: int
    seed: int
    reference_point: tuple[float, ...] | None
    table: TableModel | None = None
    live: LiveModel | None = None
    function: FunctionModel | None = None
    families: tuple[str, ...] | None = None
    scenarios: DeclaredScenarios = NO_SCENARIOS
    targets: tuple[Target, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(objective.name for objective in self.objectives)
        return f"Study({self.name}: {names}; {self.sampler}, {self.trials} trials, seed {self.seed})"

    @property
    def own_columns(self) -> dict[str, Column]:
        """Columns of the user-defined knobs by name, as the spaces declare them."""
        columns: dict[str, Column] = {}
        for space in self.spaces:
            for name, axis in space.file.axes.own.items():
                columns.setdefault(name, axis.column(name))
        return columns or {name: column_of(name) for name in (self.table.knobs if self.table else ())}

    @property
    def compared_columns(self) -> tuple[str, ...]:
        """The columns that decide on a design: objectives, limited columns, and the utilization of a workload."""
        names = [*(objective.name for objective in self.objectives), *(c.column for c in self.constraints)]
        return tuple(dict.fromkeys([*names, *(("utilization",) if self.constants.workload else ())]))

    @property
    def columns(self) -> dict[str, ColumnSource]:
        """Which column of the samples a knob or target is, as the spaces or the table declare it."""
        declared = [space.file.columns for space in self.spaces] + ([self.table.columns] if self.table else [])
        return {name: source for columns in declared for name, source in sources_of(columns).items()}

    def declaration(self) -> dict[str, Any]:
        """Return the definition of the problem as plain JSON values; studies with equal ones may share their trials."""
        # Newer than the first stored studies: present only where given, so that those can be continued.
        unstated = {"table", *(() if self.table and self.table.columns else ("columns",))}
        table = {"table": self.table.model_dump(mode="json", exclude=unstated)} if self.table else {}
        # Without paths, as the model's fingerprint has the SHA-256 of the files, and without the time limit.
        live = {"live": _without_empty(self.live.model_dump(mode="json", exclude=_NOT_COMPARED))} if self.live else {}
        return {
            **table,
            **live,
            **({"measures": list(self.function.measures)} if self.function else {}),
            "spaces": [_dump(space.file) for space in self.spaces],
            "families": [list(space.families) for space in self.spaces],
            "objectives": [objective.name for objective in self.objectives],
            "constraints": sorted(constraint.text for constraint in self.constraints),
            "alpha": self.constants.alpha,
            "energy_max_j": self.constants.energy_max_j,
            # Newer than the first stored studies: present only where given, so that those can be continued.
            **({"workload": workload.declaration()} if (workload := self.constants.workload) else {}),
            **{name: value for name in _STATED if (value := getattr(self.constants, name)) is not None},
            **({"scenario": self.scenarios.dump()} if self.scenarios else {}),
            **({"targets": [target.to_json() for target in self.targets]} if self.targets else {}),
        }

    def with_search(self, *, trials: int | None = None, seed: int | None = None, sampler: str | None = None) -> "Study":
        """Return the study with the search settings of the command line instead of the file's.

        Raises:
            WrongUsage: a setting is out of range, or the sampler is unknown.
        """
        for name, number in (("trials", trials), ("seed", seed)):
            if number is not None and not hasattr(number, "__index__"):
                raise WrongUsage(f"{name} = {number!r} is not a whole number", fix="give an int")
        trials, seed = (None if number is None else index(number) for number in (trials, seed))
        if trials is not None and not 1 <= trials <= MAX_TRIALS:
            raise WrongUsage(f"trials = {trials} is outside [1, {MAX_TRIALS:,}]", fix="ask for at least one trial")
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise WrongUsage(f"seed = {seed} is outside [0, {MAX_SEED:,}]", fix="take a whole number from that range")
        if sampler is not None and sampler not in SAMPLERS:
            raise WrongUsage(f"unknown sampler '{sampler}'", fix=suggestion(str(sampler), SAMPLERS))
        return replace(
            self,
            trials=trials or self.trials,
            seed=self.seed if seed is None else seed,
            sampler=sampler or self.sampler,
        )


def read_study(name_or_path: str) -> Study:
    """Read a study by name (`./studies/`, then those shipped) or by path.

    Raises:
        WrongUsage: no such study; the fix suggests the nearest name.
        InvalidFile: its file or that of one of its spaces is invalid; all faults of the file at once.
    """
    path = find_declaration("studies", name_or_path)
    declared, text = read_toml(path, StudyFile)
    return _resolve(declared, path, text)


def make_study(declaration: Mapping[str, Any], *, name: str, spaces: Mapping[str, Mapping[str, Any]]) -> Study:
    """Return the study of a declaration given in Python; relative paths are those of the working directory.

    Args:
        declaration: the keys of a study file.
        name: of the study, for its result folder.
        spaces: search spaces as the keys of a space file, by the names that the declaration's `space` has for them.

    Raises:
        InvalidFile: the declaration, or a space, is invalid; all faults at once.
    """
    path = Path(name)
    inline = {key: validate(dict(space), SpaceFile, path=f"{name}: {key}") for key, space in spaces.items()}
    declared = validate(dict(declaration), StudyFile, path=path, context={"spaces": inline})
    text = json.dumps({"study": declaration, "spaces": spaces}, sort_keys=True, default=str)
    return _resolve(declared, path, text, inline)


def _resolve(declared: StudyFile, path: Path, text: str, inline: Mapping[str, SpaceFile] | None = None) -> Study:
    spaces = _spaces(declared, path, inline or {}) if declared.space is not None else ()
    table = declared.model if isinstance(declared.model, TableModel) else None
    live = _resolve_live(declared.model, path) if isinstance(declared.model, LiveModel) else None
    own = [name for space in spaces for name in space.file.axes.own] + list(table.knobs if table else ())
    reference = declared.reference_point
    targets = {name: one for space in spaces for name, one in space.file.targets.items()} | declared.targets
    scenarios = declared.scenario.declared
    objectives = tuple(objective_of(name) for name in declared.objectives)
    constraints = tuple(parse_constraint(text, own=own) for text in declared.constraints)
    if scenarios.is_worst_case:
        constraints = tuple(map(worst_case_limit, constraints))
    constants = Constants(
        declared.cost.alpha,
        declared.cost.energy_max,
        original_size_bytes=declared.network.original_size,
        mac_memory_energy_j=declared.network.mac_memory_energy_j,
        training_energy_j=declared.training.energy_j if declared.training else None,
        workload=declared.workload.workload if declared.workload else None,
    )
    if faults := _not_stated(objectives, constraints, constants):
        raise InvalidFile(path, faults)
    return Study(
        name=path.stem,
        title=declared.title or path.stem,
        path=path,
        sha256=sha256(text),
        spaces=spaces,
        model=_model_name(declared, path),
        objectives=objectives,
        constraints=constraints,
        constants=constants,
        sampler=declared.search.sampler,
        trials=declared.search.trials,
        seed=declared.search.seed,
        reference_point=tuple(reference[name] for name in declared.objectives) if reference else None,
        table=table,
        live=live,
        function=declared.model if isinstance(declared.model, FunctionModel) else None,
        families=declared.families,
        scenarios=scenarios,
        targets=tuple({name: target_of(name, one) for name, one in targets.items()}.values()),
    )


def _not_stated(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], constants: Constants
) -> list[Fault]:
    """Return a fault for each objective or limit that follows from a key which the study does not state."""
    asked = [("objectives", objective) for objective in objectives]
    asked += [("constraints", objective_of(c.column)) for c in constraints if is_objective(c.column)]
    faults = []
    for location, objective in asked:
        if lacking := objective.lacking(constants):
            tables = list(dict.fromkeys(key.split()[0] for key in lacking))
            keys = [key.split()[1] for key in lacking]
            lines = ", ".join(EXAMPLES.get(key, f"{key} = ...") for key in keys)
            faults.append(
                Fault(location, f"'{objective.name}' needs {', '.join(lacking)}", f"add {lines} under {tables[0]}")
            )
    return list(dict.fromkeys(faults))


def read_space(name_or_path: str, *, families: tuple[str, ...] | None = None, base: Path | None = None) -> Space:
    """Read a search space by name (`./search_spaces/`, then those shipped) or by path.

    Raises:
        WrongUsage: no such space.
        InvalidFile: its file is invalid, or neither it nor the study names a family.
    """
    path = find_declaration("search_spaces", name_or_path, base=base)
    declared, text = read_toml(path, SpaceFile)
    return _make_space(declared, path, text, families)


def _make_space(declared: SpaceFile, path: Path, text: str, families: tuple[str, ...] | None) -> Space:
    declared = resolve_device(declared, path=path)
    own = (declared.family,) if declared.family else families or ()
    selected = tuple(family for family in own if families is None or family in families)
    return Space(path.stem, path, sha256(text), declared, selected)


# Constants that a study may state.
_STATED = ("original_size_bytes", "mac_memory_energy_j", "training_energy_j")
# Settings of a live model that do not change the problem.
_NOT_COMPARED = {"onnx", "data", "time_limit", "racing"}
# Keys that are newer than the first stored studies: omitted at their defaults, so that those can be continued.
_NEWER_KEYS = frozenset({"values", "device", "bin", "power", "ignore", "holdout", "targets", "columns", "output"})


def _dump(space: SpaceFile) -> dict[str, Any]:
    """Return the declaration of a space as plain JSON values, without its title."""
    return cast("dict[str, Any]", _without_empty(space.model_dump(mode="json", exclude={"title"})))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if not (k in _NEWER_KEYS and v in (None, "", [], {}))}
    return [_without_empty(v) for v in value] if isinstance(value, list) else value


def declaration_text(declaration: dict[str, Any]) -> str:
    """Return the canonical JSON of a declaration; its SHA-256 prevents mixing the trials of different problems."""
    return json.dumps(declaration, sort_keys=True, separators=(",", ":"))


def _spaces(declared: StudyFile, path: Path, inline: Mapping[str, SpaceFile]) -> tuple[Space, ...]:
    names = (declared.space,) if isinstance(declared.space, str) else declared.space or ()

    def read(name: str, families: tuple[str, ...] | None) -> Space:
        if name in inline:
            return _make_space(inline[name], path.with_name(name), inline[name].model_dump_json(), families)
        return read_space(name, families=families, base=path.parent)

    spaces = [read(name, declared.families) for name in names]
    if isinstance(declared.model, LiveModel) and declared.families is None and not any(s.families for s in spaces):
        # One network is one family: without a declared name it is named after its file.
        spaces = [read(name, (Path(declared.model.onnx).stem,)) for name in names]
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
        Fault("space", f"family '{family}' is in two spaces", "give each family one space")
        for family in dict.fromkeys(covered)
        if covered.count(family) > 1
    ]
    if faults:
        raise InvalidFile(path, faults)
    return tuple(space for space in spaces if space.families)


def _model_name(declared: StudyFile, path: Path) -> str:
    model = declared.model
    if isinstance(model, LiveModel):
        return _resolve_live(model, path).onnx
    if isinstance(model, FunctionModel):
        return "a function"
    if isinstance(model, TableModel):
        return str(_resolve_path(path, model.table))
    return model if model in SHIPPED_MODELS else str(_resolve_path(path, model))


def _resolve_live(live: LiveModel, path: Path) -> LiveModel:
    """Return a live model with its paths relative to the study; names of shipped networks and data are unchanged."""

    def resolve(name: str, suffix: str) -> str:
        return str(_resolve_path(path, name)) if "/" in name or name.endswith(suffix) else name

    data = None if live.data is None else resolve(live.data, ".npz")
    return live.model_copy(update={"onnx": resolve(live.onnx, ".onnx"), "data": data})


def _resolve_path(path: Path, name: str) -> Path:
    """Return a path relative to the study's folder, without '..' if that is the same file despite symbolic links."""
    full = path.parent / Path(name).expanduser()
    short = Path(os.path.normpath(full))
    try:
        return short if short.resolve() == full.resolve() else full
    except (OSError, RuntimeError, ValueError):  # a loop of links or an invalid path: opening it raises the error
        return full


def resolve_device(space: SpaceFile, *, path: Path) -> SpaceFile:
    """Return a space with the operating points of its device and bin; a space without points is unchanged.

    Raises:
        WrongUsage: no such device.
        InvalidFile: the device's file is invalid, lacks the bin, or has several bins and none was named.
    """
    operating = space.operating_points
    if operating.device is not None:
        file = read_device(operating.device, base=path.parent)
        operating = operating.model_copy(
            update={
                "points": file.points,
                "voltage_unit": file.voltage_unit,
                "frequency_unit": file.frequency_unit,
                "source": operating.source or file.source,
            }
        )
    if operating.points is None:
        return space
    points = select_bin(operating.points, operating.bin, label=operating.device or path.name, path=path)
    return space.model_copy(update={"operating_points": operating.model_copy(update={"points": points})})
