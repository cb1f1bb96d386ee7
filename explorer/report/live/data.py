"""Data of the interactive page: the front with its intervals, a sample of the other designs, decision parameters."""

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from explorer.pareto.decision import rules
from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.pareto.results.results import ANNOTATION_COLUMNS, Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, TARGETS, Column, Columns, bounds, knobs_of, n_rows, take
from explorer.problem.objectives import Constants, is_objective, objective_of
from explorer.problem.targets import declared_targets
from explorer.report.plots.front import objective_pairs
from explorer.report.plots.style import base_layout, family_style
from explorer.report.plots.thinning import thin_front

MAX_BEHIND = 2_000  # 60 bytes each
# Redundant columns, left out to save space.
_REDUNDANT = frozenset(
    {
        "ops_per_watt",
        "throughput_ops",
        "frequency_max_hz",
        "n_right",
        "n_samples",
        "is_stopped",
        "n_right_holdout",
        "n_samples_holdout",
    }
)
_SCALABLE = frozenset({"J", "s", "W", "B", "J*s", "Hz"})
_PREFIXES = ("p", "n", "µ", "m", "", "k", "M", "G", "T")
# Marker symbols that plotly supports in 3-D plots.
_SYMBOLS_3D = {"circle": "circle", "square": "square", "diamond": "diamond", "cross": "cross", "x": "x"}


def live_data(results: Results, *, display_name: str) -> dict[str, Any]:
    """Return the data of the page as JSON values; numeric columns are base64 of their little-endian bytes.

    A front of more than 3,000 designs is thinned (see `thin_front`). `front.total` is its full size, and `sweep.total`
    the number of designs with the least weighted cost for some alpha. Of the designs behind the front, every k-th is
    included; `behind.counts` has the full count of each group.

    Args:
        results: results of a study.
        display_name: study name or result folder for the commands on the page.
    """
    front = results.front_columns
    stored, default = results.provenance.get("question", {}), Constants()
    alpha, energy_max = (float(stored.get(name, getattr(default, name))) for name in ("alpha", "energy_max_j"))
    sweep = alpha_sweep(front, energy_max_j=1.0) if {"accuracy", "energy_j"} <= front.keys() else None
    knee = -rules.knee(results, front).score if n_rows(front) else np.zeros(0)
    names = _numbers(front)
    targets = [name for name in names if name in COLUMNS and COLUMNS[name].kind in {"prediction", "objective"}]
    x, y = objective_pairs(results)[0]
    choices = list(dict.fromkeys((*targets, x.name, y.name)))
    rows = thin_front(front, columns=targets, sweep=sweep, knee=knee)
    thinned = take(front, rows)
    checks = [name for name in names if name in COLUMNS and COLUMNS[name].kind == "check"]
    return {
        "study": results.study,
        "place": display_name,
        "objectives": [{"name": o.name, "direction": o.direction} for o in results.objectives],
        "columns": [
            _column(results, front, name) for name in dict.fromkeys((*names, *_words(front), *knobs_of(front)))
        ],
        "quality": _quality(front),
        "declared": [target.name for target in declared_targets() if target.name in front],
        "choices": choices,
        "axes": [x.name, y.name],
        "parallel": _parallel(results, front, targets),
        "table": _table_columns(front, names, has_cost=sweep is not None),
        "detail": [*knobs_of(front), *targets, *checks, *_words(front)],
        "alpha": alpha,
        "energy_max_j": energy_max,
        "front": _front(thinned, names, targets, knee=knee[rows], total=n_rows(front)),
        "behind": _behind(results, choices),
        "has_certainty": "certainty" in front,
        "intervals": _interval_word(front, targets),
        "sweep": _sweep(thinned, 0 if sweep is None else len(sweep.rows)),
        "samples": _samples(results),
        "exact": results.exact.values.T.tolist() if results.exact and len(results.objectives) == 2 else None,
        "styles": _styles(results, front),
        "layout": _layout(),
    }


def _quality(front: Columns) -> dict[str, Any] | None:
    """Return the quality that the page limits: accuracy, or else a declared target, with the ends of its range."""
    if "accuracy" in front:
        return {"name": "accuracy", "sense": ">=", "low": 0.0, "high": 1.0}
    declared = sorted((t for t in declared_targets() if t.name in front), key=lambda target: target.direction == "min")
    if not declared:
        return None
    low, high = (end if np.isfinite(end) else None for end in declared[0].range)
    return {
        "name": declared[0].name,
        "sense": "<=" if declared[0].direction == "min" else ">=",
        "low": low,
        "high": high,
    }


def _interval_word(front: Columns, targets: list[str]) -> str:
    """Return the label of intervals (90 % for predictions, as reported for measurements); empty if there are none."""
    if not any(bounds(name)[0] in front for name in targets):
        return ""
    return "90 % intervals" if "certainty" in front else "Intervals"


def _numbers(front: Columns) -> list[str]:
    """Return the numeric columns of the page: knobs (including those of the user), then the other columns."""
    names = [n for n in COLUMNS if n in front and n not in _REDUNDANT]
    return [n for n in dict.fromkeys((*knobs_of(front), *names)) if front[n].dtype != object]


def _words(front: Columns) -> list[str]:
    return [name for name in ANNOTATION_COLUMNS if name in front]


def _categories(front: Columns) -> list[str]:
    """Return the categorical knobs; the family only if the front has several."""
    several = len(set(front["family"].tolist())) > 1
    return [n for n in knobs_of(front) if front[n].dtype == object and (n != "family" or several)]


