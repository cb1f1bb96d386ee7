"""Columns of a CSV as arrays in SI: every fault with its row, column, value and allowed range."""

import numpy as np

from explorer.errors import Fault
from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import Float, allowed_text, is_allowed


def read_names(
    name: str, table: CsvTable, *, index: int | None = None
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.object_]], list[Fault]]":
    """Return a column of names, shape (n,), and a fault for each empty cell.

    Args:
        name: name of the column.
        table: the file.
        index: index of the column in the header, if its name is not unique.
    """
    cells = table.cells(name, index=index)
    fix = "name the network family" if name == "family" else "name its value"
    faults = [
        Fault(f"row {number}, {name}", "is empty", fix)
        for number, cell in zip(table.numbers, cells, strict=True)
        if not cell
    ]
    return np.array(cells, dtype=object), faults


def read_numbers(
    name: str,
    table: CsvTable,
    *,
    source: str | None = None,
    scale: float = 1.0,
    is_knob: bool = False,
    is_measured: bool = True,
    index: int | None = None,
) -> tuple[Float, list[Fault]]:
    """Return a column of numbers in SI, shape (n,), and a fault for each invalid cell; NaN for an empty cell.

    Args:
        name: name of the column in explorer, which determines the allowed interval.
        table: the file.
        source: name of the column in the file, if different.
        scale: value of one unit of the file in SI.
        is_knob: whether an empty cell is a fault.
        is_measured: whether the ends that only measurements reach are allowed (see `MEASURED_LIMITS`).
        index: index of the column in the header, if its name is not unique.
    """
    header = source or name
    cells = table.cells(header, index=index)
    values, faults = np.full(len(cells), np.nan), []
    for i, (number, cell) in enumerate(zip(table.numbers, cells, strict=True)):
        location = f"row {number}, {header}"
        if not cell:
            if is_knob:
                what = "every row needs all knobs; only targets may be left empty"
                faults.append(Fault(location, "is empty", what))
            continue
        value = number_of(cell)
        if value is None:
            faults.append(Fault(location, f"'{cell[:40]}' is not a number", "write a plain number in SI, such as 0.15"))
            continue
        values[i] = value * scale
        if not is_allowed(name, values[i : i + 1], is_measured=is_measured)[0]:
            allowed = allowed_text(name, is_measured=is_measured)
            faults.append(Fault(location, f"{cell[:40]} is not allowed", f"keep it within {allowed}, SI units"))
    return values, faults
