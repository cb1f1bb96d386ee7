"""Neighbours of a design: the nearest measured samples, and the design that dominates it most."""

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
from explorer.pareto.explanation.local_sensitivity import has_value, interval, mode_and_draws
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.results.results import Results
from explorer.problem.columns import Columns, bounds, knobs_of, take


@dataclass(frozen=True, slots=True)
class NearestSample:
    """Nearest measured sample of a design, in its family, with measured and predicted values.

    Args:
        label: its name.
        distance: distance between design and sample, in widths of the samples' range.
        knobs: its knobs, in SI units; without knobs that its table does not have.
        measured: its measured columns, in SI units.
        predicted: predictions for the sample by the model fitted to it: (value, lo, hi), in SI units.
    """

    label: str
    distance: float
    knobs: Mapping[str, float | str]
    measured: Mapping[str, float]
    predicted: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class DominatingDesign:
    """The strongest dominating design: the one with the largest improvement, normalized and summed over objectives.

    Args:
        design_id: its number.
        n: number of designs that dominate the explained one.
        gains: change of each objective from the explained design to this one: (change, lo, hi), in SI units; lo and hi
            are NaN where the model has no posterior.
        probability: share of the posterior draws in which it dominates; NaN without a posterior.
    """

    design_id: int
    n: int
    gains: Mapping[str, tuple[float, float, float]]
    probability: float


def nearest_measured(knobs: Columns, draws: Draws, problem: Problem) -> tuple[NearestSample, ...]:
    """Return the sample nearest to a design, shape (1,) each, and the nearest ones of targets that it lacks.

    Energy and accuracy may come from different tables: then one sample does not have all targets.
    """
    model = problem.evaluator
    if not isinstance(model, PosteriorModel):
        return ()
    columns = model.samples.columns
    rows = np.ones(len(model.samples.labels), dtype=np.bool_)
    needed = dict.fromkeys(need for objective in problem.study.objectives for need in objective.needs)
    samples: list[NearestSample] = []
    while rows.any():
        nearest = _nearest(knobs, model, draws, problem, rows)
        if nearest is None:
            break
        samples.append(nearest)
        measured = {name for sample in samples for name in sample.measured}
        lacking = [name for name in needed if name not in measured]
        rows = np.isfinite(columns[lacking[0]]) if lacking else np.zeros_like(rows)
    return tuple(samples)


def dominating_design(
    results: Results, row: int, *, problem: Problem, model: Evaluator, draws: Draws | None
) -> DominatingDesign | None:  # fmt: skip
    """Return the strongest design that dominates one row of the results; None where none does.

    Improvements are normalized by the front's range in each objective and added.

    Args:
        results: the results.
        row: the design's row in their table.
        problem: the study.
        model: the model that predicts.
        draws: its draws; None where it has no posterior.
    """
    minimized = to_minimization(results.values, results.objectives)
    gains = minimized[row] - minimized
    is_rival = results.table["is_feasible"] & ~results.is_superseded
    dominates = is_rival & np.all(gains >= 0, axis=1) & np.any(gains > 0, axis=1)
    if not dominates.any() or results.is_front[row]:  # extrapolations do not displace a measured row
        return None
    front = minimized[results.is_front] if results.is_front.any() else minimized
    spread = np.ptp(front, axis=0)
    total = np.sum(gains / np.where(spread > 0, spread, 1.0), axis=1)
    best = int(np.argmax(np.where(dominates, total, -np.inf)))
    pair = take({name: results.table[name] for name in knobs_of(results.table)}, np.array([row, best]))
    mode, by_draw = mode_and_draws(pair, problem=problem, model=model, draws=draws)
    changes = {o.name: by_draw[o.name][:, 1] - by_draw[o.name][:, 0] for o in results.objectives}
    signed = np.stack([o.sign * changes[o.name] for o in results.objectives], axis=-1)
    wins = np.all(signed <= 0, axis=1) & np.any(signed < 0, axis=1)
    bounded = {}
    for o in results.objectives:
        change = float(mode[o.name][1] - mode[o.name][0])
        bounded[o.name] = (change, *interval(change, changes[o.name]))
    return DominatingDesign(
        design_id=int(results.table["design_id"][best]),
        n=int(dominates.sum()),
        gains=bounded,
        probability=float(wins.mean()) if wins.size else math.nan,
    )


def _nearest(
    knobs: Columns, model: PosteriorModel, draws: Draws, problem: Problem, rows: NDArray[np.bool_]
) -> NearestSample | None:
    index, distances = nearest_sample(model.samples.rows(rows), knobs, model.domain)
    if index[0] < 0:
        return None
    row = int(np.flatnonzero(rows)[index[0]])
    sample = take(model.samples.columns, np.array([row]))
    own = {name: sample[name] for name in knobs_of(sample) if _has_knob(sample, name)}
    # Knobs that the sample's table does not have do not affect the targets of that table.
    predicted = add_intervals(
        model.evaluate({name: own.get(name, values) for name, values in knobs.items()}), model=model, draws=draws,
        constants=problem.study.constants,
    )  # fmt: skip
    measured = [target for target in model.targets if has_value(sample, target)]
    return NearestSample(
        label=model.samples.labels[row],
        distance=float(distances[0]),
        knobs={name: values[0].item() if hasattr(values[0], "item") else str(values[0])
               for name, values in own.items() if name != "family"},
        measured={name: float(sample[name][0]) for name in measured},
        predicted={name: _interval(predicted, name) for name in measured},
    )  # fmt: skip


def _has_knob(sample: Columns, name: str) -> bool:
    return sample[name][0] != "" if sample[name].dtype == object else has_value(sample, name)


def _interval(columns: Columns, name: str) -> tuple[float, float, float]:
    low, high = bounds(name)
    return float(columns[name][0]), float(columns[low][0]), float(columns[high][0])
