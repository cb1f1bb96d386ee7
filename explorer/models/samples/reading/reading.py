"""Reading of a table: for every column of the file its name here, its unit, and the reason."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from explorer.errors import Fault
from explorer.problem.columns import KNOBS
from explorer.problem.naming.spellings import strip_tracker, without_unit
from explorer.problem.targets import Target

Kind = Literal[
    "knob", "target", "label", "machine", "count", "reference", "state", "derived", "echo", "bookkeeping", "ignored"
]
BUILT_IN_KNOBS = (*KNOBS, "weight_bits")


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """How one column of a file is read.

    Args:
        column: its header in the file; '' for a derived column.
        kind: what it is.
        name: its column here; '' where it is not used.
        unit: of its cells; '' for a pure number, a name, or a column that is not used.
        scale: value of one unit in SI.
        why: the reason, for the user.
        is_sure: whether the name and the unit are those of explorer, so that nothing was guessed or converted.
    """

    column: str
    kind: Kind
    name: str = ""
    unit: str = ""
    scale: float = 1.0
    why: str = ""
    is_sure: bool = False

    @property
    def read_as(self) -> str:
        """The name of its column here, or what else it is."""
        return self.name if self.kind in {"knob", "target", "derived"} else self.kind


@dataclass(frozen=True, slots=True)
class Reading:
    """How a table is read: one entry for each column of the file, in order, then the derived columns.

    Args:
        columns: the readings of the columns.
        dropped: number in the file, and reason, of each row that is left out.
        undecided: names of columns that may be knobs or only recorded.
        notes: remarks on the reading, for the user.
        faults: what makes the table unreadable.
        targets: declared targets that were recognized.
    """

    columns: tuple[ColumnReading, ...]
    dropped: tuple[tuple[int, str], ...] = ()
    undecided: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    targets: tuple[Target, ...] = ()

    @property
    def own_knobs(self) -> tuple[str, ...]:
        """Names of the user-defined knobs."""
        return tuple(c.name for c in self.columns if c.kind == "knob" and c.name not in BUILT_IN_KNOBS)

    def of(self, name: str) -> ColumnReading | None:
        """Return the reading of the column that is used under a name."""
        return next((one for one in self.columns if one.name == name and one.name), None)

    def converted(self) -> Iterator[ColumnReading]:
        """Yield the knobs and targets whose header or unit is not that of explorer."""
        yield from (one for one in self.columns if one.kind in {"knob", "target", "echo"} and not one.is_sure)

    def column_notes(self) -> Iterator[str]:
        """Yield remarks on columns: what was guessed, converted, derived and left out."""
        for one in self.converted():
            name = "" if one.column == one.name else f" read as {one.name}"
            unit = f" in {one.unit}" if one.unit not in {"", "1"} else ""
            yield f"{one.column} is{','.join(filter(None, (name, unit)))}"
        yield from (f"{one.name} is derived: {one.why}" for one in self.columns if one.kind == "derived")
        unused = [one.column for one in self.columns if one.kind == "ignored" and one.column]
        if unused:
            listed = ", ".join(unused[:8]) + (f" and {len(unused) - 8} more" if len(unused) > 8 else "")
            yield f"columns that are not used: {listed} (`explorer init` says why)"


def own_name(header: str, *, is_optuna: bool = False) -> str:
    """Return the name of a user-defined knob for a header: small letters, digits and _.

    A prefix that ends in '_' (params_) is a tracker's in the table of an Optuna study, else a part of the name.

    >>> own_name("params.Batch-Size"), own_name("Resolution [px]"), own_name("memory_clock_mhz")
    ('batch_size', 'resolution', 'memory_clock_mhz')
    """
    stripped, role = strip_tracker(header)
    removed = header[: len(header) - len(stripped)]
    text = stripped if role and (is_optuna or not removed.endswith("_")) else header
    name = re.sub(r"[^a-z0-9]+", "_", without_unit(text)[0].lower()).strip("_")[:50]
    return name if name[:1].isalpha() else f"k_{name}"
