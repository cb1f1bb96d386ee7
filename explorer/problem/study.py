"""Studies: what to search for, resolved for use from the TOML declarations of a study and its spaces."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from explorer.devices.device import read_device, select_bin
from explorer.errors import Fault, InvalidFile, WrongUsage, suggestion
from explorer.io.catalog import find_declaration
from explorer.io.declarations import read_toml, validate
from explorer.io.files import sha256
from explorer.problem.columns import Column, column_of
from explorer.problem.constraints import Constraint, parse_constraint
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
from explorer.problem.objectives import OBJECTIVES, CostWeights, Objective

__all__ = ["SAMPLERS", "Space", "Study", "StudyFile", "declaration_text", "make_study", "read_space", "read_study"]


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

    Args:
        name: its file's stem.
        title: one line for people.
        path: its file.
        sha256: of its file's text.
        spaces: its search spaces; none where the rows of a table are the designs.
        model: `paper` or the path of a model.json or samples CSV.
        objectives: what is asked, in order.
        constraints: its floors and caps.
        weights: alpha and E_max of the weighted cost.
        sampler: how it is searched.
        trials: how many trials are wanted.
        seed: of the search.
        reference_point: of the hypervolume, in the objectives' order.
        table: the table's declaration where its rows are the designs.
        live: the network's declaration where every design is measured, its paths ready to be opened.
        function: what is measured, where a function of the user's own measures every design.
        families: the families to search; none for all that there are.
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
    table: TableModel | None = None
    live: LiveModel | None = None
    function: FunctionModel | None = None
    families: tuple[str, ...] | None = None

    @property
    def own_columns(self) -> dict[str, Column]:
        """What the user's own knobs mean, by name, as the spaces declare them."""
        found: dict[str, Column] = {}
        for space in self.spaces:
            for name, axis in space.file.axes.own.items():
                found.setdefault(name, axis.column(name))
        return found or {name: column_of(name) for name in (self.table.knobs if self.table else ())}

    def declaration(self) -> dict[str, Any]:
        """Return what defines the question, as plain JSON values; studies that agree in it may share their trials."""
        table = {"table": self.table.model_dump(mode="json", exclude={"table"})} if self.table else {}
        # Files by their SHA-256 (the model's fingerprint), wherever they lie; and a longer limit asks nothing else.
        live = {"live": self.live.model_dump(mode="json", exclude=_NO_QUESTION)} if self.live else {}
        return {
            **table,
            **live,
            **({"measures": list(self.function.measures)} if self.function else {}),
            "spaces": [_dump(space.file) for space in self.spaces],
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


def read_study(name_or_path: str) -> Study:
    """Read a study by name (`./studies/`, then those shipped) or by path.

    Raises:
        WrongUsage: there is no such study; the nearest name is told.
        InvalidFile: its file, or that of a space it names, is not what it should be; all faults of the file at once.
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
    live = _opened(declared.model, path) if isinstance(declared.model, LiveModel) else None
    own = [name for space in spaces for name in space.file.axes.own] + list(table.knobs if table else ())
    weights = CostWeights(declared.cost.alpha, declared.cost.energy_max)
    reference = declared.reference_point
    return Study(
        name=path.stem,
        title=declared.title or path.stem,
        path=path,
        sha256=sha256(text),
        spaces=spaces,
        model=_model_name(declared, path),
        objectives=tuple(OBJECTIVES[name] for name in declared.objectives),
        constraints=tuple(parse_constraint(text, own=own) for text in declared.constraints),
        weights=weights,
        sampler=declared.search.sampler,
        trials=declared.search.trials,
        seed=declared.search.seed,
        reference_point=tuple(reference[name] for name in declared.objectives) if reference else None,
        table=table,
        live=live,
        function=declared.model if isinstance(declared.model, FunctionModel) else None,
        families=declared.families,
    )


def read_space(name_or_path: str, *, families: tuple[str, ...] | None = None, beside: Path | None = None) -> Space:
    """Read a search space by name (`./search_spaces/`, then those shipped) or by path.

    Raises:
        WrongUsage: there is no such space.
        InvalidFile: its file is not what it should be, or neither it nor the study names a family.
    """
    path = find_declaration("search_spaces", name_or_path, beside=beside)
    declared, text = read_toml(path, SpaceFile)
    return _make_space(declared, path, text, families)


def _make_space(declared: SpaceFile, path: Path, text: str, families: tuple[str, ...] | None) -> Space:
    declared = resolve_device(declared, path=path)
    own = (declared.family,) if declared.family else families or ()
    wanted = tuple(family for family in own if families is None or family in families)
    return Space(path.stem, path, sha256(text), declared, wanted)


# What of a live model does not change what is asked.
_NO_QUESTION = {"onnx", "data", "time_limit"}
# What was added after studies were first stored: left out where it says nothing, so that they can be gone on with.
_LATER = frozenset({"values", "device", "bin", "power", "ignore"})


def _dump(space: SpaceFile) -> dict[str, Any]:
    """Return what a space declares as plain JSON values, without its title."""
    return cast("dict[str, Any]", _without_empty(space.model_dump(mode="json", exclude={"title"})))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if not (k in _LATER and v in (None, "", []))}
    return [_without_empty(v) for v in value] if isinstance(value, list) else value


def declaration_text(declaration: dict[str, Any]) -> str:
    """Return the canonical text of a declaration; its SHA-256 guards a study against being mixed with another."""
    return json.dumps(declaration, sort_keys=True, separators=(",", ":"))


def _spaces(declared: StudyFile, path: Path, inline: Mapping[str, SpaceFile]) -> tuple[Space, ...]:
    names = (declared.space,) if isinstance(declared.space, str) else declared.space or ()

    def read(name: str, families: tuple[str, ...] | None) -> Space:
        if name in inline:
            return _make_space(inline[name], path.with_name(name), inline[name].model_dump_json(), families)
        return read_space(name, families=families, beside=path.parent)

    spaces = [read(name, declared.families) for name in names]
    if isinstance(declared.model, LiveModel) and declared.families is None and not any(s.families for s in spaces):
        # One network is one family: where nobody named it, it is called like its file.
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
        Fault("space", f"family '{family}' stands in two spaces", "give each family one space")
        for family in dict.fromkeys(covered)
        if covered.count(family) > 1
    ]
    if faults:
        raise InvalidFile(path, faults)
    return tuple(space for space in spaces if space.families)


def _model_name(declared: StudyFile, path: Path) -> str:
    model = declared.model
    if isinstance(model, LiveModel):
        return _opened(model, path).onnx
    if isinstance(model, FunctionModel):
        return "a function"
    if isinstance(model, TableModel):
        return str(_beside(path, model.table))
    return model if model in SHIPPED_MODELS else str(_beside(path, model))


def _opened(live: LiveModel, path: Path) -> LiveModel:
    """Return a live model with its files relative to the study; names of what ships stay names."""

    def place(name: str, ending: str) -> str:
        return str(_beside(path, name)) if "/" in name or name.endswith(ending) else name

    return live.model_copy(update={"onnx": place(live.onnx, ".onnx"), "data": place(live.data, ".npz")})


def _beside(path: Path, name: str) -> Path:
    """A model's path is relative to the study that names it; told without detours where that is the same file."""
    found = path.parent / Path(name).expanduser()
    short = Path(os.path.normpath(found))
    try:
        return short if short.resolve() == found.resolve() else found
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all: whoever opens it will tell
        return found


def resolve_device(space: SpaceFile, *, path: Path) -> SpaceFile:
    """Return a space with the points of the device and bin that it names; any other space as it is.

    Raises:
        WrongUsage: there is no such device.
        InvalidFile: its file is not what it should be, or the space names a bin that it lacks, or none of several.
    """
    operating = space.operating_points
    if operating.device is not None:
        file = read_device(operating.device, beside=path.parent)
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
