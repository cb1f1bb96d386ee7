"""Delimited text (CSV, TSV and their dialects): encoding and delimiter are recognized from the content."""

import codecs
import contextlib
import csv
import io
import re

from explorer.errors import Fault, InvalidFile
from explorer.io.csv_text import MAX_COLUMNS, MAX_ROWS
from explorer.io.tables.assembly import CellGrid, size_fault

# In the order of preference where a header can be divided by several.
_DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_N_SAMPLED = 100_000  # characters from which the delimiter is recognized
_SAVE_AS_TEXT = "save it as CSV, in UTF-8"


def decode_table(content: bytes, *, source: str) -> tuple[str, str]:
    """Return the text of a file without its byte order mark, and its encoding for people; '' for plain UTF-8.

    Bytes that are not UTF-8 are read as Windows-1252, of which Latin-1's printable characters are a part.

    Raises:
        InvalidFile: the file is empty, or not text.
    """
    mark, codec, label = next((one for one in _BYTE_ORDER_MARKS if content.startswith(one[0])), (b"", "utf-8", ""))
    try:
        text = content[len(mark) :].decode(codec)
    except UnicodeDecodeError as error:
        if label:
            raise _invalid(source, f"byte {error.start + len(mark)}", f"is not {label} text", _SAVE_AS_TEXT) from None
        text, label = _decode_windows(content, source=source), "Windows-1252 (Latin-1)"
    if not text.strip():
        raise _invalid(source, "", "the file is empty", "write it, or restore it from a copy")
    if "\0" in text:
        row = f"row {text[: text.index(chr(0))].count(chr(10)) + 1}"
        raise _invalid(source, row, "holds a NUL byte: this is not a text file", _SAVE_AS_TEXT)
    return text, label


def _decode_windows(content: bytes, *, source: str) -> str:
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise _invalid(source, f"byte {error.start}", "is neither UTF-8 nor Latin-1 text", _SAVE_AS_TEXT) from None


def read_delimited(text: str, *, source: str) -> CellGrid:
    """Read delimited text with a header; blank rows are skipped, and so is Excel's line `sep=;`.

    Raises:
        InvalidFile: quotes are unbalanced, or there are too many rows or columns.
    """
    stated = re.match(r'"?sep=([,;|\t])"?\r?\n', text)
    body = text[stated.end() :] if stated else text
    delimiter = stated[1] if stated else _delimiter(body)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    offset = 1 + bool(stated)
    records: list[list[str]] = []
    numbers: list[int] = []
    start = offset
    try:
        for record in reader:
            if any(map(str.strip, record)):
                records.append(record)
                numbers.append(start)
                if len(records) > MAX_ROWS + 1 or len(record) > MAX_COLUMNS:
                    raise size_fault(source, len(records), len(record))
            start = reader.line_num + offset
    except csv.Error as error:
        fix = "save it as comma-separated values"
        raise _invalid(source, f"row {reader.line_num + bool(stated)}", f"is not CSV: {error}", fix) from None
    if not records:
        raise _invalid(source, "row 1", "there is no header", "write the names of the columns in the first row")
    dialect = () if delimiter == "," else (f"{_DELIMITERS[delimiter]} between columns",)
    return CellGrid(records[0], records[1:], numbers[1:], delimiter=delimiter, dialect=dialect)


def _delimiter(text: str) -> str:
    """Return the delimiter that gives most of the first rows as many cells as the header; a comma without any."""
    sample = text[:_N_SAMPLED]
    if len(text) > len(sample):  # the last row may be cut
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    scores = {delimiter: _regularity(sample, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best][1] > 1 else ","


def _regularity(sample: str, delimiter: str) -> tuple[float, int]:
    """Return the share of rows as wide as the header, and that width; (0, 1) for a single column."""
    widths: list[int] = []
    with contextlib.suppress(csv.Error):  # a field longer than csv's limit
        records = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        widths.extend(len(record) for record in records if any(map(str.strip, record)))
    return (widths.count(widths[0]) / len(widths), widths[0]) if widths and widths[0] > 1 else (0.0, 1)


def _invalid(source: str, where: str, what: str, fix: str) -> InvalidFile:
    return InvalidFile(source, [Fault(where, what, fix)])
