"""Import of operating points from device tree source or CSV into the TOML file of a device."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from explorer.devices.device import MAX_POINTS
from explorer.devices.opp_tables import OppTable, TablePoint, read_opp_tables
from explorer.errors import Fault, InvalidFile, WrongUsage, limit_faults, suggestion
from explorer.io.csv_text import CsvTable, header_faults
from explorer.io.declarations import toml_string
from explorer.io.tables.read import read_table
from explorer.problem.columns import column_of
from explorer.problem.csv_columns import read_numbers
from explorer.problem.naming.spellings import match_header
from explorer.units import factor


def import_points(path: Path, *, cluster: str | None = None, bin_name: str | None = None) -> OppTable:
    """Read one table of operating points from device tree source (.dts, .dtsi) or a CSV.

    Args:
        path: the file; .csv is a CSV, any other suffix device tree source.
        cluster: label or node name of the table, if the file has several.
        bin_name: select the points of this speed bin.

    Raises:
        WrongUsage: no such file, table or bin; or several tables and none was named.
        InvalidFile: the file is invalid; all faults at once.
    """
    tables = _csv_tables(path) if path.suffix.lower() == ".csv" else read_opp_tables(path)
    if not tables:
        fix = "an opp-table node has opp-hz; to read included files as well: cpp -nostdinc -I include -undef -x "
        fix += "assembler-with-cpp FILE | dtc -I dts -O dts"
        raise InvalidFile(path, [Fault("", "has no table of operating points", fix)])
    names = [table.name for table in tables]
    listing = ", ".join(f"{table.name} ({len(table.points)} points)" for table in tables[:20])
    matches = [t for t in tables if t.name == cluster] or [t for t in tables if cluster is None or cluster in t.name]
    if not matches:
        fix = f"{suggestion(str(cluster), names)}; it has {listing}"
        raise WrongUsage(f"{path}: has no table '{cluster}'", fix=fix)
    if len(matches) > 1:
        listing = ", ".join(f"'{table.name}' ({len(table.points)} points)" for table in matches[:20])
        listing += f" and {len(matches) - 20} more" if len(matches) > 20 else ""
        raise WrongUsage(
            f"{path}: has {len(matches)} tables: {listing}", fix=f"name one: --cluster '{matches[0].name}'"
        )
    table = matches[0]
    faults = list(_voltage_conflicts(table))
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    return _complete(_select_bin(table, path, bin_name), path)


def device_toml(table: OppTable, *, title: str, source: str) -> str:
    """Format a table as the TOML file of a device."""
    lines = [f"title = {toml_string(title)}", f"source = {toml_string(source)}", 'frequency_unit = "MHz"']
    if any(point.voltage_v is not None for point in table.points):
        lines.append('voltage_unit = "mV"')
    has_names = bool(table.label) and all(point.node for point in table.points)
    if has_names:
        lines.append(f"opp_table = {toml_string(table.label)}")
    lines += ["", *[f"# {note}" for note in table.notes], "points = ["]
    for point in sorted(table.points, key=lambda p: (p.bin, p.frequency_hz, p.voltage_v or 0.0)):
        cells = [f"frequency = {point.frequency_hz / 1e6:.10g}"]
        cells += [f"voltage = {point.voltage_v * 1e3:.10g}"] if point.voltage_v is not None else []
        cells += [f"power = {point.power_w:.10g}"] if point.power_w is not None else []
        cells += [f"bin = {toml_string(point.bin)}"] if point.bin else []
        cells += [f"node = {toml_string(point.node)}"] if has_names else []
        lines.append(f"    {{ {', '.join(cells)} }},")
    return "\n".join([*lines, "]"]) + "\n"


def _select_bin(table: OppTable, path: Path, bin_name: str | None) -> OppTable:
    bins = sorted({point.bin for point in table.points} - {""})
    if bin_name is None:
        return table
    if bin_name not in bins:
        fix = f"choose one of: {', '.join(bins)}" if bins else "leave --bin out"
        raise WrongUsage(f"{path}: table {table.name} has no bin '{bin_name}'", fix=fix)
    # A point without a bin applies to all chips, unless the bin has its own voltage for that clock.
    own = {point.frequency_hz for point in table.points if point.bin == bin_name}
    selected = [p for p in table.points if p.bin == bin_name or (not p.bin and p.frequency_hz not in own)]
    points = tuple(replace(p, bin="") for p in selected)
    return replace(table, points=points, notes=(*table.notes, f"speed bin {bin_name}"))


def _complete(table: OppTable, path: Path) -> OppTable:
    """Return a table with the same quantities for every point: without incomplete powers; incomplete voltages raise."""
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
    """Read a CSV with frequency_hz and optional voltage_v, power_w, bin (speed_bin), soc, table (cluster), source."""
    csv = read_table(path)
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
    bins = _texts(csv, "bin", "speed_bin")
    groups = _table_names(csv)
    clocks = columns["frequency_hz"].tolist()
    blank: list[float | None] = [None] * len(clocks)
    volts, watts = (columns[name].tolist() if name in columns else blank for name in ("voltage_v", "power_w"))
    rows = list(zip(groups, map(TablePoint, clocks, volts, watts, bins), strict=True))
    return [OppTable(g or path.stem, tuple(p for h, p in rows if h == g)) for g in dict.fromkeys(groups)]


def _table_names(csv: CsvTable) -> list[str]:
    """Return the name of each row's table, from those columns of device, cluster and source that vary."""
    sources = [text.rsplit("/", 1)[-1] for text in _texts(csv, "source")]
    columns = [_texts(csv, "soc", "device"), _texts(csv, "table", "cluster"), sources]
    varying = [texts for texts in columns if len(set(texts)) > 1] or columns[1:2]
    return [" ".join(filter(None, row)) for row in zip(*varying, strict=True)]


def _source(csv: CsvTable, name: str) -> tuple[str, float]:
    """Return the name of a quantity's column in a CSV, '' if it has none, and the value of its unit in SI."""
    if name in csv.header:
        return name, 1.0
    if name == "voltage_v" and "microvolt" in csv.header:
        return "microvolt", 1e-6
    for column in csv.header:
        match = match_header(column)
        if match is not None and match.column == name and match.unit:
            return column, factor(match.unit, column_of(name).symbol)
    return "", 1.0


def _texts(csv: CsvTable, *names: str) -> list[str]:
    """Return the cells of the first of some columns that a CSV has; empty texts without any."""
    column = next((name for name in names if name in csv.header), None)
    return csv.cells(column) if column else [""] * len(csv.rows)


def _voltage_conflicts(table: OppTable) -> Iterator[Fault]:
    voltages: dict[tuple[float, str], float | None] = {}
    for point in table.points:
        key = (point.frequency_hz, point.bin)
        if voltages.setdefault(key, point.voltage_v) != point.voltage_v:
            what = f"{point.frequency_hz / 1e6:g} MHz appears twice with different voltages"
            yield Fault(f"table {table.name}", what, "distinguish the two by a column 'bin' or 'table'")
