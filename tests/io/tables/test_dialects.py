"""Delimited text in every dialect: delimiter, decimal sign, quotes, line ends and encoding change no cell."""

import csv
import gzip
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.io.tables.read import read_table

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1")
HEADER = ["Modell", "Sparsity [%]", "Größe", "Latency, ms", "Bits"]
# A name with every delimiter, a quote, an umlaut and a line break, and a number that only one decimal sign explains.
FIRST = ['a;b,c|d\t"é"\nf', "12.5", "", "-0.5", "32"]

NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.just(""),
)
ROWS = st.lists(
    st.tuples(st.sampled_from(["net", "größer", "b|c", ""]), NUMBERS, NUMBERS, NUMBERS, st.integers(1, 32).map(str)),
    max_size=8,
)


def written(rows: list[list[str]], *, delimiter: str, sign: str, quoting: int, line_end: str) -> str:
    """Return a table as text in a dialect; `sign` is the decimal sign of all columns but the first."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow(HEADER)
    writer.writerows([row[0], *[cell.replace(".", sign) for cell in row[1:]]] for row in rows)
    return text.getvalue()


def read(content: bytes, name: str = "table.csv") -> "tuple[list[str], list[list[str]]]":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        table = read_table(path)
    return table.header, table.rows


@settings(max_examples=40)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    sign=st.sampled_from(".,"),
    encoding=st.sampled_from(ENCODINGS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    is_packed=st.booleans(),
)
def test_a_dialect_changes_no_cell(
    rows: list[tuple[str, ...]], delimiter: str, sign: str, encoding: str, quoting: int, line_end: str, is_packed: bool
) -> None:
    table = [FIRST, *map(list, rows)]
    text = written(table, delimiter=delimiter, sign=sign, quoting=quoting, line_end=line_end)
    content = text.encode(encoding)
    header, cells = read(gzip.compress(content) if is_packed else content, "t.csv.gz" if is_packed else "t.txt")

    assert header == HEADER
    assert cells == [row for row in table if any(row)]


@settings(max_examples=30)
@given(
    values=st.lists(st.integers(0, 10**9), min_size=1), sign=st.sampled_from(".,"), mark=st.sampled_from(",.' \u202f")
)
def test_grouped_thousands_are_numbers(values: list[int], sign: str, mark: str) -> None:
    """In a file whose decimal sign is known from another column, as 1.234.567 is not a decimal."""
    assume(mark != sign)
    lines = [f"0{sign}5;" + f"{value:,}".replace(",", mark) for value in values]
    _, cells = read(("x;n\n" + "\n".join(lines)).encode())

    assert cells == [["0.5", str(value)] for value in values]


@pytest.mark.parametrize(
    ("text", "cells", "note"),
    [
        ("a;b\n8,443;1\n", ["8.443", "1"], "'8,443' in 'a' is read as 8.443, with a decimal comma"),
        ('a,b\n"8,443",1\n', ["8443", "1"], "commas group thousands in 'a': '8,443' is read as 8443"),
        ("a;b\n8.443;1\n", ["8.443", "1"], "semicolons between columns, decimal points"),
        ("a;b\n8.443;0,5\n", ["8443", "0.5"], "points group thousands in 'a': '8.443' is read as 8443"),
        ("a;b\n8,443;0.5\n", ["8443", "0.5"], "commas group thousands in 'a': '8,443' is read as 8443"),
        ("a;b\n93,3 %;1,5 ms\n", ["93.3 %", "1.5 ms"], "semicolons between columns, decimal commas"),
        ("a;b\n1.5;0,5\n", ["1.5", "0.5"], "semicolons between columns, decimal commas"),
        ("a;b\n01.02.2024;0,5\n", ["01.02.2024", "0.5"], "semicolons between columns, decimal commas"),
        ("sep=;\na;b\n1;2\n", ["1", "2"], "semicolons between columns, decimal points"),
    ],
)
def test_the_reading_of_signs_is_told(tmp_path: Path, text: str, cells: list[str], note: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_table(path)

    assert table.rows == [cells]
    assert note in table.notes


def test_a_column_with_both_signs_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n0,5;1\n0.5;1\n")
    table = read_table(path)

    assert [row[0] for row in table.rows] == ["0,5", "0.5"]
    assert "'a' mixes decimal commas and points ('0,5' and '0.5'): its cells stay as they are" in table.notes


def test_row_numbers_are_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\na,b\n"x\ny",1\n\n;,\nz,2\n,,\n')

    assert read_table(path).numbers == [3, 6, 7]


def test_empty_columns_at_the_end_are_cut_and_nameless_ones_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",a,b,,\n0,1,2,,\n1,3,4,,,\n")
    table = read_table(path)

    assert table.header == ["", "a", "b"]
    assert table.notes == ("column 1 has no name and is left out",)


def test_ragged_rows_are_one_fault_a_width(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n1,2\n1\n1,2,3\n")

    with pytest.raises(InvalidFile, match=r"(?s)rows 2, 4: have 1 cells.*row 5: has 3 cells, the header has 2"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b",,\n", "row 1: there is no header"),
        (b'a,b\n1,"2\n', "row 2: is not CSV: unexpected end of data"),
        (b"a,b\n\x001,2\n", "row 2: holds a NUL byte"),
        (b"a,b\n\x81\xff,2\n", "byte 4: is neither UTF-8 nor Latin-1 text"),
        (b"\xff\xfea\x00,\x00\x00\xd8", "byte 6: is not UTF-16 text"),
        (b"a,b\n1,2\n1,2,3\n", "row 3: has 3 cells, the header has 2"),
        (b"\x1f\x8b\x08\x00broken", "is a damaged gzip file"),
        (gzip.compress(b"a,b\n1,2\n" * 50, mtime=0)[:-12], "is a damaged gzip file"),
        (b"SQLite format 3\x00", "an Optuna storage is read as sqlite:///"),
        (b'{"op_code": 0, "worker_id": "x"}\n', "an Optuna storage is read as journal://"),
        (b"\xd0\xcf\x11\xe0", r"is a spreadsheet of Excel 97 \(\.xls\)"),
    ],
)
def test_a_broken_file_is_refused_with_place_and_fix(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)

    with pytest.raises(InvalidFile, match=message) as caught:
        read_table(path)

    assert all(fault.fix for fault in caught.value.faults)
