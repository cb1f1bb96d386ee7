"""Samples: measured configurations, from the paper's tables or a user's CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from explorer.errors import Fault, InvalidFile
from explorer.files import MAX_TABLE_BYTES, read_text, sha256
from explorer.paper.tables import SOURCE, paper_table
from explorer.problem.columns import (
    COLUMNS,
    KNOBS,
    NUMERIC_KNOBS,
    TARGETS,
    Columns,
    allowed_text,
    bounds,
    is_allowed,
    take,
)

MAX_FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured configurations as columns, shape (n,) each.

    Args:
        columns: the five knobs and any of the targets, SI; NaN where a target was not measured.
        labels: a name for each row.
        source: where they come from, for people.
        sha256: of the file they were read from.
    """

    columns: Columns
    labels: tuple[str, ...]
    source: str
    sha256: str

    @property
    def families(self) -> tuple[str, ...]:
        """The families measured, in order of appearance."""
        return tuple(dict.fromkeys(self.columns["family"].tolist()))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets measured at least once, in the project's order."""
        return tuple(name for name in TARGETS if name in self.columns and np.isfinite(self.columns[name]).any())

    def rows(self, which: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> "Samples":
        """Return some of the rows, by mask."""
        labels = tuple(label for label, keep in zip(self.labels, which, strict=True) if keep)
        return Samples(take(self.columns, which), labels, self.source, self.sha256)


def paper_samples() -> Samples:
    """Return the paper's ten samples.

    `energy_j` is Table 2's Total Energy and `power_w` Table 2's Power: the columns that EDP = E T and the figures use.
    Neither follows from the equations (see `explorer paper`).
    """
    table = paper_table()
    mapping = {
        "pruning_ratio": "pruning_ratio",
        "quant_step": "quant_step",
        "voltage_v": "voltage_v",
        "frequency_hz": "frequency_hz",
        "accuracy": "accuracy",
        "latency_s": "inference_time_s",
        "energy_j": "total_energy_j",
        "power_w": "power_w",
        "size_bytes": "compressed_size_bytes",
        "throughput_ops": "throughput_ops",
    }
    columns: Columns = {"family": table["family"].astype(object)}
    columns |= {ours: table[theirs].astype(np.float64) for ours, theirs in mapping.items()}
    text = "\n".join(",".join(str(value) for value in row) for row in zip(*columns.values(), strict=True))
    return Samples(columns, tuple(table["name"].tolist()), SOURCE, sha256(text))


def read_samples(path: Path) -> Samples:
    """Read a samples CSV: the five knobs, and at least one target; SI units; an empty cell was not measured.

    Further columns (names, notes) are kept out. A `name` or `label` column names the rows.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file: row, column, value, what is allowed.
    """
    text = read_text(path, max_bytes=MAX_TABLE_BYTES)
    table = _read_table(path, text)
    faults = _header_faults(table.header)
    if not set(table.header) & set(TARGETS):
        faults.append(Fault("row 1", "there is no measured column", f"add one or more of {', '.join(TARGETS)}"))
    columns, cell_faults = _columns(table, (*KNOBS, *TARGETS))
    faults += cell_faults
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each measured configuration"))
    if faults:
        raise InvalidFile(path, _shortened(faults))
    named = next((name for name in ("name", "label") if name in table.header), None)
    labels = table.cells(named) if named else [f"row {number}" for number in table.numbers]
    return Samples(columns, tuple(labels), str(path), sha256(text))


def read_designs(path: Path) -> Columns:
    """Read a CSV of designs to predict: the five knobs, SI; other columns stay as text, those to be predicted go.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file: row, column, value, what is allowed.
    """
    table = _read_table(path, read_text(path, max_bytes=MAX_TABLE_BYTES))
    faults = _header_faults(table.header)
    columns, cell_faults = _columns(table, KNOBS)
    faults += cell_faults
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each design"))
    if faults:
        raise InvalidFile(path, _shortened(faults))
    known = {*KNOBS, *(own for name in COLUMNS for own in (name, *bounds(name)))}
    kept = {name: np.array(table.cells(name), dtype=object) for name in table.header if name and name not in known}
    return {
        name: columns.get(name, kept.get(name, np.empty(0))) for name in table.header if name in columns or name in kept
    }


@dataclass(frozen=True, slots=True)
class _Table:
    """A CSV as text; `numbers` are the rows' own numbers in the file, blank lines counted."""

    header: list[str]
    rows: list[list[str]]
    numbers: list[int]

    def cells(self, name: str) -> list[str]:
        return [row[self.header.index(name)].strip() for row in self.rows]


def _read_table(path: Path, text: str) -> _Table:
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InvalidFile(path, [Fault("", f"is not CSV: {error}", "save it as comma-separated values")]) from None
    header = [name.strip() for name in lines[0]]
    numbered = [(i, line) for i, line in enumerate(lines[1:], start=2) if any(cell.strip() for cell in line)]
    ragged = [
        Fault(f"row {i}", f"has {len(line)} cells, the header has {len(header)}", "give every row as many cells")
        for i, line in numbered
        if len(line) != len(header)
    ]
    if ragged:
        raise InvalidFile(path, _shortened(ragged))
    return _Table(header, [line for _, line in numbered], [i for i, _ in numbered])


def _header_faults(header: Sequence[str]) -> list[Fault]:
    others = [name for name in header if name not in KNOBS]
    missing = [
        Fault("row 1", f"column '{knob}' is missing", f"add it{_meant(knob, others)}")
        for knob in KNOBS
        if knob not in header
    ]
    twice = [
        Fault("row 1", f"column '{name}' stands twice", "keep one of them")
        for name in dict.fromkeys(header)
        if name and header.count(name) > 1
    ]
    return [*missing, *twice]


def _meant(knob: str, others: Sequence[str]) -> str:
    near = get_close_matches(knob, [name for name in others if name], n=1, cutoff=0.7)
    return f" ('{near[0]}' may be it)" if near else ""


def _columns(table: _Table, wanted: Sequence[str]) -> tuple[Columns, list[Fault]]:
    columns: Columns = {}
    faults: list[Fault] = []
    for j, name in enumerate(table.header):
        if name not in wanted:
            continue
        cells = [row[j].strip() for row in table.rows]
        if name == "family":
            columns[name] = np.array(cells, dtype=object)
            faults += [
                Fault(f"row {number}, family", "is empty", "name the network family")
                for number, cell in zip(table.numbers, cells, strict=True)
                if not cell
            ]
        else:
            columns[name], wrong = _numbers(name, cells, table.numbers)
            faults += wrong
    return columns, faults


def _numbers(
    name: str, cells: Sequence[str], numbers: Sequence[int]
) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", list[Fault]]:
    values, faults = np.full(len(cells), np.nan), []
    for i, (number, cell) in enumerate(zip(numbers, cells, strict=True)):
        where = f"row {number}, {name}"
        if not cell:
            if name in NUMERIC_KNOBS:
                faults.append(Fault(where, "is empty", "every row needs all knobs; only targets may be left empty"))
            continue
        try:
            values[i] = float(cell)
        except ValueError:
            faults.append(Fault(where, f"'{cell[:40]}' is not a number", "write a plain number in SI, such as 0.15"))
            continue
        if not is_allowed(name, values[i : i + 1])[0]:
            faults.append(Fault(where, f"{cell[:40]} is not allowed", f"keep it within {allowed_text(name)}, SI units"))
    return values, faults


def _shortened(faults: list[Fault]) -> list[Fault]:
    if len(faults) <= MAX_FAULTS_SHOWN:
        return faults
    rest = len(faults) - MAX_FAULTS_SHOWN
    return [*faults[:MAX_FAULTS_SHOWN], Fault(f"and {rest} more", "like these", "mend the first ones, then run again")]
