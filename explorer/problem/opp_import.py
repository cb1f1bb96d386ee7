"""Importing a device's operating points: from a device tree or a CSV to the TOML that a search space can name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from explorer.devices.device import MAX_POINTS
from explorer.devices.opp_tables import OppTable, TablePoint, read_opp_tables
from explorer.errors import Fault, InvalidFile, WrongUsage, limit_faults, suggestion
from explorer.io.csv_text import CsvTable, header_faults, read_csv
from explorer.problem.csv_columns import UNIT_COLUMNS, read_numbers


def import_points(path: Path, *, cluster: str | None = None, bin_name: str | None = None) -> OppTable:
    """Read one table of operating points from a device tree's source (.dts, .dtsi) or a CSV.

    Args:
        path: the file; .csv is a CSV, anything else a device tree.
        cluster: the table's label or node name, where the file has several.
        bin_name: only the points of this speed bin.

    Raises:
        WrongUsage: there is no such file, table or bin; or there are several tables and none was named.
        InvalidFile: the file is not what it should be; all faults at once.
    """
    tables = _csv_tables(path) if path.suffix.lower() == ".csv" else read_opp_tables(path)
    if not tables:
        fix = "an opp-table node has opp-hz; those of included files come with: cpp -nostdinc -I include -undef -x "
        fix += "assembler-with-cpp FILE | dtc -I dts -O dts"
        raise InvalidFile(path, [Fault("", "has no table of operating points", fix)])
    names = [table.name for table in tables]
    shown = ", ".join(f"{table.name} ({len(table.points)} points)" for table in tables[:20])
    found = [t for t in tables if t.name == cluster] or [t for t in tables if cluster is None or cluster in t.name]
    if not found:
        raise WrongUsage(f"{path}: has no table '{cluster}'", fix=f"{suggestion(str(cluster), names)}; it has {shown}")
    if len(found) > 1:
        several = ", ".join(f"'{table.name}' ({len(table.points)} points)" for table in found[:20])
        several += f" and {len(found) - 20} more" if len(found) > 20 else ""
        raise WrongUsage(f"{path}: has {len(found)} tables: {several}", fix=f"name one: --cluster '{found[0].name}'")
    table = found[0]
    faults = list(_twice(table))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    return _whole(_of_bin(table, path, bin_name), path)


def device_toml(table: OppTable, *, title: str, source: str) -> str:
    """Return a table as the text of a device's TOML file."""
    lines = [f"title = {_quoted(title)}", f"source = {_quoted(source)}", 'frequency_unit = "MHz"']
    if any(point.voltage_v is not None for point in table.points):
        lines.append('voltage_unit = "mV"')
    has_names = bool(table.label) and all(point.node for point in table.points)
    if has_names:
        lines.append(f"opp_table = {_quoted(table.label)}")
    lines += ["", *[f"# {note}" for note in table.notes], "points = ["]
    for point in sorted(table.points, key=lambda p: (p.bin, p.frequency_hz, p.voltage_v or 0.0)):
        cells = [f"frequency = {point.frequency_hz / 1e6:.10g}"]
        cells += [f"voltage = {point.voltage_v * 1e3:.10g}"] if point.voltage_v is not None else []
        cells += [f"power = {point.power_w:.10g}"] if point.power_w is not None else []
        cells += [f"bin = {_quoted(point.bin)}"] if point.bin else []
        cells += [f"node = {_quoted(point.node)}"] if has_names else []
        lines.append(f"    {{ {', '.join(cells)} }},")
    return "\n".join([*lines, "]"]) + "\n"


def _of_bin(table: OppTable, path: Path, bin_name: str | None) -> OppTable:
    bins = sorted({point.bin for point in table.points} - {""})
    if bin_name is None:
        return table
    if bin_name not in bins:
        fix = f"choose one of: {', '.join(bins)}" if bins else "leave --bin out"
        raise WrongUsage(f"{path}: table {table.name} has no bin '{bin_name}'", fix=fix)
    # A point without a bin is every chip's, unless the bin has its own voltage for that clock.
    own = {point.frequency_hz for point in table.points if point.bin == bin_name}
    kept = [p for p in table.points if p.bin == bin_name or (not p.bin and p.frequency_hz not in own)]
    points = tuple(replace(p, bin="") for p in kept)
    return replace(table, points=points, notes=(*table.notes, f"speed bin {bin_name}"))


