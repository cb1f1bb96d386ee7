"""Which designs to measure: a grid written in one line, or a CSV."""

import csv
import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.files import read_text
from explorer.problem.columns import Columns, allowed_text, is_allowed

DEFAULT_GRID = "R=0:0.9:7,D=0.001:0.5:7(log)"
MAX_DESIGNS = 100_000
_MAX_CSV_BYTES = 20_000_000
_NUMBER = r"(\d*\.?\d+(?:[eE][-+]?\d+)?)"
_AXIS = re.compile(rf"\s*([RD])\s*=\s*{_NUMBER}(?:\s*:\s*{_NUMBER}\s*:\s*(\d{{1,6}})\s*(\(log\))?)?\s*")
_COLUMNS = {"R": "pruning_ratio", "D": "quant_step"}


def grid_designs(text: str, *, family: str) -> Columns:
    """Return the designs of a grid: 'R=0:0.9:7,D=0.001:0.5:7(log)' is 7 ratios times 7 steps; one number fixes a knob.

    Raises:
        WrongUsage: the text is no grid, or a value of it cannot be.

    >>> grid_designs("R=0:0.5:2, D=0.02", family="CNN")["pruning_ratio"]
    array([0. , 0.5])
    """
    example = f"write for example '{DEFAULT_GRID}'"
    axes: dict[str, NDArray[np.float64]] = {}
    for part in text.split(","):
        match = _AXIS.fullmatch(part)
        if match is None or match[1] in axes:
            raise WrongUsage(f"'{part.strip()}' is no axis of a grid, or stands twice", fix=example)
        low, high, n = float(match[2]), float(match[3] or match[2]), int(match[4] or 1)
        name = _COLUMNS[match[1]]
        can_be = n > 0 and bool(is_allowed(name, np.array([low, high])).all())
        values = _axis(low, high, n=n, is_log=bool(match[5])) if can_be else np.empty(0)
        if not values.size:
            raise WrongUsage(f"'{part.strip()}': {match[1]} must be within {allowed_text(name)}", fix=example)
        axes[match[1]] = values
    if set(axes) != set(_COLUMNS):
        raise WrongUsage(f"'{text}' does not name both R and D", fix=example)
    n_designs = axes["R"].size * axes["D"].size
    if n_designs > MAX_DESIGNS:
        raise WrongUsage(f"the grid has {n_designs:,} designs", fix=f"keep it to {MAX_DESIGNS:,}")
    ratios, steps = np.meshgrid(axes["R"], axes["D"], indexing="ij")
    return _table(ratios.ravel(), steps.ravel(), family=family)


def read_grid(path: Path, *, family: str) -> Columns:
    """Read the columns pruning_ratio and quant_step of a CSV; other columns are passed over.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, max_bytes=_MAX_CSV_BYTES)), strict=True))
    except csv.Error as error:
        raise InvalidFile(path, [Fault("", f"is not CSV: {error}", "save it as comma-separated values")]) from None
    names = tuple(_COLUMNS.values())
    header = {(key or "").strip() for key in (rows[0] if rows else ())}
    faults = [] if rows else [Fault("row 2", "there are no rows", "write one row for each design")]
    if rows:
        faults += [Fault("row 1", f"column '{name}' is missing", "add it") for name in names if name not in header]
    if len(rows) > MAX_DESIGNS:
        faults.append(Fault("", f"has {len(rows):,} designs", f"keep it to {MAX_DESIGNS:,}"))
    if faults:
        raise InvalidFile(path, faults)
    values = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
    for name, column in values.items():
        bad = np.flatnonzero(~is_allowed(name, column))[:20]
        faults += [Fault(f"row {i + 2}, {name}", f"'{rows[i].get(name)}' is not allowed", f"keep it within "
                         f"{allowed_text(name)}") for i in bad]  # fmt: skip
    if faults:
        raise InvalidFile(path, faults)
    return _table(values["pruning_ratio"], values["quant_step"], family=family)


def _table(ratios: NDArray[np.float64], steps: NDArray[np.float64], *, family: str) -> Columns:
    return {
        "family": np.full(ratios.size, family, dtype=object),
        "pruning_ratio": np.round(ratios, 12),
        "quant_step": steps,
    }


def _axis(low: float, high: float, *, n: int, is_log: bool) -> NDArray[np.float64]:
    if not is_log:
        return np.linspace(low, high, n)
    # Ten digits: enough for any step, and a CSV that people can read. From zero there is no logarithm.
    return np.array([float(f"{value:.10g}") for value in np.geomspace(low, high, n)]) if low > 0 else np.empty(0)


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")
