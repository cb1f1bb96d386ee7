"""Samples: measured designs, from the paper's tables or a user's CSV."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from explorer.errors import Fault, InvalidFile, limit_faults, suggestion
from explorer.io.csv_text import CsvTable, header_faults, is_numeric
from explorer.io.files import sha256
from explorer.io.tables.read import read_table
from explorer.models.samples.binomial import sample_counts
from explorer.models.samples.deviations import known_deviations
from explorer.models.samples.machine import (
    TIMED_TARGETS,
    join_machines,
    read_machine,
    relative_latency,
)
from explorer.models.samples.reading.cells import apply_reading
from explorer.models.samples.reading.reading import Reading
from explorer.models.samples.reading.understand import understand
from explorer.paper.tables import SOURCE, paper_table
from explorer.problem.columns import (
    COLUMNS,
    KNOBS,
    TARGETS,
    Columns,
    Float,
    bounds,
    by_configuration,
    column_of,
    is_free_name,
    knobs_of,
    take,
)
from explorer.problem.csv_columns import read_names, read_numbers
from explorer.problem.declarations.samples import ColumnSource
from explorer.problem.targets import Target

# Name of the family of a file without a family column.
ONE_FAMILY = "network"
# Similarity (difflib ratio) above which a column's name is taken for a misspelt knob, or suggested as one.
_MISSPELT = 0.84
_SIMILAR = 0.7
_CELL = re.compile(r"(row (\d+), |\d+ cells of )(.+)")
PAPER_MACHINE = "the paper's accelerator"


@dataclass(frozen=True, slots=True)
class Samples:
    """Table of measured designs as columns of shape (n,).

    Args:
        columns: the family, any of the knobs and any of the targets, SI; NaN where a target was not measured.
        labels: a name for each row.
        source: origin of the rows, for messages.
        sha256: of the file they were read from.
        notes: remarks for the user on how the file was read.
        numbers: row number in the file of each row; empty without a file.
        n_counted: number of test items behind each accuracy, shape (n,), 0 if unknown; empty if all are unknown.
        deviations: known standard deviation of each value of a declared target, shape (n,) each, 0 if unknown.
        original_bytes: size of each family's original network, where it is stated.
        machine: what the rows were measured on; several are joined by "; ", empty if the source does not state it.
    """

    columns: Columns
    labels: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    n_counted: Float = field(default_factory=lambda: np.empty(0))
    original_bytes: Mapping[str, float] = field(default_factory=dict)
    machine: str = ""
    deviations: Mapping[str, Float] = field(default_factory=dict)

    def __repr__(self) -> str:
        knobs, targets = ", ".join(self.knobs), ", ".join(self.targets)
        return f"Samples({len(self.labels)} rows of {self.source}; knobs {knobs}; targets {targets})"

    @property
    def knobs(self) -> tuple[str, ...]:
        """The knobs among the columns, family first."""
        return tuple(knobs_of(self.columns))

    @property
    def families(self) -> tuple[str, ...]:
        """The families measured, in order of appearance."""
        return tuple(dict.fromkeys(self.columns["family"].tolist()))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets measured at least once, in the order of `TARGETS`."""
        return tuple(name for name in TARGETS if name in self.columns and np.isfinite(self.columns[name]).any())

    def rows(self, which: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> "Samples":
        """Return some of the rows, by mask."""
        labels = tuple(label for label, keep in zip(self.labels, which, strict=True) if keep)
        numbers = tuple(n for n, keep in zip(self.numbers, which, strict=True) if keep) if self.numbers else ()
        n_counted = self.n_counted[which] if self.n_counted.size else self.n_counted
        deviations = {name: values[which] for name, values in self.deviations.items()}
        return replace(
            self, columns=take(self.columns, which), labels=labels, numbers=numbers, n_counted=n_counted,
            deviations=deviations,
        )  # fmt: skip


def shared_machine(tables: Sequence[Samples]) -> str:
    """Return the machines of those of several tables that measure latency, energy, power or throughput, joined."""
    timed = [table for table in tables if not set(TIMED_TARGETS).isdisjoint(table.targets)]
    return join_machines([table.machine for table in timed or tables])


def paper_samples() -> Samples:
    """Return the paper's ten samples.

    `energy_j` is Table 2's Total Energy and `power_w` Table 2's Power: the columns that EDP = E T and the figures use.
    Neither follows from the equations (see `explorer paper`).
    """
    table = paper_table()
    paper_columns = {
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
    columns |= {name: table[paper_name].astype(np.float64) for name, paper_name in paper_columns.items()}
    text = "\n".join(",".join(str(value) for value in row) for row in zip(*columns.values(), strict=True))
    original = dict(zip(table["family"].tolist(), table["original_size_bytes"].tolist(), strict=True))
    return Samples(
        columns, tuple(table["name"].tolist()), SOURCE, sha256(text), machine=PAPER_MACHINE, original_bytes=original
    )


def read_samples_csv(
    path: Path | CsvTable,
    *,
    extra_knobs: Sequence[str] | None = (),
    ignore: Sequence[str] = (),
    columns: Mapping[str, ColumnSource] | None = None,
    targets: Sequence[Target] = (),
    is_one_of_several: bool = False,
) -> Samples:
    """Read a table of samples: any of the knobs and at least one target.

    Headers, units, percent and missing values are understood as people write them (see `understand`); a name of
    explorer itself is in SI. Without a `family` column all rows are of one family. `weight_bits` replaces a missing
    `quant_step` as a knob of its own: only measured bit widths can be proposed, while a step D = 2 / 2^bits could take
    any value between them. A `machine`, `device` or `host` column that is not a knob names what the rows were measured
    on. `latency_s` next to a column `latency_source_s` becomes relative (see `relative_latency`).

    Args:
        path: the file, or the table that was read from it.
        extra_knobs: names of extra columns that are user-defined knobs, numbers or names; None: infer them.
        ignore: columns to omit.
        columns: the column of a knob or target where its header does not state it.
        targets: declared targets.
        is_one_of_several: whether stated columns may be missing, since other files have them.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: all faults of the file, each with row, column, value and allowed range.
    """
    file = read_table(path)
    reading = understand(
        file, mapping=columns, targets=targets, knobs=extra_knobs, ignore=ignore, is_one_of_several=is_one_of_several
    )
    knobs = reading.own_knobs if extra_knobs is None or is_one_of_several else extra_knobs
    return samples_of(file, reading, extra_knobs=knobs)


def samples_of(file: CsvTable, reading: Reading, *, extra_knobs: Sequence[str]) -> Samples:
    """Return the samples of a table that was understood.

    Raises:
        InvalidFile: all faults of the file, each with row, column, value and allowed range.
    """
    table, notes = _drop_incomplete_rows(apply_reading(file, reading), extra_knobs)
    faults = [*header_faults(table.header), *reading.faults, *_misspelt_faults(table.header, extra_knobs)]
    faults += _extra_knob_faults(table, extra_knobs)
    if not set(table.header) & set(TARGETS):
        known = ", ".join(TARGETS)
        fix = f"add one or more of {known}; or say what a column is: --map accuracy=COLUMN, --target NAME:max"
        faults.append(Fault("row 1", "there is no measured column", fix))
    columns, cell_faults = _read_columns(table, (*_built_in_knobs(table), *extra_knobs, *TARGETS))
    faults += _at_source(cell_faults, file, reading)
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each measured configuration"))
    if faults:
        raise InvalidFile(table.source, limit_faults(faults))
    columns.setdefault("family", np.full(len(table.rows), ONE_FAMILY, dtype=object))
    label_column = next((n for n in ("name", "label") if n in table.header and n not in extra_knobs), None)
    labels = table.cells(label_column) if label_column else [f"row {number}" for number in table.numbers]
    ordered = {name: columns[name] for name in (*knobs_of(columns), *TARGETS) if name in columns}
    notes = [*reading.column_notes(), *reading.notes, *notes]
    if "latency_s" in ordered:
        ordered["latency_s"], note = relative_latency(
            ordered["latency_s"], table, {name: ordered[name] for name in knobs_of(ordered)}
        )
        notes += [note] if note else []
    machine = read_machine(table, extra_knobs)
    notes += _reading_notes(ordered, table, reading)
    n_counted, numbers = sample_counts(table, ordered.get("accuracy")), tuple(table.numbers)
    digest = sha256(table.text)
    return Samples(
        ordered, tuple(labels), table.source, digest, tuple(notes), numbers, n_counted, machine=machine,
        deviations=known_deviations(table, {name: ordered[name] for name in TARGETS if name in ordered}),
    )  # fmt: skip


def _at_source(faults: Sequence[Fault], file: CsvTable, reading: Reading) -> Iterator[Fault]:
    """Yield faults of cells with the header and the text of the file; those of a column that has one of its own go."""
    by_name = {one.name: (i, one) for i, one in enumerate(reading.columns) if one.column and one.name}
    for fault in faults:
        match = _CELL.fullmatch(fault.where)
        index, one = by_name.get(match[3] if match else "", (0, None))
        if one is not None and any(one.column in whole.where for whole in reading.faults):
            continue
        if one is None or match is None or one.is_sure:
            yield fault
        else:
            cell = file.rows[file.numbers.index(int(match[2]))][index].strip() if match[2] else ""
            quoted = f"'{cell[:40]}', " if cell else ""
            unit = f", in {one.unit}" if one.unit else ""
            yield Fault(f"{match[1]}{one.column}", f"{quoted}read as {one.name}{unit}: {fault.what[-200:]}", fault.fix)


def read_designs(
    path: Path | CsvTable,
    *,
    knobs: Sequence[str] = KNOBS,
    categories: Sequence[str] = (),
    implied: Mapping[str, str] | None = None,
    is_measured: bool = False,
) -> Columns:
    """Read a CSV of designs to predict: a model's knobs, SI; other columns stay as text, predicted ones are dropped.

    Args:
        path: the file, or the table that was read from it.
        knobs: the columns that every design must have.
        categories: the knobs that hold names, in addition to the family.
        implied: cell text of columns that the file may omit.
        is_measured: whether a step of 0 (not quantized) is allowed, as among samples.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: all faults of the file, each with row, column, value and allowed range.
    """
    table = read_table(path, name="designs")
    missing = {name: text for name, text in (implied or {}).items() if name not in table.header}
    table = replace(table, header=[*table.header, *missing], rows=[[*row, *missing.values()] for row in table.rows])
    extra = [name for name in table.header if name not in knobs]
    faults = [
        Fault("row 1", f"column '{knob}' is missing", f"add it{_similar_text(knob, extra)}")
        for knob in knobs
        if knob not in table.header
    ]
    faults += header_faults(table.header)
    columns, cell_faults = _read_columns(table, knobs, categories=categories, is_measured=is_measured)
    faults += cell_faults
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each design"))
    if faults:
        raise InvalidFile(table.source, limit_faults(faults))
    reserved = {*knobs, *(name for column in COLUMNS for name in (column, *bounds(column)))}
    other = {name: np.array(table.cells(name), dtype=object) for name in table.header if name and name not in reserved}
    columns = {**other, **columns}
    return {name: columns[name] for name in table.header if name in columns}


def _built_in_knobs(table: CsvTable) -> list[str]:
    """Return the built-in knobs of a file; a column without any filled cell counts as absent."""
    bits = () if "quant_step" in table.header else ("weight_bits",)
    return [
        name
        for name in (*KNOBS, *bits)
        if name in table.header and (len(table.rows) < 2 or any(table.cells(name)) or table.header.count(name) > 1)
    ]


def _drop_incomplete_rows(table: CsvTable, extra_knobs: Sequence[str]) -> tuple[CsvTable, list[str]]:
    """Return a table with extra knobs without the rows that leave a knob empty, and a note on them.

    Such tables are often composed of several sources, and a knob that a source lacks does not apply to its rows.
    """
    knobs = [name for name in (*_built_in_knobs(table), *extra_knobs) if name in table.header] if extra_knobs else []
    has_all = [all(cells) for cells in zip(*[table.cells(name) for name in knobs], strict=True)]
    if not has_all or all(has_all) or not any(has_all):
        return table, [*table.notes]
    dropped = [number for number, keep in zip(table.numbers, has_all, strict=True) if not keep]
    rows = ", ".join(map(str, dropped[:5])) + (", ..." if len(dropped) > 5 else "")
    lacking = " or ".join(name for name in knobs if not all(table.cells(name)))
    note = f"{len(dropped)} of {len(has_all)} rows have no value of {lacking} and are omitted (rows {rows})"
    return table.keep(has_all), [*table.notes, note]


def _extra_knob_faults(table: CsvTable, extra_knobs: Sequence[str]) -> Iterator[Fault]:
    for name in extra_knobs:
        if not is_free_name(name):
            yield Fault("row 1", f"'{name}' cannot be a knob: explorer reserves this name", "rename the column")
        elif name not in table.header:
            columns = [column for column in table.header if column and column not in COLUMNS]
            fix = f"add it, or remove it from the knobs; {suggestion(name, columns)}" if columns else "add it"
            yield Fault("row 1", f"column '{name}' is missing, which is declared as a knob", fix)
        elif is_numeric(table.cells(name)) is None:
            first = next(i for i, cell in enumerate(table.cells(name)) if is_numeric([cell]) is False)
            fault = f"'{table.cells(name)[first][:40]}' is a name among numbers"
            yield Fault(f"row {table.numbers[first]}, {name}", fault, "write numbers only, or names only (b8, b16)")


def _misspelt_faults(header: Sequence[str], extra_knobs: Sequence[str]) -> Iterator[Fault]:
    """Yield a fault for each missing knob with a similarly named column, which would otherwise be dropped silently."""
    extra = [n for n in header if n and n not in COLUMNS and n not in extra_knobs]
    for knob in KNOBS:
        similar = get_close_matches(knob, extra, n=1, cutoff=_MISSPELT)
        if knob not in header and similar:
            unit = f" in {COLUMNS[knob].symbol}" if COLUMNS[knob].symbol else ""
            fix = f"'{similar[0]}' may be it: rename it to {knob}{unit}, or to something else"
            yield Fault("row 1", f"column '{knob}' is missing", fix)


def _similar_text(knob: str, columns: Sequence[str]) -> str:
    similar = get_close_matches(knob, [name for name in columns if name], n=1, cutoff=_SIMILAR)
    return f" ('{similar[0]}' may be it)" if similar else ""


def _read_columns(
    table: CsvTable, wanted: Sequence[str], *, categories: Sequence[str] | None = None, is_measured: bool = True
) -> tuple[Columns, list[Fault]]:
    """Return the wanted columns of a file; without `categories` the cells of an extra knob determine its type."""
    columns: Columns = {}
    faults: list[Fault] = []
    for index, name in enumerate(table.header):
        if name not in wanted:
            continue
        is_extra = name not in COLUMNS
        is_text = is_numeric(table.cells(name)) is False if categories is None else name in categories
        if name == "family" or (is_extra and is_text):
            columns[name], column_faults = read_names(name, table, index=index)
        else:
            is_knob = name not in TARGETS
            columns[name], column_faults = read_numbers(
                name, table, index=index, is_knob=is_knob, is_measured=is_measured
            )
        faults += column_faults
    return columns, faults


def _reading_notes(columns: Columns, table: CsvTable, reading: Reading) -> Iterator[str]:
    """Yield remarks for the user on how a file was read."""
    if "family" not in table.header:
        yield f"there is no family column: all rows are of one family, '{ONE_FAMILY}'"
    if "weight_bits" in columns:
        yield "weight_bits is a knob of its own, not converted to a step D: only listed bit widths are proposed"
    if "quant_step" in columns and (n_zero := int((columns["quant_step"] == 0).sum())):
        yield f"quant_step is 0 in {n_zero} of {len(table.rows)} rows: read as not quantized"
    if len(table.rows) > 1:
        for name in knobs_of(columns):
            values = columns[name]
            if name != "family" and (values == values[0]).all():
                text = values[0] if isinstance(values[0], str) else column_of(name).text(float(values[0]))
                yield f"{name} is {text} in every row: it is fixed, and its effect cannot be estimated"
    for target in (t for t in TARGETS if t in columns and not np.isfinite(columns[t]).any()):
        yield f"{target} was measured in no row: it is not available"
    unused = {one.column for one in reading.columns if one.kind == "ignored"}
    ignored = [n for n in table.header if n in unused and n not in columns and n not in COLUMNS]
    for name in (n for n in (*KNOBS[1:], *TARGETS) if n not in columns):
        similar = get_close_matches(name, ignored, n=1, cutoff=_MISSPELT if name in TARGETS else _SIMILAR)
        if similar:
            yield f"column '{similar[0]}' is ignored; if it is {name}, rename it"
    yield from _repeat_notes(columns, table, ignored)


def _repeat_notes(columns: Columns, table: CsvTable, ignored: Sequence[str]) -> Iterator[str]:
    """Yield a remark on repeated designs, with the ignored columns in which repeats differ."""
    index = by_configuration({name: columns[name] for name in knobs_of(columns)})
    n_repeats = len(index) - (int(index.max()) + 1 if len(index) else 0)
    if not n_repeats:
        return
    order = np.argsort(index, kind="stable")
    is_repeat = np.diff(index[order]) == 0
    differing = [
        name
        for name in ignored
        if name != "source"
        and bool(np.any((np.diff(np.unique(table.cells(name), return_inverse=True)[1][order]) != 0) & is_repeat))
    ]
    fix = f"; they differ in {', '.join(differing)}: declare those that matter as knobs" if differing else ""
    yield f"{n_repeats} rows repeat a measured design{fix}"
