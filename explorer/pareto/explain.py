"""Explaining one design: what beats it, what each knob would change, what holds it, and which sample is nearest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer.errors import WrongUsage
from explorer.models.assessment import Assessment
from explorer.models.draws import Draws, posterior_draws
from explorer.models.intervals import add_intervals
from explorer.models.nearest import nearest_sample
from explorer.models.surrogate import Surrogate
from explorer.pareto.limits import Limit, Way, limits_at
from explorer.pareto.meaning import meaning
from explorer.pareto.moves import Move, moves_at
from explorer.pareto.rates import Rates, is_known, marginal_rates, worlds
from explorer.pareto.results import Results
from explorer.pareto.rival import Rival, rival_of
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, Columns, bounds, take
from explorer.problem.domain import is_extrapolated
from explorer.problem.objectives import OBJECTIVES, Objective


@dataclass(frozen=True, slots=True)
class NearestSample:
    """The measured sample nearest to a design, in its family.

    Args:
        label: its name.
        distance: how far the design is from it, in widths of the samples' range.
        knobs: its knobs.
        measured: its measured columns, SI.
        predicted: what the model, which was fitted to it, says there: (value, lo, hi), SI.
    """

    label: str
    distance: float
    knobs: Mapping[str, float]
    measured: Mapping[str, float]
    predicted: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a design is where it is.

    Args:
        study: the study's name.
        design: its columns, with `_lo` and `_hi`, `p_front`, `certainty` and `is_feasible`.
        objectives: what was asked.
        is_front: whether it is on the front.
        is_extrapolated: whether the model was asked outside its domain.
        rival: the design that beats it most; None where none does.
        moves: the small steps from it.
        rates: what they change, for every objective that the model knows and every constrained column.
        limits: what holds it.
        nearest: the nearest measured sample.
        meaning: all that is certain of it, in a sentence or two for each objective.
        warnings: what changed since the run.
        provenance: of the results.
    """

    study: str
    design: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    is_front: bool
    is_extrapolated: bool
    rival: Rival | None
    moves: tuple[Move, ...]
    rates: Rates
    limits: tuple[Limit, ...]
    nearest: NearestSample
    meaning: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]


