"""What the live page carries: the front with its intervals, a fair sample of the rest, and what the rules need."""

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from explorer.pareto.decision import rules as decide
from explorer.pareto.decision.weighted_sum import alpha_sweep
from explorer.pareto.results.results import ANNOTATION_COLUMNS, Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, Column, Columns, bounds, knobs_of, n_rows, take
from explorer.problem.objectives import OBJECTIVES, CostWeights
from explorer.report.plots.style import base_layout, family_style
from explorer.report.plots.thinning import thin_front

MAX_BEHIND = 2_000  # 60 bytes each
# Values that repeat others and would only crowd the page.
_LEFT_OUT = frozenset({"ops_per_watt", "throughput_ops", "frequency_max_hz"})
_SCALABLE = frozenset({"J", "s", "W", "B", "J*s", "Hz"})
_PREFIXES = ("p", "n", "µ", "m", "", "k", "M", "G", "T")
# The symbols that plotly's 3-D plots have.
_SYMBOLS_3D = {"circle": "circle", "square": "square", "diamond": "diamond", "cross": "cross", "x": "x"}


def live_data(results: Results, *, place: str) -> dict[str, Any]:
    """Return the page's data as plain JSON values; columns of numbers travel as base64 of their little-endian bytes.

    A front of more than 3,000 designs is thinned (see `thin_front`); `front.total` tells how many there are, and
    `sweep.total` how many of them the weighted cost picks for some alpha. Of the designs behind the front every k-th is
    kept, and `behind.counts` tells how many there are of each kind.

    Args:
        results: the study's results.
        place: what a command calls them: the study's name or the folder.
    """
    front = results.front_columns
    asked = results.provenance.get("question", {})
    weights = CostWeights()
    alpha, energy_max = float(asked.get("alpha", weights.alpha)), float(asked.get("energy_max_j", weights.energy_max_j))
    sweep = alpha_sweep(front, energy_max_j=1.0) if {"accuracy", "energy_j"} <= front.keys() else None
    knee = decide.knee(results, front).value if n_rows(front) else np.zeros(0)
    names = _numbers(front)
    shown = [name for name in names if name in COLUMNS and COLUMNS[name].kind in {"prediction", "objective"}]
    kept = thin_front(front, columns=shown, sweep=sweep, knee=knee)
    carried = take(front, kept)
    checks = [name for name in names if name in COLUMNS and COLUMNS[name].kind == "check"]
    return {
        "study": results.study,
        "place": place,
        "objectives": [{"name": o.name, "direction": o.direction} for o in results.objectives],
        "columns": [
            _column(results, front, name) for name in dict.fromkeys((*names, *_words(front), *knobs_of(front)))
        ],
        "choices": shown,
        "axes": [o.name for o in results.objectives[:2]],
        "parallel": _parallel(results, front, shown),
        "table": _table_columns(front, names, has_cost=sweep is not None),
        "detail": [*knobs_of(front), *shown, *checks, *_words(front)],
        "alpha": alpha,
        "energy_max_j": energy_max,
        "front": _front(carried, names, shown, knee=knee[kept], total=n_rows(front)),
        "behind": _behind(results, shown),
        "has_certainty": "certainty" in front,
        "intervals": _interval_word(front, shown),
        "sweep": _sweep(carried, 0 if sweep is None else len(sweep.rows)),
        "samples": _samples(results),
        "exact": results.exact.values.T.tolist() if results.exact and len(results.objectives) == 2 else None,
        "styles": _styles(results, front),
        "layout": _layout(),
    }


def _interval_word(front: Columns, shown: list[str]) -> str:
    """Say what intervals are: of predictions 90 %, of measurements what came with them; empty where there are none."""
    if not any(bounds(name)[0] in front for name in shown):
        return ""
    return "90 % intervals" if "certainty" in front else "Intervals"


def _numbers(front: Columns) -> list[str]:
    """Return the numeric columns that the page shows: knobs, the user's own among them, then what is known of them."""
    known = [n for n in COLUMNS if n in front and n not in _LEFT_OUT]
    return [n for n in dict.fromkeys((*knobs_of(front), *known)) if front[n].dtype != object]


def _words(front: Columns) -> list[str]:
    return [name for name in ANNOTATION_COLUMNS if name in front]


def _categories(front: Columns) -> list[str]:
    """Return the knobs that are names; the family only where there are several."""
    several = len(set(front["family"].tolist())) > 1
    return [n for n in knobs_of(front) if front[n].dtype == object and (n != "family" or several)]


def _column(results: Results, front: Columns, name: str) -> dict[str, Any]:
    column = results.column(name)
    unit, scale = _unit(column, front.get(name))
    told: dict[str, Any] = {
        "name": name,
        "label": column.label,
        "title": f"{column.label} ({unit})" if unit else column.label,
        "short": column.short,
        "unit": unit,
        "scale": scale,
    }
    return {**told, "direction": OBJECTIVES[name].direction} if name in OBJECTIVES else told


