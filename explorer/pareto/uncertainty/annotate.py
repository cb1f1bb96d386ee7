"""Certifying results: intervals on the front, its probability, the exact front beside it, what to measure next."""

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
    affordable_draws,
    certainty,
    certainty_notes,
    contenders,
    front_probabilities,
)
from explorer.pareto.uncertainty.next_measurement import best_measurement, subsample
from explorer.pareto.uncertainty.sensitivity import knob_importance
from explorer.pareto.uncertainty.untried import untried_designs
from explorer.problem.columns import Columns, knobs_of, n_rows, take

_N_CANDIDATES = 256
_N_UNTRIED = 1_000
_N_PARENTS = 500


def annotate_uncertainty(results: Results, problem: Problem) -> Results:
    """Return results with what says how sure they are.

    Every design gets `p_front`, `certainty` and its nearest sample; those that may be on the front get intervals. The
    exact front, the measurement that would help most, each knob's importance and the model's leave-one-out errors come
    with the results. Where the model has no posterior, only the exact front does; where every design is measured, not
    even that: it would have to be measured too.
    """
    model = problem.evaluator
    if not results.n_complete or not problem.is_vectorized:
        return results
    if isinstance(model, TableEvaluator):
        results = replace(results, table=model.add_intervals(results.table, weights=problem.study.weights))
    if not isinstance(model, PosteriorModel):
        return replace(results, exact=exact_front(problem, results.reference_point))
    rows, n_layers = contenders(results.table, problem)
    draws = posterior_draws(model, n=affordable_draws(len(rows)))
    table = dict(results.table)
    odds = front_probabilities(table, problem, model=model, draws=draws, rows=rows, others=_untried(results, problem))
    table |= {"p_front": odds.p_front, "certainty": certainty(odds)}
    table |= _nearest(model, table)
    bounded = np.flatnonzero(results.is_front | (table["certainty"] != "dominated"))
    table |= _intervals(table, bounded, problem, model)
    advice = best_measurement(
        _candidates(problem), subsample(take(table, np.flatnonzero(results.is_front))),
        objectives=problem.study.objectives, weights=problem.study.weights, model=model,
        draws=posterior_draws(model),
    )  # fmt: skip
    notes = certainty_notes(
        n_designs=results.n_complete, n_computed=len(rows), n_layers=n_layers, n_bounded=len(bounded)
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
    """Return designs that were not tried, around the front and anywhere; None where there is no front."""
    front = np.flatnonzero(results.is_front)
    if not front.size:
        return None
    some = front[np.unique(np.linspace(0, len(front) - 1, _N_PARENTS).astype(np.int64))]
    names = knobs_of(results.table)
    return untried_designs(take({name: results.table[name] for name in names}, some), problem, n=_N_UNTRIED)


def _intervals(table: Columns, rows: NDArray[np.int64], problem: Problem, model: PosteriorModel) -> Columns:
    """Return the intervals of some designs as columns of all; NaN where there is none."""
    draws = posterior_draws(model, n=affordable_draws(len(rows)))
    bounded = add_intervals(take(table, rows), model=model, draws=draws, weights=problem.study.weights)
    columns: Columns = {}
    for name in (n for n in bounded if n not in table):
        columns[name] = np.full(n_rows(table), np.nan)
        columns[name][rows] = bounded[name]
    return columns


def _model_check(model: PosteriorModel) -> dict[str, Any]:
    summary = model_summary(model)
    return {name: summary[name] for name in ("n_samples", "targets", "calibration", "identifiability", "warnings")}


def _nearest(model: PosteriorModel, table: Columns) -> Columns:
    """Name the sample nearest to each design, and how far it is."""
    row, distance = nearest_sample(model.samples, table, model.domain)
    labels = np.array([*model.samples.labels, ""], dtype=object)  # row -1: a family without samples
    return {"nearest_sample": labels[row], "sample_distance": np.where(row < 0, np.nan, distance)}


def _candidates(problem: Problem) -> Columns:
    scan = problem.sample(_N_CANDIDATES)
    return take(scan, np.flatnonzero(scan["is_feasible"])) if scan["is_feasible"].any() else scan
