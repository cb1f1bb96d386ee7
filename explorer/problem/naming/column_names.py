"""Names of columns as people type them: `latency`, `edp`, `latency_ms`, `Energy_mJ` for the names that columns have."""

from collections.abc import Collection
from dataclasses import dataclass

from explorer.errors import UnknownName
from explorer.problem.columns import column_of
from explorer.problem.naming.spellings import meant_unit, spellings_of

_ENDS = ("_lo", "_hi")
_SUFFIXES = ("_ratio", "_bytes", "_ops", "_hz", "_js", "_s", "_j", "_w", "_v")


@dataclass(frozen=True, slots=True)
class ColumnName:
    """A column, and the unit that its name stated as typed (`ms` of `latency_ms`); empty without one."""

    column: str
    unit: str = ""


def find_column(name: str, valid: Collection[str]) -> ColumnName | None:
    """Return the column that a name means: itself, without its unit, or with another unit; None if it is not clear.

    Args:
        name: as typed.
        valid: names of the columns to find it among.

    >>> find_column("latency_ms", ["latency_s"]), find_column("EDP", ["edp_js", "energy_j"])
    (ColumnName(column='latency_s', unit='ms'), ColumnName(column='edp_js', unit=''))
    """
    if name in valid:
        return ColumnName(name)
    typed = name.strip().lower().replace("-", "_").replace(" ", "_")
    for end in _ENDS:
        if typed.endswith(end) and (base := find_column(typed.removesuffix(end), valid)) is not None:
            return ColumnName(f"{base.column}{end}", base.unit) if f"{base.column}{end}" in valid else None
    same = [one for one in valid if typed in {one.lower(), _stem(one)}]
    if not same and (spelt := spellings_of(typed)) in valid:
        same = [str(spelt)]
    if len(same) == 1:
        return ColumnName(same[0])
    stem, _, unit = typed.rpartition("_")
    base = find_column(stem, valid) if stem and stem not in valid else None
    if base is None or base.unit:
        return None
    symbol = column_of(base.column).symbol
    exact = meant_unit(unit, symbol) if symbol else ""
    return ColumnName(base.column, exact) if exact else None


def resolve_column(name: str, valid: Collection[str], *, label: str) -> str:
    """Return the column that a name means, see `find_column`; a unit in the name is ignored.

    Raises:
        UnknownName: there is none; the fix suggests the nearest name.
    """
    match = find_column(name, valid)
    if match is None:
        raise UnknownName(label, name, valid)
    return match.column


def limit_text(match: ColumnName, rest: str) -> str:
    """Return a limit with the name of its column, and the unit of the typed name where the number has none.

    >>> limit_text(ColumnName("latency_s", "ms"), "<= 1.2 @ 90 %")
    'latency_s <= 1.2 ms @ 90 %'
    """
    limit, at, chance = rest.partition("@")
    return f"{match.column} {with_unit(limit.strip(), match.unit)}{f' @ {chance.strip()}' if at else ''}"


def with_unit(number: str, unit: str) -> str:
    """Return the text of a number with a unit where it has none.

    >>> with_unit("1.2", "ms"), with_unit("1 s", "ms")
    ('1.2 ms', '1 s')
    """
    is_bare = number[-1:].isdigit() or number[-1:] == "."
    return f"{number} {unit}".rstrip() if is_bare else number


def _stem(name: str) -> str:
    """Return a name without the unit that it ends in: 'latency' of 'latency_s'."""
    symbol = column_of(name).symbol
    suffix = next((one for one in _SUFFIXES if name.endswith(one) and (symbol or one == "_ratio")), "")
    return name.lower().removesuffix(suffix)
