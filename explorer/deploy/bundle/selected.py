"""The design of an untrusted chosen.json, checked before use."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.devices.operating_points import POINT_POWER, RELATIVE_TOLERANCE
from explorer.errors import Fault, InvalidFile, NoFeasibleDesign
from explorer.io.declarations import read_json
from explorer.io.files import MAX_DECLARATION_BYTES, sha256
from explorer.pareto.decision.schema import ChosenFile
from explorer.pareto.results.results import ANNOTATION_COLUMNS
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, bounds, own_knobs

_AGAIN = "choose again with `explorer choose`; do not edit the file by hand"


@dataclass(frozen=True, slots=True)
class SelectedDesign:
    """A chosen design, with the SHA-256 of its file."""

    file: ChosenFile
    sha256: str

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of the design by name."""
        return self.file.design.columns

    @property
    def is_extrapolated(self) -> bool:
        """True if the file's flag or its distance to the samples marks an extrapolation."""
        return self.file.is_extrapolated or is_outside_domain(self.columns)

    @property
    def own_knobs(self) -> dict[str, Any]:
        """Knobs that do not determine the compression: the study's own, and `weight_bits`."""
        columns = self.columns
        own = own_knobs(dict.fromkeys(columns, np.empty(0)))
        added = {*ANNOTATION_COLUMNS, POINT_POWER}  # columns added by results and tables
        return {name: columns[name] for name in ("weight_bits", *own) if name in columns and name not in added}


def is_outside_domain(columns: Mapping[str, Any]) -> bool:
    """Return whether a design's distance to the samples is that of an extrapolation."""
    distance = columns.get("domain_distance")
    return distance is not None and bool(is_extrapolated(distance))


def read_selected_design(path: Path) -> SelectedDesign:
    """Read a chosen.json.

    Raises:
        WrongUsage: the file does not exist.
        InvalidFile: the file is not valid output of `explorer choose`; all faults at once.
    """
    file = read_json(path, ChosenFile, max_bytes=MAX_DECLARATION_BYTES)
    tables = {"design": file.design.columns, **({"applied.design": file.applied.design} if file.applied else {})}
    faults = [
        Fault(f"[{table}] {name}", fault, _AGAIN)
        for table, columns in tables.items()
        for name, fault in _faults(columns, file.provenance.question.objectives)
    ]
    if (file.design.design_id < 0) is not file.is_measured:
        text = f"is {file.design.design_id}, but is_measured is {str(file.is_measured).lower()}"
        faults.append(Fault("[design] design_id", text, _AGAIN))
    if faults:
        raise InvalidFile(path, faults)
    return SelectedDesign(file, sha256(path.read_bytes()))


def ensure_deployable(selected: SelectedDesign, *, allow_extrapolation: bool) -> None:
    """Raise unless the design is feasible and inside the model's domain.

    Raises:
        NoFeasibleDesign: the design violates a constraint, or is an extrapolation that is not allowed.
    """
    design = selected.file.design
    if design.columns.get("is_feasible") is False:
        raise NoFeasibleDesign(
            f"design {design.design_id} does not meet the constraints of study '{selected.file.study}'",
            fix="choose one that does: `explorer choose`",
        )
    if selected.is_extrapolated and not allow_extrapolation:
        raise NoFeasibleDesign(
            f"design {design.design_id} lies outside the model's domain: its predictions are extrapolations",
            fix="measure samples nearby, or take the risk with --allow-extrapolation",
        )


def _faults(columns: Mapping[str, Any], objectives: Iterable[str]) -> Iterator[tuple[str, str]]:
    numeric = {name for name in COLUMNS if name != "family"}
    ends = {end for name in numeric for end in bounds(name)}
    values: dict[str, float] = {}
    for name in (name for name in columns if name in numeric | ends):
        value = columns[name]
        if isinstance(value, bool | str):
            yield name, f"is {value!r:.40}, not a number"
        elif value is not None:
            values[name] = float(value)
    yield from _contradictions(values)
    for name in objectives:
        if name not in columns or columns[name] is None:
            yield name, "is missing, though it is an objective of the study"


def _contradictions(values: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    highest, clock = values.get("frequency_max_hz"), values.get("frequency_hz")
    if highest is not None and clock is not None and clock > highest * (1 + RELATIVE_TOLERANCE):
        text = COLUMNS["frequency_hz"].text
        yield "frequency_hz", f"{text(clock)} is impossible: its voltage allows at most {text(highest)}"
    for name, value in values.items():
        low, high = (values.get(end) for end in bounds(name))
        if (low is not None and low > value) or (high is not None and high < value):
            yield name, f"{value:g} is outside its interval, {low} to {high}"
    if "domain_distance" not in values:
        yield "domain_distance", "is missing: extrapolation cannot be detected"


def optional_float(columns: Mapping[str, Any], name: str) -> float | None:
    """Return a column as a float, or None if it is missing or null."""
    value = columns.get(name)
    return None if value is None else float(value)
