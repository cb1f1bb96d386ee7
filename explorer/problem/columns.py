"""Columns of design tables: their names, units, allowed values, and operations on whole tables."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.problem.targets import TargetNames, declared_target, declared_targets
from explorer.units import SYMBOLS, factor, humanize

Float = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""Table of n designs: column name to array of shape (n,)."""


_UNIT_SUFFIXES = ("_ratio", "_v", "_hz", "_s", "_j", "_w", "_bytes", "_js", "_ops", "_days", "_g_per_day")


@dataclass(frozen=True, slots=True)
class Column:
    """Label and units of a column: `symbol` is its SI unit, `display_unit` the unit of tables and plots.

    A user-defined knob may have any text as its `symbol` (px): it is printed unchanged, without a prefix.
    """

    name: str
    label: str
    kind: Literal["knob", "prediction", "objective", "check"]
    symbol: str = ""
    display_unit: str = ""

    @property
    def scale(self) -> float:
        """Value of one display unit in SI."""
        return factor(self.display_unit, self.symbol) if self.display_unit else 1.0

    @property
    def title(self) -> str:
        """The label with the display unit: 'Clock f (GHz)'."""
        unit = (self.display_unit or self.symbol).replace("J*s", "J·s")
        return f"{self.label} ({unit})" if unit else self.label

    @property
    def short(self) -> str:
        """The name without its unit suffix, for narrow tables: 'latency', 'latency worst'."""
        match = _STATISTIC.fullmatch(self.name)
        if match is not None and match[2] and match[1] in COLUMNS:
            rest = self.name.removeprefix(match[1]).replace("_", " ")
            return f"{COLUMNS[match[1]].short}{rest}"
        stem = self.name
        for suffix in _UNIT_SUFFIXES:
            stem = stem.removesuffix(suffix)
        return stem.replace("_", " ")

    def text(self, value: float) -> str:
        """Format an SI value of this column with its unit."""
        if self.symbol not in SYMBOLS and (self.symbol or self.name not in COLUMNS):
            return f"{value:.6g} {self.symbol}".rstrip()
        return humanize(value, self.symbol).replace("J*s", "J·s")


# Limits of a study whose single probabilities are columns; their joint probability always is one.
N_LIMITS = 9
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
    Column("p_limits", "Probability that all limits hold", "check"),
    *(Column(f"p_limit_{k}", f"Probability of limit {k}", "check") for k in range(1, N_LIMITS + 1)),
    Column("n_right", "Samples classified correctly", "check"),
    Column("n_samples", "Samples of the accuracy", "check"),
    Column("is_stopped", "Stopped before the last sample (1: accuracy is an estimate)", "check"),
    Column("accuracy_holdout", "Accuracy on held-back samples", "check"),
    Column("n_right_holdout", "Held-back samples classified correctly", "check"),
    Column("n_samples_holdout", "Held-back samples", "check"),
    Column("edp_js", "Energy-delay product E·T", "objective", "J*s", "J*s"),
    Column("weighted_cost", "Weighted cost J", "objective"),
    Column("ops_per_watt", "Accelerator efficiency", "objective", "OPS/W", "GOPS/W"),
    Column("compression_ratio", "Compression ratio", "objective"),
    Column("mac_memory_energy_j", "Energy of MACs and accesses, eq. (1)", "objective", "J", "J"),
    Column("training_energy_j", "Training energy, eq. (2)", "objective", "J", "J"),
    Column("utilization", "Utilization", "objective"),
    Column("mean_power_w", "Mean power with idle time", "objective", "W", "W"),
    Column("energy_per_day_j", "Energy per day", "objective", "J", "kJ"),
    Column("battery_days", "Battery life", "objective", "d", "d"),
    Column("deadline_margin_s", "Time left to the deadline", "objective", "s", "ms"),
    Column("p99_latency_s", "99th percentile of arrival to answer", "objective", "s", "ms"),
    Column("carbon_g_per_day", "Emissions", "objective", "g/d", "g/d"),
)
_BUILT_IN = {column.name: column for column in _ALL}
# Units implied by the suffix of a name: (suffix, SI unit, display unit).
_SUFFIX_UNITS = (
    ("_bytes", "B", "MB"), ("_ops", "OPS", "GOPS"), ("_hz", "Hz", "GHz"), ("_js", "J*s", "J*s"), ("_s", "s", "ms"),
    ("_j", "J", "J"), ("_w", "W", "W"), ("_v", "V", "V"),
)  # fmt: skip
# Extremes over the nominal design and all scenarios: the worst value in the direction of the column, and the best.
WORST, BEST = "_worst", "_best"
_STATISTIC = re.compile(r"(\w+?)(_worst|_best)?(?:_(lo|hi|p\d+(?:\.\d+)?))?")
JOINT_VIOLATION = "joint_violation"
_BUILT_IN_BOUNDED = tuple(column.name for column in _ALL if column.kind in {"prediction", "objective"})
# Columns of the samples that a live study holds back: reported, never an objective, a limit or a rule.
HOLDOUT, _HELD_BACK = ("accuracy_holdout", "n_right_holdout", "n_samples_holdout"), "_holdout"
STOPPED = "is_stopped"  # 1 where racing stopped a design: its accuracy is an estimate, and it is never on the front
# Columns that results add to designs: not available as names of knobs.
RESERVED = ("design_id", "origin", "certainty", "nearest_sample", "is_feasible", "is_front", "name", "label")
# Names of the dimensions that a search adds: not available as names of knobs.
SEARCH_NAMES = ("row", "clock_share", "operating_point", "point_power_w")
KNOBS = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
NUMERIC_KNOBS = KNOBS[1:]
TARGETS: Sequence[str] = TargetNames()
_LAST_TARGET = "throughput_ops"

