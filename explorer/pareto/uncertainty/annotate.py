"""Uncertainty of results: front probabilities, intervals, exact front, knob importance and next measurement."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.intervals import add_intervals
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.models.quality.summary import model_summary
from explorer.models.samples.nearest import nearest_sample
from explorer.pareto.exact_front import exact_front
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.front_probability import (
    approximation_notes,
    certainty_labels,
    contenders,
    front_probabilities,
    n_affordable_draws,
)
from explorer.pareto.uncertainty.next_measurement import best_measurement, subsample
from explorer.pareto.uncertainty.sensitivity import knob_importance
from explorer.pareto.uncertainty.untried import untried_designs
from explorer.problem.columns import Columns, knobs_of, n_rows, take

_N_CANDIDATES = 256
_N_UNTRIED = 1_000
_N_PARENTS = 500


def annotate_uncertainty(results: Results, problem: Problem) -> Results:
    """Return results with their uncertainty.

    Every design gets `p_front`, `certainty` and its nearest sample; possible designs of the front get intervals. The
    results get the exact front, the suggested next measurement, the importance of each knob, and the model's
    leave-one-out errors. A model without a posterior gives the exact front only. Where designs are measured instead of
    predicted, results are returned unchanged, because even the exact front would need measurements.
    """
    model = problem.evaluator
    if not results.n_complete or not problem.is_vectorized:
        return results
    if isinstance(model, TableEvaluator):
        results = replace(results, table=model.add_intervals(results.table, weights=problem.study.weights))
    if not isinstance(model, PosteriorModel):
        return replace(results, exact=exact_front(problem, results.reference_point))
    rows, n_ranks = contenders(results.table, problem)
    draws = posterior_draws(model, n=n_affordable_draws(len(rows)))
    table = dict(results.table)
    probabilities = front_probabilities(
        table, problem, model=model, draws=draws, rows=rows, untried=_untried(results, problem)
    )
    table |= {"p_front": probabilities.p_front, "certainty": certainty_labels(probabilities)}
    table |= _nearest(model, table)
    bounded = np.flatnonzero(results.is_front | (table["certainty"] != "dominated"))
    table |= _intervals(table, bounded, problem, model)
    advice = best_measurement(
        _candidates(problem), subsample(take(table, np.flatnonzero(results.is_front))),
        objectives=problem.study.objectives, weights=problem.study.weights, model=model,
        draws=posterior_draws(model),
    )  # fmt: skip
    notes = approximation_notes(
        n_designs=results.n_complete, n_computed=len(rows), n_ranks=n_ranks, n_bounded=len(bounded)
    )
    return replace(
        results,
        table=table,
        exact=exact_front(problem, results.reference_point),
        notes=(*results.notes, *notes),
        advice=advice.text(problem.study.own_columns) if advice else "",
        importance=knob_importance(problem),
        model_check=_model_check(model),
    )


def _untried(results: Results, problem: Problem) -> Columns | None:
    """Return untried designs around the front and from a scan of the space; None without a front."""
    front = np.flatnonzero(results.is_front)
    if not front.size:
        return None
    parents = front[np.unique(np.linspace(0, len(front) - 1, _N_PARENTS).astype(np.int64))]
    names = knobs_of(results.table)
    return untried_designs(take({name: results.table[name] for name in names}, parents), problem, n=_N_UNTRIED)


def _intervals(table: Columns, rows: NDArray[np.int64], problem: Problem, model: PosteriorModel) -> Columns:
    """Return columns with the intervals of the given rows; NaN in the other rows."""
    draws = posterior_draws(model, n=n_affordable_draws(len(rows)))
    bounded = add_intervals(take(table, rows), model=model, draws=draws, weights=problem.study.weights)
    columns: Columns = {}
    for name in (n for n in bounded if n not in table):
        columns[name] = np.full(n_rows(table), np.nan)
        columns[name][rows] = bounded[name]
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
