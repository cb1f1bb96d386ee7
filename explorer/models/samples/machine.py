"""Machine of a table of samples: read from a column, joined over tables, and latencies relative to a source network."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import Float, by_configuration

# Columns that name a machine, the first one of a file counts. A declared knob does not: each design then names its own.
MACHINE_COLUMNS = ("machine", "device", "host")
# What depends on the machine and on its clock; accuracy and size do not.
TIMED_TARGETS = ("latency_s", "energy_j", "power_w", "throughput_ops")
NOT_STATED = "not stated"
# Kinds of a processor, as frameworks name them: they identify no machine.
_GENERIC = frozenset({"cpu", "gpu", "cuda", "npu", "tpu", "dsp"})
_SEPARATOR = "; "
_MAX_TEXT = 200
_N_LISTED = 3
# Knobs with such words describe how a network is compressed; its uncompressed source runs the same for all of them.
_COMPRESSION_WORDS = ("prun", "quant", "bits", "recipe", "scheme", "spars", "clip")
# Two latencies of one source that differ by less than this are equal within the spread of medians (assumed).
_SAME_LATENCY = 0.005


def read_machine(table: CsvTable, knobs: Sequence[str] = ()) -> str:
    """Return the machine that a file's rows were measured on; several are joined by "; ", empty if none is stated.

    Args:
        table: the file.
        knobs: columns that are knobs, and therefore name no machine of the file.
    """
    for column in (name for name in MACHINE_COLUMNS if name in table.header and name not in knobs):
        names = [_printable(cell) for cell in table.cells(column)]
        stated = [name for name in names if name and number_of(name) is None and name.lower() not in _GENERIC]
        if stated:
            return join_machines([*stated, *(NOT_STATED for _ in names[len(stated) :])])
    return ""


def join_machines(names: Sequence[str]) -> str:
    """Return the distinct machines of several tables as one text; empty if none is stated.

    >>> join_machines(["AMD EPYC 7B13", "", "AMD EPYC 7B13"])
    'AMD EPYC 7B13; not stated'
    """
    parts = dict.fromkeys(part for name in names for part in (name or NOT_STATED).split(_SEPARATOR))
    return "" if set(parts) <= {NOT_STATED} else _SEPARATOR.join(sorted(parts, key=lambda part: part == NOT_STATED))


def split_machines(machine: str) -> tuple[str, ...]:
    """Return the machines of a joined text; empty if none is stated."""
    return tuple(machine.split(_SEPARATOR)) if machine else ()


def machine_warnings(machine: str) -> tuple[str, ...]:
    """Return a warning if samples were measured on several machines."""
    names = split_machines(machine)
    if len(names) < 2:
        return ()
    listed = ", ".join(names[:_N_LISTED]) + (f" and {len(names) - _N_LISTED} more" if len(names) > _N_LISTED else "")
    text = (
        f"the samples are of several machines ({listed}): their latency, energy and power do not compare. "
        "Fit one machine at a time, or declare the column as a knob (--knob machine)"
    )
    return (text,)


def relative_latency(latency_s: Float, table: CsvTable, knobs: Mapping[str, NDArray[np.generic]]) -> tuple[Float, str]:
    """Replace latencies that were interleaved with a source network by their ratio times the source's median latency.

    The source ran in turn with each design, so that a slow phase of the machine cancels in the ratio. Its median is
    taken over rows of equal conditions: family, machine, batch, clock, and every knob that is not one of compression.

    Args:
        latency_s: the measured latencies in seconds, shape (n,), NaN where none was measured.
        table: the file, with a column `latency_source_s` or `latency_ratio`; without one nothing changes.
        knobs: the knobs of the rows, shape (n,) each.

    Returns:
        The latencies in seconds, shape (n,), and a note for the user; empty if nothing changed.
    """
    source = _source_latency(latency_s, table)
    is_paired = np.isfinite(latency_s) & np.isfinite(source) & (source > 0)
    if not is_paired.any():
        return latency_s, ""
    group = by_configuration(_conditions(table, knobs))
    result, spreads = latency_s.copy(), []
    for index in np.unique(group[is_paired]):
        rows = np.flatnonzero(is_paired & (group == index))
        median = float(np.median(source[rows]))
        result[rows] = latency_s[rows] / source[rows] * median
        spreads.append(float(source[rows].max() / source[rows].min()) - 1)
    if max(spreads) < _SAME_LATENCY:
        return latency_s, ""
    n_raw = int((np.isfinite(latency_s) & ~is_paired).sum())
    rest = f". {n_raw} rows have no such pair and enter as measured" if n_raw else ""
    return result, (
        "latency_s is the ratio to the source network, timed in turn with each row, times the source's median. The "
        f"source's own latency varied by {max(spreads):.0%} while the rows were measured{rest}"
    )


def _source_latency(latency_s: Float, table: CsvTable) -> Float:
    """Return the source's latency beside each row in seconds, shape (n,); NaN where it was not measured."""
    if "latency_source_s" in table.header:
        return _numbers(table, "latency_source_s")
    if "latency_ratio" in table.header:
        ratio = _numbers(table, "latency_ratio")
        return np.divide(latency_s, ratio, out=np.full_like(ratio, np.nan), where=ratio > 0)
    return np.full(len(latency_s), np.nan)


def _conditions(table: CsvTable, knobs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    columns = {name: values for name, values in knobs.items() if not any(word in name for word in _COMPRESSION_WORDS)}
    named = [name for name in (*MACHINE_COLUMNS, "latency_batch") if name in table.header and name not in knobs]
    columns |= {name: np.array(table.cells(name), dtype=object) for name in named}
    return columns or {"all": np.zeros(len(table.rows))}


def _numbers(table: CsvTable, name: str) -> Float:
    return np.array([np.nan if (value := number_of(cell)) is None else value for cell in table.cells(name)])


def _printable(cell: str) -> str:
    return "".join(character for character in cell if character.isprintable())[:_MAX_TEXT].replace(";", ",").strip()