def _whole(table: OppTable, path: Path) -> OppTable:
    """Return a table in which every point tells the same: half a column of powers is worth a note, of volts nothing."""
    n, n_volts = len(table.points), sum(point.voltage_v is not None for point in table.points)
    n_watts = sum(point.power_w is not None for point in table.points)
    if n_volts not in {0, n}:
        what = f"{n - n_volts} of {n} points have no voltage, the others have"
        raise InvalidFile(path, [Fault(f"table {table.name}", what, "give every point a voltage, or none")])
    if n_watts in {0, n}:
        return table
    points = tuple(replace(point, power_w=None) for point in table.points)
    return replace(table, points=points, notes=(*table.notes, f"only {n_watts} of {n} points state a power: left out"))


def _csv_tables(path: Path) -> list[OppTable]:
    """Read a CSV with frequency_hz; where known voltage_v, power_w, bin (speed_bin), soc, table (cluster), source."""
    csv = read_csv(path)
    faults = header_faults(csv.header)
    columns = {}
    for name in ("frequency_hz", "voltage_v", "power_w"):
        source, scale = _source(csv, name)
        if source:
            columns[name], wrong = read_numbers(name, csv, source=source, scale=scale, is_knob=True)
            faults += wrong
    if "frequency_hz" not in columns:
        faults.append(Fault("row 1", "column 'frequency_hz' is missing", "add it (or frequency_mhz, frequency_ghz)"))
    if not 0 < len(csv.rows) <= MAX_POINTS:
        faults.append(Fault("", f"has {len(csv.rows)} rows", f"write 1 to {MAX_POINTS:,} operating points"))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    bins = _words(csv, "bin", "speed_bin")
    groups = _groups(csv)
    clocks = columns["frequency_hz"].tolist()
    blank: list[float | None] = [None] * len(clocks)
    volts, watts = (columns[name].tolist() if name in columns else blank for name in ("voltage_v", "power_w"))
    rows = list(zip(groups, map(TablePoint, clocks, volts, watts, bins), strict=True))
    return [OppTable(g or path.stem, tuple(p for h, p in rows if h == g)) for g in dict.fromkeys(groups)]


def _groups(csv: CsvTable) -> list[str]:
    """Name the table that each row belongs to, by the columns that tell tables apart: device, cluster, source."""
    sources = [word.rsplit("/", 1)[-1] for word in _words(csv, "source")]
    told = [_words(csv, "soc", "device"), _words(csv, "table", "cluster"), sources]
    kept = [words for words in told if len(set(words)) > 1] or told[1:2]
    return [" ".join(filter(None, row)) for row in zip(*kept, strict=True)]


def _source(csv: CsvTable, name: str) -> tuple[str, float]:
    """Return the column of a CSV that holds a quantity, and its unit in SI; '' where there is none."""
    if name in csv.header:
        return name, 1.0
    if name == "voltage_v" and "microvolt" in csv.header:
        return "microvolt", 1e-6
    for column, (known, scale, _) in UNIT_COLUMNS.items():
        if known == name and column in csv.header:
            return column, scale
    return "", 1.0


def _words(csv: CsvTable, *names: str) -> list[str]:
    found = next((name for name in names if name in csv.header), None)
    return csv.cells(found) if found else [""] * len(csv.rows)


def _twice(table: OppTable) -> Iterator[Fault]:
    seen: dict[tuple[float, str], float | None] = {}
    for point in table.points:
        key = (point.frequency_hz, point.bin)
        if seen.setdefault(key, point.voltage_v) != point.voltage_v:
            what = f"{point.frequency_hz / 1e6:g} MHz stands twice with different voltages"
            yield Fault(f"table {table.name}", what, "tell the two apart by a column 'bin' or 'table'")


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
