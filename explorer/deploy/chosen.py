"""Reading a chosen configuration: an untrusted file, checked before anything is made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import Fault, InvalidFile, NoFeasibleDesign
from explorer.files import MAX_DECLARATION_BYTES, sha256
from explorer.problem.chosen_file import ChosenFile
from explorer.problem.columns import COLUMNS, KNOBS, bounds
from explorer.problem.declare import read_json
from explorer.problem.domain import is_extrapolated
from explorer.problem.operating import RELATIVE_TOLERANCE

_AGAIN = "choose again with `explorer choose`; do not edit the file by hand"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen configuration as read, with the SHA-256 of its file."""

    file: ChosenFile
    sha256: str

    @property
    def is_extrapolated(self) -> bool:
        """Whether the file says so, or its distance to the samples does."""
        distance = self.file.design.columns.get("domain_distance")
        return self.file.is_extrapolated or (distance is not None and bool(is_extrapolated(distance)))


def read_chosen(path: Path) -> Chosen:
    """Read a chosen.json.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is not what `explorer choose` writes; all faults at once.
    """
    file = read_json(path, ChosenFile, max_bytes=MAX_DECLARATION_BYTES)
    faults = [Fault(f"[design] {name}", what, _AGAIN) for name, what in _faults(file)]
    if faults:
        raise InvalidFile(path, faults)
    return Chosen(file, sha256(path.read_bytes()))


def refuse_what_nobody_should_ship(chosen: Chosen, *, allow_extrapolation: bool) -> None:
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


def _faults(file: ChosenFile) -> Iterator[tuple[str, str]]:
    columns = file.design.columns
    numeric = {name for name in COLUMNS if name not in KNOBS}
    ends = {end for name in numeric for end in bounds(name)}
    known: dict[str, float] = {}
    for name in (name for name in columns if name in numeric | ends):
        value = columns[name]
        if isinstance(value, bool | str):
            yield name, f"is {value!r:.40}, not a number"
        elif value is not None:
            known[name] = float(value)
    yield from _impossible(file, known)
    for name in file.provenance.question.objectives:
        if name not in columns or columns[name] is None:
            yield name, "is missing, though it is an objective of the study"


def _impossible(file: ChosenFile, known: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    highest = known.get("frequency_max_hz")
    asked = file.design.frequency_hz
    if highest is not None and asked > highest * (1 + RELATIVE_TOLERANCE):
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
