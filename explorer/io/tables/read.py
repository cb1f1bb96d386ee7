"""Reader of tables: the format is recognized from the content of a file, whatever its name."""

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import Fault, InvalidFile
from explorer.io.csv_text import CsvTable
from explorer.io.files import MAX_TABLE_BYTES, read_bytes
from explorer.io.tables.assembly import table_of
from explorer.io.tables.delimited import decode_table, read_delimited
from explorer.io.tables.json_records import read_json_table

if TYPE_CHECKING:
    from explorer.io.tables.frame import Table

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".gz", ".json", ".jsonl", ".ndjson", ".xlsx", ".ods", ".parquet")

_JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
# Formats that are recognized, but not read: (first bytes, what it is, what to do).
_OTHER_FORMATS = (
    (b"SQLite format 3\0", "is an SQLite database, not a table", "an Optuna storage is read as sqlite:///{source}"),
    (
        b"\xd0\xcf\x11\xe0",
        "is a spreadsheet of Excel 97 (.xls), or has a password",
        "save it as .xlsx, without a password",
    ),
    (b'{"op_code"', "is a journal of Optuna, not a table", "an Optuna storage is read as journal://{source}"),
    (b"%PDF", "is a PDF", "save the table as .xlsx or CSV"),
)


def read_table(table: "Table | CsvTable", *, name: str = "samples") -> CsvTable:
    """Read a table of any format as text cells, in which every number has a decimal point.

    The format is recognized from the content: delimited text (commas, semicolons, tabs, bars; decimal points or commas;
    UTF-8, UTF-16 and UTF-32 with a byte order mark, Latin-1), JSON records or lines, xlsx, ods, Parquet, and all
    of these compressed by gzip.

    Args:
        table: a path, a DataFrame, a mapping of column names to values, or a table that was read already.
        name: name of a table without a file, in messages.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is no table, damaged, too large, or has rows of unequal length.
        MissingPart: the package that reads the format is not installed.
    """
    if isinstance(table, CsvTable):
        return table
    if not isinstance(table, (str, Path)):
        from explorer.io.tables.frame import read_dataframe

        return table_of(read_dataframe(table, source=name), source=name)
    path = Path(table).expanduser()
    return _table_of_bytes(read_bytes(path, max_bytes=MAX_TABLE_BYTES), source=str(path))


def _table_of_bytes(content: bytes, *, source: str) -> CsvTable:
    if content.startswith(b"\x1f\x8b"):
        content = _unpacked(content, source=source)
    if content.startswith(b"PK\x03\x04"):
        from explorer.io.tables.spreadsheet import read_spreadsheet

        return table_of(read_spreadsheet(content, source=source), source=source)
    if content.startswith(b"PAR1"):
        from explorer.io.tables.parquet import read_parquet

        return table_of(read_parquet(content, source=source), source=source)
    for magic, what, fix in _OTHER_FORMATS:
        if content.startswith(magic):
            raise InvalidFile(source, [Fault("", what, fix.format(source=source))])
    text, encoding = decode_table(content, source=source)
    if _is_json(text, source):
        return table_of(read_json_table(text, source=source), source=source, text=text, encoding=encoding)
    return table_of(read_delimited(text, source=source), source=source, text=text, encoding=encoding)


def _is_json(text: str, source: str) -> bool:
    """Return whether a text is JSON by its first characters; a CSV may begin with a bracket, but not so."""
    return (
        bool(re.match(r'\s*(\[\s*[{\]]|\{\s*["}])', text)) or Path(source.removesuffix(".gz")).suffix in _JSON_SUFFIXES
    )


def _unpacked(content: bytes, *, source: str) -> bytes:
    """Unpack a gzip file, up to the size of a table."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidFile(source, [Fault("", f"is a damaged gzip file: {error}", "copy the file again")]) from None
    if len(unpacked) > MAX_TABLE_BYTES:
        what = f"unpacks to more than {MAX_TABLE_BYTES:,} bytes"
        raise InvalidFile(source, [Fault("", what, f"keep it under {MAX_TABLE_BYTES:,} bytes")])
    return unpacked
