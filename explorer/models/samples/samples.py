"""Samples: measured configurations, from the paper's tables or a user's CSV."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from explorer.errors import MAX_LISTED_FAULTS, Fault, InvalidFile, limit_faults, suggestion
from explorer.io.csv_text import CsvTable, header_faults, is_numeric, read_csv
from explorer.io.files import sha256
from explorer.models.samples.binomial import sample_counts
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
from explorer.problem.csv_columns import UNIT_COLUMNS, read_names, read_numbers

# What the family is called where a file has none.
ONE_FAMILY = "network"
# How alike a column's name must be to be taken for a misspelt knob, and to be asked after.
_MISSPELT = 0.84
_ALIKE = 0.7


def misspelt_faults(header: Sequence[str], own: Sequence[str]) -> Iterator[Fault]:
    """Name the columns that are nearly a knob's name, where the knob itself is not there: silence would drop it."""
    others = [name for name in header if name not in COLUMNS and name not in own and name not in UNIT_COLUMNS]
    for knob in KNOBS:
        near = get_close_matches(knob, [name for name in others if name], n=1, cutoff=_MISSPELT)
        if knob not in header and near:
            unit = f" in {COLUMNS[knob].symbol}" if COLUMNS[knob].symbol else ""
            fix = f"'{near[0]}' may be it: rename it to {knob}{unit}, or to something else"
            yield Fault("row 1", f"column '{knob}' is missing", fix)


def reading_notes(columns: Columns, table: CsvTable, scaled: dict[str, tuple[str, float, str]]) -> Iterator[str]:
    """Say what a user should know of how a file was understood."""
    if "family" not in table.header:
        yield f"there is no family column: all rows are of one family, '{ONE_FAMILY}'"
    if "weight_bits" in columns:
        yield "weight_bits is a knob of its own, not turned into a step D: only bits that are listed are proposed"
    if "quant_step" in columns and (n_zero := int((columns["quant_step"] == 0).sum())):
        yield f"quant_step is 0 in {n_zero} of {len(table.rows)} rows: read as not quantized"
    if len(table.rows) > 1:
        for name in knobs_of(columns):
            values = columns[name]
            if name != "family" and (values == values[0]).all():
                shown = values[0] if isinstance(values[0], str) else column_of(name).text(float(values[0]))
                yield f"{name} is {shown} in every row: it is fixed there, and its effect is not in these data"
    for target in (t for t in TARGETS if t in columns and not np.isfinite(columns[t]).any()):
        yield f"{target} was measured in no row: it is not offered"
    passed_over = [n for n in table.header if n and n not in columns and n not in COLUMNS and n not in scaled]
    for name in (n for n in (*KNOBS[1:], *TARGETS) if n not in columns):
        near = get_close_matches(name, passed_over, n=1, cutoff=_MISSPELT if name in TARGETS else _ALIKE)
        if near:
            yield f"column '{near[0]}' is passed over; {name} may be meant: rename it then"
    yield from _repeat_notes(columns, table, passed_over)


def _repeat_notes(columns: Columns, table: CsvTable, passed_over: Sequence[str]) -> Iterator[str]:
    """Say that configurations were measured more than once, and what else tells those rows apart."""
    index = by_configuration({name: columns[name] for name in knobs_of(columns)})
    n_more = len(index) - (int(index.max()) + 1 if len(index) else 0)
    if not n_more:
        return
    order = np.argsort(index, kind="stable")
    is_repeat = np.diff(index[order]) == 0
    differ = [
        name
        for name in passed_over
        if name not in {"name", "label", "repeat", "source"}
        and bool(np.any((np.diff(np.unique(table.cells(name), return_inverse=True)[1][order]) != 0) & is_repeat))
    ]
    told = f"; they differ in {', '.join(differ)}: name those that matter as knobs" if differ else ""
    yield f"{n_more} rows measure a configuration again: they count as repeats{told}"


