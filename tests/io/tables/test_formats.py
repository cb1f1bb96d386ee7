"""Typed formats: the same rows give the same cells from JSON, spreadsheets, Parquet and DataFrames."""

import gzip
import io
import json
import random
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile, MissingPart
from explorer.io.files import MAX_TABLE_BYTES
from explorer.io.tables.json_records import read_json_table
from explorer.io.tables.read import read_table

FRAME = pd.DataFrame({
    "family": ["größer", "a,b", ""],
    "bits": [8, 32, 4],
    "x": [0.1, 1 / 3, np.nan],
    "y": [1e-300, -2.5e17, 3.125],
    "is_on": [True, False, True],
})  # fmt: skip
# A spreadsheet has neither integers nor floats of 300 digits: 32.0 is 32.
CELLS = [
    ["größer", "8", "0.1", "1e-300", "True"],
    ["a,b", "32", repr(1 / 3), "-2.5e+17", "False"],
    ["", "4", "", "3.125", "True"],
]


def rows_of(frame: pd.DataFrame) -> list[dict[str, object]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.mark.parametrize("name", ["t.xlsx", "t.ods", "t.parquet", "t.json", "columns.json", "t.jsonl", "pandas.json"])
def test_a_format_gives_the_cells_of_the_dataframe(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix in {".xlsx", ".ods"}:
        FRAME.to_excel(path, index=False)
    elif path.suffix == ".parquet":
        FRAME.to_parquet(path)
    elif name == "pandas.json":
        FRAME.to_json(path, double_precision=15)
    elif name == "columns.json":
        path.write_text(json.dumps({column: [row[column] for row in rows_of(FRAME)] for column in FRAME}))
    else:
        lines = [json.dumps(row) for row in rows_of(FRAME)]
        path.write_text("\n".join(lines) if name == "t.jsonl" else f"[{', '.join(lines)}]")
    table, frame = read_table(path), read_table(FRAME)

    assert frame.rows == CELLS
    assert table.header == frame.header == list(FRAME)
    if name != "pandas.json":  # its fixed decimals lose the small number
        assert table.rows == CELLS
    else:
        assert [[*row[:2], *row[4:]] for row in table.rows] == [[*row[:2], *row[4:]] for row in CELLS]


@settings(max_examples=30)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_numbers_keep_their_last_digit(values: list[float]) -> None:
    narrow = np.clip(values, -1e38, 1e38).astype(np.float32)
    table = read_table({"x": values, "float32": narrow})

    assert [float(row[0]) for row in table.rows] == values
    assert [np.float32(row[1]) for row in table.rows] == narrow.tolist()


def test_a_german_spreadsheet_may_hold_its_numbers_as_text(tmp_path: Path) -> None:
    path = tmp_path / "messung.xlsx"
    pd.DataFrame({"Top-1 [%]": ["93,33", "92,9"], "Takt [MHz]": [600, 1200]}).to_excel(path, index=False)
    table = read_table(path)

    assert table.rows == [["93.33", "600"], ["92.9", "1200"]]
    assert table.notes == ("decimal commas",)


def test_the_first_sheet_with_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"About": ["measured in May"]}).to_excel(writer, sheet_name="Info", index=False)
        frame = pd.DataFrame({"a": [1, 2], "b": [3, None]})
        frame.to_excel(writer, sheet_name="Data", index=False, startrow=2, startcol=0)
        writer.sheets["Data"]["A1"] = "Second run"
    table = read_table(path)

    assert (table.header, table.rows, table.numbers) == (["a", "b"], [["1", "3"], ["2", ""]], [4, 5])
    assert table.notes == (
        "sheet 'Data' is read, the others are not: Info",
        "row 1 is no header and is skipped: Second run",
    )


def test_nested_records_become_dotted_columns() -> None:
    text = '{"version": 2, "runs": [{"config": {"sparsity": 0.30, "net": {"bits": 8}}, "acc": NaN, "tags": ["a"]}, {}]}'
    table = read_json_table(text, source="t.json")

    assert table.header == ["config.sparsity", "config.net.bits", "acc", "tags"]
    assert table.rows == [["0.30", "8", "", '["a"]'], ["", "", "", ""]]


def test_nested_parquet_columns_become_dotted_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame(
        {"config": [{"bits": 8, "net": {"name": "a"}}] * 2, "n": pd.array([1, None], dtype="Int64")}
    ).to_parquet(path)
    table = read_table(path)

    assert table.header == ["config.bits", "config.net.name", "n"]
    assert table.rows == [["8", "a", "1"], ["8", "a", ""]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, 2]', "is JSON, but no table"),
        ("[[1, 2], [3, 4]]", "is JSON, but no table"),
        ("{}", "has no columns"),
        ('{"a": [1, 2], "b": [1]}', "b: fewer values than the longest of the columns, 2"),
        ('[{"a": 1},', "line 1: is not JSON"),
        ('{"a": 1}\n{"a": 2\n{"a": 3}', "line 2: is not JSON"),
        ("[" * 100_000, "is nested too deeply|is not JSON"),
        ('{"a": ' * 100_000, "is nested too deeply|is not JSON"),
        (json.dumps([{f"a{i}": 1} for i in range(1001)]), "has 1,001 rows of 1,001 columns"),
    ],
)
def test_json_that_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)

    with pytest.raises(InvalidFile, match=message):
        read_table(path)


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def xlsx(sheet: str, **members: str) -> bytes:
    return zipped(**{"xl/workbook.xml": "<workbook/>", "xl/worksheets/sheet1.xml": sheet, **members})