def _unit(column: Column, values: "NDArray[Any] | None") -> tuple[str, float]:
    """Return the unit that a column is read in, and what it is in SI: a thousandth or so where numbers are that small.

    What ten rows of a server-sized paper need (joule, millisecond) is not what a microcontroller needs.
    """
    unit = (column.shown_in or column.symbol).replace("J*s", "J·s")
    if values is None or values.dtype == object or column.symbol not in _SCALABLE:
        return unit, column.scale
    known = np.abs(values[np.isfinite(values) & (values != 0)].astype(np.float64))
    middle = float(np.median(known)) if known.size else 1.0
    if 0.05 <= middle / column.scale < 5e4:
        return unit, column.scale
    thousands = min(max(math.floor(math.log10(middle) / 3), -4), 4)
    return f"{_PREFIXES[thousands + 4]}{column.symbol.replace('J*s', 'J·s')}", 1000.0**thousands


def _front(
    kept: Columns, names: list[str], shown: list[str], *, knee: "NDArray[np.float64]", total: int
) -> dict[str, Any]:
    low, high = ({name: bounds(name)[end] for name in shown if bounds(name)[end] in kept} for end in (0, 1))
    values = {name: _packed(kept[name], "<f8") for name in names}
    return {
        "n": n_rows(kept),
        "total": total,
        "design_id": kept["design_id"].tolist(),
        "values": {**values, "knee_distance": _packed(knee, "<f8")},
        "low": {name: _packed(kept[end], "<f4") for name, end in low.items()},
        "high": {name: _packed(kept[end], "<f4") for name, end in high.items()},
        "words": {
            **{name: kept[name].tolist() for name in knobs_of(kept) if kept[name].dtype == object},
            "certainty": kept.get("certainty", np.full(n_rows(kept), "sure", dtype=object)).tolist(),
            **{name: kept[name].tolist() for name in _words(kept)},
        },
        "is_extrapolated": [bool(far) for far in is_extrapolated(kept["domain_distance"])],
    }


def _behind(results: Results, shown: list[str]) -> dict[str, Any]:
    """Return a fair sample of the feasible designs behind the front: every k-th of each kind."""
    table = results.table
    words = table.get("certainty", np.full(results.n_complete, "dominated", dtype=object))
    there = ~results.is_front & table["is_feasible"].astype(np.bool_)
    kinds = {"possible": there & (words == "possible"), "dominated": there & (words != "possible")}
    rows = {kind: _every_kth(np.flatnonzero(mask)) for kind, mask in kinds.items()}
    which = np.concatenate(list(rows.values()))
    return {
        "n": len(which),
        "counts": {kind: int(mask.sum()) for kind, mask in kinds.items()},
        "is_possible": [int(i < len(rows["possible"])) for i in range(len(which))],
        "values": {name: _packed(table[name][which], "<f4") for name in shown},
    }


def _every_kth(rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    return rows[:: max(1, -(-len(rows) // MAX_BEHIND))]


def _sweep(carried: Columns, total: int) -> dict[str, Any]:
    """Return the winners' rows and, between them, the accuracy that pays for a joule: alpha follows from E_max.

    Args:
        carried: the designs that the page carries.
        total: how many winners the whole front has.
    """
    if not total:
        return {"rows": [], "prices": [], "total": 0}
    rows = alpha_sweep(carried, energy_max_j=1.0).rows
    error, energy = 1 - carried["accuracy"][rows], carried["energy_j"][rows]
    # The first winner wins from alpha = 0, whatever E_max: an infinite price of the step before it. JSON has no word
    # for that, and a number this large makes 1 / (1 + price E_max) zero as well.
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


def _parallel(results: Results, front: Columns, shown: list[str]) -> list[str]:
    """Return the axes of the parallel coordinates: the knobs that vary, the objectives, and what else varies."""
    if not n_rows(front):
        return []
    asked = [o.name for o in results.objectives]
    others = [name for name in ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes") if name not in asked]
    numbers = [name for name in knobs_of(front) if front[name].dtype != object]
    names = [*numbers, *asked, *(name for name in others if name in shown)]
    return [*_categories(front), *(name for name in names if np.ptp(front[name]) > 0)]


def _table_columns(front: Columns, names: list[str], *, has_cost: bool) -> list[str]:
    return ["design_id", *_categories(front), *(["rank", "cost"] if has_cost else []), *names]


def _layout() -> dict[str, Any]:
    return base_layout(x="", y="", height=520)


def _packed(values: "NDArray[Any]", kind: DTypeLike) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