# Domain of the equations and functional forms: (low, high, includes low, includes high).
LIMITS: Mapping[str, tuple[float, float, bool, bool]] = {
    "pruning_ratio": (0.0, 1.0, True, False),
    "quant_step": (0.0, 1.0, False, True),
    "weight_bits": (0.0, 64.0, False, True),
    "voltage_v": (0.0, 100.0, False, True),
    "frequency_hz": (0.0, 1e13, False, True),
    "accuracy": (0.0, 1.0, False, False),
}
# Measured values may be at the ends: an unquantized network has step 0, the accuracy of a small set may be 0 or 1.
MEASURED_LIMITS: Mapping[str, tuple[float, float, bool, bool]] = {
    **LIMITS,
    "quant_step": (0.0, 1.0, True, True),
    "accuracy": (0.0, 1.0, True, True),
}
_POSITIVE = (0.0, float("inf"), False, False)
_ANY = (-float("inf"), float("inf"), False, False)


class _Columns(Mapping[str, Column]):
    """All columns: the built-in ones, with the declared targets after the built-in ones, also on held-back samples."""

    def __getitem__(self, name: str) -> Column:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        if name.endswith(_HELD_BACK):
            one = self[name.removesuffix(_HELD_BACK)]
            return Column(name, f"{one.label} on held-back samples", "check", one.symbol, one.display_unit)
        target = declared_target(name)
        if target is None:
            raise KeyError(name)
        suffix = next((one for one in _SUFFIX_UNITS if name.endswith(one[0])), ("", "", ""))
        symbol, unit = (target.symbol, target.unit) if target.unit else suffix[1:]
        label = name.removesuffix(suffix[0]).replace("_", " ")
        return Column(name, label, "prediction", symbol, unit if symbol in SYMBOLS else "")

    def __iter__(self) -> Iterator[str]:
        for name in _BUILT_IN:
            yield name
            if name == _LAST_TARGET:
                yield from (target.name for target in declared_targets())
            if name == HOLDOUT[0]:
                yield from (f"{target.name}{_HELD_BACK}" for target in declared_targets())

    def __len__(self) -> int:
        return len(_BUILT_IN) + 2 * len(declared_targets())

    def __contains__(self, name: object) -> bool:
        is_declared = isinstance(name, str) and declared_target(name.removesuffix(_HELD_BACK)) is not None
        return is_declared or name in _BUILT_IN


COLUMNS: Mapping[str, Column] = _Columns()


def bounded_names() -> tuple[str, ...]:
    """Return the predicted columns: they have intervals, and a limit of them may carry a probability."""
    return (*_BUILT_IN_BOUNDED, *(target.name for target in declared_targets()))


def is_bounded(name: str | None) -> bool:
    """Return whether a column is a predicted one."""
    return name is not None and (name in _BUILT_IN_BOUNDED or declared_target(name) is not None)


