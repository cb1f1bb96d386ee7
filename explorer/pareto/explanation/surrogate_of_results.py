"""Where every design was measured: a model fitted to what was, for questions that nothing is to be measured for."""

from dataclasses import replace

import numpy as np

from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.response.multi_target import fit_responses, with_knobs
from explorer.models.samples.samples import Samples
from explorer.pareto.results.results import Results
from explorer.problem.columns import knobs_of

_LEAST = 8  # fewer rows tell no slope of two knobs from their scatter


def with_fitted_surrogate(problem: Problem, results: Results) -> tuple[Problem, str]:
    """Return a study that measures as one that predicts, by a model of what was measured; and a sentence that says so.

    Args:
        problem: the study.
        results: what it has measured.

    Raises:
        WrongUsage: too few designs were measured, or nothing can be fitted to them.
    """
    n = results.n_complete
    if n < _LEAST:
        what = f"{n} designs were measured: too few to say what a change of a knob does"
        raise WrongUsage(what, fix=f"explorer run {problem.study.path} --trials {_LEAST}")
    targets = [name for name in problem.evaluator.targets if name in results.table]
    columns = {name: results.table[name] for name in (*knobs_of(results.table), *targets)}
    labels = tuple(f"design {number}" for number in results.table["design_id"].tolist())
    samples = Samples(columns, labels, f"{n} designs of {results.study}", "", numbers=tuple(range(1, n + 1)))
    model = fit_responses([with_knobs(samples)], name=f"{n} measured designs")
    errors = ", ".join(f"{t} {r.checked.error:.2g}" for t, r in model.responses.items() if np.isfinite(r.checked.error))
    said = (
        f"nothing was measured for this: rates and intervals are those of a model fitted to the {n} measured designs "
        f"(error on designs that it has not seen: {errors or 'unknown'})"
    )
    return replace(problem, evaluator=model), said
