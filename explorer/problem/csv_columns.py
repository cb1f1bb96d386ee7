"""Columns of a table as arrays in SI; cells that are wrong in the same way are one fault, with rows and values."""

import numpy as np

from explorer.errors import Fault, group_faults
from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import Float, allowed_text, is_allowed


def read_names(
    name: str, table: CsvTable, *, index: int | None = None
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.object_]], list[Fault]]":
    """Return a column of names, shape (n,), and a fault for its empty cells.

    Args:
        name: name of the column.
        table: the file.
        index: index of the column in the header, if its name is not unique.
    """
    cells = table.cells(name, index=index)
    fix = "name the network family" if name == "family" else "name its value"
    empty = [(number, "") for number, cell in zip(table.numbers, cells, strict=True) if not cell]
    return np.array(cells, dtype=object), group_faults(name, empty, one="is empty", many="are empty", fix=fix)


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
    """Return a column of numbers in SI, shape (n,), and a fault for each kind of invalid cell; NaN for an empty cell.

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
    numbers = [number_of(cell) if cell else None for cell in cells]
    values = np.array([np.nan if number is None else number * scale for number in numbers], dtype=np.float64)
    is_outside = ~is_allowed(name, values, is_measured=is_measured)
    rows = [*zip(table.numbers, cells, numbers, is_outside.tolist(), strict=True)]
    empty = [(row, "") for row, cell, _, _ in rows if not cell] if is_knob else []
    text = [(row, cell) for row, cell, number, _ in rows if cell and number is None]
    outside = [(row, cell) for row, cell, number, is_wrong in rows if number is not None and is_wrong]
    allowed = allowed_text(name, is_measured=is_measured)
    faults = [
        *group_faults(
            header, empty, one="is empty", many="are empty",
            fix="every row needs all knobs; only targets may be left empty",
        ),
        *group_faults(
            header, text, one="is not a number", many="are not numbers", fix="write plain numbers in SI, such as 0.15"
        ),
        *group_faults(
            header, outside, one="is not allowed", many="are not allowed", fix=f"keep it within {allowed}, SI units"
        ),
    ]  # fmt: skip
    return values, faults
