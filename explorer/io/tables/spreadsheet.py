"""Spreadsheets (xlsx, ods), read by calamine (extra `excel`): the first sheet with a table."""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from explorer.errors import Fault, InvalidFile, MissingPart
from explorer.io.csv_text import MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from explorer.io.files import MAX_TABLE_BYTES
from explorer.io.tables.assembly import CellGrid, cell_text, size_fault

_CELL = re.compile(rb"""\sr=["']([A-Z]{1,3})?(\d{1,9})["']""")
_SHARED = re.compile(rb"""<c\s[^>]*?t=["']s["'][^>]*>\s*<v>(\d{1,9})</v>""")
_ODS_TAG = re.compile(rb"<(/?)table:(table-row|table-cell|covered-table-cell|table)(?=[\s/>])([^>]*)>")
_REPEATED = re.compile(rb"""number-(?:rows|columns)-repeated=["'](\d{1,9})["']""")


def read_spreadsheet(content: bytes, *, source: str) -> CellGrid:
    """Read the first sheet with a table; its first row with two cells or more is the header.

    Sizes are checked before calamine reads: it allocates the rectangle of all cells, and repeats a shared text.

    Raises:
        InvalidFile: the file is no spreadsheet, damaged, without a table, or too large.
        MissingPart: python-calamine is not installed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_sizes(archive, source=source)
    except InvalidFile:
        raise
    except Exception as error:  # noqa: BLE001 - zipfile and its decompressors raise exceptions without a common base
        raise _damaged(source, error) from None
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise MissingPart("python-calamine", needed_for=f"{source}, a spreadsheet,", extra="excel") from None
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = workbook.sheet_names
        sheets = ((name, workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in names)
        found = next(((name, grid) for name, rows in sheets if (grid := _table_in(rows))), None)
    except (CalamineError, ValueError, OSError) as error:
        raise _damaged(source, error) from None
    if found is None:
        fix = "write the names of the columns into a row, and the values below"
        raise InvalidFile(source, [Fault("", f"has no table in its sheets ({', '.join(names)[:200]})", fix)])
    name, grid = found
    if len(names) > 1:
        others = ", ".join(other for other in names if other != name)[:200]
        grid.notes.insert(0, f"sheet '{name}' is read, the others are not: {others}")
    return grid


def _table_in(rows: Sequence[Sequence[Any]]) -> CellGrid | None:
    """Return the table of a sheet: a header of at least two names and a row below it; None without one."""
    filled = [(i, [_sheet_text(value) for value in row]) for i, row in enumerate(rows, 1)]
    filled = [(i, row) for i, row in filled if any(map(str.strip, row))]
    at = next((k for k, (_, row) in enumerate(filled) if sum(map(bool, map(str.strip, row))) > 1), None)
    if at is None or at + 1 == len(filled):
        return None
    skipped = [f"row {i} is no header and is skipped: {' '.join(row).strip()[:60]}" for i, row in filled[:at]]
    below = filled[at + 1 :]
    return CellGrid(filled[at][1], [row for _, row in below], [i for i, _ in below], notes=skipped)


def _sheet_text(value: Any) -> str:
    """Return the text of a cell; a spreadsheet has no integers, so that 32.0 is 32."""
    return cell_text(int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value)


def _check_sizes(archive: zipfile.ZipFile, *, source: str) -> None:
    total = sum(info.file_size for info in archive.infolist())
    if total > MAX_TABLE_BYTES:
        raise _too_large(source, total)
    members = archive.namelist()
    # Reading each member checks the sizes that the archive states: a longer one has another checksum.
    if "content.xml" in members:
        _check_ods(archive.read("content.xml"), source=source)
    elif "xl/workbook.xml" in members:
        _check_xlsx(archive, members, source=source)
    else:
        what = "is a zip archive, not a spreadsheet (xlsx, ods)"
        raise InvalidFile(source, [Fault("", what, "unpack it, or save the table as .xlsx or CSV")])
    for name in members:
        with archive.open(name) as member:
            while member.read(1 << 20):
                pass


def _check_xlsx(archive: zipfile.ZipFile, members: Sequence[str], *, source: str) -> None:
    shared = [name for name in members if name.lower().endswith("sharedstrings.xml")]
    lengths = [len(text) for name in shared for text in archive.read(name).split(b"<si")[1:]]
    n_bytes = 0
    for name in (name for name in members if name.lower().startswith("xl/worksheets/")):
        xml = archive.read(name)
        cells = list(_positions(xml))
        n_rows, n_columns = (max((cell[i] for cell in cells), default=0) for i in (0, 1))
        if n_rows > MAX_ROWS + 1 or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
            raise size_fault(source, n_rows, n_columns)
        indices = (int(match[1]) for match in _SHARED.finditer(xml))
        n_bytes += sum(lengths[i] for i in indices if i < len(lengths))
        if n_bytes > MAX_TABLE_BYTES:
            raise _too_large(source, n_bytes)


def _positions(xml: bytes) -> Iterator[tuple[int, int]]:
    """Yield the row and column of each cell of a sheet, and (row, 0) of each row."""
    columns: dict[bytes | None, int] = {None: 0, b"": 0}
    for match in _CELL.finditer(xml):
        letters = match[1]
        if letters not in columns:
            columns[letters] = sum((letter - 64) * 26**i for i, letter in enumerate(reversed(letters)))
        yield int(match[2]), columns[letters]


def _check_ods(xml: bytes, *, source: str) -> None:
    """Bound the cells of each sheet of an ods, repeated ones counted; empty ones at its ends do not count."""
    n_rows = n_columns = n_pending_rows = n_repeated_rows = n_bytes = row_bytes = width = pending = 0
    tags = list(_ODS_TAG.finditer(xml))
    for tag, following in zip(tags, [*tags[1:], None], strict=True):
        is_end, kind, attributes = bool(tag[1]), tag[2], tag[3]
        match = _REPEATED.search(attributes)
        n_repeated = int(match[1]) if match else 1
        if kind == b"table":
            n_rows = n_columns = n_pending_rows = 0
        elif kind == b"table-row" and not is_end:
            n_repeated_rows, width, pending, row_bytes = n_repeated, 0, 0, 0
            if attributes.endswith(b"/"):
                n_pending_rows += n_repeated
        elif kind == b"table-row":
            n_bytes += row_bytes * n_repeated_rows
            n_columns = max(n_columns, width)
            n_rows, n_pending_rows = (
                (n_rows + n_pending_rows + n_repeated_rows, 0) if width else (n_rows, n_pending_rows + n_repeated_rows)
            )
            if n_rows > MAX_ROWS + 1 or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
                raise size_fault(source, n_rows, n_columns)
            if n_bytes > MAX_TABLE_BYTES:
                raise _too_large(source, n_bytes)
        elif not is_end:
            pending += n_repeated
            if b"value" in attributes or b"formula" in attributes or not attributes.endswith(b"/"):
                width += pending
                pending = 0
                row_bytes += n_repeated * ((following.start() if following else len(xml)) - tag.start())


def _too_large(source: str, n_bytes: int) -> InvalidFile:
    what, fix = f"unpacks to {n_bytes:,} bytes", f"keep it under {MAX_TABLE_BYTES:,} bytes"
    return InvalidFile(source, [Fault("", what, fix)])


def _damaged(source: str, error: Exception) -> InvalidFile:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    what = f"is no readable spreadsheet: {reason}"
    return InvalidFile(source, [Fault("", what, "save it again as .xlsx or CSV, without a password")])
