"""The names, units and meanings of the columns that everything passes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UnknownName
from explorer.units import SYMBOLS, factor, humanize

Float = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""n designs as a table: column name to array of shape (n,), all of one length."""


_UNIT_ENDINGS = ("_ratio", "_v", "_hz", "_s", "_j", "_w", "_bytes", "_js", "_ops")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means: `symbol` is its SI unit, `display_unit` the unit that people read it in.

    A knob of the user's own may have any unit as its `symbol` (px): it is printed as it is, without a prefix.
    """

    name: str
    label: str
    kind: Literal["knob", "prediction", "objective", "check"]
    symbol: str = ""
    display_unit: str = ""

    @property
    def scale(self) -> float:
        """What one shown unit is in SI."""
        return factor(self.display_unit, self.symbol) if self.display_unit else 1.0

    @property
    def title(self) -> str:
        """The label with the unit people read it in: 'Clock f (GHz)'."""
        unit = (self.display_unit or self.symbol).replace("J*s", "J·s")
        return f"{self.label} ({unit})" if unit else self.label

    @property
    def short(self) -> str:
        """The name without its unit's ending, for narrow places: 'latency'."""
        stem = self.name
        for ending in _UNIT_ENDINGS:
            stem = stem.removesuffix(ending)
        return stem.replace("_", " ")

    def text(self, value: float) -> str:
        """Print an SI value of this column for a person."""
        if self.name not in COLUMNS and self.symbol not in SYMBOLS:
            return f"{value:.6g} {self.symbol}".rstrip()
        return humanize(value, self.symbol).replace("J*s", "J·s")


_ALL = (
    Column("family", "Network family", "knob"),
    Column("pruning_ratio", "Pruning ratio R", "knob"),
    Column("quant_step", "Quantization step D", "knob"),
    Column("weight_bits", "Weight bits", "knob"),
    Column("voltage_v", "Supply voltage V", "knob", "V", "V"),
    Column("frequency_hz", "Clock f", "knob", "Hz", "GHz"),
    Column("accuracy", "Accuracy", "prediction"),
    Column("latency_s", "Latency T", "prediction", "s", "ms"),
    Column("energy_j", "Energy E per inference", "prediction", "J", "J"),
    Column("power_w", "Power P", "prediction", "W", "W"),
    Column("size_bytes", "Model size", "prediction", "B", "MB"),
    Column("throughput_ops", "Throughput", "prediction", "OPS", "GOPS"),
    Column("frequency_max_hz", "Highest clock at this voltage", "check", "Hz", "GHz"),
    Column("domain_distance", "Distance outside the samples' range (in its widths)", "check"),
    Column("sample_distance", "Distance to the nearest sample (in widths of the samples' range)", "check"),
    Column("p_front", "Probability of being on the front", "check"),
    Column("edp_js", "Energy-delay product E·T", "objective", "J*s", "J*s"),
    Column("weighted_cost", "Weighted cost J", "objective"),
    Column("ops_per_watt", "Accelerator efficiency", "objective", "OPS/W", "GOPS/W"),
)
COLUMNS: Mapping[str, Column] = {column.name: column for column in _ALL}
# The units that a name's ending tells: (ending, SI unit, unit that people read).
_ENDINGS = (
    ("_bytes", "B", "MB"),
    ("_ops", "OPS", "GOPS"),
    ("_hz", "Hz", "GHz"),
    ("_js", "J*s", "J*s"),
    ("_s", "s", "ms"),
    ("_j", "J", "J"),
    ("_w", "W", "W"),
    ("_v", "V", "V"),
)
# Columns that results add to designs, which no knob may be called.
RESERVED = ("design_id", "origin", "certainty", "nearest_sample", "is_feasible", "is_front", "name", "label")
# What a search calls its own axes and choices.
SEARCH_NAMES = ("row", "clock_share", "operating_point", "point_power_w")
KNOBS = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
NUMERIC_KNOBS = KNOBS[1:]
TARGETS = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "throughput_ops")

# The values for which the equations and shapes have a meaning: (low, high, may equal low, may equal high).
LIMITS: Mapping[str, tuple[float, float, bool, bool]] = {
    "pruning_ratio": (0.0, 1.0, True, False),
    "quant_step": (0.0, 1.0, False, True),
    "weight_bits": (0.0, 64.0, False, True),
    "voltage_v": (0.0, 100.0, False, True),
    "frequency_hz": (0.0, 1e13, False, True),
    "accuracy": (0.0, 1.0, False, False),
}
# What was measured may stand at the ends: a network that was not quantized has the step 0, and all answers of a small
# test may be right, or none. Equations and shapes take neither.
MEASURED_LIMITS: Mapping[str, tuple[float, float, bool, bool]] = {
    **LIMITS,
    "quant_step": (0.0, 1.0, True, True),
    "accuracy": (0.0, 1.0, True, True),
}
_POSITIVE = (0.0, float("inf"), False, False)
_ANY = (-float("inf"), float("inf"), False, False)


