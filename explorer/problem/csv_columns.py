"""Columns of a CSV as values in SI: every fault with its row, its column, its value and the allowed range."""

import numpy as np

from explorer.errors import Fault
from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import COLUMNS, Float, allowed_text, is_allowed
from explorer.units import factor

# How people write units in column names; each is read as its SI column.
_UNITS = {
    "latency": ("latency_s", ("ms", "us", "ns")),
    "energy": ("energy_j", ("mJ", "uJ", "nJ", "kJ")),
    "power": ("power_w", ("mW", "uW", "kW")),
    "size": ("size_bytes", ("kB", "MB", "GB", "KiB", "MiB")),
    "voltage": ("voltage_v", ("mV", "uV")),
    "frequency": ("frequency_hz", ("kHz", "MHz", "GHz")),
    "throughput": ("throughput_ops", ("MOPS", "GOPS", "TOPS")),
}
UNIT_COLUMNS = {
    f"{stem}_{unit.lower()}": (name, factor(unit, COLUMNS[name].symbol), unit)
    for stem, (name, units) in _UNITS.items()
    for unit in units
}


def read_names(
    name: str, table: CsvTable, *, place: int | None = None
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.object_]], list[Fault]]":
    """Return a column of names, shape (n,), and a fault for each empty cell."""
    cells = table.cells(name, place=place)
    fix = "name the network family" if name == "family" else "name its value"
    faults = [
        Fault(f"row {number}, {name}", "is empty", fix)
        for number, cell in zip(table.numbers, cells, strict=True)
        if not cell
    ]
    return np.array(cells, dtype=object), faults


def numbers(
    name: str,
    table: CsvTable,
    *,
    source: str | None = None,
    scale: float = 1.0,
    is_knob: bool = False,
    is_measured: bool = True,
    place: int | None = None,
) -> tuple[Float, list[Fault]]:
    """Return a column of numbers in SI, shape (n,), NaN where a cell is empty, and a fault for each cell that is none.

    Args:
        name: the column's own name, which says what is allowed.
        table: the file.
        source: its name in the file, where that is another.
        scale: what one unit of the file is in SI.
        is_knob: whether an empty cell is a fault.
        is_measured: whether the ends that only measurements reach are allowed (see `MEASURED_LIMITS`).
        place: its index in the header, where a name stands twice.
    """
    shown = source or name
    cells = table.cells(shown, place=place)
    values, faults = np.full(len(cells), np.nan), []
    for i, (number, cell) in enumerate(zip(table.numbers, cells, strict=True)):
        where = f"row {number}, {shown}"
        if not cell:
            if is_knob:
                what = "every row needs all knobs; only targets may be left empty"
                faults.append(Fault(where, "is empty", what))
            continue
        value = number_of(cell)
        if value is None:
            faults.append(Fault(where, f"'{cell[:40]}' is not a number", "write a plain number in SI, such as 0.15"))
            continue
        values[i] = value * scale
        if not is_allowed(name, values[i : i + 1], is_measured=is_measured)[0]:
            allowed = allowed_text(name, is_measured=is_measured)
            faults.append(Fault(where, f"{cell[:40]} is not allowed", f"keep it within {allowed}, SI units"))
    return values, faults
