"""Names of columns as people type them: `latency`, `edp`, `latency_ms`, `Energy_mJ` for the names that columns have."""

from collections.abc import Collection
from dataclasses import dataclass

from explorer.errors import UnknownName
from explorer.problem.columns import column_of
from explorer.problem.csv_columns import UNIT_COLUMNS
from explorer.units import SYMBOLS, factor

# Common words for columns whose own name has no such stem.
_WORDS = {
    "acc": "accuracy",
    "top1": "accuracy",
    "clock": "frequency_hz",
    "freq": "frequency_hz",
    "time": "latency_s",
    "delay": "latency_s",
    "energy_delay_product": "edp_js",
    "cost": "weighted_cost",
    "efficiency": "ops_per_watt",
    "pruning": "pruning_ratio",
    "quantization_step": "quant_step",
    "bits": "weight_bits",
}
_ENDS = ("_lo", "_hi")
_SUFFIXES = ("_ratio", "_bytes", "_ops", "_hz", "_js", "_s", "_j", "_w", "_v")
# A unit in a name is often typed in lower case. Where 'm' and 'M' differ, the smaller one is meant: no board takes MW.
_PREFIXES = ("p", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi")


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
    if typed in UNIT_COLUMNS and UNIT_COLUMNS[typed][0] in valid:
        column, _, unit = UNIT_COLUMNS[typed]
        return ColumnName(column, unit)
    same = [one for one in valid if typed in {one.lower(), _stem(one)}]
    if not same and _WORDS.get(typed) in valid:
        same = [_WORDS[typed]]
    if len(same) == 1:
        return ColumnName(same[0])
    stem, _, unit = typed.rpartition("_")
    base = find_column(stem, valid) if stem and stem not in valid else None
    if base is None or base.unit:
        return None
    exact = _unit(unit, column_of(base.column).symbol)
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


def _unit(text: str, symbol: str) -> str:
    """Return the unit of a symbol that a text in lower case means: 'MHz' of 'mhz'; empty if there is none."""
    if symbol not in SYMBOLS:
        return ""
    spelt = symbol.replace("*", "")
    for prefix in ("", *_PREFIXES):
        if f"{prefix}{spelt}".lower() == text:
            unit = f"{prefix}{symbol}"
            # Clocks, sizes and throughputs are millions, never thousandths.
            if prefix == "m" and symbol in {"Hz", "B", "OPS", "OPS/W"}:
                continue
            try:
                factor(unit, symbol)
            except ValueError:
                continue
            return unit
    return ""
