"""Explanation of one design: dominating design, local sensitivities, active limits and nearest samples."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.evaluator import Evaluator
from explorer.models.intervals import add_intervals
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, PosteriorModel, posterior_draws
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.decision.binding_scenarios import BindingScenario, binding_json, binding_scenarios
from explorer.pareto.explanation.active_limits import ActiveLimit, SignedMove, active_limits
from explorer.pareto.explanation.local_sensitivity import Rates, has_value, local_sensitivities, mode_and_draws
from explorer.pareto.explanation.narrative import narrative
from explorer.pareto.explanation.neighbours import DominatingDesign, NearestSample, dominating_design, nearest_measured
from explorer.pareto.explanation.perturbations import Perturbation, perturbations
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Column, Columns, column_of, take
from explorer.problem.objectives import OBJECTIVES, Objective

# Source of the sensitivities: the posterior of the physical forms, or of forms fitted to any knobs; a model without a
# posterior; or the readings of measured rows.
Basis = Literal["responses", "prediction", "readings"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of one design.

    Args:
        study: the study's name.
        design: its columns, with `_lo` and `_hi`, `p_front`, `certainty` and `is_feasible`.
        objectives: the objectives of the study.
        is_front: true if it is on the front.
        is_extrapolated: true outside the model's domain.
        rival: the strongest dominating design; None where no design dominates it.
        moves: its perturbations.
        rates: their local sensitivities, for every predicted objective and every constrained column.
        limits: its limits.
        nearest: the nearest measured sample; None where the model has none, or the designs are measured rows.
        meaning: the significant effects, in a sentence or two for each objective.
        warnings: changes since the run.
        provenance: of the results.
        also_near: the nearest samples of targets that `nearest` lacks.
        basis: source of the sensitivities.
        own_columns: descriptions of the user's own knobs, by name.
        scenarios: the scenario that binds each limit of the worst case.
    """

    study: str
    design: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    is_front: bool
    is_extrapolated: bool
    rival: DominatingDesign | None
    moves: tuple[Perturbation, ...]
    rates: Rates
    limits: tuple[ActiveLimit, ...]
    nearest: NearestSample | None
    meaning: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]
    also_near: tuple[NearestSample, ...] = ()
    basis: Basis = "responses"
    own_columns: Mapping[str, Column] = field(default_factory=dict)
    scenarios: tuple[BindingScenario, ...] = ()

    def __repr__(self) -> str:
        return f"Explanation(design {self.design['design_id']} of {self.study}: {' '.join(self.meaning)})"

    def column(self, name: str) -> Column:
        """Return the description of a column: a user's own knob as declared, otherwise the built-in one."""
        return self.own_columns.get(name) or column_of(name)


