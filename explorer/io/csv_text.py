"""Tables of text cells: the form in which every table of a user is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from explorer.errors import Fault

MAX_ROWS = 1_000_000
MAX_COLUMNS = 1_000
MAX_CELLS = 50_000_000


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Text cells of a table, with a point in every number.

    Args:
        header: names of the columns; '' for a column that look-ups by name skip.
        rows: cells of each row, as many as the header has names.
        numbers: line number in the file of each row, blank lines counted; the header of a CSV is line 1.
        text: content of the file, or the rows as CSV where the source is no text.
        source: path or name of the table, for messages.
        notes: how the file was read, one line each.
        directions: 'min' or 'max' of columns that are known to be objectives, as those of an Optuna study are.
    """

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    text: str
    source: str = ""
    notes: tuple[str, ...] = ()
    directions: Mapping[str, str] = field(default_factory=dict)

    def cells(self, name: str, *, index: int | None = None) -> list[str]:
        """Return the stripped cells of a column; `index` selects among columns of the same name."""
        at = self.header.index(name) if index is None else index
        return [row[at].strip() for row in self.rows]

    def without(self, names: Sequence[str]) -> "CsvTable":
        """Return the table with some columns renamed to '', so that look-ups by name skip them."""
        return replace(self, header=["" if name in names else name for name in self.header])

    def keep(self, mask: Sequence[bool]) -> "CsvTable":
        """Return the rows where `mask` is true."""
        rows = [row for row, is_selected in zip(self.rows, mask, strict=True) if is_selected]
        numbers = [number for number, is_selected in zip(self.numbers, mask, strict=True) if is_selected]
        return replace(self, rows=rows, numbers=numbers)


def header_faults(header: Sequence[str]) -> list[Fault]:
    """Return a fault for each duplicate column name."""
    return [
        Fault("row 1", f"column '{name}' appears twice", "keep one of them")
        for name in dict.fromkeys(header)
        if name and header.count(name) > 1
    ]


def number_of(cell: str) -> float | None:
    """Parse a cell as a number, else None. Python's extensions (1_000, ١٢) are rejected."""
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def is_numeric(cells: Sequence[str]) -> bool | None:
    """Return True for cells of numbers, False for names, None for a mixture; empty cells count as either."""
    kinds = {number_of(cell) is not None for cell in cells if cell}
    return None if len(kinds) == 2 else kinds != {False}
