"""Rows of any format made a table of text cells: ragged rows, empty columns, decimal signs, and a note on them."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from explorer.errors import Fault, InvalidFile, limit_faults, rows_text
from explorer.io.csv_text import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, CsvTable
from explorer.io.tables.decimal_signs import Exact, use_points


@dataclass(slots=True)
class CellGrid:
    """Cells as a format gives them.

    Args:
        header: names of the columns.
        rows: cells of each row; numbers of typed formats are `Exact`.
        numbers: line or row number in the file of each row.
        delimiter: between the columns of a text; '' in other formats.
        dialect: what is unusual about the format, each a few words for the first note.
        notes: further lines for the user.
    """

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]
    delimiter: str = ""
    dialect: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def cell_text(value: Any) -> str:
    """Return the text of a typed value: of a number the shortest that reads as the same one, '' for a missing value."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return "" if math.isnan(value) else Exact(float.__repr__(value))
    if value is None or str(value) in {"NaT", "<NA>", "nan"}:
        return ""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return Exact(value) if isinstance(value, (bool, int, np.generic)) else str(value)


def table_of(grid: CellGrid, *, source: str, text: str | None = None, encoding: str = "") -> CsvTable:
    """Return the table of a grid, with decimal points in all numbers.

    Args:
        grid: the cells, changed in place.
        source: path or name, for messages.
        text: content of the file; None: the table as CSV.
        encoding: of the text, where it is to be told.

    Raises:
        InvalidFile: rows are of unequal length, or there are too many cells.
    """
    n_rows, n_columns = len(grid.rows), len(grid.header)
    if n_rows > MAX_ROWS or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
        raise size_fault(source, n_rows, n_columns)
    grid.header = [str(name).strip() for name in grid.header]
    _trim(grid)
    ragged: dict[int, list[int]] = {}
    for number, row in zip(grid.numbers, grid.rows, strict=True):
        if len(row) != len(grid.header):
            ragged.setdefault(len(row), []).append(number)
    if ragged:
        what, fix = f"cells, the header has {len(grid.header)}", "give every row as many cells"
        raise InvalidFile(source, limit_faults([
            Fault(rows_text(rows), f"{'have' if len(rows) > 1 else 'has'} {n} {what}", fix)
            for n, rows in ragged.items()
        ]))  # fmt: skip
    sign, ambiguities = use_points(grid.header, grid.rows, delimiter=grid.delimiter)
    dialect = list(grid.dialect)
    if sign == ",":
        dialect += ["decimal commas"]
    elif grid.delimiter not in {"", ","}:
        dialect += ["decimal points"]
    dialect += [encoding] if encoding else []
    nameless = [f"column {i} has no name and is left out" for i, name in enumerate(grid.header, 1) if not name]
    notes = ([", ".join(dialect)] if dialect else []) + grid.notes + ambiguities + nameless
    content = _csv_of(grid) if text is None else text
    return CsvTable(grid.header, grid.rows, grid.numbers, content, source, tuple(notes))


def size_fault(source: str, n_rows: int, n_columns: int) -> InvalidFile:
    """Return the error for a table that is too large."""
    what = f"has {n_rows:,} rows of {n_columns:,} columns"
    fix = f"keep it under {MAX_ROWS:,} rows, {MAX_COLUMNS:,} columns and {MAX_CELLS:,} cells"
    return InvalidFile(source, [Fault("", what, fix)])


def _trim(grid: CellGrid) -> None:
    """Cut empty cells beyond the header, and columns at the end that have neither a name nor a value."""
    width = len(grid.header)
    if any(len(row) > width for row in grid.rows):
        grid.rows = [row[:width] if not any(map(str.strip, row[width:])) else row for row in grid.rows]
    while width > 1 and not grid.header[width - 1] and not any(_has_cell(row, width - 1) for row in grid.rows):
        width -= 1
    if width < len(grid.header):
        grid.header = grid.header[:width]
        grid.rows = [row[:width] for row in grid.rows]


def _has_cell(row: Sequence[str], at: int) -> bool:
    return len(row) > at and bool(row[at].strip())


def _csv_of(grid: CellGrid) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([grid.header, *grid.rows])
    return buffer.getvalue()
