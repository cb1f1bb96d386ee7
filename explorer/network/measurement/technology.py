"""Energy of a MAC and of a memory access in a declared technology, and Eq. (1) with it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.io.files import MAX_DECLARATION_BYTES, read_text
from explorer.network.graph.op_counts import OpCounts
from explorer.paper.equations import mac_memory_energy

SHIPPED = Path(__file__).parent.parent / "technology.toml"
_LIMIT = 1e12  # one joule for an access, or a terabit in one
ACTIVATION_BITS = {"float32": 32, "float16": 16, "int8": 8}


@dataclass(frozen=True, slots=True)
class Technology:
    """A declared technology: joules per MAC by arithmetic, joules per bit by memory level, and their sources."""

    title: str
    mac_j: Mapping[str, float]
    bit_j: Mapping[str, float]
    sources: Mapping[str, str]


def load_technology(path: Path = SHIPPED) -> Technology:
    """Read a technology table.

    Raises:
        WrongUsage: the file does not exist.
        InvalidFile: the file has faults; all of them at once.
    """
    text = read_text(path, max_bytes=MAX_DECLARATION_BYTES)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidFile(path, [Fault("", f"is not TOML: {error}", "correct that line")]) from None
    faults = [
        Fault(key, "is not a key of a technology", "use title, [mac] and [memory]")
        for key in table
        if key not in {"title", "mac", "memory"}
    ]
    faults += [
        Fault(f"[{kind}]", "is missing or empty", "copy it from the shipped table")
        for kind in ("mac", "memory")
        if not isinstance(table.get(kind), dict) or not table[kind]
    ]
    if faults:
        raise InvalidFile(path, faults)
    entries = {(kind, name): entry for kind in ("mac", "memory") for name, entry in table[kind].items()}
    faults = [fault for (kind, name), entry in entries.items() for fault in _faults(kind, name, entry)]
    if faults:
        raise InvalidFile(path, faults)
    return Technology(
        str(table.get("title", path.stem)),
        {name: entry["pj"] * 1e-12 for name, entry in table["mac"].items()},
        {name: entry["pj"] * 1e-12 / entry["bits"] for name, entry in table["memory"].items()},
        {f"{kind}.{name}": entry["source"] for (kind, name), entry in entries.items()},
    )


def modelled_energy(
    counts: OpCounts, technology: Technology, *, level: str, weight_bits: Mapping[str, int], arithmetic: str = "float32"
) -> float:
    """Return the energy of one run by Eq. (1), in joules: modelled for a technology, not measured.

    Args:
        counts: operation counts of the run.
        technology: energy per MAC and per bit.
        level: memory level of all accesses.
        weight_bits: bits per element of each stored tensor; other tensors have the width of the arithmetic.
        arithmetic: number format of the MACs. With only weights quantized, this is float32.

    Raises:
        UnknownName: the technology does not declare this level or arithmetic.
    """
    if level not in technology.bit_j:
        raise UnknownName(technology.title, level, technology.bit_j)
    if arithmetic not in technology.mac_j:
        raise UnknownName(technology.title, arithmetic, technology.mac_j)
    default_bits = ACTIVATION_BITS.get(arithmetic, 32)
    bits = sum(
        default_bits * operator.n_activation_accesses
        + sum(n * weight_bits.get(name, default_bits) for name, n in operator.weight_reads.items())
        for operator in counts.operators
    )
    n_accesses = counts.n_accesses
    return float(
        mac_memory_energy(
            mac_ops=counts.n_macs,
            mac_energy=technology.mac_j[arithmetic],
            mem_accesses=n_accesses,
            access_energy=technology.bit_j[level] * bits / max(n_accesses, 1),
        )
    )


def _faults(kind: str, name: str, entry: Any) -> list[Fault]:
    location = f"{kind}.{name}"
    if not isinstance(entry, dict):
        return [Fault(location, "is not a table", 'write { pj = 4.6, source = "..." }')]
    faults = []
    if kind == "mac" and name not in ACTIVATION_BITS:
        faults.append(Fault(location, "is not a supported arithmetic", f"use one of {', '.join(ACTIVATION_BITS)}"))
    for key in ("pj", "bits") if kind == "memory" else ("pj",):
        value: Any = entry.get(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < _LIMIT:
            faults.append(Fault(f"{location}.{key}", f"is {value!r}", "give a positive number, at most 1e12"))
    if not isinstance(entry.get("source"), str) or not entry["source"].strip():
        faults.append(Fault(f"{location}.source", "is missing", "cite the measurement or publication"))
    return faults
