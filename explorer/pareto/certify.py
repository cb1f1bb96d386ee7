"""Certifying results: intervals on the front, its probability, the exact front beside it, what to measure next."""

from dataclasses import replace
from typing import Any

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import PosteriorModel, posterior_draws
from explorer.models.intervals import add_intervals
from explorer.models.lookup import Lookup
from explorer.models.nearest import nearest_sample
from explorer.models.worth import model_summary
from explorer.pareto.advice import best_measurement, thinned
from explorer.pareto.certainty import POSSIBLE, certainty, front_probability
from explorer.pareto.importance import knob_importance
from explorer.pareto.reference import exact_front
from explorer.pareto.results import Results
from explorer.problem.columns import Columns, n_rows, take

_MAX_BOUNDED = 3_000
_N_CANDIDATES = 256


def certify(results: Results, assessment: Assessment) -> Results:
    """Return results with what says how sure they are.

    Every design gets `p_front`, `certainty` and its nearest sample; those that may be on the front get intervals. The
    exact front, the measurement that would help most, each knob's importance and the model's leave-one-out errors come
    with the results. Where the model has no posterior, only the exact front does; where every design is measured, not
    even that: it would have to be measured too.
    """
    model = assessment.evaluator
    if not results.n_complete or not assessment.is_cheap:
        return results
    if isinstance(model, Lookup):
        results = replace(results, table=model.add_intervals(results.table, weights=assessment.study.weights))
    if not isinstance(model, PosteriorModel):
        return replace(results, exact=exact_front(assessment, results.reference_point))
    draws = posterior_draws(model)
    table = dict(results.table)
    table["p_front"] = front_probability(table, assessment, model=model, draws=draws)
    table["certainty"] = certainty(table["p_front"])
    table |= _nearest(model, table)
    is_front = results.is_front
    rows = np.flatnonzero(is_front | (table["p_front"] >= POSSIBLE))
    # The front first: where there are more than can be shown, the least likely of the others go without.
    rows = rows[np.lexsort((-table["p_front"][rows], ~is_front[rows]))][:_MAX_BOUNDED]
    bounded = add_intervals(take(table, rows), model=model, draws=draws, weights=assessment.study.weights)
    for name in (n for n in bounded if n not in table):
        table[name] = np.full(n_rows(table), np.nan)
        table[name][rows] = bounded[name]
    advice = best_measurement(
        _candidates(assessment), thinned(take(table, np.flatnonzero(is_front))),
        objectives=assessment.study.objectives, weights=assessment.study.weights, model=model, draws=draws,
    )  # fmt: skip
    exact = exact_front(assessment, results.reference_point)
    return replace(
        results, table=table, exact=exact, advice=advice.text(assessment.study.own_columns) if advice else "",
        importance=knob_importance(assessment), model_check=_model_check(model),
    )  # fmt: skip


def _model_check(model: PosteriorModel) -> dict[str, Any]:
    summary = model_summary(model)
    return {name: summary[name] for name in ("n_samples", "targets", "calibration", "identifiability", "warnings")}


def _nearest(model: PosteriorModel, table: Columns) -> Columns:
    """Name the sample nearest to each design, and how far it is."""
    row, distance = nearest_sample(model.samples, table, model.domain)
    labels = np.array([*model.samples.labels, ""], dtype=object)  # row -1: a family without samples
    return {"nearest_sample": labels[row], "sample_distance": np.where(row < 0, np.nan, distance)}


def _candidates(assessment: Assessment) -> Columns:
    scan = assessment.scan(_N_CANDIDATES)
    return take(scan, np.flatnonzero(scan["is_feasible"])) if scan["is_feasible"].any() else scan
