"""Tables 1 and 2 of the paper, row by row in SI units."""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, suggestion

Table = Mapping[str, NDArray[np.generic]]

SOURCE = "D. Ekpah and M. Abass, 'Energy Efficient Mechanisms for Neural Networks', Tables 1 and 2"

# The file has the units of the paper's tables; columns in memory are in SI.
_TO_SI = {
    "mac_energy_pj": ("mac_energy_j", 1e-12),
    "access_energy_pj": ("access_energy_j", 1e-12),
    "original_size_mb": ("original_size_bytes", 1e6),
    "compressed_size_mb": ("compressed_size_bytes", 1e6),
    "frequency_ghz": ("frequency_hz", 1e9),
    "capacitance_nf": ("capacitance_f", 1e-9),
}
# The audited statements refer to these samples by name: a copy of the table must have the same ones.
_FAMILIES = ("CNN",) * 3 + ("DNN",) * 3 + ("RNN",) * 2 + ("Transformer",) * 2
_WHOLE = ("sample", "epochs", "batches")
_NUMBERS = (
    *_WHOLE, "mac_ops", "mem_accesses", "mac_energy_pj", "access_energy_pj", "average_power_w", "inference_time_s",
    "pruning_ratio", "quant_step", "original_size_mb", "compressed_size_mb", "compression_ratio", "voltage_v",
    "frequency_ghz", "capacitance_nf", "throughput_ops", "power_w", "accuracy", "total_energy_j", "edp_js",
)  # fmt: skip
_EXPECTED = ("sample", "family", *_NUMBERS[1:])
# Bounds far outside physical values that keep products of columns within the range of float64.
_SMALLEST, _LARGEST = 1e-18, 1e18


@cache
def paper_table() -> Table:
    """Return the ten samples as columns of shape (10,), in SI; rows 1-10 of Table 2 belong to samples 1-10 of Table 1.

    `name` numbers the samples within their family as the text of the paper does (`DNN3` is sample 6). `total_energy_j`
    and `power_w` are the columns of Table 2, `average_power_w` is P_avg of Table 1: the paper does not relate them.

    >>> table = paper_table()
    >>> str(table["name"][5]), float(table["frequency_hz"][5]), float(table["total_energy_j"][5])
    ('DNN3', 1800000000.0, 12.1)
    """
    return parse_table(shipped_text())


def shipped_text() -> str:
    """Return the text of the shipped `table.csv`, the template for a changed table to audit."""
    return files("explorer.paper").joinpath("table.csv").read_text(encoding="utf-8")


def parse_table(text: str, *, path: object = "table.csv") -> Table:
    """Parse a table in the format of `table.csv` (units of the paper's tables) into SI columns.

    Args:
        text: CSV with the shipped file's columns, in any order, and its ten samples, in its order.
        path: the name of the file in errors.

    Returns:
        Read-only columns of shape (10,), as `paper_table` gives them.

    Raises:
        InvalidFile: with every fault of the file: unknown, missing or duplicate columns, a wrong number of cells or
            samples, a cell that is not a number or is outside the range of its column.
    """
    try:
        header, *rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except (csv.Error, ValueError) as error:
        reason = "has no header" if isinstance(error, ValueError) else f"is not CSV: {error}"
        raise InvalidFile(path, [Fault("", reason, "start from a copy of the shipped table")]) from None
    header = [name.strip() for name in header]
    faults = _header_faults(header) + _row_faults(header, rows)
    if faults:
        raise InvalidFile(path, faults)
    return _columns(header, rows)


def _header_faults(header: Sequence[str]) -> list[Fault]:
    faults = [
        Fault("header", f"unknown column '{name}'", suggestion(name, _EXPECTED))
        for name in header
        if name not in _EXPECTED
    ]
    faults += [
        Fault("header", f"column '{name}' appears {header.count(name)} times", "keep one of them")
        for name in _EXPECTED
        if header.count(name) > 1
    ]
    faults += [
        Fault("header", f"column '{name}' is missing", "restore it from the shipped table")
        for name in _EXPECTED
        if name not in header
    ]
    return faults


def _row_faults(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Fault]:
    faults = []
    if len(rows) != len(_FAMILIES):
        fix = f"keep samples 1-{len(_FAMILIES)} in order; the audited statements refer to each of them"
        faults.append(Fault("rows", f"there are {len(rows)} samples", fix))
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            what = f"has {len(row)} cells, the header has {len(header)}"
            faults.append(Fault(f"sample {number}", what, "give each column one cell"))
            continue
        cells = (
            (f"sample {number}, {name}", name, cell.strip())
            for name, cell in zip(header, row, strict=True)
            if name in _EXPECTED
        )
        faults += [fault for label, name, cell in cells if (fault := _cell_fault(label, name, cell, number))]
    return faults


def _cell_fault(label: str, name: str, cell: str, number: int) -> Fault | None:
    """Return the fault of one cell of sample `number`, if it has one."""
    if name == "family":
        expected = _FAMILIES[number - 1] if number <= len(_FAMILIES) else cell
        return None if cell == expected else Fault(label, f"is '{cell}'", f"write '{expected}', as the paper does")
    try:
        value = float(cell)
    except ValueError:
        return Fault(label, f"'{cell}' is not a number", "write a plain number, without its unit")
    if name == "sample":
        return None if value == number else Fault(label, f"is {cell}", f"write {number}: the order is the paper's")
    if name == "pruning_ratio":
        is_good, allowed = 0 <= value < 1, "a share from 0 to less than 1"
    elif name == "accuracy":
        is_good, allowed = 0 <= value <= 1, "a share from 0 to 1"
    elif name in _WHOLE:
        is_good, allowed = 1 <= value <= _LARGEST and value.is_integer(), "a whole number, at least 1"
    else:
        is_good, allowed = _SMALLEST <= value <= _LARGEST, f"a number from {_SMALLEST:g} to {_LARGEST:g}"
    return None if is_good else Fault(label, f"{cell} is out of range", f"write {allowed}")


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    columns: dict[str, NDArray[np.generic]] = {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        if name == "family":
            columns[name] = np.array([cell.strip() for cell in cells])
            continue
        si_name, scale = _TO_SI.get(name, (name, 1.0))
        values = np.array([float(cell) * scale for cell in cells])
        columns[si_name] = values.astype(np.int64) if name in _WHOLE else values
    family = columns["family"]
    number = [int(np.sum(family[: i + 1] == family[i])) for i in range(len(rows))]
    columns["name"] = np.array([f"{f}{n}" for f, n in zip(family, number, strict=True)])
    for values in columns.values():
        values.flags.writeable = False
    return MappingProxyType(columns)
