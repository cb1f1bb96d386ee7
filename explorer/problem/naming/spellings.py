"""Spellings of columns and units in tables of people and tools: the dictionary of `spellings.toml`, and its look-up."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from explorer.problem.columns import COLUMNS
from explorer.problem.targets import Target, declared_target
from explorer.units import SYMBOLS

_PREFIXES = ("", "p", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi")
# A unit is often typed in the wrong case. Where m and M differ, m is meant (no board takes MW), but for these symbols.
_NEVER_THOUSANDTHS = frozenset({"Hz", "B", "OPS", "OPS/W"})
_CUSTOMARY = {"s": ("min", "h"), "J": ("Wh", "mWh", "uWh", "kWh")}
# What a unit alone names: 'mW' is a column of powers.
_BARE = {"W": "power_w", "s": "latency_s", "Hz": "frequency_hz", "J": "energy_j", "V": "voltage_v", "B": "size_bytes",
         "OPS": "throughput_ops"}  # fmt: skip
_BRACKETS = re.compile(r"(.*\S)\s*[\[({<]\s*([^\])}>]*?)\s*[\])}>]\s*")
_SEPARATED = re.compile(r"(.*[^\W_])[\s_\-./]+([^\s_\-./]+)")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "µ": "u", "μ": "u", "%": "pct"})


@dataclass(frozen=True, slots=True)
class Spelling:
    """Column that a header means: `unit` as it states it, '' without one; the smaller `rank` is preferred."""

    column: str
    unit: str
    rank: int


@dataclass(frozen=True, slots=True)
class KnownQuality:
    """Quantity that explorer does not define, but whose direction and range are known."""

    name: str
    direction: str
    range: tuple[float, float]
    unit: str

    def declare(self) -> Target:
        """Return it as a declared target; one that the user has declared under this name stays as it is."""
        return declared_target(self.name) or Target(
            self.name, "max" if self.direction == "max" else "min", self.unit, self.range
        )


@cache
def dictionary() -> Mapping[str, Any]:
    """Return the content of `spellings.toml`."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def qualities() -> Mapping[str, KnownQuality]:
    """Return the known quantities next to the built-in targets by name, preferred objectives first."""
    return {
        name: KnownQuality(name, one["direction"], (one["range"][0], one["range"][1]), one.get("unit", ""))
        for name, one in dictionary()["quality"].items()
    }


def squeeze(text: str) -> str:
    """Return a name without case, accents and separators, so that spellings compare.

    >>> squeeze("Top-1 [%]"), squeeze("top_1_pct"), squeeze("Größe")
    ('top1pct', 'top1pct', 'groesse')
    """
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_UMLAUTS))
    return "".join(character for character in plain if character.isalnum())


def strip_tracker(header: str) -> tuple[str, str]:
    """Return a header without the prefixes of experiment trackers, and what they state it is.

    >>> strip_tracker("config.bits"), strip_tracker("metrics.val/acc"), strip_tracker("bits")
    (('bits', 'knob'), ('acc', 'measured'), ('bits', ''))
    """
    role = ""
    while role != "other":
        found = next(
            ((p, kind) for kind in ("knob", "measured", "other") for p in dictionary()["trackers"][kind]
             if header.casefold().startswith(p) and len(header) > len(p)),
            None,
        )  # fmt: skip
        if found is None:
            break
        header, role = header[len(found[0]) :], role if role and found[1] == "measured" else found[1]
    return header, role


def without_unit(header: str) -> tuple[str, str]:
    """Return a header without the unit in brackets at its end, and that unit; '' without brackets.

    >>> without_unit("Latency [ms]"), without_unit("latency_ms")
    (('Latency', 'ms'), ('latency_ms', ''))
    """
    match = _BRACKETS.fullmatch(header)
    return (match[1], match[2]) if match else (header, "")


def meant_unit(text: str, symbol: str) -> str:
    """Return the multiple of a symbol that a text means: 'MHz' of 'mhz', '%' of 'pct'; '' if there is none.

    >>> meant_unit("mhz", "Hz"), meant_unit("MW", "W"), meant_unit("pct", ""), meant_unit("ms", "J")
    ('MHz', 'mW', '%', '')
    """
    return _units(symbol).get(squeeze(text), "")


