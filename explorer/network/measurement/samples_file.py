"""Samples CSV of a measurement: a row is on disk before the next design is measured, and the same file is continued."""

import csv
import datetime
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import filterfalse
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, Fault, InvalidFile, WrongUsage, limit_faults
from explorer.io.file_lock import acquire_lock, file_lock
from explorer.io.files import MAX_DECLARATION_BYTES, MAX_TABLE_BYTES, append_line, read_bytes, write_text
from explorer.io.json_text import read_json_object, write_json
from explorer.network.measurement.measure import KNOBS, TEXT, Cache, Row, is_latency_refused, measured_columns
from explorer.problem.targets import Target, declared_target, target_from_json

Key = tuple[Any, ...]
"""Family, R and D of a row."""
Conditions = Mapping[str, Any]
"""Provenance of a measurement."""

_KEY_DIGITS = 16  # of the column `effective`
_FIX = "write to another file with -o, or begin it anew with --force"
# Conditions that all rows of a file share: rows of others would be another table.
_SHARED = {
    "the network": ("network", "sha256"), "the data": ("data", "sha256"), "the calibration data": ("calibration",),
    "the pruning": ("pruning",), "the quantization": ("quantization",), "the activations": ("activations",),
    "the scored output": ("task", "output"), "the targets": ("task", "targets"),
    "the task module": ("task", "module_sha256"),
    "the size's codec": ("size", "codec"), "the device": ("latency", "device"),
    "the technology of Eq. (1)": ("energy_mac_mem", "technology"),
    "the memory level of Eq. (1)": ("energy_mac_mem", "level"),
    "the energy meter": ("energy", "meter"), "the machine": ("machine", "name"),
}  # fmt: skip


@dataclass
class SamplesFile:
    """Rows of a samples CSV, in the order of the file; those of the running measurement are appended.

    Args:
        path: the CSV.
        conditions: provenance of the running measurement.
        rows: rows by family, R and D. Failed designs are measured again. Rows that other commands or the user added
            are kept under other keys, and not taken for measured designs.
    """

    path: Path
    conditions: Conditions
    rows: dict[Key, Row] = field(default_factory=dict)
    _is_begun: bool = False
    _delayed: list[Row] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the file."""
        return columns_of_file(self.conditions)

    @property
    def cache(self) -> Cache:
        """The measured rows by effective key, for `measure_table`."""
        return {row["effective"]: {n: v for n, v in row.items() if n not in KNOBS} for row in self.rows.values()
                if _is_finished(row)}  # fmt: skip

    def measured(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the rows of those designs that are measured already."""
        return {key: self.rows[key] for key in keys if key in self.rows and _is_finished(self.rows[key])}

    def resume(self, notify: Callable[[str], None]) -> None:
        """Read the rows that are there, and cut off the part of a row that a killed process left.

        Raises:
            WrongUsage: the rows are of other conditions, or the file cannot be written.
            InvalidFile: a row is damaged.
        """
        rows, cut = _read_rows(self.path, self.columns)
        if rows:
            _check_conditions(self.path, read_conditions(self.path), self.conditions)
        for i, row in enumerate(rows):
            is_own = (row["effective"] or row["error"]) and key_of(row) not in self.rows
            self.rows[key_of(row) if is_own else (i,)] = row
        n = sum(map(_is_finished, self.rows.values()))
        if cut:
            notify(f"{self.path}: its last row was cut off when a measurement was killed; the design is measured again")
        if n:
            notify(f"{self.path}: has {n} measured designs, which are kept")
        if rows or cut:
            kept = [row for row in self.rows.values() if not row["error"] and not is_latency_refused(row)]
            write_text(self.path, table_text(kept, self.columns))
            self._is_begun = True

    def append(self, row: Row) -> None:
        """Add a row; it is on disk at return. A new file begins with the first design that does not fail.

        Raises:
            WrongUsage: the file cannot be written; all earlier rows are in it.
        """
        self.rows[key_of(row)] = row
        if not self._is_begun:
            self._delayed.append(row)
            if not is_measured(row):
                return
            self._write_provenance()
            write_text(self.path, table_text(self._delayed, self.columns))
            self._is_begun = True
            return
        append_line(self.path, _line(row, self.columns))

    def finish(self) -> None:
        """Write the final table, in which the row of a design that was measured again has its first place.

        Raises:
            WrongUsage: the file cannot be written; all rows are in it, in the order of their measurement.
        """
        if self._is_begun:
            write_text(self.path, table_text([*self.rows.values()], self.columns))
            self._write_provenance()

    def _write_provenance(self) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(provenance_path(self.path), {**self.conditions, "measured": now}, indent=1)


