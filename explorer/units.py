"""Conversion of customary units (GHz, nF, MB, mJ, Wh) to and from SI, at input and output only."""

import math
import re

from explorer.errors import WrongUsage

_PREFIXES = {
    "": 1.0,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "c": 1e-2,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
}
SYMBOLS = ("V", "Hz", "F", "J", "s", "W", "B", "J*s", "OPS", "OPS/W", "d", "g/d")
# Bytes alone have binary prefixes; MB stays 10^6 bytes, as in the paper's tables and in SI.
_BINARY = {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
# Customary units that are no decimal multiples. `/s` and `kg/J` are units of declarations only, never of a column.
_WATT_HOURS = {f"{prefix}Wh": 3600 * scale for prefix, scale in _PREFIXES.items() if prefix != "c"}
_CUSTOMARY: dict[str, dict[str, float]] = {
    "s": {"min": 60.0, "h": 3600.0, "d": 86400.0},
    "J": _WATT_HOURS,
    "d": {"s": 1 / 86400, "min": 1 / 1440, "h": 1 / 24},
    "g/d": {"g/day": 1.0, "kg/day": 1e3, "mg/day": 1e-3},
    "/s": {"/s": 1.0, "1/s": 1.0, "Hz": 1.0, "kHz": 1e3, "/min": 1 / 60, "/h": 1 / 3600, "/d": 1 / 86400},
    "kg/J": {
        f"{mass}/{energy}": grams * 1e-3 / joules
        for mass, grams in {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6}.items()
        for energy, joules in {**_WATT_HOURS, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9}.items()
    },
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*")


def factor(unit: str, symbol: str) -> float:
    """Return one `unit` in the SI unit `symbol` ('' for a pure number, which also accepts '%').

    Raises:
        WrongUsage: the unit is not a multiple of `symbol`.

    >>> factor("GHz", "Hz"), factor("Wh", "J"), factor("kg/MWh", "kg/J") == factor("g/kWh", "kg/J")
    (1000000000.0, 3600.0, True)
    """
    unit = unit.replace("·", "*")  # `Column.title` prints J·s
    if symbol == "" and unit in {"", "1", "%"}:
        return 0.01 if unit == "%" else 1.0
    if unit == symbol:
        return 1.0
    if symbol == "B" and unit in _BINARY:
        return _BINARY[unit]
    if unit in _CUSTOMARY.get(symbol, {}):
        return _CUSTOMARY[symbol][unit]
    if symbol in SYMBOLS and unit.endswith(symbol) and unit.removesuffix(symbol) in _PREFIXES:
        return _PREFIXES[unit.removesuffix(symbol)]
    if symbol in {"/s", "kg/J", "d"}:
        allowed = ", ".join({"/s": ("/s", "/min", "/h"), "kg/J": ("g/kWh", "kg/MWh"), "d": ("d", "h")}[symbol])
    else:
        allowed = "a pure number or %" if symbol == "" else f"{symbol} with an SI prefix, such as {_example(symbol)}"
    raise WrongUsage(f"'{unit}' is not a unit of {symbol or 'a pure number'}", fix=f"write {allowed}")


def to_si(value: float, scale: float) -> float:
    """Convert a declared number to SI, rounded to 14 digits: 950 mV is 0.95 V, not 0.9500000000000001.

    >>> to_si(950, 1e-3)
    0.95
    """
    return value if scale == 1 else float(f"{value * scale:.14g}")


def parse_quantity(text: str, symbol: str) -> float:
    """Parse a number with an optional unit into SI; a number without a unit is SI already.

    >>> parse_quantity("850 mV", "V")
    0.85
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise WrongUsage(f"'{text}' is not a number with a unit", fix=f"write for example '1.5 {_example(symbol)}'")
    return float(match[1]) * (factor(match[2], symbol) if match[2] else 1.0)


def humanize(value: float, symbol: str) -> str:
    """Format an SI value to four digits with the unit prefix that brings it to 1 or more.

    >>> humanize(2.3e9, "Hz"), humanize(0.15, "s"), humanize(0.94, "")
    ('2.3 GHz', '150 ms', '0.94')
    """
    if symbol == "" or value == 0 or not math.isfinite(value) or symbol in {"V", "J*s", "d"}:
        return f"{value:.4g} {symbol}".rstrip()
    scales = {p: s for p, s in _PREFIXES.items() if p not in {"c", "µ"}}
    fitting = [p for p, s in scales.items() if abs(value) >= s * (1 - 1e-12)]
    prefix = max(fitting, key=lambda p: scales[p]) if fitting else "p"
    return f"{value / scales[prefix]:.4g} {prefix}{symbol}"


def _example(symbol: str) -> str:
    examples = {"Hz": "GHz", "V": "mV", "J": "mJ", "s": "ms", "W": "mW", "B": "MB", "F": "nF", "kg/J": "g/kWh"}
    return examples.get(symbol, symbol)
