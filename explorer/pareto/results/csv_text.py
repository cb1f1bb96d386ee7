"""Lossless CSV of columns: floats are written with the shortest text that reads back as the same number."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.results.results import ANNOTATION_COLUMNS
from explorer.problem.columns import Columns, n_rows, own_knobs

BLOCK = 8_192  # rows formatted at once: a block is a few MB of text, a long study would be hundreds
TEXT_COLUMNS = frozenset({"family", "origin", *ANNOTATION_COLUMNS})
FLAG_COLUMNS = frozenset({"is_feasible", "is_front"})
NUMBER_COLUMN = "design_id"
_FLAGS = {"True": True, "False": False}


def csv_text(columns: Columns, names: Sequence[str]) -> str:
    """Return columns as CSV."""
    return "".join(csv_parts(columns, names))


def csv_parts(columns: Columns, names: Sequence[str]) -> Iterator[str]:
    """Yield columns as CSV, block by block."""
    yield ",".join(map(_quoted, names)) + "\n"
    for begin in range(0, n_rows(columns), BLOCK):
        cells = [format_cells(columns[name][begin : begin + BLOCK], missing="", quoted=_quoted) for name in names]
        yield "\n".join(map(",".join, zip(*cells, strict=True))) + "\n"


def format_cells(values: NDArray[Any], *, missing: str, quoted: Callable[[str], str]) -> list[str]:
    """Return a column's values as texts: the shortest that reads back as the same number; strings are quoted.

    Args:
        values: shape (n,).
        missing: the text of NaN.
        quoted: function that quotes a string; called once for each distinct string.
    """
    listed = values.tolist()
    if values.dtype.kind == "f":
        texts = list(map(repr, listed))
        return [missing if text == "nan" else text for text in texts] if np.isnan(values).any() else texts
    if values.dtype.kind in "biu":
        return list(map(str, listed))
    return _text_cells(listed, missing=missing, quoted=quoted)


def read_results_csv(text: str) -> Columns:
    """Return the columns of a CSV of designs, without `is_front`, which follows from the other columns.

    Raises:
        ValueError, KeyError, csv.Error: the text is not such a CSV.
    """
    header, *body = list(csv.reader(io.StringIO(text))) or [[]]
    if any(len(row) != len(header) for row in body):
        raise ValueError("a row is cut off")
    columns = list(zip(*body, strict=True)) if body else [()] * len(header)
    own = frozenset(own_knobs(dict.fromkeys(header, np.empty(0))))
    return {
        name: _parsed(name, cells, is_own=name in own)
        for name, cells in zip(header, columns, strict=True)
        if name != "is_front"
    }


def csv_round_trip(columns: Columns) -> Columns:
    """Return columns as a CSV round trip would, bit for bit: with its types, and a single NaN pattern."""
    own = frozenset(own_knobs(columns))
    return {name: _cast(name, values, is_own=name in own) for name, values in columns.items()}


def _cast(name: str, values: NDArray[Any], *, is_own: bool) -> NDArray[Any]:
    if values.dtype == np.float64 and name not in TEXT_COLUMNS:
        return np.where(np.isnan(values), np.nan, values)
    if (values.dtype == np.bool_ and name in FLAG_COLUMNS) or (values.dtype == np.int64 and name == NUMBER_COLUMN):
        return values
    return _parsed(name, format_cells(values, missing="", quoted=str), is_own=is_own)


def _parsed(name: str, cells: Sequence[str], *, is_own: bool) -> NDArray[Any]:
    if name in TEXT_COLUMNS or (is_own and not all(map(_is_number, cells))):
        return np.array(cells, dtype=object)
    if name in FLAG_COLUMNS:
        return np.array([_FLAGS[cell] for cell in cells], dtype=np.bool_)
    if name == NUMBER_COLUMN:
        return np.array(list(map(int, cells)), dtype=np.int64)
    return np.array([float(cell or "nan") for cell in cells], dtype=np.float64)


def _text_cells(values: Sequence[Any], *, missing: str, quoted: Callable[[str], str]) -> list[str]:
    """Return the values of an object column, strings or any other type, as texts."""
    if set(map(type, values)) <= {str}:
        texts = {word: quoted(word) for word in set(values)}
        return [texts[word] for word in values]
    is_missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    return [missing if is_nan else quoted(str(value)) for value, is_nan in zip(values, is_missing, strict=True)]


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"' if any(mark in word for mark in ',"\r\n') else word


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
