"""The measured samples nearest to one design: what was measured there, and what the model says of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.evaluator import Evaluator
from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import Draws, PosteriorModel
from explorer.models.samples.nearest import nearest_sample
from explorer.pareto.explanation.local_sensitivity import interval, is_known, mode_and_draws
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.results.results import Results
from explorer.problem.columns import Columns, bounds, knobs_of, take


@dataclass(frozen=True, slots=True)
class NearestSample:
    """The measured sample nearest to a design, in its family.

    Args:
        label: its name.
        distance: how far the design is from it, in widths of the samples' range.
        knobs: its knobs, SI; a knob that its table does not have is left out.
        measured: its measured columns, SI.
        predicted: what the model, which was fitted to it, says there: (value, lo, hi), SI.
    """

    label: str
    distance: float
    knobs: Mapping[str, float | str]
    measured: Mapping[str, float]
    predicted: Mapping[str, tuple[float, float, float]]


def nearest_measured(knobs: Columns, draws: Draws, problem: Problem) -> tuple[NearestSample, ...]:
    """Return the sample nearest to a design, shape (1,) each, and the nearest of what it was not measured for.

    Energy may have been measured in one table and accuracy in another: then one sample cannot stand for both.
    """
    model = problem.evaluator
    if not isinstance(model, PosteriorModel):
        return ()
    columns = model.samples.columns
    rows = np.ones(len(model.samples.labels), dtype=np.bool_)
    needed = dict.fromkeys(need for objective in problem.study.objectives for need in objective.needs)
    found: list[NearestSample] = []
    while rows.any():
        near = _nearest(knobs, model, draws, problem, rows)
        if near is None:
            break
        found.append(near)
        told = {name for sample in found for name in sample.measured}
        lacking = [name for name in needed if name not in told]
        rows = np.isfinite(columns[lacking[0]]) if lacking else np.zeros_like(rows)
    return tuple(found)


def _nearest(
    knobs: Columns,
    model: PosteriorModel,
    draws: Draws,
    problem: Problem,
    rows: NDArray[np.bool_],
) -> NearestSample | None:
    place, distances = nearest_sample(model.samples.rows(rows), knobs, model.domain)
    if place[0] < 0:
        return None
    row = int(np.flatnonzero(rows)[place[0]])
    sample = take(model.samples.columns, np.array([row]))
    own = {name: sample[name] for name in knobs_of(sample) if _is_told(sample, name)}
    # A knob that the sample's table does not have is none of what its targets need.
    there = add_intervals(
        model.evaluate({name: own.get(name, values) for name, values in knobs.items()}), model=model, draws=draws,
        weights=problem.study.weights,
    )  # fmt: skip
    known = [target for target in model.targets if is_known(sample, target)]
    return NearestSample(
        label=model.samples.labels[row],
        distance=float(distances[0]),
        knobs={name: values[0].item() if hasattr(values[0], "item") else str(values[0])
               for name, values in own.items() if name != "family"},
        measured={name: float(sample[name][0]) for name in known},
        predicted={name: _held(there, name) for name in known},
    )  # fmt: skip


def _is_told(sample: Columns, name: str) -> bool:
    return sample[name][0] != "" if sample[name].dtype == object else is_known(sample, name)


def _held(columns: Columns, name: str) -> tuple[float, float, float]:
    low, high = bounds(name)
    return float(columns[name][0]), float(columns[low][0]), float(columns[high][0])


@dataclass(frozen=True, slots=True)
class DominatingDesign:
    """The design that beats another most: of all that dominate it, the one that gains most over all objectives.

    Args:
        design_id: its number.
        n: how many designs dominate the explained one.
        gains: for each objective, what changes from the explained design to this one: (change, lo, hi), SI; lo and hi
            are NaN where the model has no posterior.
        probability: the share of the posterior's draws in which it dominates; NaN without one.
    """

    design_id: int
    n: int
    gains: Mapping[str, tuple[float, float, float]]
    probability: float


def dominating_design(
    results: Results, row: int, *, problem: Problem, model: Evaluator, draws: Draws | None
) -> DominatingDesign | None:  # fmt: skip
    """Return the design that beats one row of the results most; None where none does.

    A design beats another where it is feasible, no worse in any objective and better in one. Gains of several
    objectives are added, each as a share of the front's range in it.

    Args:
        results: the results.
        row: the design's row in their table.
        problem: the study.
        model: the model that predicts.
        draws: its draws; None where it has no posterior.
    """
    turned = to_minimization(results.values, results.objectives)
    gains = turned[row] - turned
    beats = results.table["is_feasible"] & np.all(gains >= 0, axis=1) & np.any(gains > 0, axis=1)
    if not beats.any():
        return None
    front = turned[results.is_front] if results.is_front.any() else turned
    spread = np.ptp(front, axis=0)
    total = np.sum(gains / np.where(spread > 0, spread, 1.0), axis=1)
    best = int(np.argmax(np.where(beats, total, -np.inf)))
    pair = take({name: results.table[name] for name in knobs_of(results.table)}, np.array([row, best]))
    mode, drawn = mode_and_draws(pair, problem=problem, model=model, draws=draws)
    changes = {o.name: drawn[o.name][:, 1] - drawn[o.name][:, 0] for o in results.objectives}
    better = np.stack([o.sign * changes[o.name] for o in results.objectives], axis=-1)
    wins = np.all(better <= 0, axis=1) & np.any(better < 0, axis=1)
    told = {}
    for o in results.objectives:
        change = float(mode[o.name][1] - mode[o.name][0])
        told[o.name] = (change, *interval(change, changes[o.name]))
    return DominatingDesign(
        int(results.table["design_id"][best]), int(beats.sum()), told, float(wins.mean()) if wins.size else math.nan
    )
