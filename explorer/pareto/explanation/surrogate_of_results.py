"""Surrogate of measured results: a model fitted to the designs that a study has measured."""

from dataclasses import replace

import numpy as np

from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples
from explorer.pareto.results.results import Results
from explorer.problem.columns import knobs_of

_MIN_ROWS = 8  # fewer rows do not separate the slopes of two knobs from scatter


def with_fitted_surrogate(problem: Problem, results: Results) -> tuple[Problem, str]:
    """Return a problem that predicts with a surrogate fitted to measured results, and a note for the user.

    Args:
        problem: the study, which measures.
        results: its measured designs.

    Raises:
        WrongUsage: too few designs were measured, or no surrogate can be fitted to them.
    """
    n = results.n_complete
    if n < _MIN_ROWS:
        message = f"{n} designs were measured, too few for the effect of a knob: at least {_MIN_ROWS} are needed"
        raise WrongUsage(message, fix=f"explorer run {problem.study.path} --trials {_MIN_ROWS}")
    targets = [name for name in problem.evaluator.targets if name in results.table]
    columns = {name: results.table[name] for name in (*knobs_of(results.table), *targets)}
    labels = tuple(f"design {number}" for number in results.table["design_id"].tolist())
    samples = Samples(columns, labels, f"{n} designs of {results.study}", "", numbers=tuple(range(1, n + 1)))
    model = fit_surrogate([with_knobs(samples)], name=f"{n} measured designs")
    errors = ", ".join(f"{t} {r.checked.error:.2g}" for t, r in model.responses.items() if np.isfinite(r.checked.error))
    note = (
        f"no new measurement: rates and intervals are those of a model fitted to the {n} measured designs "
        f"(cross-validation error: {errors or 'unknown'})"
    )
    return replace(problem, evaluator=model), note
