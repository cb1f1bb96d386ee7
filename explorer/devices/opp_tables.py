"""Tables of operating points in a device tree: the operating-points-v2 binding and the old one before it."""

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
    """One operating point, SI; None where the table does not tell. `node` is its node's name in the tree."""

    frequency_hz: float
    voltage_v: float | None = None
    power_w: float | None = None
    bin: str = ""
    node: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class OppTable:
    """A table of operating points as a file has it, with what its user should know of how it was read.

    `label` is what an overlay can call it by, '' where the tree gives it none.
    """

    name: str
    points: tuple[TablePoint, ...]
    notes: tuple[str, ...] = ()
    label: str = ""


def read_opp_tables(path: Path) -> list[OppTable]:
    """Read all tables of operating points of a device tree's source; tables without clocks are none of ours.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is no device tree, or points lack what the binding demands; all faults at once.
    """
    root = parse_device_tree(_source(path), path=path)
    faults: list[Fault] = []
    tables: dict[str, OppTable] = {}
    for node in root.walk():
        name = node.label or node.name.removeprefix("&")
        is_table = any("opp-hz" in child.cells for child in node.children) or any(
            text.startswith("operating-points-v2") for text in node.strings.get("compatible", ())
        )
        found = _table_of(node, name, faults) if is_table else _old_table(node, name, faults)
        if found is not None and found.points:
            key = name if name not in tables else f"{name}@line{node.line}"
            if found.points not in {table.points for table in tables.values()} or is_table:
                tables[key] = replace(found, name=key)
    if faults:
        raise InvalidFile(path, limit_faults(faults))
    return list(tables.values())


def _source(path: Path) -> str:
    """Return a device tree's source text; a blob is refused with the command that decompiles it."""
    if is_file(path):
        with suppress(OSError), path.open("rb") as file:
            if file.read(4) == _BLOB:
                fix = f"decompile it: dtc -I dtb -O dts {path.name} -o {path.stem}.dts"
                raise InvalidFile(path, [Fault("", "is a device tree blob", fix)])
    return read_text(path, max_bytes=MAX_BYTES)


def _table_of(node: Node, name: str, faults: list[Fault]) -> OppTable | None:
    """Read an operating-points-v2 table; tables of levels or bandwidths, without clocks, are none of ours."""
    points: list[TablePoint] = []
    notes: list[str] = []
    children = [child for child in node.children if child.name.startswith("opp") or "opp-hz" in child.cells]
    if not any("opp-hz" in child.cells for child in children) and not node.name.startswith("&"):
        return None
    clocks = [_clock(child, f"line {child.line}, {name}/{child.name}", faults) for child in children]
    for child, clock in zip(children, clocks, strict=True):
        where = f"line {child.line}, {name}/{child.name}"
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
            key.removeprefix(_BINS) if key != "opp-microvolt" else supported: _volt(cells, f"{where}, {key}", faults)
            for key, cells in child.cells.items()
            if key == "opp-microvolt" or key.startswith(_BINS)
        }
        voltages = volts or {supported: None}
        points += [TablePoint(clock, volt, watt, label, child.name) for label, volt in voltages.items()]
    if any("opp-supported-hw" in child.cells for child in children):
        notes.append("opp-supported-hw: which of these points a chip may use its fuses say")
    label = node.label or (node.name[1:] if node.name.startswith("&") else "")
    return OppTable(name, tuple(points), tuple(notes), label)


def _hex(cell: int | None) -> str:
    return "?" if cell is None else f"{cell:#x}"


def _clock(child: Node, where: str, faults: list[Fault]) -> float | None:
    cells = child.cells.get("opp-hz")
    if not cells or None in cells or len(cells) > 2 or ("opp-hz" in child.is_wide and len(cells) != 1):
        what = "has no opp-hz" if not cells else "opp-hz is not one 64-bit number"
        fix = "write opp-hz = /bits/ 64 <...>; if an included file has it, preprocess the tree first (cpp, dtc)"
        faults.append(Fault(where, what, fix))
        return None
    parts = [cell or 0 for cell in cells]
    hertz = float(parts[0] if len(parts) == 1 else (parts[0] << 32) + parts[1])
    if not 0 < hertz <= 1e13:
        faults.append(Fault(where, f"opp-hz = {hertz:g} is not a clock", "write it in hertz, above 0"))
        return None
    return hertz


def _volt(cells: list[int | None], where: str, faults: list[Fault]) -> float | None:
    """Return the target voltage: the first cell of one, of a triplet, or of several regulators' triplets."""
    microvolt = cells[0]
    if microvolt is None or not 0 < microvolt <= 100_000_000:
        shown = "a macro or expression" if microvolt is None else microvolt
        fix = "write a number, or preprocess the tree first"
        faults.append(Fault(where, f"{shown} is not a voltage in microvolt", fix))
        return None
    return microvolt * 1e-6


def _old_table(node: Node, name: str, faults: list[Fault]) -> OppTable | None:
    """Read the old binding: operating-points = <kHz uV kHz uV ...>."""
    cells = node.cells.get("operating-points")
    if not cells:
        return None
    where = f"line {node.line}, {name}, operating-points"
    if len(cells) % 2 or None in cells:
        faults.append(Fault(where, f"has {len(cells)} cells that are no pairs of numbers", "write <kHz uV kHz uV ...>"))
        return None
    pairs = [(float(cells[i] or 0) * 1e3, cells[i + 1]) for i in range(0, len(cells), 2)]
    points = []
    for hertz, microvolt in pairs:
        if not 0 < hertz <= 1e13:
            faults.append(Fault(where, f"{hertz / 1e3:g} kHz is not a clock", "write <kHz uV ...>, above 0"))
        else:
            points.append(TablePoint(hertz, _volt([microvolt], where, faults)))
    return OppTable(name, tuple(points))