@contextmanager
def open_samples_file(
    path: Path, conditions: Conditions, *, force: bool = False, notify: Callable[[str], None] = lambda _: None
) -> Iterator[SamplesFile]:
    """Open a samples CSV to continue it, under a lock; at the end, also after an error, the table is put in order.

    Args:
        path: the CSV, which may not exist yet.
        conditions: provenance of the running measurement.
        force: begin the file again.
        notify: called with messages for the user.

    Raises:
        WrongUsage: another process measures into the file, its rows are of other conditions, or it cannot be written.
        InvalidFile: a row of it is damaged.
    """
    with samples_lock(path):
        file = SamplesFile(path, conditions)
        if path.exists() and not force:
            file.resume(notify)
        try:
            yield file
        except BaseException:
            if any(map(is_measured, file.rows.values())):
                file.finish()
            raise
        file.finish()


@contextmanager
def samples_lock(path: Path) -> Iterator[None]:
    """Lock a samples CSV against other commands that write it.

    Raises:
        WrongUsage: another process has it, or its folder cannot be written.
    """
    acquire = functools.partial(
        acquire_lock, noun="measurement", fix="wait for its end, or choose another file with -o", should_wait=False,
        notify=lambda _: None,
    )  # fmt: skip
    with file_lock(path.with_name(f".{path.name}.lock"), acquire, label=str(path), is_temporary=True):
        yield


def provenance_path(path: Path) -> Path:
    """Return the path of the provenance next to a samples CSV."""
    return path.with_name(f"{path.stem}.provenance.json")


def read_samples_file(path: Path) -> tuple[list[Row], Conditions]:
    """Read a samples CSV that `explorer measure` wrote: the measured rows, and their provenance.

    Raises:
        WrongUsage: there is no provenance next to it, or a file cannot be read.
        InvalidFile: a file is damaged.
    """
    conditions = read_conditions(path)
    rows, _ = _read_rows(path, columns_of_file(conditions))
    return [row for row in rows if is_measured(row)], conditions


def columns_of_file(conditions: Conditions) -> tuple[str, ...]:
    """Return the columns of a samples CSV from its provenance: those of every measurement, and declared targets."""
    targets = _item(conditions.get("task"), "targets")
    return (*KNOBS, *measured_columns(targets if isinstance(targets, list) else ()))


def declared_by_file(source: str) -> tuple[Target, ...]:
    """Return the targets that the provenance next to a samples CSV declares; those of the user's own count first."""
    try:
        conditions = read_conditions(Path(source))
        declared = _item(conditions.get("task"), "declared") or ()
        return tuple(_as_given(declared_target(one["name"]) or target_from_json(one)) for one in declared)
    except (ExplorerError, OSError, KeyError, TypeError, ValueError):
        return ()


def _as_given(target: Target) -> Target:
    """Return a target with the bounds of a table, where the command that measured it drew resamples."""
    return replace(target, interval="given") if target.interval == "bootstrap" else target


def is_measured(row: Row) -> bool:
    """Return whether a row holds a measurement of this command: no failed design, and no row that was added later."""
    return bool(row.get("effective")) and not row.get("error")


def _is_finished(row: Row) -> bool:
    """Return whether a design needs no further measurement: one without latency is timed again."""
    return is_measured(row) and not is_latency_refused(row)


def key_of(row: Row) -> Key:
    """Return family, R and D of a row."""
    return tuple(row.get(name) for name in KNOBS)