def names_with_cases() -> tuple[str, ...]:
    """Return the columns with a worst case over scenarios."""
    return (*bounded_names(), "domain_distance")


def column_of(name: str, *, label: str = "", unit: str = "") -> Column:
    """Return the column of a name: a predefined one, or a user-defined knob.

    A user-defined knob has the declared label and unit; by default both follow from its name: `power_limit_w` is a
    power limit in watt.

    >>> column_of("power_limit_w").title, column_of("resolution", unit="px").title
    ('Power limit (W)', 'Resolution (px)')
    """
    if name in COLUMNS:
        return COLUMNS[name]
    if base := _base_of(name):
        origin = COLUMNS.get(base[0], Column(base[0], "Violation of the joint limits", "check"))
        return Column(name, f"{origin.label}, {base[1]}", origin.kind, origin.symbol, origin.display_unit)
    for suffix, symbol, display_unit in _SUFFIX_UNITS:
        if name.endswith(suffix):
            stem = name.removesuffix(suffix).replace("_", " ")
            return Column(name, label or stem.capitalize(), "knob", symbol, unit or display_unit)
    return Column(name, label or name.replace("_", " ").capitalize(), "knob", unit)


def percentile_name(name: str, share: float) -> str:
    """Return the name of a column's percentile over posterior draws.

    >>> percentile_name("power_w", 0.9)
    'power_w_p90'
    """
    return f"{name}_p{float(f'{100 * share:.10g}'):g}"


def percentiles_of(name: str, columns: Collection[str]) -> list[str]:
    """Return the percentiles of a column, or of its worst or best case, among the names of columns."""
    matches = [(other, _STATISTIC.fullmatch(other)) for other in columns if other.startswith(f"{name}_")]
    return [other for other, match in matches if match and match[1] == name and match[3] and match[3][0] == "p"]


def is_end(name: str) -> bool:
    """Return whether a name is an end of the interval of a predicted column: `accuracy_lo`, `power_w_hi`."""
    return name[-3:] in {"_lo", "_hi"} and (is_bounded(name[:-3]) or is_bounded(base_of_case(name[:-3])))


def is_uncertain(name: str) -> bool:
    """Return whether a column is predicted, or the worst case of one that is: a limit of it may have a probability."""
    return is_bounded(name) or is_bounded(base_of_case(name))


def worst_name(name: str) -> str:
    """Return the name of the worst case of a column over all scenarios: `power_w_worst`."""
    return f"{name}{WORST}"


def cases_of(name: str) -> tuple[str, str]:
    """Return the names of a column's worst and best case over all scenarios."""
    return f"{name}{WORST}", f"{name}{BEST}"


def base_of_case(name: str) -> str | None:
    """Return the column of which a name is the worst or best case over scenarios; None for any other name.

    An end of the interval of a worst case keeps its end.

    >>> base_of_case("power_w_worst"), base_of_case("power_w_worst_hi"), base_of_case("power_w")
    ('power_w', 'power_w_hi', None)
    """
    match = _STATISTIC.fullmatch(name)
    if match is None or match[2] is None or match[1] not in COLUMNS:
        return None
    return f"{match[1]}_{match[3]}" if match[3] else match[1]


