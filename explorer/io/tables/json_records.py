"""JSON tables: records, lines of records, or columns; numbers keep their text, nested objects become dotted columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from explorer.errors import Fault, InvalidFile
from explorer.io.csv_text import MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from explorer.io.tables.assembly import CellGrid, cell_text, size_fault
from explorer.io.tables.decimal_signs import Exact

_FIX = "write a list of objects, one an experiment, or an object of lists, one a column"
_MAX_DEPTH = 20


def read_json_table(text: str, *, source: str) -> CellGrid:
    """Read a list of objects, an object of lists (columns), pandas' object of objects, or one object a line.

    Raises:
        InvalidFile: the text is not JSON, no table, or too large.
    """
    value = _parse(text, source=source)
    if isinstance(value, Mapping):
        lists = {name: item for name, item in value.items() if isinstance(item, list)}
        records = [item for item in lists.values() if item and all(isinstance(row, Mapping) for row in item)]
        if len(records) == 1:  # {"runs": [{...}, ...], "version": 2}
            return _of_records(records[0], source=source)
        if value and len(lists) == len(value):
            return _of_columns({name: dict(enumerate(item)) for name, item in lists.items()}, source=source)
        if value and all(isinstance(item, Mapping) for item in value.values()):
            if all(key.isdecimal() for item in value.values() for key in item):  # DataFrame.to_json()
                return _of_columns(value, source=source)
            return _of_records([{"name": name, **item} for name, item in value.items()], source=source)
        return _of_records([value], source=source)
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return _of_records(value, source=source)
    raise InvalidFile(source, [Fault("", "is JSON, but no table", _FIX)])


def _parse(text: str, *, source: str) -> Any:
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        whole = error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2 or not lines[0][1].strip().endswith(("}", "]")):
        raise _not_json(source, getattr(whole, "lineno", 1), whole)
    rows = []
    for number, line in lines:
        try:
            rows.append(_loads(line))
        except (ValueError, RecursionError) as error:
            raise _not_json(source, number, error) from None
    return rows


def _loads(text: str) -> Any:
    # Numbers stay as they are written: the same digits as in a CSV of the same rows.
    return json.loads(
        text, parse_float=Exact, parse_int=Exact, parse_constant=lambda name: "" if name == "NaN" else name
    )


def _not_json(source: str, line: int, error: Exception) -> InvalidFile:
    what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
    return InvalidFile(source, [Fault(f"line {line}", what, "write the file again, or restore it from a copy")])


def _of_records(records: Sequence[Mapping[str, Any]], *, source: str) -> CellGrid:
    """Return the cells of records; their columns are the union of their keys, in order of appearance."""
    flat = [dict(_flatten(record, depth=0)) for record in records]
    header = list(dict.fromkeys(name for row in flat for name in row))
    if len(flat) > MAX_ROWS or len(header) > MAX_COLUMNS or len(flat) * len(header) > MAX_CELLS:
        raise size_fault(source, len(flat), len(header))
    if not header:
        raise InvalidFile(source, [Fault("", "has no columns", _FIX)])
    rows = [[cell_text(row.get(name)) for name in header] for row in flat]
    return CellGrid(header, rows, list(range(1, len(rows) + 1)))


def _of_columns(columns: Mapping[str, Mapping[Any, Any]], *, source: str) -> CellGrid:
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    uneven = [name for name, column in columns.items() if len(column) != len(keys)]
    if uneven:
        what = f"{', '.join(uneven[:5])}: fewer values than the longest of the columns, {len(keys)}"
        raise InvalidFile(source, [Fault("", what, "give every column as many values, null where one is missing")])
    if len(keys) > MAX_ROWS or len(columns) > MAX_COLUMNS or len(keys) * len(columns) > MAX_CELLS:
        raise size_fault(source, len(keys), len(columns))
    return _of_records([{name: column[key] for name, column in columns.items()} for key in keys], source=source)


def _flatten(value: Mapping[str, Any], *, depth: int, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item and depth < _MAX_DEPTH:
            yield from _flatten(item, depth=depth + 1, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