__all__ = ["MAX_LISTED_FAULTS", "ONE_FAMILY", "Samples", "paper_samples", "read_designs", "read_samples"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured configurations as columns, shape (n,) each.

    Args:
        columns: the family, any of the knobs and any of the targets, SI; NaN where a target was not measured.
        labels: a name for each row.
        source: where they come from, for people.
        sha256: of the file they were read from.
        notes: what was done with the file that its user should know.
        numbers: the row of the file that each row stands in; empty where there is no file.
        trials: on how many samples each accuracy was counted, shape (n,), 0 where not known; empty where it never is.
    """

    columns: Columns
    labels: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    trials: Float = field(default_factory=lambda: np.empty(0))

    @property
    def knobs(self) -> tuple[str, ...]:
        """The knobs that the samples have, family first."""
        return tuple(knobs_of(self.columns))

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
        numbers = tuple(n for n, keep in zip(self.numbers, which, strict=True) if keep) if self.numbers else ()
        trials = self.trials[which] if self.trials.size else self.trials
        return replace(self, columns=take(self.columns, which), labels=labels, numbers=numbers, trials=trials)


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


def read_samples(path: Path, *, own: Sequence[str] = (), ignore: Sequence[str] = ()) -> Samples:
    """Read a samples CSV: any of the knobs, and at least one target; SI units; an empty cell was not measured.

    Without a `family` column all rows are of one family. `weight_bits` stands where `quant_step` does not, as a knob of
    its own: only bits that were measured can be proposed, while a step of D = 2 / 2^bits could be anything between.
    Further columns are kept out unless they are named. A `name` or `label` column names the rows.

    Args:
        path: the file.
        own: names of further columns that are knobs of the user's own, numbers or names.
        ignore: names of columns to pass over, though explorer knows them.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file: row, column, value, what is allowed.
    """
    table, notes = _with_own(read_csv(path).without(ignore), own)
    faults = [*header_faults(table.header), *misspelt_faults(table.header, own), *_own_faults(table, own)]
    scaled = {n: s for n, s in UNIT_COLUMNS.items() if n in table.header and s[0] not in table.header and n not in own}
    found = {*table.header, *(name for name, _, _ in scaled.values())}
    if not found & set(TARGETS):
        faults.append(Fault("row 1", "there is no measured column", f"add one or more of {', '.join(TARGETS)}"))
    columns, cell_faults = _columns(table, (*_knobs_in(table), *own, *TARGETS))
    faults += cell_faults
    for source, (name, scale, unit) in scaled.items():
        columns[name], wrong = read_numbers(name, table, source=source, scale=scale, is_knob=name not in TARGETS)
        faults += wrong
        notes.append(f"{source} is read as {name}, in {unit}")
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each measured configuration"))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    columns.setdefault("family", np.full(len(table.rows), ONE_FAMILY, dtype=object))
    named = next((name for name in ("name", "label") if name in table.header and name not in own), None)
    labels = table.cells(named) if named else [f"row {number}" for number in table.numbers]
    ordered = {name: columns[name] for name in (*knobs_of(columns), *TARGETS) if name in columns}
    notes += reading_notes(ordered, table, scaled)
    counted = sample_counts(table, ordered.get("accuracy"))
    return Samples(ordered, tuple(labels), str(path), sha256(table.text), tuple(notes), tuple(table.numbers), counted)


def read_designs(
    path: Path,
    *,
    knobs: Sequence[str] = KNOBS,
    categories: Sequence[str] = (),
    implied: Mapping[str, str] | None = None,
    is_measured: bool = False,
) -> Columns:
    """Read a CSV of designs to predict: a model's knobs, SI; other columns stay as text, those to be predicted go.

    Args:
        path: the file.
        knobs: the columns that every design must have.
        categories: those of them that hold names, beside the family.
        implied: what a column stands for that is not there; then it need not be.
        is_measured: whether a step of 0 (not quantized) is allowed, as among samples.

    Raises:
        WrongUsage: the file is not there or may not be read.
        InvalidFile: with every fault of the file: row, column, value, what is allowed.
    """
    table = read_csv(path)
    missing = {name: text for name, text in (implied or {}).items() if name not in table.header}
    table = replace(table, header=[*table.header, *missing], rows=[[*row, *missing.values()] for row in table.rows])
    others = [name for name in table.header if name not in knobs]
    faults = [
        Fault("row 1", f"column '{knob}' is missing", f"add it{_meant(knob, others)}")
        for knob in knobs
        if knob not in table.header
    ]
    faults += header_faults(table.header)
    columns, cell_faults = _columns(table, knobs, categories=categories, is_measured=is_measured)
    faults += cell_faults
    if not table.rows:
        faults.append(Fault("row 2", "there are no rows", "write one row for each design"))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    known = {*knobs, *(own for name in COLUMNS for own in (name, *bounds(name)))}
    kept = {name: np.array(table.cells(name), dtype=object) for name in table.header if name and name not in known}
    return {
        name: columns.get(name, kept.get(name, np.empty(0))) for name in table.header if name in columns or name in kept
    }


def _knobs_in(table: CsvTable) -> list[str]:
    """Return the knobs of explorer's that a file has; one without any cell filled in is as good as not there."""
    bits = () if "quant_step" in table.header else ("weight_bits",)
    return [
        name
        for name in (*KNOBS, *bits)
        if name in table.header and (len(table.rows) < 2 or any(table.cells(name)) or table.header.count(name) > 1)
    ]


def _with_own(table: CsvTable, own: Sequence[str]) -> tuple[CsvTable, list[str]]:
    """Pass over the rows that leave a knob empty, where a table has knobs of its own; say so.

    Such tables are put together from several sources, and what a row is silent about does not apply to it.
    """
    there = [name for name in (*_knobs_in(table), *own) if name in table.header] if own else []
    has_all = [all(cells) for cells in zip(*[table.cells(name) for name in there], strict=True)]
    if not has_all or all(has_all) or not any(has_all):
        return table, []
    left_out = [number for number, keep in zip(table.numbers, has_all, strict=True) if not keep]
    shown = ", ".join(map(str, left_out[:5])) + (", ..." if len(left_out) > 5 else "")
    lacking = " or ".join(name for name in there if not all(table.cells(name)))
    note = f"{len(left_out)} of {len(has_all)} rows say nothing of {lacking} and are passed over (rows {shown})"
    return table.keep(has_all), [note]


def _own_faults(table: CsvTable, own: Sequence[str]) -> Iterator[Fault]:
    for name in own:
        if not is_free_name(name):
            yield Fault("row 1", f"'{name}' cannot be a knob: explorer calls something else so", "rename the column")
        elif name not in table.header:
            others = [column for column in table.header if column and column not in COLUMNS]
            fix = f"add it, or leave it out of the knobs; {suggestion(name, others)}" if others else "add it"
            yield Fault("row 1", f"column '{name}' is missing, which is declared as a knob", fix)
        elif is_numeric(table.cells(name)) is None:
            first = next(i for i, cell in enumerate(table.cells(name)) if is_numeric([cell]) is False)
            what = f"'{table.cells(name)[first][:40]}' is a name among numbers"
            yield Fault(f"row {table.numbers[first]}, {name}", what, "write numbers only, or names only (b8, b16)")


def _meant(knob: str, others: Sequence[str]) -> str:
    near = get_close_matches(knob, [name for name in others if name], n=1, cutoff=0.7)
    return f" ('{near[0]}' may be it)" if near else ""


def _columns(
    table: CsvTable, wanted: Sequence[str], *, categories: Sequence[str] | None = None, is_measured: bool = True
) -> tuple[Columns, list[Fault]]:
    """Return the wanted columns that a file has; which of the user's own hold names their cells tell, unless given."""
    columns: Columns = {}
    faults: list[Fault] = []
    for place, name in enumerate(table.header):
        if name not in wanted:
            continue
        is_own = name not in COLUMNS
        is_text = is_numeric(table.cells(name)) is False if categories is None else name in categories
        if name == "family" or (is_own and is_text):
            columns[name], wrong = read_names(name, table, place=place)
        else:
            is_knob = name not in TARGETS
            columns[name], wrong = read_numbers(name, table, place=place, is_knob=is_knob, is_measured=is_measured)
        faults += wrong
    return columns, faults
