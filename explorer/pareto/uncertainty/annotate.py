"""Uncertainty of results: front probabilities, intervals, exact front, knob importance and next measurement."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.intervals import add_intervals
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, PosteriorModel, posterior_draws
from explorer.models.quality.summary import model_summary
from explorer.models.samples.nearest import nearest_sample
from explorer.models.worst_case import scaled_ends
from explorer.pareto.decision.odds import odds_columns
from explorer.pareto.exact_front import exact_front
from explorer.pareto.results.measured_values import measured_intervals
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.front_probability import (
    POSSIBLE,
    approximation_notes,
    certainty_labels,
    contenders,
    front_probabilities,
    is_beaten_by_measurement,
    n_affordable_draws,
)
from explorer.pareto.uncertainty.next_measurement import best_measurement, subsample
from explorer.pareto.uncertainty.sensitivity import knob_importance
from explorer.pareto.uncertainty.untried import UntriedDesigns
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, is_end, knobs_of, n_rows, take
from explorer.problem.objectives import Objective, objective_of
from explorer.problem.scenarios.declared import nominal_objectives

_N_CANDIDATES = 256
_N_ADVISING = 200  # draws from which covariances with candidates are computed
_N_COMPARED = 400  # draws in which designs are compared: a probability of 0.95 is known to 0.01
_N_PARENTS = 500


def annotate_uncertainty(results: Results, problem: Problem) -> Results:
    """Return results with their uncertainty.

    Every design gets `p_front`, `certainty` and its nearest sample; possible designs of the front and measured rows
    get intervals. The results get the exact front, the suggested next measurement, the importance of each knob, and
    the model's leave-one-out errors. A model without a posterior gives the exact front only. Where designs are measured
    instead of predicted, results are returned unchanged, because even the exact front would need measurements.
    """
    model = problem.evaluator
    if not results.n_complete or not problem.is_vectorized:
        return results
    if isinstance(model, TableEvaluator):
        results = replace(results, table=model.add_intervals(results.table, constants=problem.study.constants))
    if not isinstance(model, PosteriorModel):
        return replace(results, exact=exact_front(problem, results.reference_point))
    own = np.flatnonzero(~results.is_superseded)
    rows, n_ranks = contenders(take(results.table, own), problem)
    rows = own[rows]
    draws = cache(lambda n: posterior_draws(model, n=n))
    probabilities = front_probabilities(
        results.table, problem, model=model, rows=rows,
        draws=posterior_draws(
            model, n=min(n_affordable_draws(len(rows)), _N_COMPARED), targets=problem.needed_targets
        ),
        untried=_untried(results, problem),
    )  # fmt: skip
    table = {**results.table, "p_front": probabilities.p_front}
    is_supported = results.is_measured | ~is_extrapolated(table["domain_distance"])
    table["certainty"] = certainty_labels(probabilities, is_supported=is_supported)
    table |= _nearest(model, table)
    is_possible = (table["certainty"] != "dominated") & (probabilities.p_evaluated >= POSSIBLE)
    bounded = np.flatnonzero(results.is_front | is_possible | results.is_measured)
    table |= _intervals(table, bounded, problem, model, draws(n_affordable_draws(len(bounded))))
    table |= _odds(table, bounded, problem, draws(n_affordable_draws(len(bounded))))
    table["certainty"] = _corrected(table, bounded, problem)
    annotated = replace(results, table=table)
    front = take(table, np.flatnonzero(annotated.is_front))
    advice = best_measurement(
        _candidates(problem), subsample(front), objectives=_measured_objectives(problem),
        constants=problem.study.constants, model=model, draws=draws(_N_ADVISING),
    )  # fmt: skip
    notes = approximation_notes(
        n_designs=results.n_designs, n_computed=len(rows), n_ranks=n_ranks, n_bounded=len(bounded),
        probabilities=probabilities,
    )  # fmt: skip
    return replace(
        annotated,
        exact=exact_front(problem, results.reference_point),
        notes=(*results.notes, *notes),
        advice=advice.text(problem.study.own_columns) if advice else "",
        importance=knob_importance(problem),
        model_check=_model_check(model),
    )


def _untried(results: Results, problem: Problem) -> UntriedDesigns | None:
    """Return a source of untried designs around the front and from a scan of the space; None without a front."""
    front = np.flatnonzero(results.is_front)
    if not front.size:
        return None
    parents = front[np.unique(np.linspace(0, len(front) - 1, _N_PARENTS).astype(np.int64))]
    return UntriedDesigns(take({name: results.table[name] for name in knobs_of(results.table)}, parents), problem)


def _corrected(table: Columns, bounded: NDArray[np.int64], problem: Problem) -> NDArray[np.object_]:
    """Return the labels, `possible` in place of `sure` where a measured row contradicts the interval of a design."""
    labels = table["certainty"].copy()
    sure = bounded[(labels[bounded] == "sure") & (table["design_id"][bounded] >= 0)]
    labels[sure[is_beaten_by_measurement(table, problem.study.objectives, sure)]] = "possible"
    return labels


def _intervals(
    table: Columns, rows: NDArray[np.int64], problem: Problem, model: PosteriorModel, draws: Draws
) -> Columns:
    """Return columns with the intervals of the given rows, measured rows among them; NaN in the other rows."""
    constants = problem.study.constants
    predicted, measured = rows[table["design_id"][rows] >= 0], rows[table["design_id"][rows] < 0]
    bounded = add_intervals(take(table, predicted), model=model, draws=draws, constants=constants)
    bounded |= problem.worst_case.intervals(model, draws, take(table, predicted))
    columns: Columns = {}
    for name in (n for n in bounded if n not in table):
        columns[name] = np.full(n_rows(table), np.nan)
        columns[name][predicted] = bounded[name]
    if measured.size:
        own = measured_intervals(take(table, measured), model=model, draws=draws, constants=constants)
        own |= scaled_ends({**take(table, measured), **own})
        for name in (name for name in own if name in columns):
            columns[name][measured] = own[name]
    return columns


def _measured_objectives(problem: Problem) -> tuple[Objective, ...]:
    """Return what a measurement tells of the objectives: values, not ends of intervals or worst cases."""
    nominal = nominal_objectives(problem.study.objectives)
    return tuple(dict.fromkeys(objective_of(o.name[:-3]) if is_end(o.name) else o for o in nominal))


def _odds(table: Columns, rows: NDArray[np.int64], problem: Problem, draws: Draws) -> Columns:
    """Return the columns of the probabilities that limits hold; NaN in the other rows."""
    found = odds_columns(take(table, rows), problem.study.constraints, problem=problem, draws=draws)
    columns = {name: np.full(n_rows(table), np.nan) for name in found}
    for name, values in found.items():
        columns[name][rows] = values
    return columns


def _model_check(model: PosteriorModel) -> dict[str, Any]:
    summary = model_summary(model, is_full=False)
    return {name: summary[name] for name in ("n_samples", "targets", "calibration", "identifiability", "warnings")}


def _nearest(model: PosteriorModel, table: Columns) -> Columns:
    """Return the name of the sample nearest to each design, and its distance."""
    row, distance = nearest_sample(model.samples, table, model.domain)
    labels = np.array([*model.samples.labels, ""], dtype=object)  # row -1: a family without samples
    return {"nearest_sample": labels[row], "sample_distance": np.where(row < 0, np.nan, distance)}


def _candidates(problem: Problem) -> Columns:
    scan = problem.sample(_N_CANDIDATES)
    return take(scan, np.flatnonzero(scan["is_feasible"])) if scan["is_feasible"].any() else scan