def table_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as a samples CSV with these columns."""
    return "".join(f"{line}\n" for line in (",".join(columns), *(_line(row, columns) for row in rows)))


def _check_conditions(path: Path, stored: Conditions, present: Conditions) -> None:
    """Raise if the rows of a file were measured under other conditions.

    Raises:
        WrongUsage: lists all that differs.
    """
    changed = []
    for name, keys in _SHARED.items():
        then, now = (functools.reduce(_item, keys, one) for one in (stored, present))
        if then != now:
            changed.append(f"{name} ({_short(then)} there, {_short(now)} now)")
    changed += _changed_qualities(stored, present)
    if changed:
        listed = "; ".join(changed)
        raise WrongUsage(f"{path}: its rows differ from this measurement in {listed}", fix=_FIX)


def _changed_qualities(stored: Conditions, present: Conditions) -> Iterator[str]:
    """Yield units and directions of targets, and qualities of the source network, that differ.

    The SHA-256 of a task module covers the files beside it that it imports. The quality of the source network also
    shows a change of anything else.
    """
    tasks = [one.get("task") for one in (stored, present)]
    then, now = ({_item(one, "name"): one for one in _item(task, "declared") or ()} for task in tasks)
    for name in then.keys() & now.keys():
        for key in ("unit", "direction"):
            values = [_item(one[name], key) for one in (then, now)]
            if values[0] != values[1]:
                yield f"the {key} of {name} ({values[0] or 'none'} there, {values[1] or 'none'} now)"
    if not _item(tasks[1], "module_sha256"):
        return
    for target in _item(tasks[1], "targets") or ():
        before, after = (_item(one.get("network"), target) for one in (stored, present))
        are_numbers = isinstance(before, int | float) and isinstance(after, int | float)
        if are_numbers and not math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-9):
            yield f"{target} of the uncompressed network ({before:.6g} there, {after:.6g} now)"


def _item(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _short(value: Any) -> str:
    return "none" if value is None else f"{str(value)[:12]}..." if len(str(value)) == 64 else str(value)


def read_conditions(path: Path) -> Conditions:
    """Return the provenance next to a samples CSV.

    Raises:
        WrongUsage: there is none, or it cannot be read.
        InvalidFile: it is not that of a measurement.
    """
    beside = provenance_path(path)
    if not beside.is_file():
        raise WrongUsage(f"{path}: without {beside.name} it is unknown what its rows were measured with", fix=_FIX)
    stored = read_json_object(beside, max_bytes=MAX_DECLARATION_BYTES)
    if stored.get("schema") != "explorer.samples/1":
        raise InvalidFile(beside, [Fault("", "is not the provenance of a measurement", _FIX)])
    return stored


def _read_rows(path: Path, columns: Sequence[str]) -> tuple[list[Row], bool]:
    """Return the rows of a file, and whether its last one was cut off and left out."""
    if not path.stat().st_size:
        return [], False
    content = read_bytes(path, max_bytes=MAX_TABLE_BYTES).rstrip(b"\0")  # zeros: a crash of the whole machine
    is_whole = content.endswith(b"\n")
    if not is_whole and not content.count(b"\n"):
        return [], bool(content)
    text = content.decode(errors="replace")
    lines = list(csv.reader(io.StringIO(text)))
    header = lines[0]
    if tuple(header) != columns:
        other = sorted(set(header) ^ set(columns)) or ["their order"]
        raise WrongUsage(f"{path}: its columns are not those of `explorer measure`: {', '.join(other[:5])}", fix=_FIX)
    cut = not is_whole and not _is_complete(lines[-1], columns)
    numbered = list(enumerate(lines[1:-1] if cut else lines[1:], start=2))
    faults = []
    rows = []
    for number, cells in filterfalse(lambda line: not any(line[1]), numbered):
        try:
            rows.append(_parse(cells, columns))
        except ValueError as error:
            faults.append(Fault(f"row {number}", str(error), "correct or remove it"))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    return rows, cut


def _is_complete(cells: Sequence[str], columns: Sequence[str]) -> bool:
    """Return whether a line without its end is a whole row: its last cell, that of `error` or of a bound, is there."""
    if len(cells) != len(columns) or len(cells[columns.index("effective")]) != _KEY_DIGITS:
        return False
    return columns[-1] == "error"


def _parse(cells: Sequence[str], columns: Sequence[str]) -> Row:
    """Return a row of the CSV with its types; empty cells are left out.

    Raises:
        ValueError: it has too few cells, or one is not a number.
    """
    if len(cells) != len(columns):
        raise ValueError(f"has {len(cells)} cells, the header has {len(columns)}")
    row: Row = {name: cell for name, cell in zip(columns, cells, strict=True) if name in TEXT}
    for name, cell in zip(columns, cells, strict=True):
        if name not in TEXT and cell:
            value = float(cell)
            row[name] = int(cell) if cell.lstrip("-").isdigit() and name not in KNOBS else value
    if "is_busy" in row:
        row["is_busy"] = bool(row["is_busy"])
    missing = [name for name in KNOBS[1:] if name not in row and row["recipe"] != "source"]
    if missing:
        raise ValueError(f"{missing[0]} is empty")
    return row


def _line(row: Row, columns: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([_cell(row.get(name)) for name in columns])
    return buffer.getvalue().replace("\n", " ")  # of an error's text: a row is one line


def _cell(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN is the one number unlike itself
        return ""
    return str(int(value)) if isinstance(value, bool) else value if isinstance(value, str) else repr(value)
