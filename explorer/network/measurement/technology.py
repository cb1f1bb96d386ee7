"""What a technology pays for a MAC and for a bit of memory, and Eq. (1) with it."""

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
_TOO_MUCH = 1e12  # more than a joule for one access, or a terabit in one
ACTIVATION_BITS = {"float32": 32, "float16": 16, "int8": 8}


@dataclass(frozen=True, slots=True)
class Technology:
    """A declared technology: joule for a MAC by arithmetic, joule for a bit by memory level, and who says so."""

    title: str
    mac_j: Mapping[str, float]
    bit_j: Mapping[str, float]
    sources: Mapping[str, str]


def load_technology(path: Path = SHIPPED) -> Technology:
    """Read a technology table.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: with every fault of the file.
    """
    text = read_text(path, max_bytes=MAX_DECLARATION_BYTES)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidFile(path, [Fault("", f"is not TOML: {error}", "mend that line")]) from None
    faults = [
        Fault(key, "is not known here", "a technology has title, [mac] and [memory]")
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
    """Return Eq. (1) for one run, in joule: a model of the declared technology, not a measurement.

    Args:
        counts: of the run.
        technology: what a MAC and a bit cost.
        level: the memory level that every access goes to.
        weight_bits: bits of each stored tensor's elements; those not named have the arithmetic's.
        arithmetic: what computes. Weights alone quantized still compute in float32.

    Raises:
        UnknownName: the technology does not know this level or arithmetic.
    """
    if level not in technology.bit_j:
        raise UnknownName(technology.title, level, technology.bit_j)
    if arithmetic not in technology.mac_j:
        raise UnknownName(technology.title, arithmetic, technology.mac_j)
    default = ACTIVATION_BITS.get(arithmetic, 32)
    bits = sum(
        default * operator.n_activation_accesses
        + sum(n * weight_bits.get(name, default) for name, n in operator.weight_reads.items())
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
    where = f"{kind}.{name}"
    if not isinstance(entry, dict):
        return [Fault(where, "is not a table", 'write { pj = 4.6, source = "..." }')]
    faults = []
    if kind == "mac" and name not in ACTIVATION_BITS:
        faults.append(Fault(where, "is not an arithmetic known here", f"choose of {', '.join(ACTIVATION_BITS)}"))
    for key in ("pj", "bits") if kind == "memory" else ("pj",):
        value: Any = entry.get(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < _TOO_MUCH:
            faults.append(Fault(f"{where}.{key}", f"is {value!r}", "give a positive number, at most 1e12"))
    if not isinstance(entry.get("source"), str) or not entry["source"].strip():
        faults.append(Fault(f"{where}.source", "is missing", "say who measured or published the number"))
    return faults
