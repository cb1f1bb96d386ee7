"""Certifying results: intervals on the front, its probability, the exact front beside it, what to measure next."""

from dataclasses import replace

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import PosteriorModel, posterior_draws
from explorer.models.intervals import add_intervals
from explorer.pareto.advice import best_measurement, thinned
from explorer.pareto.certainty import POSSIBLE, certainty, front_probability
from explorer.pareto.reference import exact_front
from explorer.pareto.results import Results
from explorer.problem.columns import Columns, n_rows, take

_MAX_BOUNDED = 3_000
_N_CANDIDATES = 256


def certify(results: Results, assessment: Assessment) -> Results:
    """Return results with what says how sure they are.

    Every design gets `p_front` and `certainty`; those that may be on the front get intervals. The exact front and the
    measurement that would help most come with the results. Where the model has no posterior, they stay as they are.
    """
    model = assessment.evaluator
    if not isinstance(model, PosteriorModel) or not results.n_complete:
        return results
    draws = posterior_draws(model)
    table = dict(results.table)
    table["p_front"] = front_probability(table, assessment, model=model, draws=draws)
    table["certainty"] = certainty(table["p_front"])
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
    return replace(results, table=table, exact=exact, advice=advice.text if advice else "")


def _candidates(assessment: Assessment) -> Columns:
    scan = assessment.scan(_N_CANDIDATES)
    return take(scan, np.flatnonzero(scan["is_feasible"])) if scan["is_feasible"].any() else scan
