"""Tables of operating points in a device tree: bindings operating-points-v2 and operating-points (v1).

Source: Linux kernel, Documentation/devicetree/bindings/opp/opp-v2-base.yaml and opp-v1.yaml.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from explorer.devices.device_tree import MAX_BYTES, Node, parse_device_tree
from explorer.errors import Fault, InvalidFile, limit_faults
from explorer.io.files import is_file, read_text

_BINS = "opp-microvolt-"
_BLOB = b"\xd0\x0d\xfe\xed"


@dataclass(frozen=True, slots=True)
class TablePoint:
    """Operating point in SI; None for a quantity that the table lacks. `node` is the name of its node in the tree."""

    frequency_hz: float
    voltage_v: float | None = None
    power_w: float | None = None
    bin: str = ""
    node: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class OppTable:
    """Table of operating points of one file, with notes on how it was read.

    `label` is the label by which an overlay refers to it, '' if the tree has none.
    """

    name: str
    points: tuple[TablePoint, ...]
    notes: tuple[str, ...] = ()
    label: str = ""


def read_opp_tables(path: Path) -> list[OppTable]:
    """Read all tables of operating points in device tree source; tables without clocks are skipped.

    Raises:
        WrongUsage: no such file.
        InvalidFile: the file is not device tree source, or points violate the binding; all faults at once.
    """
    root = parse_device_tree(_source(path), path=path)
    faults: list[Fault] = []
    tables: dict[str, OppTable] = {}
    for node in root.walk():
        name = node.label or node.name.removeprefix("&")
        is_table = any("opp-hz" in child.cells for child in node.children) or any(
            text.startswith("operating-points-v2") for text in node.strings.get("compatible", ())
        )
        table = _v2_table(node, name, faults) if is_table else _v1_table(node, name, faults)
        if table is not None and table.points:
            key = name if name not in tables else f"{name}@line{node.line}"
            # Some trees repeat a table in the v1 binding: one of them is enough.
            if is_table or table.points not in {previous.points for previous in tables.values()}:
                tables[key] = replace(table, name=key)
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    return list(tables.values())


def _source(path: Path) -> str:
    """Return the source text of a device tree; for a blob the fix is the command that decompiles it."""
    if is_file(path):
        with suppress(OSError), path.open("rb") as file:
            if file.read(4) == _BLOB:
                fix = f"decompile it: dtc -I dtb -O dts {path.name} -o {path.stem}.dts"
                raise InvalidFile(path, [Fault("", "is a device tree blob", fix)])
    return read_text(path, max_bytes=MAX_BYTES)


def _v2_table(node: Node, name: str, faults: list[Fault]) -> OppTable | None:
    """Read an operating-points-v2 table; None for a table of levels or bandwidths, without clocks."""
    points: list[TablePoint] = []
    notes: list[str] = []
    children = [child for child in node.children if child.name.startswith("opp") or "opp-hz" in child.cells]
    if not any("opp-hz" in child.cells for child in children) and not node.name.startswith("&"):
        return None
    clocks = [_clock(child, f"line {child.line}, {name}/{child.name}", faults) for child in children]
    for child, clock in zip(children, clocks, strict=True):
        location = f"line {child.line}, {name}/{child.name}"
        if clock is None:
            continue
        if child.strings.get("status") == ["disabled"]:
            notes.append(f"{clock / 1e6:g} MHz is disabled in the tree and left out")
            continue
        hardware = child.cells.get("opp-supported-hw")
        is_shared = clocks.count(clock) > 1
        supported = f"hw-{'-'.join(_hex(cell) for cell in hardware)}" if hardware and is_shared else ""
        power = child.cells.get("opp-microwatt", [None])[0]
        watt = power * 1e-6 if power else None
        volts = {
            key.removeprefix(_BINS) if key != "opp-microvolt" else supported: _volt(cells, f"{location}, {key}", faults)
            for key, cells in child.cells.items()
            if key == "opp-microvolt" or key.startswith(_BINS)
        }
        voltages = volts or {supported: None}
        points += [TablePoint(clock, volt, watt, label, child.name) for label, volt in voltages.items()]
    if any("opp-supported-hw" in child.cells for child in children):
        notes.append("opp-supported-hw: the fuses of a chip decide which of these points it may use")
    label = node.label or (node.name[1:] if node.name.startswith("&") else "")
    return OppTable(name, tuple(points), tuple(notes), label)


def _hex(cell: int | None) -> str:
    return "?" if cell is None else f"{cell:#x}"


def _clock(child: Node, location: str, faults: list[Fault]) -> float | None:
    cells = child.cells.get("opp-hz")
    if not cells or None in cells or len(cells) > 2 or ("opp-hz" in child.is_wide and len(cells) != 1):
        what = "has no opp-hz" if not cells else "opp-hz is not one 64-bit number"
        fix = "write opp-hz = /bits/ 64 <...>; if an included file has it, preprocess the tree first (cpp, dtc)"
        faults.append(Fault(location, what, fix))
        return None
    parts = [cell or 0 for cell in cells]
    hertz = float(parts[0] if len(parts) == 1 else (parts[0] << 32) + parts[1])
    if not 0 < hertz <= 1e13:
        faults.append(Fault(location, f"opp-hz = {hertz:g} is not a clock", "write it in hertz, above 0"))
        return None
    return hertz


def _volt(cells: list[int | None], location: str, faults: list[Fault]) -> float | None:
    """Return the target voltage: the first cell of one, of a triplet, or of several regulators' triplets."""
    microvolt = cells[0]
    if microvolt is None or not 0 < microvolt <= 100_000_000:
        value = "a macro or expression" if microvolt is None else microvolt
        fix = "write a number, or preprocess the tree first"
        faults.append(Fault(location, f"{value} is not a voltage in microvolt", fix))
        return None
    return microvolt * 1e-6


def _v1_table(node: Node, name: str, faults: list[Fault]) -> OppTable | None:
    """Read a table of the v1 binding: operating-points = <kHz uV kHz uV ...>."""
    cells = node.cells.get("operating-points")
    if not cells:
        return None
    location = f"line {node.line}, {name}, operating-points"
    if len(cells) % 2 or None in cells:
        faults.append(
            Fault(location, f"has {len(cells)} cells that are not pairs of numbers", "write <kHz uV kHz uV ...>")
        )
        return None
    pairs = [(float(cells[i] or 0) * 1e3, cells[i + 1]) for i in range(0, len(cells), 2)]
    points = []
    for hertz, microvolt in pairs:
        if not 0 < hertz <= 1e13:
            faults.append(Fault(location, f"{hertz / 1e3:g} kHz is not a clock", "write <kHz uV ...>, above 0"))
        else:
            points.append(TablePoint(hertz, _volt([microvolt], location, faults)))
    return OppTable(name, tuple(points))
