"""Notes: what a user must know before trusting a front."""

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.models.evaluation import Problem
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, Column, Columns, column_of, n_rows, take
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace

_EDGE = 0.02  # within two percent of an axis' end counts as touching it: a search stops just short of the end
_SCAN = 4096
_ALPHA_BELOW_WHICH_COST_IS_ENERGY = 0.5
_RANK_CORRELATION_OF_ONE_QUESTION = 0.9


def objective_warnings(problem: Problem) -> list[str]:
    """Say where two objectives ask nearly the same question, from a scan of the regions (where it costs nothing)."""
    from scipy.stats import spearmanr

    if not problem.is_vectorized:
        return []
    objectives = problem.study.objectives
    scan = problem.sample(_SCAN)
    turned = {o.name: o.sign * scan[o.name] for o in objectives}
    alpha = problem.study.weights.alpha
    notes = []
    for i, first in enumerate(objectives):
        for second in objectives[i + 1 :]:
            if "weighted_cost" not in {first.name, second.name}:
                continue
            other = second.name if first.name == "weighted_cost" else first.name
            correlation = float(spearmanr(turned[first.name], turned[second.name]).statistic)
            if other != "accuracy" and alpha < _ALPHA_BELOW_WHICH_COST_IS_ENERGY:
                notes.append(
                    f"alpha = {alpha:g}: below 0.5 the weighted cost is mostly energy, so {other} and weighted_cost "
                    f"ask nearly the same question (rank correlation {correlation:.2f}) and the front collapses; they "
                    "conflict for alpha around 0.75 to 0.95"
                )
            elif correlation > _RANK_CORRELATION_OF_ONE_QUESTION:
                notes.append(
                    f"{first.name} and {second.name} ask nearly the same question (rank correlation "
                    f"{correlation:.2f}): the front will be short"
                )
    return notes


def front_warnings(front: Columns, problem: Problem) -> list[str]:
    """Say where a front touches the edge of what may be searched, and where it extrapolates."""
    n = n_rows(front)
    if not n:
        return []
    notes = []
    touches, n_touching = _touches(front, problem)
    if touches:
        notes.append(
            f"{n_touching:,} of {n:,} front designs touch the edge of the searched range ({'; '.join(touches)}): there "
            "the range decides the answer, not the model. Add a floor (accuracy >= ...), or measure samples further out"
        )
    outside = int(np.sum(is_extrapolated(front["domain_distance"])))
    if outside:
        notes.append(
            f"{outside:,} of {n:,} front designs extrapolate: more than half a width outside the samples' range"
        )
    return notes


def _touches(front: Columns, problem: Problem) -> tuple[list[str], int]:
    counts: dict[str, int] = {}
    touching = np.zeros(n_rows(front), dtype=np.bool_)
    several, own = len(problem.regions) > 1, problem.study.own_columns
    for family, region in problem.regions.items():
        rows = np.flatnonzero(front["family"] == family)
        for text, mask in _edges(region, take(front, rows), own) if rows.size else []:
            counts[f"{family}: {text}" if several else text] = int(mask.sum())
            touching[rows[mask]] = True
    return [f"{text}: {count}" for text, count in counts.items() if count], int(touching.sum())


def _edges(
    region: DesignSpace, front: Columns, own: Mapping[str, Column]
) -> Sequence[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]]:
    knobs = region.knobs(front)
    edges = []
    for axis in region.axes:
        # The fastest clock that a voltage carries is where the best designs belong, not an edge of the samples.
        if axis.name == CLOCK_SHARE or axis.labels or axis.is_fixed:
            continue
        unit = axis.to_unit(knobs[axis.name])
        column = own.get(axis.name) or column_of(axis.name)
        edges.append((f"lowest {column.label} {column.text(axis.low)}", unit < _EDGE))
        edges.append((f"highest {column.label} {column.text(axis.high)}", unit > 1 - _EDGE))
    high = region.clock_hz[1]
    if np.isfinite(high):
        edges.append((f"highest clock {COLUMNS['frequency_hz'].text(high)}", front["frequency_hz"] > high * (1 - 1e-6)))
    return edges
