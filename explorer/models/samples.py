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
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, TARGETS, Columns, allowed_text, is_allowed, take

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
    header, rows = _rows(path, text)
    faults = _header_faults(header)
    columns, cell_faults = _columns(header, rows)
    faults += cell_faults
    if not rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each measured configuration"))
    if faults:
        raise InvalidFile(path, _shortened(faults))
    named = next((name for name in ("name", "label") if name in header), None)
    labels = tuple(row[header.index(named)] if named else f"row {i + 2}" for i, row in enumerate(rows))
    return Samples(columns, labels, str(path), sha256(text))


def read_designs(path: Path) -> Columns:
    """Read a CSV of designs to predict: the five knobs, SI; other columns are passed over.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file: row, column, value, what is allowed.
    """
    header, rows = _rows(path, read_text(path, max_bytes=MAX_TABLE_BYTES))
    faults = _missing_knobs(header)
    columns, cell_faults = _columns([name if name in KNOBS else "" for name in header], rows)
    faults += cell_faults
    if faults:
        raise InvalidFile(path, _shortened(faults))
    return columns


def _rows(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InvalidFile(path, [Fault("", f"is not CSV: {error}", "save it as comma-separated values")]) from None
    header = [name.strip() for name in lines[0]]
    rows = [line for line in lines[1:] if any(cell.strip() for cell in line)]
    ragged = [
        Fault(f"row {i}", f"has {len(line)} cells, the header has {len(header)}", "give every row as many cells")
        for i, line in enumerate(lines[1:], start=2)
        if len(line) != len(header) and any(c.strip() for c in line)
    ]
    if ragged:
        raise InvalidFile(path, _shortened(ragged))
    return header, rows


def _missing_knobs(header: Sequence[str]) -> list[Fault]:
    others = [name for name in header if name not in KNOBS]
    return [
        Fault("row 1", f"column '{knob}' is missing", f"add it{_meant(knob, others)}")
        for knob in KNOBS
        if knob not in header
    ]


def _header_faults(header: Sequence[str]) -> list[Fault]:
    faults = _missing_knobs(header)
    faults += [
        Fault("row 1", f"column '{name}' stands twice", "keep one of them")
        for name in dict.fromkeys(header)
        if name and header.count(name) > 1
    ]
    if not set(header) & set(TARGETS):
        faults.append(Fault("row 1", "there is no measured column", f"add one or more of {', '.join(TARGETS)}"))
    return faults


def _meant(knob: str, others: Sequence[str]) -> str:
    near = get_close_matches(knob, [name for name in others if name], n=1, cutoff=0.7)
    return f" ('{near[0]}' may be it)" if near else ""


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[Columns, list[Fault]]:
    columns: Columns = {}
    faults: list[Fault] = []
    for j, name in enumerate(header):
        cells = [row[j].strip() for row in rows]
        if name == "family":
            columns[name] = np.array(cells, dtype=object)
            faults += [
                Fault(f"row {i}, family", "is empty", "name the network family")
                for i, cell in enumerate(cells, start=2)
                if not cell
            ]
        elif name in NUMERIC_KNOBS or name in TARGETS:
            columns[name], wrong = _numbers(name, cells)
            faults += wrong
    return columns, faults


def _numbers(name: str, cells: Sequence[str]) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", list[Fault]]:
    values, faults = np.full(len(cells), np.nan), []
    for i, cell in enumerate(cells):
        where = f"row {i + 2}, {name}"
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
