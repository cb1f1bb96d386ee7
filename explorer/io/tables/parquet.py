"""Parquet tables, read by pyarrow (extra `parquet`); nested columns become dotted ones."""

import io
from typing import TYPE_CHECKING, Any

from explorer.errors import Fault, InvalidFile, MissingPart
from explorer.io.csv_text import MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from explorer.io.files import MAX_TABLE_BYTES
from explorer.io.tables.assembly import CellGrid, cell_text, size_fault

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, Table
    from pyarrow.parquet import ParquetFile


def read_parquet(content: bytes, *, source: str) -> CellGrid:
    """Read a Parquet file; its metadata are checked before memory is allocated.

    Raises:
        InvalidFile: the file is damaged or too large.
        MissingPart: pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingPart("pyarrow", needed_for=f"{source}, a Parquet file,", extra="parquet") from None
    try:
        names = [field.name for field in parquet.read_schema(io.BytesIO(content)) if _is_text(field.type)]
        # A long text that repeats is kept once: decoded, a small file could fill any memory.
        file = parquet.ParquetFile(io.BytesIO(content), read_dictionary=names)
        _check_size(file, source=source)
        table = _flat(file.read())
        header = table.column_names
        columns = [_texts(column) for column in table.columns]
    except InvalidFile:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged footer raises whatever the lookup in it meets
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        fault = Fault("", f"is a damaged Parquet file: {reason}", "write it again, or restore it from a copy")
        raise InvalidFile(source, [fault]) from None
    rows = [list(row) for row in zip(*columns, strict=True)]
    return CellGrid(list(header), rows, list(range(1, len(rows) + 1)))


def _check_size(file: "ParquetFile", *, source: str) -> None:
    n_rows, n_columns = file.metadata.num_rows, file.metadata.num_columns
    if n_rows > MAX_ROWS or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
        raise size_fault(source, n_rows, n_columns)
    n_bytes = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if n_bytes > MAX_TABLE_BYTES:
        what, fix = f"unpacks to {n_bytes:,} bytes", f"keep it under {MAX_TABLE_BYTES:,} bytes"
        raise InvalidFile(source, [Fault("", what, fix)])


def _is_text(kind: Any) -> bool:
    return str(kind) in {"string", "large_string", "binary", "large_binary"}


def _flat(table: "Table") -> "Table":
    while any(str(field.type).startswith("struct<") for field in table.schema):
        table = table.flatten()
    return table


def _texts(column: "ChunkedArray[Any]") -> list[str]:
    if str(column.type).startswith("dictionary<"):
        texts: list[str] = []
        for chunk in column.chunks:
            names = [cell_text(value) for value in chunk.dictionary.to_pylist()]
            texts += ["" if i is None else names[i] for i in chunk.indices.to_pylist()]
        return texts
    # float32 keeps its own shortest text; as Python's float it would have 17 digits.
    is_narrow = str(column.type) in {"float", "halffloat"}
    return [cell_text(value) for value in (column.to_numpy() if is_narrow else column.to_pylist())]
