"""Warnings on a front: redundant objectives, range limits, extrapolation."""

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.models.evaluation import Problem
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, Column, Columns, column_of, n_rows, take
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace

_EDGE = 0.02  # designs within 2 % of the end of an axis touch it, because a search stops just before the end
_SCAN = 4096
_ALPHA_BELOW_WHICH_COST_IS_ENERGY = 0.5
_REDUNDANT_RANK_CORRELATION = 0.9


def objective_warnings(problem: Problem) -> list[str]:
    """Return warnings on pairs of nearly equivalent objectives, from a scan of the regions with a vectorized model."""
    objectives = problem.study.objectives
    if not problem.is_vectorized or "weighted_cost" not in {o.name for o in objectives}:
        return []
    from scipy.stats import spearmanr

    scan = problem.sample(_SCAN, is_needed_only=True, has_statistics=False)
    minimized = {o.name: o.sign * scan[o.name] for o in objectives}
    alpha = problem.study.constants.alpha
    notes = []
    for i, first in enumerate(objectives):
        for second in objectives[i + 1 :]:
            if "weighted_cost" not in {first.name, second.name}:
                continue
            partner = second.name if first.name == "weighted_cost" else first.name
            correlation = float(spearmanr(minimized[first.name], minimized[second.name]).statistic)
            if partner != "accuracy" and alpha < _ALPHA_BELOW_WHICH_COST_IS_ENERGY:
                notes.append(
                    f"alpha = {alpha:g}: below 0.5 the weighted cost is mostly energy, so {partner} and weighted_cost "
                    f"are nearly equivalent (rank correlation {correlation:.2f}) and the front is short; they conflict "
                    "for alpha around 0.75 to 0.95"
                )
            elif correlation > _REDUNDANT_RANK_CORRELATION:
                notes.append(
                    f"{first.name} and {second.name} are nearly equivalent objectives (rank correlation "
                    f"{correlation:.2f}): the front will be short"
                )
    return notes


def front_warnings(front: Columns, problem: Problem) -> list[str]:
    """Return warnings on designs of a front at the edge of the searched range, and outside the model's domain."""
    n = n_rows(front)
    if not n:
        return []
    notes = []
    edges, n_touching = _touched_edges(front, problem)
    if edges:
        quality = next((o.name for o in problem.study.objectives if o.direction == "maximize"), "accuracy")
        notes.append(
            f"{n_touching:,} of {n:,} front designs touch the edge of the searched range ({'; '.join(edges)}): the "
            f"range limits them, not the model. Add a floor ({quality} >= ...), or measure samples further out"
        )
    outside = int(np.sum(is_extrapolated(front["domain_distance"])))
    if outside:
        notes.append(
            f"{outside:,} of {n:,} front designs extrapolate: more than half a width outside the samples' range"
        )
    beyond = int(np.sum(is_extrapolated(front["domain_distance_worst"]))) if "domain_distance_worst" in front else 0
    if beyond > outside:
        notes.append(
            f"{beyond:,} of {n:,} front designs extrapolate in a scenario: more than half a width outside the samples' "
            "range. Limit domain_distance_worst <= 0.5 to leave them out"
        )
    return notes


def _touched_edges(front: Columns, problem: Problem) -> tuple[list[str], int]:
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
        # The highest clock of a voltage is where optimal designs are, not a limit of the samples.
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
