"""What a user should know of how a samples file was understood: what was fixed, repeated or passed over, and why."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np

from explorer.errors import Fault
from explorer.problem.columns import COLUMNS, KNOBS, TARGETS, Columns, by_configuration, describe, knobs_of
from explorer.problem.csv_table import UNIT_COLUMNS, CsvTable

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
                shown = values[0] if isinstance(values[0], str) else describe(name).text(float(values[0]))
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