def symbol_of(column: str) -> str:
    """Return the SI unit of a column that the dictionary knows, or of a declared target."""
    target = declared_target(column)
    if target is not None:
        return target.symbol
    if column in qualities():
        return qualities()[column].unit
    return COLUMNS[column].symbol


def match_header(header: str) -> Spelling | None:
    """Return the column that the header of a table means, with the unit that it states; None if it is not known.

    >>> match_header("Takt [MHz]"), match_header("config.w_bits").column, match_header("width")
    (Spelling(column='frequency_hz', unit='MHz', rank=24), 'weight_bits', None)
    """
    text = header.strip()
    if text not in COLUMNS:
        text = strip_tracker(text)[0]
    stem, bracket = without_unit(text)
    words, key = _words(), squeeze(text)
    if bracket and (found := words.get(squeeze(stem))) is not None:
        unit = meant_unit(bracket, symbol_of(found[0]))
        if unit:
            return Spelling(found[0], unit, found[1])
    if key in words:
        column, rank = words[key]
        return Spelling(column, symbol_of(column) if key == squeeze(column) else "", rank)
    for i in range(len(key) - 1, 0, -1):
        begun = words.get(key[:i])
        if begun is not None and (rest := _units(symbol_of(begun[0])).get(key[i:])):
            return Spelling(begun[0], rest, begun[1])
    return _with_unit(text, stem, bracket) or _bare_unit(text)


def spellings_of(name: str) -> str | None:
    """Return the column whose spelling a name is, without a unit; None if it is not one."""
    found = _words().get(squeeze(name))
    return found[0] if found else None


def _with_unit(text: str, stem: str, unit_text: str) -> Spelling | None:
    """Return the column of a word that needs a unit: 'E [mJ]', 'core_mhz'."""
    if not unit_text and (match := _SEPARATED.fullmatch(text)):
        stem, unit_text = match[1], match[2]
    for column, words in dictionary()["with_unit"].items():
        if squeeze(stem) in words and (unit := meant_unit(unit_text, COLUMNS[column].symbol)):
            return Spelling(column, unit, 1000)
    return None


def _bare_unit(text: str) -> Spelling | None:
    """Return the column of a header that is a unit: 'mW'. A single letter, and a word such as 'min', is none."""
    for symbol, column in _BARE.items():
        unit = meant_unit(text, symbol)
        is_usual = len(unit) > 1 and unit[0] not in "pT" and unit not in _CUSTOMARY.get(symbol, ())
        if is_usual and squeeze(unit) == squeeze(text):
            return Spelling(column, unit, 2000)
    return None


@cache
def _words() -> Mapping[str, tuple[str, int]]:
    """Return column and rank by squeezed spelling."""
    words: dict[str, tuple[str, int]] = {}
    lists = {**dictionary()["columns"], **{name: one["spellings"] for name, one in dictionary()["quality"].items()}}
    for column, spellings in lists.items():
        for rank, spelling in enumerate([column, *spellings]):
            words.setdefault(squeeze(spelling), (column, rank))
    return words


@cache
def _units(symbol: str) -> Mapping[str, str]:
    """Return the units of a symbol by squeezed spelling."""
    synonyms = dictionary()["units"]
    if symbol == "":
        return {"pct": "%", **{squeeze(text): unit for unit in ("%", "1") for text in synonyms[unit]}}
    units = {squeeze(symbol): symbol}
    if symbol not in SYMBOLS:
        return units
    small = {"p", "n", "u", "m"} if symbol in _NEVER_THOUSANDTHS else set()
    for prefix in (p for p in _PREFIXES if p not in small):
        unit = f"{prefix}{symbol}"
        if len(prefix) < 2 or symbol == "B":
            units.setdefault(squeeze(unit), unit)
    for unit in (*_CUSTOMARY.get(symbol, ()), *(unit for unit in synonyms if unit in units.values())):
        units |= {squeeze(text): unit for text in (unit, *synonyms.get(unit, ())) if squeeze(text) not in units}
    return units