def explain_design(
    results: Results, design_id: int, *, problem: Problem, warnings: tuple[str, ...] = ()
) -> Explanation:
    """Explain one finished design of results.

    For measured rows, whose table has no posterior, sensitivities are differences to rows that differ in one knob.

    Args:
        results: the results.
        design_id: the design's number.
        problem: the study of the results, with its model.
        warnings: changes since the run.

    Raises:
        WrongUsage: no design has this number, or the study does not search the results' families or knobs.
    """
    row, model = _row_of(results, design_id), problem.evaluator
    knobs = _knobs(results, row, problem)
    region, column = problem.regions[str(knobs["family"][0])], results.column
    draws = posterior_draws(model) if isinstance(model, PosteriorModel) else None
    evaluated = _evaluated(results, row, knobs, problem, draws)
    moves = perturbations(region, knobs, spans=model.domain[region.family], column=column)
    names = [*(o.name for o in results.objectives), *(c.column for c in problem.study.constraints), *OBJECTIVES]
    quantities = [name for name in dict.fromkeys(names) if has_value(evaluated, name)]
    rates = local_sensitivities(knobs, moves, quantities=quantities, problem=problem, model=model, draws=draws)
    _, by_draw = mode_and_draws(knobs, problem=problem, model=model, draws=draws)
    limits = active_limits(evaluated, by_draw, moves=moves, rates=rates, objectives=results.objectives,
                           problem=problem, column=column)  # fmt: skip
    samples = nearest_measured(knobs, draws, problem) if draws is not None else ()
    return Explanation(
        study=results.study,
        design={
            name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in evaluated.items()
        },
        objectives=results.objectives,
        is_front=bool(results.is_front[row]),
        is_extrapolated=bool(is_extrapolated(evaluated["domain_distance"])[0]),
        rival=dominating_design(results, row, problem=problem, model=model, draws=draws),
        moves=moves,
        rates=rates,
        limits=limits,
        nearest=samples[0] if samples else None,
        meaning=narrative(moves, rates, limits, results.objectives, column=column),
        warnings=(*warnings, *_differences(results, row, evaluated)),
        provenance=results.provenance,
        also_near=samples[1:],
        basis=_basis(model),
        own_columns=results.own_columns,
        scenarios=binding_scenarios(problem, evaluated, is_measured=bool(results.is_measured[row])),
    )


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain JSON values; undefined numbers are NaN."""
    e = explanation
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
        "moves": {m.name: {"step": m.step, "size": m.size, "room": m.directions} for m in e.moves},
        "rates": {quantity: {name: asdict(rate) for name, rate in own.items()} for quantity, own in e.rates.items()},
        "limits": [_limit(limit) for limit in e.limits],
        **({"scenarios": binding_json(e.scenarios)} if e.scenarios else {}),
        "nearest_sample": None if e.nearest is None else _sample(e.nearest),
        "also_near": [_sample(sample) for sample in e.also_near],
        "basis": e.basis,
        "meaning": list(e.meaning),
        "warnings": list(e.warnings),
        "provenance": dict(e.provenance),
    }  # fmt: skip


def _sample(sample: NearestSample) -> dict[str, Any]:
    predicted = {name: _bounded(value, "value") for name, value in sample.predicted.items()}
    return {**asdict(sample), "predicted": predicted}


def _limit(limit: ActiveLimit) -> dict[str, Any]:
    return {
        "kind": limit.kind,
        "column": limit.column,
        "text": limit.text,
        "left": limit.margin,
        "left_text": limit.margin_text,
        "touches": limit.is_active,
        "p_met": limit.p_met,
        "stopped": [_signed_move(signed) for signed in limit.blocked],
        "improves": {name: _signed_move(signed) for name, signed in limit.improves.items()},
    }


def _signed_move(signed: SignedMove) -> dict[str, str | int]:
    return {"move": signed[0], "direction": signed[1]}


def _bounded(value: tuple[float, float, float], name: str) -> dict[str, float]:
    return {name: value[0], "lo": value[1], "hi": value[2]}


def _row_of(results: Results, design_id: int) -> int:
    rows = np.flatnonzero(results.table["design_id"] == design_id)
    if rows.size:
        return int(rows[0])
    ids = results.table["design_id"]
    trials, n_measured = ids[ids >= 0], int((ids < 0).sum())
    span = f"these results have {len(trials)} finished designs, {trials.min()} to {trials.max()}"
    measured = f", and {n_measured} measured rows, -1 to -{n_measured}" if n_measured else ""
    span = f"{span}{measured}" if len(trials) else "there are none"
    raise WrongUsage(f"there is no design {design_id}: {span}", fix="take a number from `explorer front`")


def _basis(model: Evaluator) -> Basis:
    if isinstance(model, Surrogate):
        return "responses"
    return "readings" if isinstance(model, TableEvaluator) else "prediction"


def _knobs(results: Results, row: int, problem: Problem) -> Columns:
    """Return the knobs of a design that its region declares.

    Raises:
        WrongUsage: the study does not search the families or the knobs of the results.
    """
    fix = "give the study file of these results with --study FILE"
    unknown = sorted(set(results.table["family"].tolist()) - set(problem.regions))
    if unknown:
        raise WrongUsage(f"{problem.study.path} does not search {', '.join(unknown)}, which these results did",
                         fix=fix)  # fmt: skip
    region = problem.regions[str(results.table["family"][row])]
    needed = region.from_unit(np.full((1, len(region.axes)), 0.5))
    lacking = [name for name in needed if name not in results.table]
    if lacking:
        raise WrongUsage(f"{problem.study.path} searches {', '.join(lacking)}, which these results did not",
                         fix=fix)  # fmt: skip
    return take({name: results.table[name] for name in needed}, np.array([row]))


def _evaluated(results: Results, row: int, knobs: Columns, problem: Problem, draws: Draws | None) -> Columns:
    """Return a design evaluated by the present model, with intervals, and the columns that only the run can compute.

    A measured row keeps its readings.
    """
    evaluated, model, constants = problem.evaluate(knobs), problem.evaluator, problem.study.constants
    if isinstance(model, TableEvaluator):
        evaluated = model.add_intervals(evaluated, constants=constants)
    elif isinstance(model, PosteriorModel) and draws is not None:
        evaluated = add_intervals(evaluated, model=model, draws=draws, constants=constants)
    names = [name for name in ("design_id", "origin", "p_front", "certainty") if name in results.table]
    recorded: Columns = {name: results.table[name][row : row + 1] for name in names}
    if not results.is_measured[row]:
        return {**recorded, **evaluated}
    return {**recorded, **evaluated, **{name: results.table[name][row : row + 1] for name in results.table}}


def _differences(results: Results, row: int, evaluated: Columns) -> tuple[str, ...]:
    """Return warnings where predictions of the present model differ from those recorded by the run.

    Measured values have none: the model fitted to them never reproduces them exactly.
    """
    if "measurement" in results.provenance or results.is_measured[row]:
        return ()
    warnings = []
    for objective in results.objectives:
        then, now = float(results.table[objective.name][row]), float(evaluated[objective.name][0])
        if not np.isclose(then, now, rtol=1e-6):
            warnings.append(f"{objective.name} is {now:.6g} by the present model; the run recorded {then:.6g}")
    return tuple(warnings)
