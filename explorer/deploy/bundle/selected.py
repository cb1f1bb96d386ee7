"""Reading a chosen configuration: an untrusted file, checked before anything is made of it."""

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
from explorer.problem.applicability import is_extrapolated as is_beyond
from explorer.problem.columns import COLUMNS, bounds, own_knobs

_AGAIN = "choose again with `explorer choose`; do not edit the file by hand"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen configuration as read, with the SHA-256 of its file."""

    file: ChosenFile
    sha256: str

    @property
    def columns(self) -> dict[str, Any]:
        """The design's columns by name."""
        return self.file.design.columns

    @property
    def is_extrapolated(self) -> bool:
        """Whether the file says so, or its distance to the samples does."""
        return self.file.is_extrapolated or is_extrapolation(self.columns)

    @property
    def own_knobs(self) -> dict[str, Any]:
        """The knobs that are the study's own, and those that no network is compressed by."""
        columns = self.columns
        own = own_knobs(dict.fromkeys(columns, np.empty(0)))
        added = {*ANNOTATION_COLUMNS, POINT_POWER}  # what results and tables add
        return {name: columns[name] for name in ("weight_bits", *own) if name in columns and name not in added}


def is_extrapolation(columns: Mapping[str, Any]) -> bool:
    """Tell whether a design's distance to the samples says that it is an extrapolation."""
    distance = columns.get("domain_distance")
    return distance is not None and bool(is_beyond(distance))


def read_chosen(path: Path) -> Chosen:
    """Read a chosen.json.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is not what `explorer choose` writes; all faults at once.
    """
    file = read_json(path, ChosenFile, max_bytes=MAX_DECLARATION_BYTES)
    places = {"design": file.design.columns, **({"applied.design": file.applied.design} if file.applied else {})}
    faults = [
        Fault(f"[{place}] {name}", what, _AGAIN)
        for place, columns in places.items()
        for name, what in _faults(columns, file.provenance.question.objectives)
    ]
    if faults:
        raise InvalidFile(path, faults)
    return Chosen(file, sha256(path.read_bytes()))


def ensure_deployable(chosen: Chosen, *, allow_extrapolation: bool) -> None:
    """Refuse a design that breaks its study's constraints, or one where the model was asked outside its domain.

    Raises:
        NoFeasibleDesign: it is one of these.
    """
    design = chosen.file.design
    if design.columns.get("is_feasible") is False:
        raise NoFeasibleDesign(
            f"design {design.design_id} does not meet the constraints of study '{chosen.file.study}'",
            fix="choose one that does: `explorer choose`",
        )
    if chosen.is_extrapolated and not allow_extrapolation:
        raise NoFeasibleDesign(
            f"design {design.design_id} lies outside the model's domain: its predictions are extrapolations",
            fix="measure samples nearby, or take the risk with --allow-extrapolation",
        )


def _faults(columns: Mapping[str, Any], objectives: Iterable[str]) -> Iterator[tuple[str, str]]:
    numeric = {name for name in COLUMNS if name != "family"}
    ends = {end for name in numeric for end in bounds(name)}
    known: dict[str, float] = {}
    for name in (name for name in columns if name in numeric | ends):
        value = columns[name]
        if isinstance(value, bool | str):
            yield name, f"is {value!r:.40}, not a number"
        elif value is not None:
            known[name] = float(value)
    yield from _impossible(known)
    for name in objectives:
        if name not in columns or columns[name] is None:
            yield name, "is missing, though it is an objective of the study"


def _impossible(known: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    highest, asked = known.get("frequency_max_hz"), known.get("frequency_hz")
    if highest is not None and asked is not None and asked > highest * (1 + RELATIVE_TOLERANCE):
        text = COLUMNS["frequency_hz"].text
        yield "frequency_hz", f"{text(asked)} cannot exist: its voltage carries at most {text(highest)}"
    for name, value in known.items():
        low, high = (known.get(end) for end in bounds(name))
        if (low is not None and low > value) or (high is not None and high < value):
            yield name, f"{value:g} lies outside its own interval, {low} to {high}"
    if "domain_distance" not in known:
        yield "domain_distance", "is missing: nothing tells whether the model was asked outside its domain"


def number(columns: Mapping[str, Any], name: str) -> float | None:
    """Return a column as a number, or None where it is not known."""
    value = columns.get(name)
    return None if value is None else float(value)
