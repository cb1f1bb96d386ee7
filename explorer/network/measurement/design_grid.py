"""Designs to measure: a grid in one line of text, or a CSV."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.csv_text import CsvTable, number_of
from explorer.io.tables.read import read_table
from explorer.problem.columns import Columns, allowed_text, is_allowed

DEFAULT_GRID = "R=0:0.9:7,D=0.001:0.5:7(log)"
MAX_DESIGNS = 100_000
_NUMBER = r"(\d*\.?\d+(?:[eE][-+]?\d+)?)"
_RANGE = re.compile(rf"\s*([RD])\s*=\s*{_NUMBER}(?:\s*:\s*{_NUMBER}\s*:\s*(\d{{1,6}})\s*(\(log\))?)?\s*")
_COLUMNS = {"R": "pruning_ratio", "D": "quant_step"}


def grid_designs(text: str, *, family: str) -> Columns:
    """Return the designs of a grid: 'R=0:0.9:7,D=0.001:0.5:7(log)' is 7 ratios x 7 steps; one number fixes a knob.

    Raises:
        WrongUsage: the text is not a grid, or a value is outside its range.

    >>> grid_designs("R=0:0.5:2, D=0.02", family="CNN")["pruning_ratio"]
    array([0. , 0.5])
    """
    example = f"for example '{DEFAULT_GRID}'"
    levels: dict[str, NDArray[np.float64]] = {}
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None or match[1] in levels:
            raise WrongUsage(f"'{part.strip()}' is not a range of R or D, or repeats one", fix=example)
        low, high, n = float(match[2]), float(match[3] or match[2]), int(match[4] or 1)
        name = _COLUMNS[match[1]]
        is_valid = n > 0 and bool(is_allowed(name, np.array([low, high])).all())
        values = _spaced(low, high, n=n, is_log=bool(match[5])) if is_valid else np.empty(0)
        if not values.size:
            raise WrongUsage(f"'{part.strip()}': {match[1]} must be within {allowed_text(name)}", fix=example)
        levels[match[1]] = values
    if set(levels) != set(_COLUMNS):
        raise WrongUsage(f"'{text}' must give both R and D", fix=example)
    n_designs = levels["R"].size * levels["D"].size
    if n_designs > MAX_DESIGNS:
        raise WrongUsage(f"the grid has {n_designs:,} designs", fix=f"use at most {MAX_DESIGNS:,}")
    ratios, steps = np.meshgrid(levels["R"], levels["D"], indexing="ij")
    return _table(ratios.ravel(), steps.ravel(), family=family)


def source_design(*, family: str) -> Columns:
    """Return the one design of a network that has nothing to compress: the network as it is, R and D are NaN."""
    return _table(np.array([np.nan]), np.array([np.nan]), family=family)


def read_grid(path: Path | CsvTable, *, family: str) -> Columns:
    """Read the columns pruning_ratio and quant_step of a table; other columns are ignored.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: the file has faults; all of them at once.
    """
    table = read_table(path)
    names = tuple(_COLUMNS.values())
    faults = [] if table.rows else [Fault("", "has no rows", "write one row for each design")]
    faults += [Fault("row 1", f"column '{name}' is missing", "add it") for name in names if name not in table.header]
    if len(table.rows) > MAX_DESIGNS:
        faults.append(Fault("", f"has {len(table.rows):,} designs", f"use at most {MAX_DESIGNS:,}"))
    if faults:
        raise InvalidFile(table.source, faults)
    values = {name: np.array([_number(cell) for cell in table.cells(name)]) for name in names}
    for name, column in values.items():
        invalid = np.flatnonzero(~is_allowed(name, column))[:20]
        faults += [Fault(f"row {table.numbers[i]}, {name}", f"'{table.cells(name)[i]}' is not allowed", f"keep it "
                         f"within {allowed_text(name)}") for i in invalid]  # fmt: skip
    if faults:
        raise InvalidFile(table.source, faults)
    return _table(values["pruning_ratio"], values["quant_step"], family=family)


def _table(ratios: NDArray[np.float64], steps: NDArray[np.float64], *, family: str) -> Columns:
    return {
        "family": np.full(ratios.size, family, dtype=object),
        "pruning_ratio": np.round(ratios, 12),
        "quant_step": steps,
    }


def _spaced(low: float, high: float, *, n: int, is_log: bool) -> NDArray[np.float64]:
    if not is_log:
        return np.linspace(low, high, n)
    # Ten digits are precise enough for a step and readable in a CSV. A logarithmic range cannot start at 0.
    return np.array([float(f"{value:.10g}") for value in np.geomspace(low, high, n)]) if low > 0 else np.empty(0)


def _number(cell: str) -> float:
    value = number_of(cell)
    return float("nan") if value is None else value