def explain(results: Results, design_id: int, *, assessment: Assessment, warnings: tuple[str, ...] = ()) -> Explanation:
    """Explain one finished design of some results.

    Args:
        results: the results.
        design_id: the design's number.
        assessment: the study of the results, with its model.
        warnings: what changed since the run.

    Raises:
        WrongUsage: there is no such design, or the study's model has no posterior or no such family.
    """
    row = _row_of(results, design_id)
    model = assessment.evaluator
    if not isinstance(model, Surrogate):
        raise WrongUsage(f"model '{model.name}' has no posterior to explain by",
                         fix="fit one to its measurements: `explorer fit SAMPLES.csv -o model.json`")  # fmt: skip
    knobs = {name: results.table[name][row : row + 1] for name in KNOBS}
    unknown = sorted(set(results.table["family"].tolist()) - set(assessment.regions))
    if unknown:
        raise WrongUsage(f"{assessment.study.path} does not search {', '.join(unknown)}, which these results did",
                         fix="give the study file that these results were made from with --study FILE")  # fmt: skip
    draws = posterior_draws(model)
    here = _design(results, row, knobs, assessment, model, draws)
    moves = moves_at(assessment.regions[str(knobs["family"][0])], knobs)
    asked = [*(o.name for o in results.objectives), *(c.column for c in assessment.study.constraints), *OBJECTIVES]
    quantities = [name for name in dict.fromkeys(asked) if is_known(here, name)]
    rates = marginal_rates(knobs, moves, quantities=quantities, assessment=assessment, model=model, draws=draws)
    _, drawn = worlds(knobs, assessment=assessment, model=model, draws=draws)
    limits = limits_at(here, drawn, moves=moves, rates=rates, objectives=results.objectives, assessment=assessment)
    return Explanation(
        study=results.study,
        design={name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in here.items()},
        objectives=results.objectives,
        is_front=bool(results.is_front[row]),
        is_extrapolated=bool(is_extrapolated(here["domain_distance"])[0]),
        rival=rival_of(results, row, assessment=assessment, model=model, draws=draws),
        moves=moves,
        rates=rates,
        limits=limits,
        nearest=_nearest(knobs, model, draws, assessment),
        meaning=meaning(moves, rates, limits, results.objectives),
        warnings=(*warnings, *_differences(results, row, here)),
        provenance=results.provenance,
    )


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values (NaN where there is no number)."""
    e = explanation
    nearest = {name: getattr(e.nearest, name) for name in ("label", "distance", "knobs", "measured")}
    return {
        "schema": "explorer.explain/1",
        "study": e.study,
        "design": dict(e.design),
        "objectives": [{"name": o.name, "direction": o.direction} for o in e.objectives],
        "is_front": e.is_front,
        "is_extrapolated": e.is_extrapolated,
        "beaten_by": None if e.rival is None else {
            "design_id": e.rival.design_id, "n_beating": e.rival.n, "probability": e.rival.probability,
            "gains": {name: _bounded(gain, "change") for name, gain in e.rival.gains.items()},
        },
        "moves": {m.name: {"step": m.step, "size": m.size, "room": m.room} for m in e.moves},
        "rates": {quantity: {name: asdict(rate) for name, rate in own.items()} for quantity, own in e.rates.items()},
        "limits": [
            {
                **asdict(limit), "stopped": [_way(way) for way in limit.stopped],
                "improves": {name: _way(way) for name, way in limit.improves.items()},
            }
            for limit in e.limits
        ],
        "nearest_sample": {
            **nearest, "predicted": {name: _bounded(value, "value") for name, value in e.nearest.predicted.items()},
        },
        "meaning": list(e.meaning),
        "warnings": list(e.warnings),
        "provenance": dict(e.provenance),
    }  # fmt: skip


def _way(way: Way) -> dict[str, str | int]:
    return {"move": way[0], "direction": way[1]}


def _bounded(value: tuple[float, float, float], name: str) -> dict[str, float]:
    return {name: value[0], "lo": value[1], "hi": value[2]}


def _row_of(results: Results, design_id: int) -> int:
    rows = np.flatnonzero(results.table["design_id"] == design_id)
    if rows.size:
        return int(rows[0])
    ids = results.table["design_id"]
    span = (
        f"these results have {len(ids)} finished designs, {ids.min()} to {ids.max()}" if len(ids) else "there are none"
    )
    raise WrongUsage(f"there is no design {design_id}: {span}", fix="take a number from `explorer front`")


def _design(
    results: Results, row: int, knobs: Columns, assessment: Assessment, model: Surrogate, draws: Draws
) -> Columns:
    """Return a design as the present model assesses it, with its intervals, and what the run knew of it alone."""
    here = add_intervals(assessment.assess(knobs), model=model, draws=draws, weights=assessment.study.weights)
    known = [name for name in ("design_id", "origin", "p_front", "certainty") if name in results.table]
    kept: Columns = {name: results.table[name][row : row + 1] for name in known}
    return {**kept, **here}


def _nearest(knobs: Columns, model: Surrogate, draws: Draws, assessment: Assessment) -> NearestSample:
    rows, distances = nearest_sample(model.samples, knobs, model.domain)
    sample = take(model.samples.columns, rows)
    there = add_intervals(
        model.evaluate({name: sample[name] for name in KNOBS}), model=model, draws=draws,
        weights=assessment.study.weights,
    )  # fmt: skip
    known = [target for target in model.targets if is_known(sample, target)]
    return NearestSample(
        label=model.samples.labels[int(rows[0])],
        distance=float(distances[0]),
        knobs={name: float(sample[name][0]) for name in NUMERIC_KNOBS},
        measured={name: float(sample[name][0]) for name in known},
        predicted={name: _held(there, name) for name in known},
    )


def _held(columns: Columns, name: str) -> tuple[float, float, float]:
    low, high = bounds(name)
    return float(columns[name][0]), float(columns[low][0]), float(columns[high][0])


def _differences(results: Results, row: int, here: Columns) -> tuple[str, ...]:
    """Say where the present model says something else than the run recorded."""
    found = []
    for objective in results.objectives:
        then, now = float(results.table[objective.name][row]), float(here[objective.name][0])
        if not np.isclose(then, now, rtol=1e-6):
            found.append(f"{objective.name} is {now:.6g} by the present model; the run recorded {then:.6g}")
    return tuple(found)
