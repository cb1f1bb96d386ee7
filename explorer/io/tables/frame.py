"""DataFrames and mappings of columns as text cells, so that they are checked as files are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import Fault, InvalidFile
from explorer.io.csv_text import MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from explorer.io.tables.assembly import CellGrid, cell_text, size_fault

Table = str | Path | pd.DataFrame | Mapping[str, Any]


def read_dataframe(table: pd.DataFrame | Mapping[str, Any], *, source: str) -> CellGrid:
    """Read a DataFrame or a mapping of columns; the index is not a column.

    Raises:
        InvalidFile: the columns of a mapping differ in length, or there are too many.
    """
    try:
        frame = pd.DataFrame(table)
    except ValueError as error:
        fix = "give every column as many values"
        raise InvalidFile(source, [Fault("", f"is not a table of columns: {error}", fix)]) from None
    n_rows, n_columns = frame.shape
    if n_rows > MAX_ROWS or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
        raise size_fault(source, n_rows, n_columns)
    levels = [frame.columns.get_level_values(i).map(str) for i in range(frame.columns.nlevels)]
    header = [".".join(filter(None, names)) for names in zip(*levels, strict=True)]
    columns = [_texts(frame.iloc[:, i]) for i in range(n_columns)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return CellGrid(header, rows, list(range(2, n_rows + 2)))


def _texts(column: "pd.Series[Any]") -> list[str]:
    # Values of numpy's float32 keep their own shortest text; as Python floats they would have 17 digits.
    is_narrow = str(column.dtype) in {"float32", "float16"}
    return [cell_text(value) for value in (column.to_numpy() if is_narrow else column.tolist())]