def _column(results: Results, front: Columns, name: str) -> dict[str, Any]:
    column = results.column(name)
    unit, scale = _unit(column, front.get(name))
    entry: dict[str, Any] = {
        "name": name,
        "label": column.label,
        "title": f"{column.label} ({unit})" if unit else column.label,
        "short": column.short,
        "unit": unit,
        "symbol": column.symbol,
        "scale": scale,
    }
    return {**entry, "direction": objective_of(name).direction} if is_objective(name) else entry


def _unit(column: Column, values: "NDArray[Any] | None") -> tuple[str, float]:
    """Return the display unit of a column and its value in SI units, with a prefix that suits the median value.

    The paper's servers need joule and millisecond; a microcontroller needs smaller units.
    """
    unit = (column.display_unit or column.symbol).replace("J*s", "J·s")
    if values is None or values.dtype == object or column.symbol not in _SCALABLE:
        return unit, column.scale
    magnitudes = np.abs(values[np.isfinite(values) & (values != 0)].astype(np.float64))
    median = float(np.median(magnitudes)) if magnitudes.size else 1.0
    if 0.05 <= median / column.scale < 5e4:
        return unit, column.scale
    thousands = min(max(math.floor(math.log10(median) / 3), -4), 4)
    return f"{_PREFIXES[thousands + 4]}{column.symbol.replace('J*s', 'J·s')}", 1000.0**thousands


def _front(
    front: Columns, names: list[str], targets: list[str], *, knee: "NDArray[np.float64]", total: int
) -> dict[str, Any]:
    bounded = [*targets, "accuracy_holdout"]
    low, high = ({name: bounds(name)[end] for name in bounded if bounds(name)[end] in front} for end in (0, 1))
    values = {name: _encode(front[name], "<f8") for name in names}
    return {
        "n": n_rows(front),
        "total": total,
        "design_id": front["design_id"].tolist(),
        "values": {**values, "knee_distance": _encode(knee, "<f8")},
        "low": {name: _encode(front[end], "<f4") for name, end in low.items()},
        "high": {name: _encode(front[end], "<f4") for name, end in high.items()},
        "words": {
            **{name: front[name].tolist() for name in knobs_of(front) if front[name].dtype == object},
            "certainty": front.get("certainty", np.full(n_rows(front), "sure", dtype=object)).tolist(),
            **{name: front[name].tolist() for name in _words(front)},
        },
        "is_measured": [bool(number < 0) for number in front["design_id"].tolist()],
        "is_extrapolated": [bool(far) for far in is_extrapolated(front["domain_distance"])],
    }


def _behind(results: Results, targets: list[str]) -> dict[str, Any]:
    """Return a sample of the feasible designs behind the front: every k-th of each group."""
    table = results.table
    words = table.get("certainty", np.full(n_rows(table), "dominated", dtype=object))
    is_behind = ~results.is_front & ~results.is_measured & table["is_feasible"].astype(np.bool_)
    groups = {"possible": is_behind & (words == "possible"), "dominated": is_behind & (words != "possible")}
    samples = {group: _every_kth(np.flatnonzero(mask)) for group, mask in groups.items()}
    rows = np.concatenate(list(samples.values()))
    return {
        "n": len(rows),
        "counts": {group: int(mask.sum()) for group, mask in groups.items()},
        "is_possible": [int(i < len(samples["possible"])) for i in range(len(rows))],
        "values": {name: _encode(table[name][rows], "<f4") for name in targets},
    }


def _every_kth(rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    return rows[:: max(1, -(-len(rows) // MAX_BEHIND))]


def _sweep(front: Columns, total: int) -> dict[str, Any]:
    """Return the rows of the alpha sweep and the accuracy per joule between them; both give alpha for any E_max.

    Args:
        front: the front designs on the page.
        total: number of designs of the whole front with the least weighted cost for some alpha.
    """
    if not total:
        return {"rows": [], "prices": [], "total": 0}
    rows = alpha_sweep(front, energy_max_j=1.0).rows
    error, energy = 1 - front["accuracy"][rows], front["energy_j"][rows]
    # The first design has the least cost from alpha = 0 for every E_max: an infinite price. JSON has no infinity, and
    # 1e300 makes 1 / (1 + price E_max) zero as well.
    prices = [1e300, *(-np.diff(error) / np.diff(energy))]
    return {"rows": rows.tolist(), "prices": [float(price) for price in prices], "total": total}


def _samples(results: Results) -> list[dict[str, Any]]:
    return [
        {"name": label, **{name: _plain(values[i]) for name, values in results.samples.items()}}
        for i, label in enumerate(results.sample_labels)
    ]


def _styles(results: Results, front: Columns) -> dict[str, dict[str, str]]:
    families = [*front["family"].tolist(), *results.samples.get("family", np.array([])).tolist()]
    return {
        name: {"colour": style.colour, "symbol": style.symbol, "symbol3d": _SYMBOLS_3D.get(style.symbol, "diamond")}
        for name, style in family_style(families).items()
    }


def _parallel(results: Results, front: Columns, targets: list[str]) -> list[str]:
    """Return the axes of the parallel coordinates: knobs, objectives and main predictions that vary."""
    if not n_rows(front):
        return []
    objectives = [o.name for o in results.objectives]
    main = [name for name in TARGETS if name != "throughput_ops"]
    numbers = [name for name in knobs_of(front) if front[name].dtype != object]
    names = [*numbers, *objectives, *(name for name in main if name in targets and name not in objectives)]
    return [*_categories(front), *(name for name in names if np.ptp(front[name]) > 0)]


def _table_columns(front: Columns, names: list[str], *, has_cost: bool) -> list[str]:
    return ["design_id", *_categories(front), *(["rank", "cost"] if has_cost else []), *names]


def _layout() -> dict[str, Any]:
    return base_layout(x="", y="", height=520)


def _encode(values: "NDArray[Any]", kind: DTypeLike) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