def unit_stem(name: str) -> str:
    """Return a name without the suffix of its unit: `voltage` of `voltage_v`."""
    suffix = next((suffix for suffix in _UNIT_SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def _base_of(name: str) -> tuple[str, str] | None:
    """Return the column of which a name is a bound, percentile or extreme over scenarios, and what it is, or None."""
    match = _STATISTIC.fullmatch(name)
    if match is None or not (match[2] or match[3]) or (match[1] not in COLUMNS and match[1] != JOINT_VIOLATION):
        return None
    case = {None: "", WORST: "worst case", BEST: "best case"}[match[2]]
    end = {None: "", "lo": "low end", "hi": "high end"}.get(match[3])
    end = f"percentile {match[3][1:]}" if end is None else end
    return match[1], ", ".join(filter(None, (case, end)))


def is_free_name(name: str) -> bool:
    """Return whether a name is available for a user-defined knob: not a column that explorer defines or adds."""
    reserved = {*RESERVED, *SEARCH_NAMES}
    return (
        name not in reserved
        and _base_of(name) is None
        and (name not in COLUMNS or (COLUMNS[name].kind == "knob" and name != "family"))
    )


def own_knobs(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's user-defined knobs: all columns that explorer neither defines nor adds."""
    return [name for name in columns if name not in _NOT_OWN and name not in COLUMNS and _base_of(name) is None]


def knobs_of(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's knobs: the predefined ones, then the user-defined ones."""
    return [*(name for name in _PREDEFINED_KNOBS if name in columns), *own_knobs(columns)]


def numeric_knobs(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of a table's numeric knobs, without the categorical ones."""
    return [name for name in knobs_of(columns) if columns[name].dtype != object]


def is_allowed(name: str, values: Float, *, is_measured: bool = False) -> NDArray[np.bool_]:
    """Return a mask of the values of a numeric column inside its allowed interval, shape (n,); False for NaN.

    Args:
        name: the column.
        values: shape (n,).
        is_measured: include the ends that only measurements reach (`MEASURED_LIMITS`).
    """
    low, high, has_low, has_high = _limits(name, is_measured=is_measured)
    above = values >= low if has_low else values > low
    below = values <= high if has_high else values < high
    return np.asarray(above & below & np.isfinite(values))


def allowed_text(name: str, *, is_measured: bool = False) -> str:
    """Format the allowed interval of a numeric column: '[0, 1)'."""
    low, high, has_low, has_high = _limits(name, is_measured=is_measured)
    return f"{'[' if has_low else '('}{low:g}, {high:g}{']' if has_high else ')'}"


def _limits(name: str, *, is_measured: bool) -> tuple[float, float, bool, bool]:
    """Return a column's limits: positive with a physical unit, any number for another user-defined knob."""
    if (target := declared_target(name)) is not None:
        return (*target.range, True, True)
    return (MEASURED_LIMITS if is_measured else LIMITS).get(
        name, _POSITIVE if name in COLUMNS or column_of(name).symbol else _ANY
    )


def by_family(families: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct families and each row's index among them, shape (n,)."""
    # Large tables mostly have one family, and sorting 100,000 strings takes longer than a prediction for all of them.
    # A broadcast column (stride 0) has one value by construction.
    if len(families) and (families.strides == (0,) or bool(np.all(families == families[0]))):
        return [str(families[0])], np.zeros(len(families), dtype=np.int64)
    names, index = np.unique(families.astype(str), return_inverse=True)
    return names.tolist(), np.asarray(index, dtype=np.int64)


def by_configuration(knobs: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return each row's index among the distinct designs, shape (n,), in order of first appearance.

    Rows with equal values of all knobs are the same design.
    """
    rows = list(zip(*[values.tolist() for values in knobs.values()], strict=True))
    index: dict[tuple[Any, ...], int] = {}
    return np.array([index.setdefault(row, len(index)) for row in rows], dtype=np.int64)


def bounds(name: str) -> tuple[str, str]:
    """Return the names of the columns with the lower and upper bound of a column."""
    return f"{name}_lo", f"{name}_hi"


def n_rows(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of designs in a table."""
    return len(next(iter(columns.values()), np.empty(0)))


def take(columns: Mapping[str, NDArray[Any]], rows: NDArray[Any]) -> Columns:
    """Return the rows of a table at some indices or where a mask is true."""
    return {name: values[rows] for name, values in columns.items()}


def within_finite(values: Float) -> Float:
    """Return values with infinite ones replaced by the extreme finite ones along the first axis, same shape.

    A device that cannot keep up has an infinite latency: variances and means are those of the other designs.
    """
    is_infinite = np.isinf(values)
    if not is_infinite.any():
        return values
    known = np.where(np.isfinite(values), values, np.nan)
    has_any = np.isfinite(known).any(axis=0)
    known = np.where(has_any, known, 0.0)
    low, high = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
    return np.asarray(np.where(is_infinite, np.where(values > 0, high, low), values))


def stack(tables: Sequence[Mapping[str, NDArray[Any]]]) -> Columns:
    """Concatenate the rows of tables with the same columns."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


_PREDEFINED_KNOBS = tuple(name for name, column in _BUILT_IN.items() if column.kind == "knob")
_NOT_OWN = frozenset({*RESERVED, *_BUILT_IN})