def column(name: str, *, where: str) -> Column:
    """Return what is known of a column.

    Raises:
        UnknownName: there is no such column; the nearest name is told.
    """
    if name not in COLUMNS:
        raise UnknownName(where, name, COLUMNS)
    return COLUMNS[name]


def column_of(name: str, *, label: str = "", unit: str = "") -> Column:
    """Return what a column means, of whatever name: the known ones as they are, any other as a knob of the user's own.

    Its label and unit are those that were declared; otherwise the name tells: `power_limit_w` is a power limit in watt.

    >>> describe("power_limit_w").title, describe("resolution", unit="px").title
    ('Power limit (W)', 'Resolution (px)')
    """
    if name in COLUMNS:
        return COLUMNS[name]
    for ending, symbol, display_unit in _ENDINGS:
        if name.endswith(ending):
            stem = name.removesuffix(ending).replace("_", " ")
            return Column(name, label or stem.capitalize(), "knob", symbol, unit or display_unit)
    return Column(name, label or name.replace("_", " ").capitalize(), "knob", unit)


def is_free_name(name: str) -> bool:
    """Tell whether a knob of the user's own may be called so: not like anything that explorer knows or adds."""
    taken = {*RESERVED, *SEARCH_NAMES, *(end for known in COLUMNS for end in bounds(known))}
    return name not in taken and (name not in COLUMNS or (COLUMNS[name].kind == "knob" and name != "family"))


def own_knobs(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's knobs that are the user's own: everything that explorer neither knows nor adds."""
    return [name for name in columns if name not in _NOT_OWN]


def knobs_of(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's knobs: the known ones that it has, then the user's own."""
    return [*(name for name in _KNOWN_KNOBS if name in columns), *own_knobs(columns)]


def numeric_knobs(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's knobs that are numbers, not categories."""
    return [name for name in knobs_of(columns) if columns[name].dtype != object]


def is_allowed(name: str, values: Float, *, is_measured: bool = False) -> NDArray[np.bool_]:
    """Tell for each value of a numeric column whether it has a meaning, shape (n,); NaN has none.

    Args:
        name: the column.
        values: shape (n,).
        is_measured: samples may hold more than equations take: a step of 0 (not quantized), accuracies of 0 and 1.
    """
    low, high, takes_low, takes_high = _limits(name, is_measured=is_measured)
    above = values >= low if takes_low else values > low
    below = values <= high if takes_high else values < high
    return np.asarray(above & below & np.isfinite(values))


def allowed_text(name: str, *, is_measured: bool = False) -> str:
    """Print the allowed interval of a numeric column: '[0, 1)'."""
    low, high, takes_low, takes_high = _limits(name, is_measured=is_measured)
    return f"{'[' if takes_low else '('}{low:g}, {high:g}{']' if takes_high else ')'}"


def _limits(name: str, *, is_measured: bool) -> tuple[float, float, bool, bool]:
    """Return a column's limits; what has a physical unit is positive, a knob of the user's own may be any number."""
    return (MEASURED_LIMITS if is_measured else LIMITS).get(
        name, _POSITIVE if name in COLUMNS or column_of(name).symbol else _ANY
    )


def by_family(families: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct families and each row's index among them, shape (n,).

    Tables of one family are the common case and large; comparing a hundred thousand strings would cost more than
    predicting them. A broadcast column (stride 0) is of one family by construction.
    """
    if len(families) and (families.strides == (0,) or bool(np.all(families == families[0]))):
        return [str(families[0])], np.zeros(len(families), dtype=np.int64)
    names, index = np.unique(families.astype(str), return_inverse=True)
    return names.tolist(), np.asarray(index, dtype=np.int64)


def by_configuration(knobs: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return for each row the index of its configuration, shape (n,), in order of first appearance.

    Rows are one configuration where all knobs are equal.
    """
    rows = list(zip(*[values.tolist() for values in knobs.values()], strict=True))
    place: dict[tuple[Any, ...], int] = {}
    return np.array([place.setdefault(row, len(place)) for row in rows], dtype=np.int64)


def bounds(name: str) -> tuple[str, str]:
    """Return the names of a column's lower and upper bound."""
    return f"{name}_lo", f"{name}_hi"


def n_rows(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of designs in a table."""
    return len(next(iter(columns.values()), np.empty(0)))


def take(columns: Mapping[str, NDArray[Any]], rows: NDArray[Any]) -> Columns:
    """Return some rows of a table, by index or mask."""
    return {name: values[rows] for name, values in columns.items()}


def stack(tables: Sequence[Mapping[str, NDArray[Any]]]) -> Columns:
    """Return tables one below the other; all have the same columns."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


_KNOWN_KNOBS = tuple(name for name, column in COLUMNS.items() if column.kind == "knob")
_NOT_OWN = frozenset({*RESERVED, *COLUMNS, *(end for name in COLUMNS for end in bounds(name))})
