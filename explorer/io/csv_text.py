"""CSV tables of text cells: bounded reading, with ragged rows and duplicate headers as faults."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import Fault, InvalidFile, limit_faults
from explorer.io.files import MAX_TABLE_BYTES, read_text

MAX_ROWS = 1_000_000
MAX_COLUMNS = 1_000


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Text cells of a CSV; `numbers` are the line numbers of the rows in the file, blank lines counted."""

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    text: str

    def cells(self, name: str, *, index: int | None = None) -> list[str]:
        """Return the stripped cells of a column; `index` selects among columns of the same name."""
        at = self.header.index(name) if index is None else index
        return [row[at].strip() for row in self.rows]

    def without(self, names: Sequence[str]) -> "CsvTable":
        """Return the table with some columns renamed to '', so that look-ups by name skip them."""
        return CsvTable(["" if name in names else name for name in self.header], self.rows, self.numbers, self.text)

    def keep(self, mask: Sequence[bool]) -> "CsvTable":
        """Return the rows where `mask` is true."""
        rows = [row for row, is_selected in zip(self.rows, mask, strict=True) if is_selected]
        numbers = [number for number, is_selected in zip(self.numbers, mask, strict=True) if is_selected]
        return CsvTable(self.header, rows, numbers, self.text)


def read_csv(path: Path) -> CsvTable:
    """Read a CSV with a header; blank lines are skipped.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is not a comma-separated table of UTF-8 text, too large, or has rows of unequal length.
    """
    text = read_text(path, max_bytes=MAX_TABLE_BYTES)
    if "\0" in text:
        row = f"row {text[: text.index(chr(0))].count(chr(10)) + 1}"
        raise InvalidFile(path, [Fault(row, "holds a NUL byte: this is not a text file", "save it as UTF-8 CSV")])
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InvalidFile(path, [Fault("", f"is not CSV: {error}", "save it as comma-separated values")]) from None
    header = [name.strip() for name in lines[0]]
    _check_delimiter(path, header)
    if len(header) > MAX_COLUMNS or len(lines) > MAX_ROWS:
        what = f"has {len(lines):,} rows of {len(header):,} columns"
        raise InvalidFile(path, [Fault("", what, f"keep it under {MAX_ROWS:,} rows and {MAX_COLUMNS:,} columns")])
    numbered = [(i, line) for i, line in enumerate(lines[1:], start=2) if any(cell.strip() for cell in line)]
    ragged = [
        Fault(f"row {i}", f"has {len(line)} cells, the header has {len(header)}", "give every row as many cells")
        for i, line in numbered
        if len(line) != len(header)
    ]
    if ragged:
        raise InvalidFile(path, limit_faults(ragged))
    return CsvTable(header, [line for _, line in numbered], [i for i, _ in numbered], text)


def _check_delimiter(path: Path, header: Sequence[str]) -> None:
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and delimiter in header[0]:
            what = f"its columns are separated by {name}"
            raise InvalidFile(path, [Fault("row 1", what, "save it with commas between columns and points in numbers")])


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