def ods(rows: str) -> bytes:
    return zipped(**{"content.xml": f"<table:table>{rows}</table:table>"})


def lying(content: bytes, name: bytes, size: int) -> bytes:
    """Return an archive whose directory states another unpacked size of a member."""
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    return content[: at + 24] + size.to_bytes(4, "little") + content[at + 28 :]


SHARED = {"xl/sharedStrings.xml": f"<sst><si><t>{'x' * 30_000}</t></si></sst>"}
CELL = (
    '<table:table-cell office:value-type="string" table:number-columns-repeated="{n}">'
    "<text:p>{text}</text:p></table:table-cell>"
)
ROW = '<table:table-row table:number-rows-repeated="{n}">{cells}</table:table-row>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 no zip at all", "is no readable spreadsheet"),
        (zipped(**{"a.csv": "x"}), "is a zip archive, not a spreadsheet"),
        (xlsx("no xml <"), "is no readable spreadsheet"),
        (xlsx('<c r="A1"><v>1</v></c><c r="XFD1048576"><v>1</v></c>'), "has 1,048,576 rows of 16,384 columns"),
        (xlsx('<c r="A1" t="s"><v>0</v></c>' * 7_000, **SHARED), r"unpacks to 210,\d+,\d+ bytes"),
        (lying(xlsx("<c/>" * 9_000), b"xl/worksheets", MAX_TABLE_BYTES + 1), "unpacks to 200,000,"),
        (lying(xlsx("<c/>" * 9_000), b"xl/worksheets", 100), "is no readable spreadsheet: Bad CRC-32"),
        (ods(ROW.format(n=10**6, cells=CELL.format(n=900, text="x"))), "has 1,000,000 rows of 900 columns"),
        (ods(ROW.format(n=10**5, cells=CELL.format(n=90, text="x" * 99))), r"unpacks to 1,\d+,\d+,\d+ bytes"),
        (b"PAR1 no parquet PAR1", "is a damaged Parquet file"),
    ],
    ids=range(10),
)
def test_a_broken_or_huge_file_is_refused_before_it_is_read(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(content)

    with pytest.raises(InvalidFile, match=message):
        read_table(path)


def test_a_parquet_file_is_bounded_by_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": np.zeros(1_000_001, dtype=np.int8)}).to_parquet(path)

    with pytest.raises(InvalidFile, match="has 1,000,001 rows of 1 columns"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [("t.xlsx", "python_calamine", "pip install python-calamine"), ("t.parquet", "pyarrow", "pip install pyarrow")],
)
def test_a_missing_reader_is_told_with_its_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, install: str
) -> None:
    path = tmp_path / name
    FRAME.to_excel(path, index=False) if name == "t.xlsx" else FRAME.to_parquet(path)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingPart, match=install) as caught:
        read_table(path)

    assert caught.value.exit_code == 5


def test_a_mapping_of_uneven_columns_is_refused() -> None:
    with pytest.raises(InvalidFile, match="samples: is not a table of columns"):
        read_table({"a": [1, 2], "b": [1]})


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Files of every format with the same rows."""
    buffers = {name: io.BytesIO() for name in ("xlsx", "ods", "parquet")}
    FRAME.to_excel(buffers["xlsx"], index=False, engine="openpyxl")
    FRAME.to_excel(buffers["ods"], index=False, engine="odf")
    FRAME.to_parquet(buffers["parquet"])
    texts = {"json": FRAME.to_json(), "csv": FRAME.to_csv(sep=";", decimal=",")}
    return {name: buffer.getvalue() for name, buffer in buffers.items()} | {
        "json": texts["json"].encode(),
        "utf-16": texts["csv"].encode("utf-16"),
        "gzip": gzip.compress(texts["csv"].encode()),
    }


@settings(max_examples=80)
@given(kind=st.sampled_from(["xlsx", "ods", "parquet", "json", "utf-16", "gzip"]), seed=st.integers(0, 2**32))
def test_a_damaged_file_is_read_or_refused_with_a_fix(contents: dict[str, bytes], kind: str, seed: int) -> None:
    rng, content = random.Random(seed), bytearray(contents[kind])
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(content))
        content[at : at + rng.randint(0, 9)] = rng.randbytes(rng.randint(0, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        path.write_bytes(bytes(content))
        try:
            table = read_table(path)
        except InvalidFile as error:
            assert all(fault.fix for fault in error.faults)  # noqa: PT017 - most are refused
        else:
            assert {len(row) for row in table.rows} <= {len(table.header)}
