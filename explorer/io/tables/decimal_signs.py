"""Decimal signs and thousands separators of a table's text cells, decided for the whole file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Sign = Literal[",", "."]
_SIGNS: tuple[Sign, Sign] = (",", ".")
# Blanks and apostrophes that group thousands: French, Swiss and typographic ones.
_BLANKS = " \u00a0\u202f\u2009'\u2019"
# A number with an optional unit: sign, body, exponent, unit ("93,33 %", "1.5e3", "8,4 ms").
_NUMBER = re.compile(rf"([+-]?)((?:\d|[.,]\d)[\d.,{_BLANKS}]*?)((?:[eE][+-]?\d+)?)(\s*(?:%|[A-Za-zµμ]{{1,6}})?)")
_BLANK_GROUPS = re.compile(rf"\d{{1,3}}(?:([{_BLANKS}])\d{{3}})(?:\1\d{{3}})*(?:[.,]\d+)?")
# What a plain number with a decimal point never has: a comma, a group of digits, or two points.
_UNUSUAL = re.compile(r"[,'\u2019\u00a0\u202f\u2009]|\d \d|\.[^\n]*\.")


class Exact(str):
    """Text of a typed number: its sign is a point, whatever the text cells of the same table use."""

    __slots__ = ()


@dataclass(slots=True)
class _Column:
    """Readings of a column's cells: those that only one sign explains, and those (1,234) that both do."""

    signs: dict[Sign, str] = field(default_factory=dict)
    ambiguous: dict[Sign, str] = field(default_factory=dict)
    has_blanks: bool = False


def use_points(header: Sequence[str], rows: list[list[str]], *, delimiter: str) -> tuple[Sign, list[str]]:
    """Rewrite numbers with decimal commas or grouped thousands to plain numbers with a decimal point, in place.

    The sign is that of all cells which only one sign explains (0,5; 1.234,5; 12.25). If there are none, a comma is the
    decimal sign unless commas separate the columns. If columns differ, each has its own.

    Args:
        header: names of the columns, for the notes.
        rows: cells, changed in place; `Exact` ones stay.
        delimiter: between the columns; '' in a source without one.

    Returns:
        The decimal sign of the file, and notes on what was ambiguous.
    """
    columns = [[row[i] for row in rows] for i in range(len(header))]
    if not any(_UNUSUAL.search("\n".join(cells)) for cells in columns):
        return ".", []
    found = [_readings(cells) for cells in columns]
    signs: set[Sign] = {sign for column in found for sign in column.signs}
    has_ambiguous_commas = any("," in column.ambiguous for column in found)
    by_delimiter: Sign = "." if delimiter == "," or not (has_ambiguous_commas or signs) else ","
    usual = next(iter(signs)) if len(signs) == 1 else by_delimiter
    notes = []
    for i, (name, column) in enumerate(zip(header, found, strict=True)):
        sign = next(iter(column.signs), usual)
        if len(column.signs) > 1:
            examples = " and ".join(f"'{cell}'" for cell in column.signs.values())
            notes.append(f"'{name}' mixes decimal commas and points ({examples}): its cells stay as they are")
            continue
        notes += _ambiguity_notes(name, column, sign, is_decided=bool(signs))
        if column.signs or column.ambiguous or column.has_blanks:
            for row in rows:
                row[i] = _plain(row[i], sign)
    return usual, notes


def _readings(cells: Sequence[str]) -> _Column:
    column = _Column()
    for cell in dict.fromkeys(cells):
        if type(cell) is not str or cell.isdecimal():
            continue
        sign, is_sure = _decimal(cell), True
        if sign is None:
            match = _NUMBER.fullmatch(cell.strip())
            if match is None:
                continue
            sign, is_sure = _sign_of(match[2], is_scaled=bool(match[3]))
            column.has_blanks |= sign is None and _BLANK_GROUPS.fullmatch(match[2]) is not None
        if sign:
            (column.signs if is_sure else column.ambiguous).setdefault(sign, cell.strip()[:40])
    return column


def _decimal(cell: str) -> Sign | None:
    """Return the sign of a plain decimal that cannot be grouped thousands, as most cells are; None for all others."""
    for sign in _SIGNS:
        whole, mark, fraction = cell.partition(sign)
        if mark and len(fraction) not in {0, 3} and fraction.isdecimal() and whole.lstrip("+-").isdecimal():
            return sign
    return None


def _sign_of(body: str, *, is_scaled: bool) -> tuple[Sign | None, bool]:
    """Return the decimal sign that explains a number (the nearer one if both do), and whether only this one does.

    >>> [_sign_of(body, is_scaled=False) for body in ("0,5", "1.234,5", "1,234", "8.443", "1.234.567", "12")]
    [(',', True), (',', True), (',', False), ('.', False), (',', True), (None, False)]
    """
    has_blanks = not set(_BLANKS).isdisjoint(body)
    if has_blanks and not _BLANK_GROUPS.fullmatch(body):
        return None, False
    n_commas, n_points = body.count(","), body.count(".")
    if n_commas and n_points:
        decimal: Sign = "," if body.rindex(",") > body.rindex(".") else "."
        group = "." if decimal == "," else ","
        return (decimal, True) if re.fullmatch(rf"\d{{1,3}}(\{group}\d{{3}})+\{decimal}\d*", body) else (None, False)
    if not n_commas + n_points:
        return None, False
    only: Sign = "," if n_commas else "."
    if n_commas + n_points > 1:
        other: Sign = "." if only == "," else ","
        return (other, True) if re.fullmatch(rf"[1-9]\d{{0,2}}(\{only}\d{{3}})+", body) else (None, False)
    return only, is_scaled or has_blanks or not re.fullmatch(rf"[1-9]\d{{0,2}}\{only}\d{{3}}", body)


def _plain(cell: str, sign: Sign) -> str:
    if _decimal(cell) == sign:
        return cell.replace(",", ".")
    match = _NUMBER.fullmatch(cell.strip()) if type(cell) is str else None
    if match is None or not (_sign_of(match[2], is_scaled=bool(match[3]))[0] or _BLANK_GROUPS.fullmatch(match[2])):
        return cell
    body = re.sub(rf"[{_BLANKS}{'.' if sign == ',' else ','}]", "", match[2]).replace(",", ".")
    return f"{match[1]}{body}{match[3]}{match[4]}"


def _ambiguity_notes(name: str, column: _Column, sign: Sign, *, is_decided: bool) -> list[str]:
    other: Sign = "." if sign == "," else ","
    notes = []
    if other in column.ambiguous:
        cell = column.ambiguous[other]
        notes.append(f"{_label(other)}s group thousands in '{name}': '{cell}' is read as {_plain(cell, sign)}")
    if sign == "," and sign in column.ambiguous and not is_decided:
        cell = column.ambiguous[sign]
        notes.append(f"'{cell}' in '{name}' is read as {_plain(cell, sign)}, with a decimal comma")
    return notes


def _label(sign: Sign) -> str:
    return "comma" if sign == "," else "point"
