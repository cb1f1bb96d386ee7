"""Cells of a user's table in SI: missing values, percent, and exact conversion of units."""

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Context, Decimal
from functools import cache

import numpy as np

from explorer.errors import Fault, group_faults
from explorer.io.csv_text import CsvTable, number_of
from explorer.models.samples.reading.reading import BUILT_IN_KNOBS, ColumnReading, Reading
from explorer.problem.columns import COLUMNS, TARGETS, Float
from explorer.problem.naming.spellings import Spelling, dictionary, meant_unit, symbol_of
from explorer.problem.targets import declared_target

_N_LOOKED_AT = 1000
_WITH_UNIT = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([^\W\d_](?:[^\W\d_]|[/*·]){0,9})")
# A double keeps 15 decimal digits: 93.17999999999999 % is 0.9318, whichever program wrote it.
_EXACT = Context(prec=15, traps=[])


def is_missing(cell: str, *, is_number: bool) -> bool:
    """Return whether a cell states that nothing was measured.

    >>> is_missing("n/a", is_number=False), is_missing("none", is_number=True), is_missing("none", is_number=False)
    (True, True, False)
    """
    return not cell or cell.strip().casefold() in _missing(is_number)


def without_missing(cells: list[str]) -> list[str]:
    """Return cells with an empty one for each that states that nothing was measured."""
    is_number = is_mostly_numeric(cells)
    return ["" if is_missing(cell, is_number=is_number) else cell for cell in cells]


def without_percent(cells: Sequence[str]) -> list[str]:
    """Return cells without the percent signs after their numbers."""
    return [cell.rstrip(" %") for cell in cells]


def unit_in_cells(cells: Sequence[str]) -> str:
    """Return the text after the numbers of all cells that are not missing, where it is the same; '' without one.

    >>> unit_in_cells(["12.3 ms", "", "4 ms"]), unit_in_cells(["12", "4 ms"]), unit_in_cells(["a ms"])
    ('ms', '', '')
    """
    filled = [cell for cell in cells if not is_missing(cell, is_number=True)]
    matches = [_WITH_UNIT.fullmatch(cell) for cell in filled]
    units = {match[2] if match else "" for match in matches}
    return units.pop() if len(units) == 1 else ""


def without_units(cells: Sequence[str]) -> list[str]:
    """Return cells without the unit that all of them have after their numbers."""
    unit = unit_in_cells(cells)
    return [cell.removesuffix(unit).rstrip() for cell in cells] if unit else list(cells)


def numbers_and_unit(cells: list[str], match: Spelling) -> tuple[list[str], str]:
    """Return cells without the unit that stands in each of them, and the unit of the column."""
    symbol = symbol_of(match.column)
    unit = meant_unit(unit_in_cells(cells), symbol) if symbol else ""
    return (without_units(cells), unit) if unit else (cells, match.unit)


def text_reason(cells: Sequence[str]) -> str:
    """Return why a column that should hold numbers is not used."""
    first = next((cell for cell in cells if number_of(cell) is None), "")
    return f"text such as '{first[:20]}': write numbers, with their unit in the header"


@cache
def _missing(is_number: bool) -> frozenset[str]:
    spellings = dictionary()["missing"]
    return frozenset([*spellings["anywhere"], *(spellings["numbers"] if is_number else [])])


def numbers_of(cells: Sequence[str]) -> Float:
    """Return the numbers among cells; those that are missing, and text, are left out."""
    values = [number_of(cell) for cell in cells]
    return np.array([value for value in values if value is not None and np.isfinite(value)])


def is_mostly_numeric(cells: Sequence[str]) -> bool:
    """Return whether more than half of the cells that are not missing are numbers; True where all are missing.

    Of a long column an even thousand of cells is looked at.
    """
    filled = [cell for cell in cells[:: 1 + len(cells) // _N_LOOKED_AT] if not is_missing(cell, is_number=True)]
    return 2 * sum(number_of(cell.rstrip(" %")) is not None for cell in filled) > len(filled) or not filled


def scaled_cell(cell: str, scale: Decimal) -> str:
    """Return a cell times a scale, exact to 15 digits; text that is no number stays as it is.

    >>> scaled_cell("93.17999999999999", Decimal("0.01")), scaled_cell("abc", Decimal("0.01"))
    ('0.931800000000000', 'abc')
    """
    value = number_of(cell)
    return cell if value is None or not np.isfinite(value) else str(_EXACT.multiply(Decimal(cell.strip()), scale))


def percent_faults(column: str, cells: Sequence[str], numbers: Sequence[int]) -> tuple[bool, list[Fault]]:
    """Return whether a share without a stated unit is in percent, and a fault where percent and shares are mixed.

    Any value above 1 makes it percent if none is above 100. A single value above 1 among shares is left to the limits
    of the column, which name its row.
    """
    values = numbers_of(cells)
    high = values > 1
    if not high.any() or (values < 0).any() or (values > 100).any():
        return False, []
    is_share = (values > 0) & (values < 1)
    if not is_share.any():
        return True, []
    if high.sum() == 1:
        return False, []
    rows = [(n, cell) for n, cell in zip(numbers, cells, strict=True) if (number_of(cell) or 0) > 1]
    many = f"look like percent, {int(is_share.sum())} like shares"
    fix = f"write all as shares, or all in percent under the header '{column} [%]'"
    return False, group_faults(column, rows, one=many, many=many, fix=fix)


def no_percent_faults(column: str, cells: Sequence[str], numbers: Sequence[int]) -> list[Fault]:
    """Return a fault for a column whose header states percent although no value is above 1: 0.93 is not 0.93 %."""
    values = numbers_of(cells)
    if not values.size or values.max() > 1 or values.max() <= 0:
        return []
    rows = [(n, cell) for n, cell in zip(numbers, cells, strict=True) if (number_of(cell) or 0) > 0]
    text = "look like shares, and the header says percent"
    fix = f"rename the header '{column}', or say so in [columns]: {{ column = '{column}', unit = '1' }}"
    return group_faults(column, rows, one=text, many=text, fix=fix)


def apply_reading(table: CsvTable, reading: Reading) -> CsvTable:
    """Return a table with the names of explorer and cells in SI; rows that the reading drops are left out.

    Columns that are not used keep their headers, unless explorer would take them for a column of its own.
    """
    dropped = {number for number, _ in reading.dropped}
    table = table.keep([number not in dropped for number in table.numbers]) if dropped else table
    used = {one.name for one in reading.columns if one.name}
    reserved = {*used, *BUILT_IN_KNOBS, *TARGETS, "name", "label"}
    header, columns = [], []
    for index, one in enumerate(one for one in reading.columns if one.column or one.kind != "derived"):
        header.append(one.name or ("" if one.column in reserved else one.column))
        columns.append(_cells(table.cells(one.column, index=index), one))
    for one in (one for one in reading.columns if one.kind == "derived"):
        header.append(one.name)
        columns.append(_product(*(columns[header.index(name)] for name in ("power_w", "latency_s"))))
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
    return replace(table, header=header, rows=rows)


def _cells(cells: list[str], one: ColumnReading) -> list[str]:
    if one.kind not in {"knob", "target", "count", "reference"}:
        return cells
    is_known = one.unit and (one.name in COLUMNS or declared_target(one.name) is not None)
    if is_known and meant_unit(unit_in_cells(cells), symbol_of(one.name)) == one.unit:
        cells = without_units(cells)
    is_number = one.name != "family" and is_mostly_numeric(cells)
    cells = ["" if is_missing(cell, is_number=is_number) else cell for cell in cells]
    if one.unit == "%":
        cells = without_percent(cells)
    if one.scale == 1:
        return cells
    scale = Decimal(repr(one.scale))
    return [scaled_cell(cell, scale) for cell in cells]


def _product(powers: Sequence[str], times: Sequence[str]) -> list[str]:
    """Return energies E = P T; empty where one of both was not measured or is no positive number."""
    return [
        str(_EXACT.multiply(Decimal(p), Decimal(t))) if (number_of(p) or 0) > 0 and (number_of(t) or 0) > 0 else ""
        for p, t in zip(powers, times, strict=True)
    ]
